"""Which engine simulates a scenario, and why: the one that is asked for, or the fastest that knows all of its kinds.

Both engines give equal tables. They differ in speed, and in the kinds that they know.
"""

from __future__ import annotations

from typing import NamedTuple

from physical.errors import InputError
from physical.nearest import did_you_mean
from physical.registry import ENGINES, USUAL_ENGINE, EngineName
from sim.scenario.kinds import named_kinds
from sim.scenario.scenario import Scenario


class EngineChoice(NamedTuple):
    """An engine, and why it simulates.

    name : one of `physical.registry.ENGINES`
    why : in a phrase
    """

    name: EngineName
    why: str


def choose(scenario: Scenario) -> EngineChoice:
    """Return the engine that simulates a scenario.

    Raises
    ------
    InputError : the engine that the scenario names does not know one of its kinds, or no engine knows them all

    >>> choose(Scenario.load("dtecn"))
    EngineChoice(name='columns', why='auto: every kind has columns')
    """
    lacking = {engine: _lacking(scenario, engine) for engine in ENGINES}
    able = [engine for engine in ENGINES if not lacking[engine]]
    asked = scenario.engine
    if not able:
        told = ", ".join(f"{engine} lacks {' and '.join(kinds)}" for engine, kinds in lacking.items())
        accepted = "kinds that have an engine in common"
        raise InputError(f"no engine knows all kinds: {told}", where="engine", accepted=accepted)
    if asked == "auto":
        missing = lacking[USUAL_ENGINE]
        why = f"without {USUAL_ENGINE}: {', '.join(missing)}" if missing else f"every kind has {USUAL_ENGINE}"
        return EngineChoice(able[0], f"auto: {why}")
    if asked not in able:
        problem = f"{asked!r} does not know {' and '.join(lacking[asked])}"
        raise InputError(problem, where="engine", accepted=", ".join([*able, "auto"]))
    return EngineChoice(asked, "asked for")


def with_engine(scenario: Scenario, engine: str | None) -> Scenario:
    """Return a scenario that names an engine, as ``--engine`` does; with None it stays as it is.

    Raises
    ------
    InputError : there is no such engine, or it does not know a kind of the scenario

    >>> with_engine(Scenario.load("dtecn"), "events").engine
    'events'
    """
    if engine is None:
        return scenario
    accepted = (*ENGINES, "auto")
    if engine not in accepted:
        problem = f"there is no engine {engine!r}{did_you_mean(str(engine), accepted)}"
        raise InputError(problem, where="--engine", accepted=", ".join(accepted))
    changed = scenario.model_copy(update={"engine": engine})
    try:
        choose(changed)
    except InputError as error:
        error.where = "--engine"
        raise
    return changed


def _lacking(scenario: Scenario, engine: str) -> list[str]:
    """Return the kinds of a scenario that an engine does not know, as ``mobility roundabout``."""
    found = named_kinds(scenario)
    return [f"{one.group} {one.kind.kind}" for one in found if engine not in type(one.kind).engines]
