"""Shared test set-up: property tests draw the same examples on every run and leave no database behind."""

from typing import Any

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")  # so that a failure there shows its values, too

settings.register_profile("vectwin", derandomize=True, deadline=None, database=None)
settings.load_profile("vectwin")

SLOW_POLICIES = ("p2-slsqp", "ao-sqp-fp")
"""General solvers: what a test does with them takes seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the slow policies out of the quick loop, wherever a test runs all policies."""
    for item in items:
        if any(name in item.name for name in SLOW_POLICIES):
            item.add_marker(pytest.mark.full)


TOGETHER = {
    f"tests/{name}.py"
    for name in (
        *("conformance/test_report_browser", "conformance/test_report_layout", "conformance/test_wheel"),
        *("docs/test_site", "paper/test_lyapunov", "paper/test_rush_hour", "paper/test_yardstick"),
        *("policy/test_first_decision", "policy/test_llm_bundled", "policy/test_llm_heldout", "policy/test_llm_policy"),
        *("policy/test_marl", "property/test_theory_queues", "property/test_theory_sharing"),
    )
}
"""Files whose tests share what takes long to make: one process of pytest runs all tests of such a file."""


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody calls it
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal tests one by one, but those of some files together."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return Together(config, log)
