"""`twin scenarios`, `twin policies` and `twin check`: what there is, and whether it is right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from physical.errors import InputError
from physical.nearest import did_you_mean
from sim.cli.app import Json, Settings, app, load, print_json
from sim.cli.help import examples

_SPEC = ("name", "summary", "extra", "installed")


@app.command(
    name="scenarios",
    epilog=examples("twin scenarios", "twin scenarios rush-hour > mine.toml", "twin scenarios --json"),
)
def _scenarios(
    scenario: Annotated[
        str | None, typer.Argument(metavar="[SCENARIO]", help="Print this one's TOML: a start for one of your own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the built-in scenarios, and which readings of a paper they keep that no hardware has; or print one."""
    from sim.scenario.scenario import Scenario
    from sim.scenario.sources import names, text_of
    from sim.show import terminal

    if scenario is not None:
        text = text_of(scenario)
        if as_json:
            print_json({"name": scenario, "toml": text})
        else:
            print(text.rstrip("\n"))
        return
    found = {name: Scenario.load(name) for name in names()}
    if as_json:
        listed = [{"name": name, "title": one.title, "readings": one.readings()} for name, one in found.items()]
        print_json({"scenarios": listed})
        return
    rows = []
    for name, one in found.items():
        rows += [(name, one.title), *(("", f"- {reading}") for reading in one.readings())]
    terminal.listing(rows)


@app.command(
    name="policies",
    epilog=examples(
        "twin policies",
        "twin policies p2-exact",
        "twin policies llm6g",
        "twin policies my.toml --set vehicles.num_vehicle=4 --json",
    ),
)
def _policies(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENARIO|POLICY]",
            help="Scenario, built-in or a TOML file: who can decide there? Policy: what are its options?",
        ),
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """List the policies; or which of them fit a scenario, and why the others do not; or the options of one.

    Policies are asked as they are by default: one that does not fit may do so with other options.
    """
    from policies.registry import specs
    from sim.show import terminal

    is_policy = name is not None and _is_policy(name)
    if name is not None and not is_policy:
        _check_known(name)
        _fitting(name, settings, as_json=as_json)
        return
    if settings:
        raise InputError("goes with a scenario only", where="--set", accepted="twin policies SCENARIO --set KEY=VALUE")
    if name is not None:
        tell_policy(name, as_json=as_json)
        return
    found = specs().values()
    if as_json:
        print_json({"policies": [{key: getattr(spec, key) for key in _SPEC} for spec in found]})
        return
    rows = []
    for spec in found:
        extra = f" [extra {spec.extra}: {'installed' if spec.installed else 'not installed'}]" if spec.extra else ""
        rows.append((spec.name, f"{spec.summary}{extra}"))
    terminal.listing(rows)


def _is_policy(name: str) -> bool:
    """Tell whether a name is the name of a policy and not of a scenario."""
    from policies.registry import specs
    from sim.scenario.sources import names

    return name in specs() and name not in names()


def _check_known(name: str) -> None:
    """Refuse a bare word that names nothing; for a file, its reader reports the error.

    Raises
    ------
    InputError : the word names neither a scenario nor a policy; it names the most similar ones
    """
    from policies.registry import specs
    from sim.scenario.sources import names

    known = [*names(), *specs()]
    if name in known or Path(name).suffix or os.sep in name or Path(name).exists():
        return
    problem = f"there is no scenario or policy {name!r}{did_you_mean(name, known)}"
    accepted = f"{', '.join(names())}, a TOML file, or a name that `twin policies` lists"
    raise InputError(problem, where="SCENARIO|POLICY", accepted=accepted)


def tell_policy(name: str, *, as_json: bool) -> None:
    """Print what a policy does, and its options."""
    from policies.meanings import about, options
    from policies.registry import specs
    from sim.show import terminal

    spec = specs()[name]
    told, found = about(spec), options(spec)
    if as_json:
        listed = [option.to_dict() for option in found]
        print_json({**{key: getattr(spec, key) for key in _SPEC}, "about": told, "options": listed})
        return
    for paragraph in (f"{name}: {spec.summary}", *told.split("\n\n")):
        terminal.say(paragraph)
    terminal.listing([(option.name, option.words) for option in found])


def _fitting(scenario: str, settings: list[str] | None, *, as_json: bool) -> None:
    """Print which policies fit a scenario."""
    from sim.runs.fitting import fits
    from sim.show import terminal

    found = fits(load(scenario, settings))
    if as_json:
        listed = [{"name": one.spec.name, "fits": one.fits, "reason": one.reason or None} for one in found]
        print_json({"scenario": scenario, "policies": listed})
        return
    terminal.listing([(one.spec.name, "fits" if one.fits else f"no: {one.reason}") for one in found])


@app.command(
    name="check",
    epilog=examples(
        "twin check my.toml",
        "twin check dtecn",
        "twin check runs/first",
        "twin check cases.parquet",
        "twin check drive.parquet",
    ),
)
def _check(
    file: Annotated[str, typer.Argument(help="Scenario (name or TOML file), directory of a run, case set, or import.")],
) -> int:
    """Validate a scenario; verify a trace, case set or import.

    A scenario is told which numbers physics forbids, and which readings of a paper no hardware has; both are allowed.
    Exit code 1 if rows do not have the digest that was written with them.
    """
    from sim.runs.check import check
    from sim.show import terminal

    verdict = check(file)
    for line in (verdict.text, *verdict.notes):
        terminal.say(line)
    return 0 if verdict.ok else 1
