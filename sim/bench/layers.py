"""`twin bench layers`: time per solve and certified gap of `layers-exact`, against general solvers."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeVar

import numpy as np

from physical.arrays import Ints
from policies.optimal.layers import frequency
from policies.optimal.layers.alternating import solve_layers, start_point
from policies.optimal.layers.problem import LayersProblem, read_problem
from policies.optimal.layers.search import solve
from sim.bench.report import Report
from sim.record.kept import KeptDecisions
from sim.runs.run import run
from sim.scenario.scenario import Scenario

Result = TypeVar("Result")

_NUM_SLOT = {20: 9, 200: 9, 2_000: 9, 20_000: 3}
_MODES = ("corrected", "paper")
_SLSQP_MAX_VEHICLE, _SLSQP_NUM_SLOT, _SLSQP_ITERATION = 200, 3, 200
_SEED = 1
_SHARE_GOALS = {2_000: 20.0}
"""Goal: least ratio of CVXPY's time on V_f to that of `share_hz`."""


def drops(num_vehicle: int, num_slot: int, mode: str = "corrected") -> list[LayersProblem]:
    """Return the problems of some slots of `llm6g`, with its five RSUs, for some number of vehicles."""
    settings = [f"vehicles.num_vehicle={num_vehicle}", f"time.num_slot={num_slot}", f'model.mode="{mode}"']
    kept = KeptDecisions()
    run(Scenario.load("llm6g", settings), policy="local-only", seed=_SEED, keep_tables=False, observers=(kept,))
    return [read_problem(snapshot) for snapshot in kept.snapshots]


def measure(num_slot_of: Mapping[int, int] = _NUM_SLOT, *, with_cvxpy: bool = True) -> Report:
    """Solve the same slots with all solvers in turn.

    num_slot_of : slots by number of vehicles
    with_cvxpy : compare with CVXPY where it is installed
    """
    cvxpy = _load_cvxpy() if with_cvxpy else None
    sizes = [_measure_size(num_vehicle, num_slot, cvxpy) for num_vehicle, num_slot in num_slot_of.items()]
    columns = ("vehicles", "slots", "solver", "ms", "gap, max", "CVXPY on V_f / it", "goal")
    rows: list[tuple[Any, ...]] = []
    for size in sizes:
        for index, (name, entry) in enumerate(size["solvers"].items()):
            first = (size["num_vehicle"], size["num_slot"]) if index == 0 else ("", "")
            shown = (_shown(entry.get(key), form) for key, form in _FORMS.items())
            rows.append((*first, name, *shown))
    notes = [
        "layers-exact: P1 of all five RSUs; V_f: the frequencies of one RSU if all vehicles offload to it",
        "CVXPY on V_f / it: how often a solve fits into the time of CVXPY with Clarabel on V_f, modelling included",
        f"SLSQP: Sub-problem I of mode corrected, one pass over the RSUs, up to {_SLSQP_MAX_VEHICLE} vehicles",
    ]
    if cvxpy is None:
        notes.append("CVXPY is missing: python -m pip install cvxpy clarabel")
    else:
        above = max(abs(size["cvxpy_above"]) for size in sizes)
        notes.append(f"V_f of CVXPY differs from that of layers-exact by {above:.1e} at most, relative")
    title = "The slot's problem P1 of llm6g: CPU time per solve, medians"
    return Report(title, columns, tuple(rows), tuple(notes), {"sizes": sizes})


_FORMS = {"ms": ".3f", "gap_max": ".1e", "ratio": ".1f", "goal": ".1f"}


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _measure_size(num_vehicle: int, num_slot: int, cvxpy: Any) -> dict[str, Any]:
    problems = {mode: drops(num_vehicle, num_slot, mode) for mode in _MODES}
    solvers: dict[str, dict[str, float]] = {}
    for mode in _MODES:
        spent_s, solutions = _timed(solve, problems[mode])
        gap_max = max((one.objective - one.lower_bound) / one.objective for one in solutions)
        solvers[f"layers-exact, {mode}"] = {"ms": spent_s * 1e3, "gap_max": gap_max}
    share_s, values = _timed(_share, problems["corrected"])
    solvers["V_f, layers-exact"] = {"ms": share_s * 1e3}
    if num_vehicle in _SHARE_GOALS:
        solvers["V_f, layers-exact"]["goal"] = _SHARE_GOALS[num_vehicle]
    size = {"num_vehicle": num_vehicle, "num_slot": num_slot, "solvers": solvers}
    if cvxpy is not None:
        cvxpy_s, others = _timed(lambda problem: _share_by_cvxpy(cvxpy, problem), problems["corrected"])
        for entry in solvers.values():
            entry["ratio"] = cvxpy_s * 1e3 / entry["ms"]
        solvers["V_f, CVXPY and Clarabel"] = {"ms": cvxpy_s * 1e3}
        above = [other / value - 1.0 for value, other in zip(values, others, strict=True)]
        size["cvxpy_above"] = max(above, key=abs)
    if num_vehicle <= _SLSQP_MAX_VEHICLE:
        slsqp_s, _ = _timed(_layers_by_slsqp, problems["corrected"][:_SLSQP_NUM_SLOT])
        solvers["Sub-problem I, SLSQP"] = {"ms": slsqp_s * 1e3}
    return size


def _timed(solver: Callable[[LayersProblem], Result], problems: list[LayersProblem]) -> tuple[float, list[Result]]:
    """Return the median CPU time of a solve, s, and the results."""
    spent_s, results = [], []
    solver(problems[0])  # the first call is slower
    for problem in problems:
        begin = time.process_time()
        results.append(solver(problem))
        spent_s.append(time.process_time() - begin)
    return median(spent_s), results


def _share(problem: LayersProblem) -> float:
    """Return V_f of the first node for all vehicles."""
    num_vehicle, cycles = problem.num_vehicle, (problem.num_layer - 1) * problem.edge_cycles
    energy_price, node_hz = problem.energy_weight * problem.node_kappa[:1], problem.node_hz[:1]
    start_hz = frequency.free_hz(problem.time_weight, energy_price, node_hz)
    owner = np.zeros(num_vehicle, dtype=np.int64)
    hz, _ = frequency.share_hz(cycles, owner, start_hz, node_hz, problem.time_weight)
    return float((cycles * (problem.time_weight / hz + energy_price * hz * hz)).sum())


def _share_by_cvxpy(cp: Any, problem: LayersProblem) -> float:
    """Return V_f as CVXPY and Clarabel find it.

    Shares are in units of an equal part of the node, because the solver is wrong without scaling.
    """
    num_vehicle, cycles = problem.num_vehicle, (problem.num_layer - 1) * problem.edge_cycles
    unit_hz = float(problem.node_hz[0]) / num_vehicle
    waiting = problem.time_weight * cycles / unit_hz
    running = problem.energy_weight * float(problem.node_kappa[0]) * cycles * unit_hz**2
    scale = float(waiting.mean())
    share = cp.Variable(num_vehicle, pos=True)
    cost = (waiting / scale) @ cp.inv_pos(share) + (running / scale) @ cp.square(share)
    found = cp.Problem(cp.Minimize(cost), [cp.sum(share) <= num_vehicle])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that the last digits are inaccurate; they are compared here
        found.solve(solver=cp.CLARABEL)
    return scale * float(found.value)


def _layers_by_slsqp(problem: LayersProblem) -> Ints:
    """Return the layers that SQP finds when it starts with half of them local."""
    return solve_layers(problem, start_point(problem), _SLSQP_ITERATION)


def _load_cvxpy() -> Any | None:
    """Return None where CVXPY or Clarabel is not installed."""
    try:
        importlib.import_module("clarabel")
        return importlib.import_module("cvxpy")
    except ImportError:
        return None
