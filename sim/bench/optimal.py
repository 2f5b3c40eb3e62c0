"""`twin bench optimal`: time per solve and certified gap of `p2-exact`, against general solvers on the same slots."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np

from policies.optimal.p2_exact import P2Exact
from policies.optimal.p2_slsqp import P2Slsqp
from policies.optimal.tasks import read_tasks
from policies.scoring import slot_outcome
from sim.bench.report import Report
from sim.record.kept import KeptDecisions
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_NUM_SLOT = {4: 40, 10: 40, 30: 20, 100: 20, 1_000: 10, 10_000: 4}
_SLSQP_MAX_VEHICLE = 30
_SEED = 1
# Goals: least ratio of a general solver's time to that of `p2-exact`.
_GOALS = {("clarabel", 10): 4.0, ("clarabel", 100): 4.0, ("clarabel", 1_000): 10.0, ("clarabel", 10_000): 10.0}
_GOALS |= {("slsqp", 30): 50.0}


def scenario(num_vehicle: int, num_slot: int) -> Scenario:
    """Return `dtecn-congested` for a number of vehicles, with the same server, spectrum and weight per vehicle."""
    settings = {
        "vehicles.num_vehicle": num_vehicle,
        "time.num_slot": num_slot,
        "server.frequency_hz": 6e9 * num_vehicle,
        "server.num_core": 2 * num_vehicle,
        "radio.bandwidth_hz": 8e6 * num_vehicle,
        "objective.energy_weight": 0.2 / num_vehicle,
    }
    return Scenario.load("dtecn-congested", [f"{key}={value}" for key, value in settings.items()])


def measure(num_slot_of: Mapping[int, int] = _NUM_SLOT) -> Report:
    """Solve the same slots with all solvers in turn.

    num_slot_of : slots by number of vehicles
    """
    entries = [_measure_size(num_vehicle, num_slot) for num_vehicle, num_slot in num_slot_of.items()]
    columns = ("vehicles", "slots", "p2-exact, ms", "gap, max", "solver", "ms", "ratio", "goal", "objective above")
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        first = (entry["num_vehicle"], entry["num_slot"], round(entry["exact_ms"], 2), f"{entry['gap_max']:.1e}")
        for index, (name, other) in enumerate(entry["others"].items()):
            goal = _GOALS.get((name, entry["num_vehicle"]))
            shown = first if index == 0 else ("", "", "", "")
            above = f"{other['above_min']:.1e} - {other['above_max']:.1e}"
            rows.append((*shown, name, round(other["ms"], 2), round(other["ratio"], 1), f"{goal or ''}", above))
    notes = (
        "clarabel: CVXPY with the ratios and the kept deadlines of p2-exact given, modelling included; "
        "clarabel alone: what Clarabel itself reports",
        "objective above: P2 of the solver minus that of p2-exact, least and largest over the slots",
    )
    return Report("The slot's problem P2: CPU time per solve, medians", columns, tuple(rows), notes, {"sizes": entries})


def _measure_size(num_vehicle: int, num_slot: int) -> dict[str, Any]:
    kept = KeptDecisions()
    run(scenario(num_vehicle, num_slot), policy="p2-exact", seed=_SEED, keep_tables=False, observers=(kept,))
    snapshots = kept.snapshots
    exact = P2Exact()
    exact.reset(snapshots[0].system, 0)
    solvers: dict[str, Callable[[int], Decision]] = {"exact": lambda index: exact.decide(snapshots[index])}
    if num_vehicle <= _SLSQP_MAX_VEHICLE:
        slsqp = P2Slsqp()
        slsqp.reset(snapshots[0].system, 0)
        solvers["slsqp"] = lambda index: slsqp.decide(snapshots[index])
    clarabel = _Clarabel.load()
    if clarabel is not None:
        decided = [exact.decide(snapshot) for snapshot in snapshots]
        solvers["clarabel"] = lambda index: clarabel.allocate(snapshots[index], decided[index])
    times: dict[str, list[float]] = {name: [] for name in solvers}
    objectives: dict[str, list[float]] = {name: [] for name in solvers}
    gaps: list[float] = []
    for index, snapshot in enumerate(snapshots):
        for name, solve in solvers.items():
            begin = time.process_time()
            decision = solve(index)
            times[name].append(time.process_time() - begin)
            objectives[name].append(float(slot_outcome(snapshot, decision).objective))
        gaps.append(exact.diagnostics().gap)
    if clarabel is not None:
        times["clarabel alone"], objectives["clarabel alone"] = clarabel.solve_s, objectives["clarabel"]
    exact_s = median(times["exact"])
    others = {}
    for name, spent in times.items():
        if name != "exact":
            above = np.array(objectives[name]) - np.array(objectives["exact"])
            spent_s = median(spent)
            others[name] = {"ms": spent_s * 1e3, "ratio": spent_s / exact_s}
            others[name] |= {"above_min": float(above.min()), "above_max": float(above.max())}
    return {
        "num_vehicle": num_vehicle,
        "num_slot": num_slot,
        "exact_ms": exact_s * 1e3,
        "gap_max": max(gaps),
        "others": others,
    }


class _Clarabel:
    """CVXPY and Clarabel for the equations as `dtecn-congested` reads them; both are test dependencies."""

    def __init__(self, cvxpy: Any) -> None:
        self._cvxpy = cvxpy
        self.solve_s: list[float] = []

    @classmethod
    def load(cls) -> _Clarabel | None:
        """Return None where CVXPY or Clarabel is not installed."""
        try:
            importlib.import_module("clarabel")
            return cls(importlib.import_module("cvxpy"))
        except ImportError:
            return None

    def allocate(self, snapshot: TwinSnapshot, decision: Decision) -> Decision:
        """Return the best allocation for the ratios of a decision that meets the deadlines that the decision meets.

        Allocations are in units of F / M and their total in F, because the solver is wrong without scaling.
        """
        cp, tasks = self._cvxpy, read_tasks(snapshot)
        ratio = decision.offloading_ratio.reshape(-1)
        active = ratio > 0
        unit_hz = snapshot.system.server.frequency_hz / ratio.size
        load = ratio * tasks.work_cycles
        before_s = (1.0 - ratio) * tasks.local_s + ratio * tasks.upload_s
        delay_s = slot_outcome(snapshot, decision).delay_s.reshape(-1)
        left_s = np.where(active & (delay_s <= tasks.deadline_s), tasks.deadline_s - before_s, np.inf)
        least = np.where(active, np.maximum(tasks.least_hz, load / np.maximum(left_s, 1e-300)), 0.0) / unit_hz
        share = cp.Variable(ratio.size)
        waiting = cp.multiply((tasks.delay_cost_per_s * load / unit_hz)[active], cp.inv_pos(share[active]))
        cubic = tasks.server.cubic * (unit_hz * ratio.size) ** 3
        cost = cp.sum(waiting) - (tasks.drain_per_hz * unit_hz) @ share
        cost = cost + cubic * cp.power(cp.pos(cp.sum(share) / ratio.size), 3)
        limits = [share >= least * (1.0 - 1e-9), cp.sum(share) <= ratio.size]
        problem = cp.Problem(cp.Minimize(cost), limits)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that the last digits are inaccurate; they are compared here
            problem.solve(solver=cp.CLARABEL)
        self.solve_s.append(problem.solver_stats.solve_time)
        allocation_hz = np.maximum(share.value, least) * unit_hz
        return Decision(decision.offloading_ratio, allocation_hz.reshape(decision.offloading_ratio.shape))
