"""Numbers that are fine one by one and too much together: one sentence, at once, or a run that counts them right."""

from __future__ import annotations

import time

import numpy as np
import pytest

from physical.errors import InputError
from sim.record.task_sums import SlotSums
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from tests.support.command import twin

LIMITS = [
    (
        "dtecn",
        ["time.slot_duration_s='1 ns'", "time.num_slot=2000000000"],
        "time.num_slot: 2000000000 is out of range (accepted: 1 to 10000000",
    ),
    (
        "dtecn",
        ["timeline=[{kind='bias', at_s=0, every_s='1 ns', cpu_frequency_hz=1}]"],
        "timeline.0.every_s: 1e-09 s is too often (accepted: at least 0.001 s: 100000 events in a run)",
    ),
    (
        "dtecn",
        ["timeline=[" + ", ".join(["{kind='bias', at_s=0, every_s=0.002, cpu_frequency_hz=1}"] * 3) + "]"],
        "timeline.2.every_s: 0.002 s is too often",
    ),
    (
        "dtecn",
        ["timeline=[{kind='burst', at_s=0, every_s=0.0011, size_factor=3, duration_s=1}]"],
        "timeline.0.size_factor: makes tasks 'class-1' larger than can be counted",
    ),
    (
        "dtecn",
        ["tasks.0.size_bytes=[1, 1e12]"],
        "tasks.0.size_bytes: makes tasks of 1e+12 B, of which 1000 slots cannot be counted while they wait",
    ),
    (
        "corridor",
        ["mobility.length_m=1", "mobility.speed_mps=299792458"],
        "mobility.ends: lets ",
    ),
    (
        "llm6g",
        ["vehicles.num_vehicle=200", "tasks.0.num_token=[1, 1000000]"],
        "tasks.0.num_token: [1, 1000000] has too many lengths",
    ),
    ("llm6g", ["vehicles.kappa=0"], "vehicles.kappa: lets local tasks cost nothing"),
    (
        "dtecn",
        ["time.num_slot=100000", "time.slot_duration_s=1", "vehicles.num_vehicle=100000"],
        "vehicles.num_vehicle: 300000 tasks in a slot are too many in 100000 s",
    ),
]


@pytest.mark.parametrize(("name", "settings", "told"), LIMITS)
def test_too_much_is_refused_at_once(name: str, settings: list[str], told: str) -> None:
    begin = time.process_time()
    with pytest.raises(InputError) as caught:
        Scenario.load(name, settings)
    assert time.process_time() - begin < 2.0
    assert told in str(caught.value), str(caught.value)


def test_slots_option_has_the_same_limit() -> None:
    assert "time.num_slot: 2000000000 is out of range" in twin("run", "dtecn", "--slots", 2_000_000_000).complaint()


def test_a_node_may_fail_before_the_first_slot() -> None:
    timeline = (
        "timeline=[{kind='node-down', at_s=0, node='base-station'}, {kind='node-up', at_s=0.15, node='base-station'}]"
    )
    result = run(Scenario.load("dtecn", ["time.num_slot=4", timeline]), policy="edge-equal")
    served = result.table("vehicles")["serving_node"].is_valid().to_numpy().reshape(4, -1)
    assert served.any(axis=1).tolist() == [False, False, True, True]


def test_energy_of_a_great_burst_is_counted() -> None:
    """A burst that makes tasks a million times their mean: energy is kappa f^2 cycles, however large that is."""
    burst = "timeline=[{kind='burst', at_s=0, duration_s=1, size_factor=1e6}]"
    settings = ["time.num_slot=2", "tasks.0.size_bytes=1000", "tasks.1.size_bytes=1000", "tasks.2.size_bytes=1000"]
    settings += ["vehicles.cpu_hz=1e15", burst]  # a task takes 0.25 s, and has had 0.2 s or 0.1 s at the end of the run
    result = run(Scenario.load("dtecn", settings), policy="local-only")
    cycles = 10 * 3 * 1000.0 * 1e6 * 0.25e6  # of 10 vehicles with 3 tasks each
    expected_j = 1e-28 * 1e30 * cycles * np.array([0.8, 0.4])
    assert result.table("slots")["energy_local_j"].to_numpy() == pytest.approx(expected_j, rel=1e-12)


def test_sums_are_those_of_unbounded_integers() -> None:
    values = np.array([2**62, 2**62 + 1, 2**62 + 3, -5], dtype=np.int64)
    assert sum(values.tolist()) > 2**63
    assert SlotSums({"delay_ns": values[np.newaxis]}, 1.0).delay_s == [sum(values.tolist()) / 1e9]
    high, low = np.array([3, 2**50]), np.array([2**45 + 7, 2**41 - 1])
    exact = [(int(h) << 40) + int(u) for h, u in zip(high, low, strict=True)]
    assert SlotSums({"local_high": high, "local_units": low}, 1.0).energy_j("local").tolist() == [
        float(value) for value in exact
    ]


def test_a_name_that_no_file_can_have_is_one_line() -> None:
    with pytest.raises(InputError, match="there is no such file"):
        Scenario.load("\udcc3(.toml")
