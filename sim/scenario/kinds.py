"""All groups of kinds: policies, and what the tables of a scenario name by their kind.

A package brings a kind with an entry point of the group ``vectwin.<group>``, a script with `register`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple, cast

from physical.errors import InputError
from physical.kind_field import KindParams, OfKind
from physical.nearest import did_you_mean
from physical.registry import KindSpec, Registry
from policies.registry import POLICIES
from sim.scenario.keys import Key, keys_of_kind
from sim.scenario.mobility import MOBILITY, DrawnMobility, Mobility
from sim.scenario.tables import ScenarioTables
from twin.estimators import ESTIMATORS, EstimatorKind


class Group(NamedTuple):
    """Kinds that can stand in one place.

    registry : the kinds
    about : what they are
    key : where a scenario names one
    field : validates the table of one; None for policies, whose options stand in the name
    """

    registry: Registry
    about: str
    key: str
    field: OfKind | None = None


GROUPS = {
    "policies": Group(POLICIES, "who decides", "policy.name"),
    "mobility": Group(MOBILITY, "how vehicles move", "mobility", OfKind(MOBILITY, Mobility)),
    "estimator": Group(
        ESTIMATORS, "what the twin makes of reports", "twin.estimator", OfKind(ESTIMATORS, EstimatorKind)
    ),
}


class KindToTell(NamedTuple):
    """What there is to know of a kind that tables name.

    spec : where it is
    about : its docstring without the keys, paragraphs with an empty line between
    keys : its keys
    engines : who can simulate it: engines that run scenarios, and "batches", the batch engine
    """

    spec: KindSpec
    about: str
    keys: list[Key]
    engines: tuple[str, ...]


class NamedKind(NamedTuple):
    """A table of a scenario that is of some kind.

    group : name of the group
    registry : the kinds of the group
    kind : the table
    """

    group: str
    registry: Registry
    kind: KindParams


def named_kinds(tables: ScenarioTables) -> tuple[NamedKind, ...]:
    """Return the tables of a scenario that are of some kind.

    >>> from sim.scenario.scenario import Scenario
    >>> [(named.group, named.kind.kind) for named in named_kinds(Scenario.load("dtecn"))]
    [('mobility', 'highway'), ('estimator', 'hold')]
    """
    return tuple(
        NamedKind(name, group.registry, reduce(getattr, group.key.split("."), cast("Any", tables)))
        for name, group in GROUPS.items()
        if group.field is not None
    )


def group_of(name: str) -> Group:
    """Return a group.

    Raises
    ------
    InputError : there is none of that name

    >>> group_of("mobilty")
    Traceback (most recent call last):
    physical.errors.InputError: GROUP: there is no group 'mobilty'; did you mean mobility? \
(accepted: policies, mobility, estimator)
    """
    if name not in GROUPS:
        problem = f"there is no group {name!r}{did_you_mean(name, GROUPS)}"
        raise InputError(problem, where="GROUP", accepted=", ".join(GROUPS))
    return GROUPS[name]


def kind_of(group: Group, name: str) -> KindSpec:
    """Return a kind of a group.

    Raises
    ------
    InputError : there is none of that name
    """
    if (spec := group.registry.get(name)) is None:
        error = group.registry.unknown(name)
        error.where = "KIND"
        raise error
    return spec


def told(group: Group, spec: KindSpec) -> KindToTell:
    """Import a kind's class, and return what there is to know of it.

    Raises
    ------
    InputError : it cannot be imported, or is no kind of the group
    """
    assert group.field is not None
    try:
        made = group.field.class_of(spec)
    except InputError as error:
        error.where = "KIND"
        raise
    about = "\n\n".join(part for part in made.meanings().split("\n\n") if " : " not in part.partition("\n")[0])
    return KindToTell(spec, about, keys_of_kind(made, group.key), _engines(made))


def _engines(kind: type[KindParams]) -> tuple[str, ...]:
    return (*kind.engines, "batches") if issubclass(kind, DrawnMobility) else kind.engines


def engines_of(group: Group, spec: KindSpec) -> tuple[str, ...] | None:
    """Return who can simulate a kind; None for a policy, and for a kind that cannot be imported."""
    found = None if group.field is None else group.field.class_for(spec.name)
    return None if found is None else _engines(found)


def register(group: str, name: str, target: str | Callable[..., Any], summary: str = "") -> None:
    """Add a kind under a name of its own: a class, or ``module:attr``.

    Raises
    ------
    InputError : no such group, the name is another target's, or has other characters than ``a-z 0-9 - _``
    """
    group_of(group).registry.register(name, target, summary)


def registered() -> dict[str, tuple[KindSpec, ...]]:
    """Return what was registered by hand in this process, by group."""
    found = {name: group.registry.registered() for name, group in GROUPS.items()}
    return {name: specs for name, specs in found.items() if specs}
