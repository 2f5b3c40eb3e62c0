"""What is recorded of energies and of the claims of policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.task_rows import TaskRows
from sim import RunResult, Scenario, run
from sim.engine.simulation import Simulation
from tests.support.engine_runs import run_engine
from tests.support.observers import Spy
from tests.support.scenarios import make_scenario
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full  # whole runs; the quick loop has some in tests/smoke

# As the road was when its energy was counted twice: a ring, the path loss of 2 GHz, CPUs and uplinks of one's own.
OLD = (
    "mobility.ends=wrap",
    "radio.path_loss_intercept_db=128.1",
    "vehicles.cpu=per-task",
    "radio.uplink=each",
    "time.num_slot=100",
)


CASES = {
    "waiting": ("rush-hour", "greedy-cost", ("time.num_slot=60",)),
    "in flight": ("dtecn", "edge-equal", ("time.num_slot=20", "server.frequency_hz=1e9", "twin.bias.known=false")),
    "vehicles that leave": ("corridor", "random", ("time.num_slot=60", "model.handover=drop")),
    "jobs": ("llm6g", "random", ("time.num_slot=20",)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_recorder_changes_nothing_that_it_records(name: str) -> None:
    """It records the same of arrays that nobody can write to."""
    scenario_name, policy, settings = CASES[name]
    scenario = Scenario.load(scenario_name, [*settings, "trace.part_rows=500"])
    expected = run(scenario, policy=policy).summary["digest"]
    given = []

    def frozen(engine: Simulation) -> None:
        flush = engine.recorder.flush
        vars(engine.recorder)["flush"] = partial(flush_frozen, flush)

    def flush_frozen(flush: Callable[..., None], tasks: TaskRows, end_ns: int, *, final: bool = False) -> None:
        arrays = [values for values in (*tasks[:14], tasks.local_work, *(tasks.metered or ())) if values is not None]
        given.append(len(arrays[0]))
        for values in arrays:
            values.setflags(write=False)
        flush(tasks, end_ns, final=final)

    assert run_engine(scenario, policy, 0, watch=frozen).summary["digest"] == expected
    assert sum(given) > 0


def floats(result: RunResult, table: str, name: str) -> NDArray[np.float64]:
    return np.asarray(result.table(table).column(name).to_numpy(), dtype=np.float64)


@pytest.mark.parametrize(("policy", "objective"), [("edge-equal", 0.219), ("greedy-cost", 0.218)])
def test_the_energy_of_servers_with_transformers_is_that_of_their_power(policy: str, objective: float) -> None:
    """Five servers at full speed draw 49.95 J in a slot (eq. 15): that is all that can be spent.

    The objectives were noted when the drift still counted what servers offered.
    """
    scenario = Scenario.load("corridor", OLD)
    result, system = run(scenario, policy=policy), scenario.system()
    power_w = system.node_num_core * system.node_kappa * (system.node_hz / system.node_num_core) ** 3
    full_j = float(power_w.sum()) * system.slot_duration_s
    assert full_j == pytest.approx(49.95)
    spent_j = floats(result, "slots", "energy_edge_j")
    assert (spent_j <= full_j * (1 + 1e-9)).all()
    assert spent_j.mean() == pytest.approx(49.80, abs=0.01)
    backlog, arrived, offered = (
        np.stack(result.table("slots")[f"{name}_bytes"].to_pylist()) for name in ("backlog", "arrived", "service")
    )
    offered_drift = (backlog * (arrived - offered)).sum(axis=1) / system.backlog_unit_bytes**2
    noted = floats(result, "slots", "penalty") + system.objective.beta * offered_drift
    assert noted.mean() == pytest.approx(objective, abs=5e-4)
    jobs = result.table("jobs")
    assert jobs.num_rows == result.table("tasks").num_rows
    for kind in ("edge", "transmit"):
        assert jobs.column(f"energy_{kind}_j").null_count == jobs.num_rows, kind
    assert result.summary["energy_transmit_j"] == 0
    local_j = floats(result, "jobs", "energy_local_j").sum()
    assert result.summary["energy_local_j"] == pytest.approx(local_j, rel=1e-9)


@pytest.mark.parametrize("policy", ["random", "edge-equal"])
def test_energy_job_by_job_is_that_of_the_slots(policy: str) -> None:
    result = run(Scenario.load("llm6g", ["time.num_slot=20"]), policy=policy)
    for kind in ("local", "transmit", "edge"):
        of_jobs_j = floats(result, "jobs", f"energy_{kind}_j").sum()
        assert floats(result, "slots", f"energy_{kind}_j").sum() == pytest.approx(of_jobs_j, rel=1e-9), kind
        assert of_jobs_j > 0


@pytest.mark.parametrize("cpu", ["per-task", "in-turn", "sharing"])
def test_local_work_that_has_not_run_costs_nothing(cpu: str) -> None:
    """All that ran is f per second of a busy CPU: kappa f^3 for the time that it was busy."""
    settings = ("vehicles.cpu_hz=0.3e9", f"vehicles.cpu={cpu}", "time.num_slot=6")
    scenario = make_scenario(*settings)
    result, system = run(scenario, policy="local-only", seed=1), scenario.system()
    tasks = {name: result.table("tasks")[name].to_numpy(zero_copy_only=False) for name in ("vehicle", "size_bytes")}
    task_class = result.table("tasks")["task_class"].to_numpy()
    need_s = tasks["size_bytes"] * system.cycles_per_byte[task_class] / 0.3e9
    watts, end_s = float(system.kappa_vehicle[0]) * 0.3e9**3, 0.6
    assert result.summary["tasks_in_flight"] > 0
    if cpu == "per-task":
        started_s = result.table("tasks")["started_ns"].to_numpy() / 1e9
        ran_s = np.minimum(need_s, end_s - started_s).sum()
    else:
        # Work-conserving, and at no slot start is a CPU without work: all are busy from the first task to the end.
        backlog = floats(result, "vehicles", "cpu_backlog_cycles").reshape(6, 3)
        assert (backlog[1:] > 0).all()
        ran_s = 3 * end_s
    assert result.summary["energy_local_j"] == pytest.approx(watts * ran_s, rel=1e-6)


class Claims(Spy):
    """Claims something else for every slot."""

    def __init__(self, claims: list[Diagnostics]) -> None:
        super().__init__()
        self.claims = claims

    def diagnostics(self) -> Diagnostics:
        return self.claims[len(self.seen) - 1]


def test_gaps_go_with_the_model_for_which_they_hold(tmp_path: Any) -> None:
    gaps, models = (0.25, float("nan"), 0.5, 0.125), ("eqs. 7-9, no waiting", "", "", "eqs. 7-9, no waiting")
    claims = [Diagnostics(gap=gap, model=model) for gap, model in zip(gaps, models, strict=True)]
    result = run(make_scenario("time.num_slot=4"), policy=Claims(claims), out=tmp_path / "run")
    assert result.summary["gap_max"] == 0.5
    assert result.summary["gap_model"] == "eqs. 7-9, no waiting"
    assert result.table("decisions")["model"].to_pylist() == list(models)
    other = [*claims[:3], replace(claims[3], model="eq. 10")]
    summary = run(make_scenario("time.num_slot=4"), policy=Claims(other)).summary
    assert summary["gap_model"] == "eq. 10; eqs. 7-9, no waiting"


def test_without_a_certificate_there_is_no_gap() -> None:
    summary = run(make_scenario("time.num_slot=3"), policy="local-only").summary
    assert summary["gap_max"] is None
    assert "gap_model" not in summary


class Fails(Claims):
    """Fails when it has claimed a gap before."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decision = super().decide(snapshot)
        if len(self.seen) > 1:
            raise ValueError("no more")
        return decision


def test_the_fallback_claims_nothing() -> None:
    result = run(make_scenario("time.num_slot=3"), policy=Fails([Diagnostics(gap=0.25, model="a")] * 3))
    assert result.summary["fallbacks"] == 2
    assert result.summary["gap_max"] == 0.25
    assert result.table("decisions")["model"].to_pylist() == ["a", "", ""]


def test_how_often_parts_are_written_changes_no_number_of_the_summary() -> None:
    """Parts are cut by wall time, too; their sums must not be what is summed."""
    settings = ["time.num_slot=60", "network.access.loss=0.3", "trace.part_rows=50"]
    usual = run(Scenario.load("dtecn", settings[:2]), "random", seed=3).summary
    often = run(Scenario.load("dtecn", [*settings, "trace.part_seconds=0.001"]), "random", seed=3).summary
    timed = {"wall_s", "vehicle_slots_per_s", "decision_ms_p50", "decision_ms_p99"}
    assert {name: value for name, value in usual.items() if name not in timed} == {
        name: value for name, value in often.items() if name not in timed
    }
