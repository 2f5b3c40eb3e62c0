"""Shared test set-up: what the quick loop leaves out, who shares a process, and how property tests draw.

Property tests draw the same examples on every run and leave no database behind.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")  # so that a failure there shows its values, too

settings.register_profile("vectwin", derandomize=True, deadline=None, database=None)
settings.load_profile("vectwin")

ROOT = Path(__file__).resolve().parents[1]
THOROUGH = {
    *(
        f"tests/{name}"
        for name in ("conformance", "docs", "engines", "fault", "frozen", "fuzz", "paper", "policy", "property")
    ),
    *("tests/swarm", "docs", "policies/llm", "policies/marl", "sim/bench", "sim/learn"),
}
"""Folders of tests that are all `full`, and packages whose doctests are: `make check` leaves them out."""

THOROUGH_FILE = re.compile(r"^pytestmark = pytest\.mark\.(full|slow)\b", re.MULTILINE)

SLOW_POLICIES = ("p2-slsqp", "ao-sqp-fp")
"""General solvers: what a test does with them takes seconds."""

SLOW_DOCTESTS = ("sim.studies.compare.compare",)
"""Examples that start processes."""


def pytest_configure(config: pytest.Config) -> None:
    """Do not even import, in the quick loop, what is `full` as a whole: importing it takes as long as many tests."""
    if "not full" in config.option.markexpr:
        config.option.ignore = [*(config.option.ignore or ()), *(str(ROOT / folder) for folder in THOROUGH)]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do the same for files of tests that are `full` as a whole."""
    if "not full" not in config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    return bool(THOROUGH_FILE.search(collection_path.read_text("utf-8"))) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `full` what stands in a thorough folder, runs a slow policy or starts processes, wherever it is."""
    thorough = tuple(f"{folder}/" for folder in THOROUGH)
    for item in items:
        is_slow = any(name in item.name for name in SLOW_POLICIES) or item.name in SLOW_DOCTESTS
        if is_slow or item.nodeid.startswith(thorough):
            item.add_marker(pytest.mark.full)


@pytest.fixture(autouse=True)
def _names_are_taken_back() -> Iterator[None]:
    """Take back the policies that a test registers: the next test of its process knows ours only."""
    from policies import registry

    by_hand = registry.POLICIES._by_hand
    kept = dict(by_hand)
    yield
    by_hand.clear()
    by_hand.update(kept)


@pytest.fixture(scope="session", params=["columns", "events"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Return the name of an engine: what a test claims holds for both."""
    return request.param


TOGETHER = {
    f"tests/{name}.py"
    for name in (
        *("conformance/test_report_browser", "conformance/test_report_layout", "conformance/test_wheel"),
        *("docs/test_site", "paper/test_lyapunov", "paper/test_rush_hour", "paper/test_yardstick"),
        *("policy/test_first_decision", "policy/test_llm_bundled", "policy/test_llm_heldout", "policy/test_llm_policy"),
        *("policy/test_marl", "property/test_theory_queues", "property/test_theory_sharing"),
        *("tidy/test_structure", "tidy/test_text"),
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
