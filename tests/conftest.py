"""Shared test set-up: property tests draw the same examples on every run and leave no database behind."""

import pytest
from hypothesis import settings

settings.register_profile("vectwin", derandomize=True, deadline=None, database=None)
settings.load_profile("vectwin")

SLOW_POLICIES = ("p2-slsqp", "ao-sqp-fp")
"""General solvers: what a test does with them takes seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the slow policies out of the quick loop, wherever a test runs all policies."""
    for item in items:
        if any(name in item.name for name in SLOW_POLICIES):
            item.add_marker(pytest.mark.full)
