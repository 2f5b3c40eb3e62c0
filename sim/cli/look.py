"""`twin scenarios`, `twin policies` and `twin check`: what there is, and whether it is right."""

from __future__ import annotations

from typing import Annotated

import typer

from sim.cli.app import Json, app, print_json
from sim.cli.help import examples


@app.command(name="scenarios", epilog=examples("twin scenarios", "twin scenarios --json"))
def _scenarios(as_json: Json = False) -> None:
    """List the built-in scenarios, and which readings of a paper they keep that no hardware has."""
    from sim import show
    from sim.scenario import Scenario, names

    found = {name: Scenario.load(name) for name in names()}
    if as_json:
        listed = [{"name": name, "title": one.title, "readings": one.readings()} for name, one in found.items()]
        print_json({"scenarios": listed})
        return
    rows = []
    for name, one in found.items():
        rows += [(name, one.title), *(("", f"- {reading}") for reading in one.readings())]
    show.listing(rows)


@app.command(name="policies", epilog=examples("twin policies", "twin policies --json"))
def _policies(as_json: Json = False) -> None:
    """List the policies, and which extra they need."""
    from policies.registry import specs
    from sim import show

    found = specs().values()
    if as_json:
        keys = ("name", "summary", "extra", "installed")
        print_json({"policies": [{key: getattr(spec, key) for key in keys} for spec in found]})
        return
    rows = []
    for spec in found:
        extra = f" [extra {spec.extra}: {'installed' if spec.installed else 'not installed'}]" if spec.extra else ""
        rows.append((spec.name, f"{spec.summary}{extra}"))
    show.listing(rows)


@app.command(
    name="check",
    epilog=examples("twin check my.toml", "twin check dtecn", "twin check runs/first", "twin check cases.parquet"),
)
def _check(
    file: Annotated[str, typer.Argument(help="Scenario (name or TOML file), directory of a run, or case set.")],
) -> int:
    """Validate a scenario, or verify a trace or a case set.

    A scenario is told which numbers physics forbids, and which readings of a paper no hardware has; both are allowed.
    Exit code 1 if rows do not have the digest that was written with them.
    """
    from sim import show
    from sim.check import check

    verdict = check(file)
    for line in (verdict.text, *verdict.notes):
        show.say(line)
    return 0 if verdict.ok else 1
