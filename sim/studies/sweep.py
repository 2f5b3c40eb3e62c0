"""Compares policies at every point of a grid of scenario values."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from physical.errors import InputError
from sim.scenario.scenario import Scenario
from sim.studies.compare import Rules, check_baseline, seeds_of
from sim.studies.comparison import Comparison
from sim.studies.entrants import Policies, entrants
from sim.studies.evaluation import evaluate, write_runs
from sim.studies.jobs import Jobs, told_of
from sim.studies.pool import Pool
from sim.studies.store import folder_of_study
from traces.atomic import whole_file

Grid = dict[str, tuple[str, ...]]
AnyScenario = Scenario | str | Path | Callable[[Sequence[str]], Scenario]

_VALUES_MAX = 10_000
"""Largest number of values of a key, so that an endless generator ends."""


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

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run, with the values of the point; values that are numbers become numbers."""
        values = {key: _number(value) for key, value in self.values.items()}
        return [{**values, **row} for row in self.comparison.rows()]


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
    num_worker: int = 1,
    executor: Executor | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
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
    num_worker : number of processes that run; with 1, this process runs everything itself
    executor : runs the jobs, in place of processes of our own
    fresh : whether runs that are kept already are run again
    progress : called with the number of finished runs and the number of all runs

    Raises
    ------
    InputError : the scenario refuses a value, a policy is unknown, the directory cannot be written

    >>> points = sweep("dtecn", ["edge-equal"], {"vehicles.num_vehicle": [2, 4], "time.num_slot": [5]}, seeds=[1])
    >>> [point.values for point in points]
    [{'vehicles.num_vehicle': '2', 'time.num_slot': '5'}, {'vehicles.num_vehicle': '4', 'time.num_slot': '5'}]
    """
    load = _loader(scenario)
    who = entrants(policies)
    reference = check_baseline(who, baseline)
    spelled = {key: _spelled(key, values) for key, values in grid.items()}
    if not spelled:
        raise InputError("is empty", where="--grid", accepted='for instance {"vehicles.num_vehicle": [5, 10]}')
    chosen = seeds_of(seeds, len(who), math.prod(map(len, spelled.values())))
    points = [dict(zip(spelled, values, strict=True)) for values in itertools.product(*spelled.values())]
    scenarios, jobs = [], []
    for values in points:
        made = _at(load, values)
        Rules(warmup).check(made.time.num_slot, len(chosen))
        scenarios.append(made)
        jobs.append(Jobs(made, who)(chosen))
    directory = folder_of_study(out)
    pool = Pool(directory, num_worker=num_worker, executor=executor, fresh=fresh)
    all_jobs = dict.fromkeys(job for rows in jobs for row in rows.values() for job in row)
    found = pool.finish(all_jobs, lambda done: progress(done, len(all_jobs)))
    compared = []
    for values, made, rows in zip(points, scenarios, jobs, strict=True):
        runs = {policy: [found[job] for job in row] for policy, row in rows.items()}
        compared.append(Point(values, evaluate(runs, chosen, reference, warmup), made.model_dump_json()))
    if directory is not None:
        _write(
            compared,
            [told_of(who, one.comparison.runs, made) for one, made in zip(compared, scenarios, strict=True)],
            directory,
        )
    return compared


def _at(load: Callable[[Sequence[str]], Scenario], values: Mapping[str, str]) -> Scenario:
    """Return the scenario at a point of the grid; errors name the option from which its values come."""
    try:
        return load([f"{key}={value}" for key, value in values.items()])
    except InputError as error:
        # An error in other settings of the caller does not come from the grid.
        inside = any(_is_inside(key, error.key) or _is_inside(error.key, key) for key in values)
        spelled = not error.key and any(f"{key}={value}" in error.problem for key, value in values.items())
        if error.where == "--set" and (inside or spelled):
            error.where = "--grid"
        raise


def _is_inside(key: str, table: str) -> bool:
    return f"{key}.".startswith(f"{table}.")


def _loader(
    scenario: AnyScenario,
) -> Callable[[Sequence[str]], Scenario]:
    """Return a function that makes the scenario of a point from settings."""
    if isinstance(scenario, Scenario):
        return lambda settings: Scenario.from_dict(scenario.model_dump(mode="json"), settings=settings)
    if isinstance(scenario, str | Path):
        return partial(Scenario.load, scenario)
    return scenario


def _spelled(key: str, values: Iterable[Any]) -> list[str]:
    """Return the values of a key as texts of settings."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{values!r} is no list of values", where="--grid", key=key, accepted="for instance [5, 10]")
    try:
        found = [_spell(value) for value in itertools.islice(values, _VALUES_MAX + 1)]
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be set: {error}", where="--grid", key=key, accepted="numbers, texts, lists") from None
    if len(found) > _VALUES_MAX:
        raise InputError("has too many values", where="--grid", key=key, accepted=f"at most {_VALUES_MAX}")
    if not found or len(set(found)) < len(found):
        raise InputError(f"{found} are not different values", where="--grid", key=key)
    return found


def _number(text: str) -> int | float | str:
    """Return a value as a number if it is one, else as the text.

    >>> _number("5"), _number("2e11"), _number("50 GHz")
    (5, 200000000000.0, '50 GHz')
    """
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _spell(value: Any) -> str:
    """Return a value as the text of a setting.

    >>> _spell(True), _spell(0.5), _spell("2 ms")
    ('true', '0.5', '2 ms')
    """
    return value if isinstance(value, str) else json.dumps(value)


def to_dict(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return all statistics as plain data."""
    return [{"values": point.values, **point.comparison.to_dict()} for point in points]


def _write(points: Sequence[Point], made: Sequence[Mapping[str, Any]], directory: Path) -> None:
    """Store the statistics as JSON, and all summaries as one Parquet table with a row per run."""
    rows = [row for point in points for row in point.rows()]
    mixed = {key for key in points[0].values if len({isinstance(row[key], str) for row in rows}) > 1}
    write_runs(
        [{key: str(row[key]) if key in mixed else row[key] for key in row} for row in rows], directory / "runs.parquet"
    )
    told = [{**statistics, **more} for statistics, more in zip(to_dict(points), made, strict=True)]
    text = json.dumps(told, indent=2, allow_nan=False)
    with whole_file(directory / "sweep.json") as file:
        file.write(f"{text}\n".encode())
