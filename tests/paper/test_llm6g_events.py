"""Paper 'llm6g' as events: alone, a job takes what eqs. 1-10 say; several of a vehicle wait for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from physical.arrays import Floats
from physical.closed_form.split import SplitOutcome, split_step
from physical.model.units import linear_to_db
from physical.params import Mode
from physical.registry import EngineName
from physical.system import System
from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario
from tests.support.tables import shaped
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

STAGES = ("local_end", "upload_end", "service_end")
LONG = ["time.slot_duration_s=20000", "time.num_slot=6"]  # even a job at a hundredth of its speed ends in its slot


def closed_form(result: RunResult, scenario: Scenario) -> SplitOutcome:
    """Return what eqs. 1-10 make of the inputs and decisions of a run, all slots at once."""
    system = scenario.system()
    assert system.spectrum is not None
    count, num_class = system.num_vehicle, system.num_class
    names = {node.name: index for index, node in enumerate(scenario.nodes)}
    node = [names[name] for name in result.table("vehicles")["serving_node"].to_pylist()]
    power_w, bandwidth_hz = (shaped(result, "decisions", name, count) for name in ("transmit_power_w", "bandwidth_hz"))
    gain = shaped(result, "vehicles", "channel_gain", count)
    return split_step(
        system,
        shaped(result, "tasks", "size_bytes", count, num_class),
        system.spectrum.rate_bps(bandwidth_hz, power_w, gain),
        np.array(node).reshape(-1, count),
        shaped(result, "decisions", "offloading_ratio", count, num_class),
        shaped(result, "decisions", "compute_allocation_hz", count, num_class),
        power_w,
        shaped(result, "decisions", "local_frequency_hz", count),
    )


def since_ns(result: RunResult, stage: str, earlier: str = "generated") -> Floats:
    """Return the time from one stage of each task to another, ns; NaN where one of them has not taken place."""
    table = result.table("tasks")
    first, last = (table[f"{name}_ns"].to_numpy(zero_copy_only=False).astype(float) for name in (earlier, stage))
    elapsed: Floats = last - first
    return elapsed


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("policy", ["edge-equal", "random", "local-only"])
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_a_job_alone_is_the_closed_form(mode: Mode, policy: str, seed: int, engine: EngineName) -> None:
    scenario = Scenario.load("llm6g", [*LONG, f"model.mode={mode}"])
    result = run(scenario, policy=policy, seed=seed, engine=engine)
    expected = closed_form(result, scenario)

    assert result.summary["tasks_in_flight"] == result.summary["tasks_dropped"] == 0
    assert result.summary["decisions_repaired"] == 0
    assert not shaped(result, "slots", "backlog_bytes").any()
    assert since_ns(result, "done").max() < 20000e9
    stages_s = (expected.local_delay_s, expected.upload_delay_s, expected.edge_delay_s)
    offloaded = shaped(result, "decisions", "offloading_ratio").ravel() > 0
    for name, until_s in zip(STAGES, np.cumsum(stages_s, axis=0), strict=True):
        took_place = offloaded | (name == "local_end")
        found_ns = since_ns(result, name)
        assert (np.isnan(found_ns) == ~took_place).all(), name
        assert np.abs(found_ns - until_s.ravel() * 1e9)[took_place].max(initial=0.0) <= 1.0, name
    assert np.abs(since_ns(result, "done") - expected.completion_s.ravel() * 1e9).max() <= 1.0
    for kind in ("local", "transmit", "edge"):
        joules = getattr(expected, f"energy_{kind}_j").ravel()
        np.testing.assert_allclose(shaped(result, "jobs", f"energy_{kind}_j").ravel(), joules, rtol=1e-9, err_msg=kind)
    # Mode "paper" takes the uploads out of the delays: two times that are rounded to 1 ns, for each of 20 jobs.
    rounding = 20 * 1e-9 * scenario.system().cost_weights[0]
    np.testing.assert_allclose(
        shaped(result, "slots", "objective").ravel(), expected.objective, rtol=1e-9, atol=rounding
    )
    assert result.summary["objective_mean"] == pytest.approx(result.summary["objective_predicted_mean"], abs=rounding)


def of_vehicle(result: RunResult, vehicle: int, name: str) -> Floats:
    """Return one stage of all tasks of a vehicle in slot order, without those that never came there."""
    table = result.table("tasks")
    times = table[f"{name}_ns"].to_numpy(zero_copy_only=False).astype(float)
    own: Floats = times[(table["vehicle"].to_numpy() == vehicle) & ~np.isnan(times)]
    return own


def check_turns(result: RunResult, expected: SplitOutcome, num_vehicle: int) -> None:
    """A vehicle computes, sends and is served one job after the other, each local part at its own speed."""
    own_ns = expected.local_delay_s[:, :, 0] * 1e9
    for vehicle in range(num_vehicle):
        for name in (*STAGES, "arrived", "service_begin"):
            assert (np.diff(of_vehicle(result, vehicle, name)) >= 0).all(), name
        started, ended = (of_vehicle(result, vehicle, name) for name in ("started", "local_end"))
        free_ns = 0.0
        for index, end_ns in enumerate(ended):
            assert end_ns == pytest.approx(max(started[index], free_ns) + own_ns[index, vehicle], abs=1.5)
            free_ns = end_ns


def check_tasks_are_conserved(result: RunResult, num_task: int) -> None:
    summary = result.summary
    ends = ("completed", "late", "dropped", "in_flight")
    assert sum(summary[f"tasks_{name}"] for name in ends) == num_task == summary["tasks_generated"]
    assert result.table("tasks").num_rows == result.table("jobs").num_rows == num_task


@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_jobs_of_short_slots_wait(mode: Mode, engine: EngineName) -> None:
    """Nobody moves, and no job is faster than alone at the greatest share that its vehicle ever has."""
    settings = ["time.slot_duration_s=0.3", "time.num_slot=40", "mobility.kind=stationary", "vehicles.num_vehicle=8"]
    scenario = Scenario.load("llm6g", [*settings, f"model.mode={mode}"])
    result = run(scenario, policy="edge-equal", seed=4, engine=engine)
    expected = closed_form(result, scenario)
    check_tasks_are_conserved(result, 40 * 8)
    check_turns(result, expected, 8)

    share_hz = shaped(result, "decisions", "compute_allocation_hz", 8)
    fastest_s = expected.edge_delay_s[:, :, 0] * share_hz / share_hz.max(axis=0)
    alone_s = expected.completion_s[:, :, 0] - expected.edge_delay_s[:, :, 0] + fastest_s
    waits_ns = {
        "local_end": since_ns(result, "local_end", "started") - expected.local_delay_s.ravel() * 1e9,
        "upload_end": since_ns(result, "upload_end", "local_end") - expected.upload_delay_s.ravel() * 1e9,
        "service_begin": since_ns(result, "service_begin", "arrived"),
        "done": since_ns(result, "done") - alone_s.ravel() * 1e9,
    }
    for name, wait_ns in waits_ns.items():
        assert np.nanmin(wait_ns) >= -1.5, name
        # One layer of 32 never takes a slot, and in mode "paper" no upload does.
        if name in {"service_begin", "done"} or (name == "upload_end" and mode == "corrected"):
            assert np.nanmax(wait_ns) > 1e6, name


@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_jobs_that_move_and_wait(mode: Mode, engine: EngineName) -> None:
    scenario = Scenario.load("llm6g", ["time.slot_duration_s=0.3", "time.num_slot=60", f"model.mode={mode}"])
    result = run(scenario, policy="random", seed=5, engine=engine)
    check_tasks_are_conserved(result, 60 * 20)
    check_turns(result, closed_form(result, scenario), 20)
    nodes = np.array(result.table("vehicles")["serving_node"].to_pylist()).reshape(-1, 20)
    assert (nodes[1:] != nodes[:-1]).any()
    assert np.nanmax(since_ns(result, "local_end", "started")) > 0.3e9


@dataclass
class Timetable:
    """One row per slot: layers at the edge, of four; GHz of the vehicle; W; MHz; GHz of the server."""

    rows: tuple[tuple[float, float, float, float, float], ...]

    def reset(self, system: System, seed: int) -> None:
        """Nothing to prepare."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        layers, hz, power_w, bandwidth_hz, edge_hz = self.rows[min(snapshot.slot, len(self.rows) - 1)]
        return Decision(
            np.array([[layers / 4]]),
            np.array([[edge_hz * 1e9]]),
            local_frequency_hz=np.array([hz * 1e9]),
            transmit_power_w=np.array([power_w]),
            bandwidth_hz=np.array([bandwidth_hz * 1e6]),
        )


def by_hand(mode: Mode) -> Scenario:
    """Return a system in which a layer has 1e8 cycles, an upload 1.6 Mbit, and the SNR is 3 at 1 W per MHz."""
    gpu = {"num_core": 1, "flop_per_cycle": 24.4}  # a layer of 100 tokens and h = 1000 has 2.44e9 FLOP
    gain = 1e-10
    noise_dbm_hz = float(linear_to_db(gain / 3e6)) + 30.0
    shape = {"num_layer": 4, "hidden_size": 1000}
    data: dict[str, Any] = {
        "time": {"slot_duration_s": 0.5, "num_slot": 7},
        "model": {"mode": mode, "allocation": "joint", "edge_energy": "job"},
        "vehicles": {
            "num_vehicle": 1,
            "cpu_hz": 1e9,
            "kappa": 1e-27,
            "gpu": gpu,
            "transmit_power_w": 2.0,
            "cpu": "shared",
        },
        "mobility": {"kind": "stationary"},
        "radio": {
            "bandwidth_hz": 5e6,
            "noise_density_dbm_hz": noise_dbm_hz,
            "noise_figure_db": 0.0,
            "path_loss_intercept_db": 100.0,
            "path_loss_slope_db": 0.0,
            "shadowing_std_db": 0.0,
            "fading": "none",
        },
        "server": {"frequency_hz": 1e9, "kappa": 1e-25, "gpu": gpu},
        "rsus": [{"name": "near", "position_m": [0, 0]}, {"name": "far", "position_m": [1e6, 0]}],
        "tasks": [{"name": "prompt", "num_token": 100, "transformer": shape, "deadline_s": 5.0}],
        "cost": {"time_weight": 0.5},
    }
    return Scenario.from_dict(data)


@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_two_jobs_of_one_vehicle_by_hand(mode: Mode, engine: EngineName) -> None:
    """Slots of 0.5 s; the first job offloads one layer of four, the second three, and those after them none.

    Local: job 0 takes 3 layers / 0.5 GHz = 0.6 s; job 1 waits from 0.5 s to 0.6 s, then takes 0.1 s.
    Uplink: job 0 sends 0.8 Mbit at 2 Mbit/s until 1 s, then 0.8 Mbit at 4 Mbit/s; job 1 waits from 0.7 s to 1.2 s,
    sends 1.2 Mbit until 1.5 s, then 0.4 Mbit at 1 Mbit/s. In mode "paper" 100 tokens are 100 bits: 50 us.
    Edge: what a flow has left at a slot start is done within the slot, besides what is decided. Job 0 has 0.6e8 of its
    1e8 cycles done at 1.5 s, and the rest at 0.04 + 0.08 GHz a third of a second later; job 1, there at 1.9 s, has
    0.12e8 of its 3e8 done at 2 s, and the rest at 0.2 + 0.576 GHz. In mode "paper" job 0 has 0.39995e8 cycles done at
    1 s; the rest and all of job 1, there since 0.70005 s, run at 0.2 + 0.72001 GHz.
    """
    rows = (
        (1, 0.5, 1.0, 1.0, 0.1),
        (3, 1.0, 1.0, 1.0, 0.1),
        (0, 1.0, 2.0, 2.0, 0.2),
        (0, 1.0, 0.5, 0.5, 0.04),
        (0, 1.0, 0.5, 0.5, 0.2),
        (0, 1.0, 0.5, 0.5, 0.55),
    )
    result = run(by_hand(mode), policy=Timetable(rows), seed=0, engine=engine)
    assert result.summary["fallbacks"] == result.summary["decisions_repaired"] == 0
    later_s = 2.88e8 / 0.776e9
    sent_s, begin_s, end_s = ((1.2, 1.9), (1.2, 1.9), (1.5 + 1 / 3, 2.0 + later_s))
    transmit_j = (0.4 * 1 + 0.2 * 2, 0.3 * 2 + 0.4 * 0.5)
    # Watts are 1e-25 f^3.
    edge_j = (0.3 * 100 * 0.2**3 + 100 * 0.12**3 / 3, 0.1 * 100 * 0.12**3 + later_s * 100 * 0.776**3)
    if mode == "paper":
        first_s, second_s = 0.60005e8 / 0.92001e9, 3e8 / 0.92001e9
        sent_s, begin_s = (0.60005, 0.70005), (0.60005, 1.0 + first_s)
        end_s = (1.0 + first_s, 1.0 + first_s + second_s)
        transmit_j = (1.0 * 100 / 2e6, 1.0 * 100 / 2e6)
        edge_j = (0.39995 * 0.1 + first_s * 100 * 0.92001**3, second_s * 100 * 0.92001**3)
    by_stage = {
        "started": (0.0, 0.5),
        "local_end": (0.6, 0.7),
        "upload_end": sent_s,
        "arrived": sent_s,
        "service_begin": begin_s,
        "service_end": end_s,
        "done": end_s,
    }
    for name, times_s in by_stage.items():
        found_ns = of_vehicle(result, 0, name)[:2]
        assert found_ns == pytest.approx([time_s * 1e9 for time_s in times_s], rel=0, abs=0.51), name
    local_j = (1e-27 * 0.5e9**2 * 3e8, 1e-27 * 1e9**2 * 1e8)
    for kind, expected_j in (("local", local_j), ("transmit", transmit_j), ("edge", edge_j)):
        assert shaped(result, "jobs", f"energy_{kind}_j").ravel()[:2] == pytest.approx(expected_j, rel=1e-9), kind
    assert result.table("jobs")["layers_local"].to_pylist() == [3, 1, 4, 4, 4, 4, 4]
