"""Compares policies at every point of a grid of scenario values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from physical.errors import InputError
from sim.studies.comparison import Comparison
from sim.studies.entrants import Policies
from sim.studies.evaluation import evaluate
from sim.studies.executors.window import AnyExecutor
from sim.studies.jobs import told_of
from sim.studies.plan import AnyScenario, Grid, Plan, check_baseline, plan_sweep
from sim.studies.pool import Pool, silent
from sim.studies.results import Runs
from sim.studies.store import folder_of_study
from sim.studies.tables import SweepTables


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    values : key -> value, as they were given
    comparison : of the policies at this point
    scenario : scenario that was run at this point, as JSON
    """

    values: dict[str, str]
    comparison: Comparison
    scenario: str = field(default="", repr=False)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row per run, with the values of the point; values that are numbers become numbers."""
        values = {key: _number(value) for key, value in self.values.items()}
        for row in self.comparison.rows():
            yield {**values, **row}


def parse_grid(texts: Sequence[str]) -> Grid:
    """Read ``KEY=a,b,c``, one text per key.

    >>> parse_grid(["cost.time_weight=0.1,0.5", "time.num_slot=1"])
    {'cost.time_weight': ('0.1', '0.5'), 'time.num_slot': ('1',)}
    """
    grid: Grid = {}
    for text in texts:
        key, equals, values = text.partition("=")
        found = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not key.strip() or not found or len(set(found)) < len(found):
            raise InputError(f"{text!r} is not a key with different values", where="--grid", accepted="KEY=a,b,c")
        if key.strip() in grid:
            raise InputError("is given twice", where="--grid", key=key.strip())
        grid[key.strip()] = found
    return grid


def sweep(
    scenario: AnyScenario,
    policies: Policies,
    grid: Mapping[str, Iterable[Any]],
    seeds: Iterable[int] = range(10),
    out: str | Path | None = None,
    *,
    baseline: str | None = None,
    warmup: int | None = None,
    num_worker: int | None = None,
    executor: str | AnyExecutor | None = None,
    scheduler: str | Path | None = None,
    keep_traces: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    tell: Callable[[str], None] = silent,
) -> list[Point]:
    """Run every policy with every seed at every point of a grid of scenario values, and compare at each point.

    See `sim.compare` for policies, and for what is kept in `out` and when it is used again.

    Parameters
    ----------
    scenario : or its name, or a TOML file, or a function that makes one from ``KEY=VALUE`` settings
    policies : names with options, paths with a class, classes, objects; a mapping says what tables call them
    grid : dotted key of the scenario -> its values
    seeds : seeds of the runs, the same for every policy and point
    out : directory of the sweep; None: nothing is kept
    baseline : policy with which the others are compared; by default the first
    warmup : slots cut from every run for `penalty_mean`; None: one cut per point by MSER-5
    num_worker, executor, scheduler, keep_traces, fresh : see `sim.compare`
    progress : called with the number of finished runs and the number of all runs
    tell : called with a line for the user: where the dashboard is, that a run failed

    Raises
    ------
    RunsFailedError : runs failed by their own fault; the others are through, and kept if there is a directory
    InputError : the scenario refuses a value, a policy is unknown, the directory cannot be written

    >>> points = sweep("dtecn", ["edge-equal"], {"vehicles.num_vehicle": [2, 4], "time.num_slot": [5]}, seeds=[1])
    >>> [point.values for point in points]
    [{'vehicles.num_vehicle': '2', 'time.num_slot': '5'}, {'vehicles.num_vehicle': '4', 'time.num_slot': '5'}]
    """
    plan = plan_sweep(scenario, policies, grid, seeds, warmup)
    reference = check_baseline(plan.who, baseline)
    directory = folder_of_study(out)
    pool = Pool(
        directory,
        num_worker=num_worker,
        executor=executor,
        scheduler=scheduler,
        keep_traces=keep_traces,
        fresh=fresh,
        tell=tell,
    )
    jobs = plan.jobs
    found = pool.finish(jobs, lambda done: progress(done, len(jobs)))
    tables = None if directory is None else SweepTables(directory, _as_texts(plan))
    compared = []
    for point in plan.points:
        held = {policy: [found[job] for job in row] for policy, row in point.jobs.items()}
        comparison = evaluate(held, plan.seeds, reference, warmup)
        made = Point(point.values, comparison, point.scenario.model_dump_json())
        if tables is not None:
            tables.add(made.rows(), {**_to_dict(made), **told_of(plan.who, held, point.scenario)})
        runs = {policy: Runs(row, found) for policy, row in point.jobs.items()}
        compared.append(replace(made, comparison=replace(comparison, runs=runs)))
    if tables is not None:
        tables.write()
    return compared


def _as_texts(plan: Plan) -> set[str]:
    """Return the keys of the grid whose values are numbers at some points and texts at others."""
    values: dict[str, set[bool]] = {}
    for point in plan.points:
        for key, value in point.values.items():
            values.setdefault(key, set()).add(isinstance(_number(value), str))
    return {key for key, found in values.items() if len(found) > 1}


def _number(text: str) -> int | float | str:
    """Return a value as a number if it is one, else as the text.

    >>> _number("5"), _number("2e11"), _number("50 GHz")
    (5, 200000000000.0, '50 GHz')
    """
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def to_dict(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return all statistics as plain data."""
    return [_to_dict(point) for point in points]


def _to_dict(point: Point) -> dict[str, Any]:
    return {"values": point.values, **point.comparison.to_dict()}
