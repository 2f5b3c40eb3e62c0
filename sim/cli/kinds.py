"""`twin kinds`: what can be named in a scenario, ours and of installed packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.app import Json, app, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from physical.registry import KindSpec
    from sim.scenario.kinds import Group

_ENGINES = {"columns": "columns", "events": "events", "batches": "the batch engine"}


@app.command(
    name="kinds",
    epilog=examples("twin kinds", "twin kinds mobility", "twin kinds mobility highway", "twin kinds estimator --json"),
)
def _kinds(
    group: Annotated[
        str | None, typer.Argument(metavar="[GROUP]", help="Group, such as mobility: which kinds has it?")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="Kind, such as highway: what are its keys?")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the groups of kinds and the kinds, or say what one kind does and takes.

    Kinds are ours or come from installed packages; a package that is broken shows only when its kind is used. A kind
    that only one engine of twin run --engine knows is marked.
    """
    from sim.scenario.kinds import GROUPS, group_of, kind_of
    from sim.show import terminal

    if name is not None and group is not None:
        _one(group_of(group), kind_of(group_of(group), name), as_json=as_json)
        return
    chosen = {group: group_of(group)} if group is not None else GROUPS
    if as_json:
        print_json({"groups": [_group(key, one) for key, one in chosen.items()]})
        return
    if group is not None:
        terminal.listing([(spec.name, _line(chosen[group], spec)) for spec in chosen[group].registry.kinds().values()])
        return
    rows = []
    for key, one in chosen.items():
        rows += [(key, f"{one.about}: {', '.join(one.registry.names())}")]
        rows += [("", f"- {spec.name} {_line(one, spec)}") for spec in one.registry.kinds().values() if spec.package]
    terminal.listing(rows)


def _line(group: Group, spec: KindSpec) -> str:
    """Return what a kind is, and which engine it needs if it needs one."""
    from physical.registry import ENGINES
    from sim.scenario.kinds import engines_of

    known = [engine for engine in engines_of(group, spec) or ENGINES if engine in ENGINES]
    return spec.summary if len(known) == len(ENGINES) else f"{spec.summary} [{', '.join(known)} only]"


def _group(name: str, group: Group) -> dict[str, Any]:
    from sim.scenario.kinds import engines_of

    kinds = [{**_spec(spec), "engines": engines_of(group, spec)} for spec in group.registry.kinds().values()]
    return {"name": name, "about": group.about, "key": group.key, "kinds": kinds}


def _spec(spec: KindSpec) -> dict[str, Any]:
    return {"name": spec.name, "summary": spec.summary, "extra": spec.extra, "package": spec.package}


def _one(group: Group, spec: KindSpec, *, as_json: bool) -> None:
    """Print what a kind does, its keys, and who can simulate it; of a policy, its options."""
    from sim.cli.listing import tell_policy
    from sim.scenario.kinds import told
    from sim.show import terminal

    if group.field is None:
        tell_policy(spec.name, as_json=as_json)
        return
    found = told(group, spec)
    if as_json:
        keys = [key.to_dict() for key in found.keys]
        print_json({**_spec(spec), "about": found.about, "keys": keys, "engines": found.engines})
        return
    for paragraph in (f"{spec.name}: {spec.summary}", *found.about.split("\n\n")):
        terminal.say(paragraph)
    rows = [(key.name, f"{key.about} ({key.words})") for key in found.keys]
    terminal.listing([*rows, ("simulated by", "; ".join(_ENGINES[engine] for engine in found.engines))])
