"""On an ideal network the event simulator and the closed form are the same system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from physical.closed_form.slot import SlotOutcome, slot_step
from physical.model import queueing
from physical.params import Discipline, Mode, TaskOrder
from physical.system import System
from policies.feasible import capacity_hz
from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

VEHICLE_SHARE_HZ = 8e9
NUM_CLASS = 3


def server(num_vehicle: int, discipline: Discipline) -> dict[str, Any]:
    server_hz = num_vehicle * VEHICLE_SHARE_HZ
    return {"frequency_hz": server_hz, "num_core": 10, "kappa": 1 / server_hz**3, "discipline": discipline}


def scenario(num_vehicle: int, **tables: Any) -> Scenario:
    """Return slots so long that every task ends in its own; 1 ns is less than 1e-9 of every deadline."""
    task = {"size_bytes": [1000, 1500], "cycles_per_byte": 1e6}
    deadlines_s = (1.0, 1.3, 2.0)
    data: dict[str, Any] = {
        "time": {"slot_duration_s": 4.0, "num_slot": 6},
        "vehicles": {
            "num_vehicle": num_vehicle,
            "cpu_hz": [5e9, 3e9],
            "cpu": "per-task",  # eqs. 7 and 9 know of no waiting at the vehicle
            "kappa": 1e-28,
            "transmit_power_w": 0.2,
        },
        "radio": {"bandwidth_hz": 20e6, "noise_w": 1e-14, "uplink": "each"},
        "server": server(num_vehicle, "slices"),
        "tasks": [task | {"name": f"k{k}", "deadline_s": deadline_s} for k, deadline_s in enumerate(deadlines_s)],
        "objective": {"deadline_price": 3.0},
    }
    return Scenario.from_dict(data | tables)


@dataclass
class Scattered:
    """Random ratios, some of them exactly 0 or 1, and random parts of 0.8 of the server, none much below the mean."""

    def reset(self, system: System, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        ratio = np.clip(1.5 * self._generator.random(self._shape) - 0.25, 0.0, 1.0)
        part = self._generator.uniform(0.5, 1.5, size=self._shape)
        bias_hz = snapshot.estimation_bias_hz
        spare_hz = 0.8 * capacity_hz(snapshot.system, bias_hz)
        if snapshot.system.model.capacity_rule == "effective":
            spare_hz -= float(bias_hz.sum())
        return Decision(ratio, spare_hz * part / part.sum())


def column(result: RunResult, table: str, name: str, *shape: int) -> Any:
    return np.array(result.table(table)[name].to_pylist()).reshape(-1, *shape)


def closed_form(result: RunResult, system: System, bias_hz: float) -> SlotOutcome:
    """Return what eqs. 5-16 make of the inputs and decisions of a run, all slots at once."""
    count = system.num_vehicle
    return slot_step(
        system,
        column(result, "tasks", "size_bytes", count, NUM_CLASS),
        column(result, "vehicles", "uplink_rate_bps", count),
        column(result, "decisions", "offloading_ratio", count, NUM_CLASS),
        column(result, "decisions", "compute_allocation_hz", count, NUM_CLASS),
        column(result, "slots", "backlog_bytes", NUM_CLASS),
        bias_hz,
    )


@pytest.mark.parametrize("num_vehicle", [1, 4, 10, 50])
@pytest.mark.parametrize("bias_sign", [-1, 1])
@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_events_equal_the_closed_form(mode: Mode, order: TaskOrder, bias_sign: int, num_vehicle: int) -> None:
    bias_hz = 0.2 * bias_sign * VEHICLE_SHARE_HZ / NUM_CLASS
    tables = {"model": {"mode": mode, "order": order}, "twin": {"bias": {"cpu_frequency_hz": bias_hz}}}
    chosen = scenario(num_vehicle, **tables)
    result = run(chosen, policy=Scattered(), seed=num_vehicle)
    expected = closed_form(result, chosen.system(), bias_hz)

    assert set(column(result, "tasks", "outcome").tolist()) <= {"completed", "late"}
    assert not column(result, "decisions", "repaired").any()
    assert not column(result, "slots", "backlog_bytes").any()
    assert not expected.backlog_next_bytes.any()
    begin_ns, done_ns = column(result, "tasks", "generated_ns"), column(result, "tasks", "done_ns")
    delay_ns = (done_ns - begin_ns).reshape(expected.delay_s.shape)
    assert np.abs(delay_ns - expected.delay_s * 1e9).max() <= 1.0
    for name, values in (
        ("qos", expected.qos),
        ("energy_local_j", expected.energy_local_j),
        ("energy_edge_j", expected.energy_edge_j),
        ("objective", expected.objective),
        ("deadline_miss_ratio", expected.missed.mean(axis=(1, 2))),
    ):
        np.testing.assert_allclose(column(result, "slots", name), values, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(column(result, "slots", "arrived_bytes", NUM_CLASS), expected.arrivals_bytes, rtol=1e-9)
    assert result.summary["objective_mean"] == pytest.approx(result.summary["objective_predicted_mean"], rel=1e-9)


@dataclass
class Tides:
    """Offloads everything to a server that is scarce for some slots and plentiful for some."""

    def reset(self, system: System, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        part = self._generator.exponential(size=self._shape)
        load = 0.1 if snapshot.slot % 20 < 8 else 0.9
        return Decision(np.ones(self._shape), load * snapshot.system.server.frequency_hz * part / part.sum())


@pytest.mark.parametrize("num_vehicle", [1, 10, 50])
def test_fifo_backlog_is_eq_5(num_vehicle: int) -> None:
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
    result = run(chosen, policy=Tides(), seed=3)
    expected = closed_form(result, chosen.system(), 0.0)
    backlog = column(result, "slots", "backlog_bytes", NUM_CLASS)
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
        first = column(result, table, "vehicle") < num_vehicle
        columns += [column(result, table, name)[first].tolist() for name in names]
    return columns


def test_another_vehicle_or_policy_leaves_the_world_as_it_is() -> None:
    settings = "time.num_slot=300"
    ten = run(Scenario.load("dtecn", [settings]), policy="edge-equal", seed=7)
    eleven = run(Scenario.load("dtecn", [settings, "vehicles.num_vehicle=11"]), policy="edge-equal", seed=7)
    other = run(Scenario.load("dtecn", [settings]), policy="random", seed=7)
    assert world_of(eleven, 10) == world_of(ten, 10) == world_of(other, 10)
    assert world_of(eleven, 11) != world_of(ten, 11)
