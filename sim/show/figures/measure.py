"""Makes the runs of a plan, as jobs whose results are files, and holds their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physical.arrays import Floats
from physical.errors import InputError
from policies.registry import make
from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario
from sim.show.figures.plan import PENALTY, FigureWorld, Metric, PaperPlan, Series, number
from sim.studies.entrants import entrants
from sim.studies.evaluation import is_stable
from sim.studies.executors.window import AnyExecutor
from sim.studies.jobs import Job, Jobs
from sim.studies.pool import Pool, silent
from sim.studies.statistics import Interval, interval
from sim.studies.tables import write_runs as write_rows

_NUM_SLOT_TRIED = 2
MORE = "sim.show.figures.measure:more"
"""Adds numbers to a summary that the papers' figures need and that only the tables hold."""


def more(scenario: Scenario, result: RunResult) -> dict[str, Any]:
    """Return the numbers that a figure shows besides the summary.

    energy_edge_j_mean : of all servers, per slot [J]
    energy_vehicle_j_mean : all energy, per vehicle and slot [J]
    resource_ratio_mean : allocated to tasks, of all servers' frequency, mean over decisions
    """
    decisions = result.table("decisions")
    capacity_hz = sum(node.server.frequency_hz for node in scenario.nodes)
    allocated_hz = [sum(row) for row in decisions["compute_allocation_hz"].to_pylist()]
    summary = result.summary
    return {
        "energy_edge_j_mean": summary["energy_edge_j"] / summary["slots"],
        "energy_vehicle_j_mean": summary["energy_j_mean"] / scenario.resolve().crowd.mean,
        "resource_ratio_mean": float(np.mean(allocated_hz)) / capacity_hz if allocated_hz else None,
    }


Place = tuple[str, str, str, int]
"""Mode, world, policy, index of the point."""


class Measured:
    """The numbers of all runs of a plan.

    Parameters
    ----------
    plan, modes, seeds : what was run
    summaries : place -> one summary per seed
    """

    def __init__(
        self,
        plan: PaperPlan,
        modes: Sequence[str],
        seeds: Sequence[int],
        summaries: Mapping[Place, Sequence[Mapping[str, Any]]],
    ) -> None:
        self.plan = plan
        self.modes = tuple(modes)
        self.seeds = tuple(seeds)
        self.summaries = summaries

    def has(self, series: Series) -> bool:
        """Tell whether a series was run."""
        return self.plan.method(series.method) is not None

    def values(self, mode: str, series: Series, metric: Metric) -> Floats:
        """Return [point, seed] in the unit in which the metric is shown."""
        rows = []
        for index in range(len(self.plan.world(series.world).points)):
            found = self.summaries[mode, series.world, series.method, index]
            rows.append([np.nan if row[metric.key] is None else row[metric.key] for row in found])
        shown: Floats = np.array(rows, dtype=np.float64) * metric.scale
        return shown

    def relative(self, mode: str, series: Series, other: Series, metric: Metric) -> Floats:
        """Return [point, seed]: series minus other with the same seed, in parts of the other's mean magnitude."""
        values, base = self.values(mode, series, metric), self.values(mode, other, metric)
        return relative_difference(values, base)

    def penalties(self) -> list[dict[str, Any]]:
        """Return the mean penalty and its interval for every method, point and mode, as plain data."""
        rows = []
        for mode in self.modes:
            for world, index, value in self.plan.points():
                for method in self.plan.methods:
                    series = Series(method.policy, world.name)
                    found = interval(self.values(mode, series, PENALTY)[index])
                    unstable = self.is_unstable(mode, series, index)
                    place = {"mode": mode, "world": world.name, "x": value, "policy": method.policy}
                    rows.append({**place, **found.to_dict(unstable=unstable)})
        return rows

    def gap_max(self, mode: str, worlds: Sequence[str]) -> float:
        """Return the largest certified gap of the optimum's decisions in some worlds."""
        place = (mode, self.plan.optimum.policy)
        gaps = [
            row["gap_max"]
            for (of_mode, world, policy, _), rows in self.summaries.items()
            for row in rows
            if (of_mode, policy) == place and world in worlds and row["gap_max"] is not None
        ]
        return max(gaps, default=float("nan"))

    def gap_model(self, mode: str) -> str:
        """Return the model for which the optimum says that its gaps hold."""
        place = (mode, self.plan.optimum.policy)
        told = {
            str(row["gap_model"])
            for (of_mode, _, policy, _), rows in self.summaries.items()
            for row in rows
            if (of_mode, policy) == place and row.get("gap_model")
        }
        return "; ".join(sorted(told))

    def is_unstable(self, mode: str, series: Series, index: int) -> bool:
        """Tell whether at least half of a series' runs at a point are unstable."""
        return is_stable(self.summaries[mode, series.world, series.method, index]) is False

    def unstable(self, mode: str) -> dict[str, list[str]]:
        """Return, for worlds and values of the axis, the policies that are unstable there."""
        found: dict[str, list[str]] = {}
        for world, index, value in self.plan.points():
            for method in self.plan.methods:
                if self.is_unstable(mode, Series(method.policy, world.name), index):
                    place = f"{world.label or world.scenario}, {self.plan.axis.symbol} = {number(value)}"
                    found.setdefault(place, []).append(method.policy)
        return found

    def total(self, policy: str, key: str) -> float:
        """Return the sum of a key over all runs of a policy."""
        runs = (row for (_, _, of, _), rows in self.summaries.items() if of == policy for row in rows)
        return float(sum(row[key] for row in runs))


def relative_difference(values: Floats, base: Floats) -> Floats:
    """Return (values - base) / |mean over seeds of base|, [point, seed]; 0 where both are 0.

    >>> relative_difference(np.array([[2.0, 4.0]]), np.array([[1.0, 3.0]]))
    array([[0.5, 0.5]])
    """
    scale = np.abs(base.mean(axis=1, keepdims=True))
    difference = values - base
    relative: Floats = np.divide(difference, scale, out=np.where(difference == 0, 0.0, np.nan), where=scale > 0)
    return relative


def intervals(values: Floats) -> list[Interval]:
    """Return mean and 95 % interval over the seeds of every point."""
    return [interval(row) for row in values]


def runnable(plan: PaperPlan, num_slot: int = _NUM_SLOT_TRIED) -> PaperPlan:
    """Return the plan without the methods that cannot be made, or cannot decide two slots, on this machine.

    A language model may fail even if it is installed: its library was built for another processor, or its file is
    missing.
    """
    missing: dict[str, str] = {}
    world = plan.worlds[0]
    settings = [*world.settings, f"{plan.axis.key}={number(world.points[0])}", f"time.num_slot={num_slot}"]
    scenario = Scenario.load(world.scenario, settings)
    for method in plan.methods:
        try:
            summary = run(scenario, policy=make(method.policy), keep_tables=False).summary
        except InputError as error:
            missing[method.policy] = str(error)
            continue
        if summary["decisions"] and summary["fallbacks"] == summary["decisions"]:
            missing[method.policy] = f"{method.policy}: every decision of a trial run failed"
    if plan.optimum.policy in missing:
        raise InputError(missing[plan.optimum.policy])
    return plan.without(missing)


def measure(
    plan: PaperPlan,
    modes: Sequence[str],
    seeds: Sequence[int],
    directory: Path,
    *,
    num_worker: int | None = None,
    executor: str | AnyExecutor | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    tell: Callable[[str], None] = silent,
) -> Measured:
    """Run every method with every seed at every point; finished runs are kept below `directory`.

    num_worker, executor, scheduler, fresh, tell : see `sim.compare`

    Raises
    ------
    InputError : a directory that cannot be written, a policy that refuses a scenario, nobody is there to run
    """
    jobs: dict[Place, list[Job]] = {}
    who = entrants([method.policy for method in plan.methods])
    for mode in modes:
        for world, index, value in plan.points():
            made = Jobs(scenario_at(plan, mode, world, value), who, MORE)(seeds)
            jobs |= {(mode, world.name, policy, index): row for policy, row in made.items()}
    pool = Pool(directory, num_worker=num_worker, executor=executor, scheduler=scheduler, fresh=fresh, tell=tell)
    found = pool.finish([job for row in jobs.values() for job in row], progress)
    summaries = {place: [found[job].summary for job in row] for place, row in jobs.items()}
    return Measured(plan, modes, seeds, summaries)


def scenario_at(plan: PaperPlan, mode: str, world: FigureWorld, value: float) -> Scenario:
    """Return the scenario of a point."""
    settings = [*world.settings, *plan.modes[mode], f"{plan.axis.key}={number(value)}"]
    return Scenario.load(world.scenario, settings)


def write_runs(measured: Measured, path: Path) -> None:
    """Store all summaries as one Parquet table with a row per run."""
    rows = [
        {"mode": mode, "world": world, "x": measured.plan.world(world).points[index], "policy": policy, "seed": seed}
        | dict(summary)
        for (mode, world, policy, index), summaries in measured.summaries.items()
        for seed, summary in zip(measured.seeds, summaries, strict=True)
    ]
    write_rows(rows, path)
