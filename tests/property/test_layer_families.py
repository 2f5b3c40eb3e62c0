"""Both engines tell the same story of the system 'llm6g', too, joules included; and nobody uses more than there is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings

from tests.property.families import Case
from tests.property.layer_families import (
    check_capacity_in_force,
    commands_reach_all_at_once,
    layer_case_of,
    layer_cases,
)
from tests.support.both_engines import assert_equal_runs
from tests.support.occurrences import occurrences

EVERY = (
    *("carry-over", "a queue of several: slices", "held over slots", "never started", "upload over slots"),
    *("completed", "late", "in flight", "dropped: uplink", "dropped: result", "joint", "transformer", "no task"),
    *("late reports", "reports of later slots", "skipped slots", "fallbacks", "repairs", "command lost"),
    *("messages in flight", "handovers", "uploads carried over a handover", "work carried over a handover"),
    *("several nodes", "out of range"),
    *(f"several on a CPU: {rule}" for rule in ("per-task", "in-turn", "sharing")),
    *(f"several on an uplink: {rule}" for rule in ("each", "in-turn", "sharing")),
)


def check(case: Case) -> Counter[str]:
    """Compare the engines in a case; return which kinds of trouble occurred."""
    result = case.run()
    assert_equal_runs(result, case.run("events"))
    check_capacity_in_force(case)
    kinds = {
        "faults": bool(case.faults),
        "one decision for all": commands_reach_all_at_once(case),
        f"mode {case.scenario.model.mode}": True,
    }
    return occurrences(case.scenario, result) + Counter({name: int(present) for name, present in kinds.items()})


@settings(max_examples=10)
@given(layer_cases())
def test_engines_agree(case: Case) -> None:
    check(case)


@pytest.mark.full
def test_engines_agree_in_every_family() -> None:
    """100 cases, and in these every kind of trouble that the engines could disagree about."""
    seen: Counter[str] = Counter()
    for seed in range(100):
        seen.update(check(layer_case_of(seed)))
    others = ("faults", "one decision for all", "mode paper", "mode corrected")
    rare = {name: seen[name] for name in (*EVERY, *others) if seen[name] < 2}
    assert not rare, seen
