"""Scenarios of all families, each ready to be run by either engine: what the swarm draws, towns, and small systems."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from physical.errors import InputError
from physical.registry import EngineName
from sim import RunResult, Scenario, run
from sim.runs.replay import verify
from tests.property.eventful import hardware_case_of
from tests.property.families import case_of
from tests.property.layer_families import layer_case_of
from tests.property.towns import town_case_of
from tests.support.both_engines import ENGINES, difference
from tests.swarm import draw, play

FAMILIES = ("swarm", "town", "swarm", "small", "layers", "eventful")
"""Families by the remainder of a seed."""


SMALL = {"small": case_of, "layers": layer_case_of, "eventful": hardware_case_of}


@dataclass(frozen=True)
class Drawn:
    """A scenario that is ready to run.

    simulate : takes the engine's name, and where the trace goes, None for memory
    replays : whether runs can have a trace in a folder
    """

    family: str
    seed: int
    scenario: Scenario
    simulate: Callable[[EngineName, Path | None], RunResult]
    replays: bool

    @property
    def is_measured(self) -> bool:
        """Whether decisions take the time that they take here: no two runs are alike, a run and its replay are."""
        return self.scenario.twin.decision.latency == "measured"

    def attempt(self, engine: EngineName) -> RunResult | str:
        """Return a run, or the sentence that refuses it."""
        try:
            return self.simulate(engine, None)
        except InputError as error:
            return str(error)


def run_swarm(case: draw.Case, scenario: Scenario, engine: EngineName, out: Path | None) -> RunResult:
    """Run what the swarm has drawn; a policy that misbehaves is made anew."""
    return run(scenario, play.policy_of(case), seed=case.seed, engine=engine, out=out)


def run_town(scenario: Scenario, policy: str, seed: int, engine: EngineName, out: Path | None) -> RunResult:
    """Run a town."""
    return run(scenario, policy, seed=seed, engine=engine, out=out)


def of_swarm(case: draw.Case, seed: int, folder: Path) -> Drawn:
    """Return what the swarm has drawn, with its files in a folder, and with its messages."""
    scenario = Scenario.load(case.write(folder), ["trace.messages=true"])
    return Drawn("swarm", seed, scenario, partial(run_swarm, case, scenario), replays=True)


@contextmanager
def drawn(seed: int) -> Iterator[Drawn]:
    """Draw the scenario that belongs to a seed; its files are there until the end of the context."""
    family = FAMILIES[seed % len(FAMILIES)]
    with tempfile.TemporaryDirectory() as folder:
        if family == "swarm":
            yield of_swarm(draw.case_of(seed), seed, Path(folder))
        elif family == "town":
            scenario, policy = town_case_of(seed)
            yield Drawn(family, seed, scenario, partial(run_town, scenario, policy, seed), replays=True)
        else:
            case = SMALL[family](seed)
            yield Drawn(family, seed, case.scenario, lambda engine, _: case.run(engine), replays=False)


def replayed(one: Drawn, engine: EngineName) -> str:
    """Run with one engine, and replay with the other; return what differs first, "" if nothing does."""
    other = ENGINES[1 - ENGINES.index(engine)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            one.simulate(engine, Path(folder) / "run")
        except InputError as error:
            return "" if one.attempt(other) == str(error) else f"only {engine} refuse: {error}"
        found = verify(Path(folder) / "run", engine=other).difference
    return "" if found is None else f"{engine} recorded, {other} replayed: {found}"


def compared(one: Drawn) -> str:
    """Run with both engines; return what differs first, "" if nothing does.

    A decision that takes the time that it takes is not the same twice; the other engine replays it.
    """
    if one.is_measured:
        return replayed(one, "columns") or replayed(one, "events")
    columns, events = (one.attempt(engine) for engine in ENGINES)
    if isinstance(columns, str) or isinstance(events, str):
        return "" if columns == events else f"columns {columns!s}, events {events!s}"
    return difference(columns, events)


def problems(seeds: range, check: Callable[[Drawn], str] = compared) -> list[str]:
    """Return what is wrong with each seed with which anything is wrong."""
    found = []
    for seed in seeds:
        with drawn(seed) as one:
            if told := check(one):
                found.append(f"seed {seed} ({one.family}): {told}")
    return found
