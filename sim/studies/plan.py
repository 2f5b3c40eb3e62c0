"""Plans of studies: which jobs a comparison or a sweep consists of, before any of them runs."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from physical.errors import InputError
from physical.seed import NUM_SEED_MAX, STORED_MAX, whole_seeds
from sim.scenario.scenario import Scenario
from sim.studies.entrants import Entrant, Policies, entrants
from sim.studies.jobs import Job, Jobs, JobsByPolicy

Grid = dict[str, tuple[str, ...]]
AnyScenario = Scenario | str | Path | Callable[[Sequence[str]], Scenario]

NUM_RUN_MAX = 1_000_000
SEEDS_MAX = 100
_VALUES_MAX = 10_000
"""Largest number of values of a key, so that an endless generator ends."""


@dataclass(frozen=True)
class PlannedPoint:
    """The jobs of one scenario.

    Parameters
    ----------
    values : key -> value of the grid; empty for a comparison
    scenario : what is simulated
    make : makes jobs for seeds
    jobs : policy -> one job per seed
    """

    values: dict[str, str]
    scenario: Scenario
    make: Jobs
    jobs: JobsByPolicy


@dataclass(frozen=True)
class Plan:
    """A study before it runs.

    Parameters
    ----------
    who : the policies that take part
    seeds : of every policy at every point
    points : one for a comparison, those of the grid for a sweep
    """

    who: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    points: tuple[PlannedPoint, ...]

    @property
    def jobs(self) -> list[Job]:
        """All jobs, each once, in an order that every machine finds alike."""
        return [*dict.fromkeys(job for point in self.points for row in point.jobs.values() for job in row)]


@dataclass(frozen=True)
class Rules:
    """How to compare.

    Parameters
    ----------
    warmup : slots cut from every run for `penalty_mean`; None: MSER-5 decides
    precision : half-width to reach, in parts of |baseline's penalty| + 1; None: only the given seeds are run
    seeds_max : largest number of seeds
    """

    warmup: int | None = None
    precision: float | None = None
    seeds_max: int = SEEDS_MAX

    def check(self, num_slot: int, num_seed: int) -> None:
        """Refuse rules that cannot be followed.

        Raises
        ------
        InputError : the warm-up leaves nothing of runs of `num_slot` slots; `seeds_max` is less than `num_seed`, the
            number of given seeds, or too large
        """
        if self.warmup is not None and not 0 <= self.warmup < num_slot:
            accepted = f"auto, or 0 to {num_slot - 1}: something must stay of {num_slot} slots"
            raise InputError(f"{self.warmup} slots cannot be cut", where="--warmup", accepted=accepted)
        if self.precision is not None and self.seeds_max < num_seed:
            raise InputError(f"is less than the {num_seed} seeds given", where="--seeds-max")
        if self.precision is not None and self.seeds_max > NUM_SEED_MAX:
            raise InputError(f"{self.seeds_max} are too many", where="--seeds-max", accepted=f"at most {NUM_SEED_MAX}")


def plan_comparison(
    scenario: Scenario | str | Path, policies: Policies, seeds: Iterable[int], warmup: int | None = None
) -> Plan:
    """Return the jobs of a comparison; see `sim.compare`.

    Raises
    ------
    InputError : the scenario or a policy is unknown, the warm-up leaves nothing
    """
    made = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
    who = entrants(policies)
    chosen = seeds_of(seeds, len(who))
    Rules(warmup).check(made.time.num_slot, len(chosen))
    make = Jobs(made, who)
    return Plan(who, chosen, (PlannedPoint({}, made, make, make(chosen)),))


def plan_sweep(
    scenario: AnyScenario,
    policies: Policies,
    grid: Mapping[str, Iterable[Any]],
    seeds: Iterable[int],
    warmup: int | None = None,
) -> Plan:
    """Return the jobs of a sweep; see `sim.sweep`.

    Raises
    ------
    InputError : the scenario refuses a value, a policy is unknown, the warm-up leaves nothing
    """
    load = _loader(scenario)
    who = entrants(policies)
    spelled = {key: _spelled(key, values) for key, values in grid.items()}
    if not spelled:
        raise InputError("is empty", where="--grid", accepted='for instance {"vehicles.num_vehicle": [5, 10]}')
    chosen = seeds_of(seeds, len(who), math.prod(map(len, spelled.values())))
    points = []
    for row in itertools.product(*spelled.values()):
        values = dict(zip(spelled, row, strict=True))
        made = _at(load, values)
        Rules(warmup).check(made.time.num_slot, len(chosen))
        name = " ".join(f"{key}={value}" for key, value in values.items())
        make = Jobs(made, who, point=name)
        points.append(PlannedPoint(values, made, make, make(chosen)))
    return Plan(who, chosen, tuple(points))


def seeds_of(seeds: Iterable[int], num_policy: int, num_point: int = 1) -> tuple[int, ...]:
    """Return the seeds of a study.

    Raises
    ------
    InputError : there is no seed, or seeds, policies and points make more than `NUM_RUN_MAX` runs
    """
    chosen = whole_seeds(seeds, where="--seeds", most=STORED_MAX)
    if (num := num_policy * len(chosen) * num_point) > NUM_RUN_MAX:
        where = "--policies, --seeds" + (", --grid" if num_point > 1 else "")
        raise InputError(f"{num} runs are too many", where=where, accepted=f"at most {NUM_RUN_MAX}")
    return chosen


def check_baseline(who: Sequence[Entrant], baseline: str | None) -> str:
    """Return the name of the baseline, by default the first one.

    Raises
    ------
    InputError : the baseline does not take part
    """
    names = [entrant.name for entrant in who]
    if baseline is not None and baseline not in names:
        raise InputError(f"{baseline!r} is not compared", where="--baseline", accepted=", ".join(names))
    return names[0] if baseline is None else baseline


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


def _spell(value: Any) -> str:
    """Return a value as the text of a setting.

    >>> _spell(True), _spell(0.5), _spell("2 ms")
    ('true', '0.5', '2 ms')
    """
    return value if isinstance(value, str) else json.dumps(value)
