"""On an ideal network the event simulator and the closed form are the same system."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physical.closed_form.slot import SlotOutcome, slot_step
from physical.model import queueing
from physical.params import Mode, TaskOrder
from physical.registry import EngineName
from physical.system import System
from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario
from tests.support.ideal_network import NUM_CLASS, VEHICLE_SHARE_HZ, Scattered, Tides, scenario, server
from tests.support.tables import shaped


def closed_form(result: RunResult, system: System, bias_hz: float) -> SlotOutcome:
    """Return what eqs. 5-16 make of the inputs and decisions of a run, all slots at once."""
    count = system.num_vehicle
    return slot_step(
        system,
        shaped(result, "tasks", "size_bytes", count, NUM_CLASS),
        shaped(result, "vehicles", "uplink_rate_bps", count),
        shaped(result, "decisions", "offloading_ratio", count, NUM_CLASS),
        shaped(result, "decisions", "compute_allocation_hz", count, NUM_CLASS),
        shaped(result, "slots", "backlog_bytes", NUM_CLASS),
        bias_hz,
    )


@pytest.mark.parametrize("num_vehicle", [1, 4, 10, 50])
@pytest.mark.parametrize("bias_sign", [-1, 1])
@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_events_equal_the_closed_form(
    mode: Mode, order: TaskOrder, bias_sign: int, num_vehicle: int, engine: EngineName
) -> None:
    bias_hz = 0.2 * bias_sign * VEHICLE_SHARE_HZ / NUM_CLASS
    tables = {"model": {"mode": mode, "order": order}, "twin": {"bias": {"cpu_frequency_hz": bias_hz}}}
    chosen = scenario(num_vehicle, **tables)
    result = run(chosen, policy=Scattered(), seed=num_vehicle, engine=engine)
    expected = closed_form(result, chosen.system(), bias_hz)

    assert set(shaped(result, "tasks", "outcome").tolist()) <= {"completed", "late"}
    assert not shaped(result, "decisions", "repaired").any()
    assert not shaped(result, "slots", "backlog_bytes").any()
    assert not expected.backlog_next_bytes.any()
    begin_ns, done_ns = shaped(result, "tasks", "generated_ns"), shaped(result, "tasks", "done_ns")
    delay_ns = (done_ns - begin_ns).reshape(expected.delay_s.shape)
    assert np.abs(delay_ns - expected.delay_s * 1e9).max() <= 1.0
    for name, values in (
        ("qos", expected.qos),
        ("energy_local_j", expected.energy_local_j),
        ("energy_edge_j", expected.energy_edge_j),
        ("objective", expected.objective),
        ("deadline_miss_ratio", expected.missed.mean(axis=(1, 2))),
    ):
        np.testing.assert_allclose(shaped(result, "slots", name), values, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(shaped(result, "slots", "arrived_bytes", NUM_CLASS), expected.arrivals_bytes, rtol=1e-9)
    assert result.summary["objective_mean"] == pytest.approx(result.summary["objective_predicted_mean"], rel=1e-9)


@pytest.mark.parametrize("num_vehicle", [1, 10, 50])
def test_fifo_backlog_is_eq_5(num_vehicle: int, engine: EngineName) -> None:
    """With uploads that take no time, the pooled queues of the event simulator obey eq. 5 at every slot boundary."""
    slot_duration_s = (
        2.0 * NUM_CLASS * 1250e6 / VEHICLE_SHARE_HZ
    )  # the whole server is worth two mean slots of arrivals
    chosen = scenario(
        num_vehicle,
        time={"slot_duration_s": slot_duration_s, "num_slot": 60},
        radio={"bandwidth_hz": 1e18, "noise_w": 1e-14},
        server=server(num_vehicle, "fifo"),
    )
    result = run(chosen, policy=Tides(), seed=3, engine=engine)
    expected = closed_form(result, chosen.system(), 0.0)
    backlog = shaped(result, "slots", "backlog_bytes", NUM_CLASS)
    scale = expected.arrivals_bytes.mean()
    np.testing.assert_allclose(backlog[1:], expected.backlog_next_bytes[:-1], rtol=1e-9, atol=1e-9 * scale)
    from_the_start = np.zeros(NUM_CLASS)
    for slot, arrived in enumerate(expected.arrivals_bytes):
        np.testing.assert_allclose(backlog[slot], from_the_start, rtol=1e-9, atol=1e-9 * scale)
        from_the_start = queueing.next_backlog_bytes(from_the_start, arrived, expected.service_bytes[slot])
    assert backlog.max() > 2 * scale
    assert ((backlog[:-1] > 0) & (backlog[1:] == 0)).any()


def world_of(result: RunResult, num_vehicle: int) -> list[list[Any]]:
    """Return what the world does to the first vehicles: motion, channel and tasks."""
    columns = []
    for table, names in (
        ("vehicles", ("x_m", "y_m", "speed_mps", "channel_gain", "uplink_rate_bps")),
        ("tasks", ("slot", "vehicle", "task_class", "size_bytes")),
    ):
        first = shaped(result, table, "vehicle") < num_vehicle
        columns += [shaped(result, table, name)[first].tolist() for name in names]
    return columns


def test_another_vehicle_or_policy_leaves_the_world_as_it_is() -> None:
    settings = "time.num_slot=300"
    ten = run(Scenario.load("dtecn", [settings]), policy="edge-equal", seed=7)
    eleven = run(Scenario.load("dtecn", [settings, "vehicles.num_vehicle=11"]), policy="edge-equal", seed=7)
    other = run(Scenario.load("dtecn", [settings]), policy="random", seed=7)
    assert world_of(eleven, 10) == world_of(ten, 10) == world_of(other, 10)
    assert world_of(eleven, 11) != world_of(ten, 11)
