"""The two-plane engine and the plain engine agree, whatever the scenario: task rows to the last bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

from sim.run import RunResult
from tests.oracle.engine import OracleResult
from tests.property.families import Case, cases, coverage


def compare(case: Case, result: RunResult, oracle: OracleResult) -> None:
    """Assert that both engines tell the same story."""
    table = result.table("tasks")
    for name, expected in oracle.task_rows(case.scenario).items():
        found = [None if value != value else value for value in table[name].to_pylist()]  # noqa: PLR0124 - NaN
        assert found == expected, name
    compare_decisions(result, oracle)
    slots = result.table("slots")
    for name, rows in (("backlog_bytes", oracle.backlog_bytes), ("arrived_bytes", oracle.arrived_bytes)):
        np.testing.assert_allclose(slots[name].to_pylist(), rows, rtol=1e-9, atol=1e-6, err_msg=name)
    counted = {fate: result.summary[f"messages_{fate.replace(' ', '_')}"] for fate in oracle.messages}
    assert counted == dict(oracle.messages)


def compare_decisions(result: RunResult, oracle: OracleResult) -> None:
    table, twin = result.table("decisions"), result.table("twin")
    for name in ("slot", "decided_ns", "latency_ns", "fallback", "repaired"):
        assert table[name].to_pylist() == [getattr(item, name) for item in oracle.decisions], name
    for name, attribute in (
        ("estimated_size_bytes", "size_bytes"),
        ("offloading_ratio", "offloading_ratio"),
        ("compute_allocation_hz", "compute_allocation_hz"),
    ):
        assert table[name].to_pylist() == [getattr(item, attribute).ravel().tolist() for item in oracle.decisions], name
    for name, attribute in (
        ("age_of_information_s", "age_s"),
        ("estimated_x_m", "x_m"),
        ("estimated_channel_gain", "channel_gain"),
    ):
        found = twin[name].to_numpy()
        expected = np.array([getattr(item, attribute) for item in oracle.decisions]).reshape(-1)
        assert found.tolist() == expected.astype(found.dtype).tolist(), name


def check_cases(num_case: int) -> Counter[str]:
    """Compare the engines in `num_case` cases; return in how many of them each kind of trouble occurred."""
    seen: Counter[str] = Counter()

    @settings(max_examples=num_case)
    @given(cases())
    def check(case: Case) -> None:
        oracle = case.run_oracle()
        compare(case, case.run(), oracle)
        seen.update(coverage(case, oracle))
        seen["cases"] += 1

    check()
    return seen


def test_engines_agree() -> None:
    check_cases(20)


@pytest.mark.full
def test_engines_agree_in_every_family() -> None:
    seen = check_cases(200)
    print(dict(seen.most_common()))
    assert min(seen.values()) >= 10, seen
