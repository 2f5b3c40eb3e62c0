"""Both engines tell the same story of small systems in trouble: every table is the same to the last bit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from tests.property.families import Case, Moody, case_of, cases
from tests.support.both_engines import assert_equal_runs
from tests.support.occurrences import occurrences

WALK = {"kind": "random-walk", "step_std": 2e7}
EVERY = (
    *("carry-over", "a queue of several: slices", "a queue of several: fifo", "held over slots", "never started"),
    *("upload over slots", "local and sent at once", "completed", "late", "in flight", "dropped: uplink"),
    *("dropped: result", "late reports", "reports of later slots", "skipped slots", "fallbacks", "repairs"),
    *("report lost", "command lost", "messages in flight"),
    *(f"several on a CPU: {rule}" for rule in ("per-task", "in-turn", "sharing")),
    *(f"several on an uplink: {rule}" for rule in ("each", "in-turn", "sharing")),
)


def check(case: Case) -> Counter[str]:
    """Compare the engines in a case; return which kinds of trouble occurred."""
    result = case.run()
    assert_equal_runs(result, case.run("events"))
    return occurrences(case.scenario, result) + Counter({"faults": int(bool(case.faults))})


def coincidences(discipline: str, instant: bool, network: dict[str, Any], twin: dict[str, Any]) -> dict[str, Any]:
    """Return round numbers: what can happen at the same instant does."""
    task = {"size_bytes": [1000, 1000], "cycles_per_byte": 10e3, "deadline_s": 0.01}  # 10 ms on a vehicle: one slot
    return {
        "time": {"slot_duration_s": 0.01, "num_slot": 12},
        "model": {"order": "parallel"},
        "vehicles": {"num_vehicle": 4, "cpu_hz": 1e9, "kappa": 1e-28, "transmit_power_w": 0.2},
        "radio": {"bandwidth_hz": 1e18 if instant else 1e6, "noise_w": 1e-14},
        "server": {"frequency_hz": 6e9, "num_core": 4, "kappa": 1e-35, "discipline": discipline},
        "tasks": [task | {"name": name} for name in ("k0", "k1")],
        "network": network,
        "twin": twin,
    }


@pytest.mark.full
@pytest.mark.parametrize("offload", ["some", "all"])
@pytest.mark.parametrize("instant", [False, True])
@pytest.mark.parametrize("discipline", ["slices", "fifo"])
@pytest.mark.parametrize(
    ("network", "twin"),
    [
        # A lost report lets the window of one slot close when the reports of the next are in: two decisions at once,
        # whose commands arrive together.
        (
            {"backhaul": {"loss": 0.2}, "access": {"latency_s": 0.001}},
            {"sync_window_s": 0.015, "command": {"missing": "wait"}},
        ),
        # Commands arrive, and patience ends, exactly when slots begin.
        ({"backhaul": {"latency_s": 0.005}}, {"sync_window_s": 0.02, "command": {"patience_s": 0.02}}),
        ({"backhaul": {"loss": 0.4}}, {"command": {"patience_s": 0.01, "missing": "local"}}),
        ({"backhaul": {"loss": 0.4}}, {"command": {"patience_s": 0.0}, "bias": {"cpu_frequency_hz": WALK}}),
        # Uploads reach the server, results the vehicles, and decisions their end, exactly when slots begin.
        ({"lan": {"latency_s": 0.01}}, {"decision": {"latency": 0.01}, "command": {"patience_s": 0.03}}),
    ],
)
def test_coincidences(
    network: dict[str, Any], twin: dict[str, Any], discipline: str, instant: bool, offload: str
) -> None:
    data = coincidences(discipline, instant, network, twin)
    for seed in range(3):
        check(Case(data, Moody(offload=offload), seed, (), block_length=3))


@settings(max_examples=20)
@given(cases())
def test_engines_agree(case: Case) -> None:
    check(case)


@pytest.mark.full
def test_engines_agree_in_every_family() -> None:
    """200 cases, and in these every kind of trouble that the engines could disagree about."""
    seen: Counter[str] = Counter()
    for seed in range(200):
        seen.update(check(case_of(seed)))
    rare = {name: seen[name] for name in (*EVERY, "faults") if seen[name] < 5}
    assert not rare, seen
