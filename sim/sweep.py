"""Compares policies at every point of a grid of scenario values."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from physical.errors import InputError
from sim.compare import Rules, check_policies
from sim.evaluation import Comparison, evaluate, write_runs
from sim.export.output import whole_file
from sim.jobs import Job, finish
from sim.scenario import Scenario

Grid = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    values : key -> value, as they were given
    comparison : of the policies there
    scenario : what was run there, as JSON
    """

    values: dict[str, str]
    comparison: Comparison
    scenario: str = ""


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
    load: Callable[[Sequence[str]], Scenario],
    grid: Grid,
    policies: Sequence[str],
    seeds: Sequence[int],
    directory: Path,
    *,
    baseline: str | None = None,
    warmup: int | None = None,
    num_worker: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Point]:
    """Run every policy with every seed at every point of the grid; finished runs are kept in `directory`.

    Parameters
    ----------
    load : makes the scenario, given ``KEY=VALUE`` settings
    grid : key -> values
    warmup : slots cut from every run for `penalty_mean`; None: one cut per point by MSER-5

    Raises
    ------
    InputError : a value that the scenario does not take, an unknown policy, a directory that cannot be written
    """
    reference = check_policies(policies, baseline)
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    scenarios = []
    for values in points:
        scenario = _at(load, values)
        Rules(warmup).check(scenario.time.num_slot, len(seeds))
        scenarios.append(scenario.model_dump_json())
    jobs = {
        (index, policy, seed): Job(text, policy, seed)
        for index, text in enumerate(scenarios)
        for policy in policies
        for seed in seeds
    }
    found = finish(dict.fromkeys(jobs.values()), directory, num_worker, progress)
    compared = []
    for index, values in enumerate(points):
        runs = {policy: [found[jobs[index, policy, seed]] for seed in seeds] for policy in policies}
        compared.append(Point(values, evaluate(runs, tuple(seeds), reference, warmup), scenarios[index]))
    _write(compared, directory)
    return compared


def _at(load: Callable[[Sequence[str]], Scenario], values: Mapping[str, str]) -> Scenario:
    """Return the scenario at a point of the grid; errors name the option that its values come from."""
    try:
        return load([f"{key}={value}" for key, value in values.items()])
    except InputError as error:
        # Settings of the caller's own are as wrong at every point.
        inside = any(_is_inside(key, error.key) or _is_inside(error.key, key) for key in values)
        spelled = not error.key and any(f"{key}={value}" in error.problem for key, value in values.items())
        if error.where == "--set" and (inside or spelled):
            error.where = "--grid"
        raise


def _is_inside(key: str, table: str) -> bool:
    return f"{key}.".startswith(f"{table}.")


def to_dict(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return all statistics as plain data."""
    return [{"values": point.values, **point.comparison.to_dict()} for point in points]


def _write(points: Sequence[Point], directory: Path) -> None:
    """Store the statistics as JSON, and all summaries as one Parquet table with a row per run."""
    rows = [{**point.values, **row} for point in points for row in point.comparison.rows()]
    write_runs(rows, directory / "runs.parquet")
    made = [{"version": version("vectwin"), "scenario": json.loads(point.scenario)} for point in points]
    told = [{**statistics, **more} for statistics, more in zip(to_dict(points), made, strict=True)]
    text = json.dumps(told, indent=2, allow_nan=False)
    with whole_file(directory / "sweep.json") as file:
        file.write(f"{text}\n".encode())
