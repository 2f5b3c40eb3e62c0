"""`twin scenarios`, `twin policies` and `twin check`: what there is, and whether it is right."""

from __future__ import annotations

from typing import Annotated

import typer

from sim.cli.app import Json, app, examples, print_json


@app.command(name="scenarios", epilog=examples("twin scenarios", "twin scenarios --json"))
def _scenarios(as_json: Json = False) -> None:
    """List the built-in scenarios."""
    from sim.scenario import Scenario, names

    titles = {name: Scenario.load(name).title for name in names()}
    if as_json:
        print_json({"scenarios": [{"name": name, "title": title} for name, title in titles.items()]})
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        typer.echo(f"{name:{width}}  {title}")


@app.command(name="policies", epilog=examples("twin policies", "twin policies --json"))
def _policies(as_json: Json = False) -> None:
    """List the policies, and which extra they need."""
    from policies.registry import specs

    found = specs().values()
    if as_json:
        keys = ("name", "summary", "extra", "installed")
        print_json({"policies": [{key: getattr(spec, key) for key in keys} for spec in found]})
        return
    width = max(len(spec.name) for spec in found)
    for spec in found:
        extra = f" [extra {spec.extra}: {'installed' if spec.installed else 'not installed'}]" if spec.extra else ""
        typer.echo(f"{spec.name:{width}}  {spec.summary}{extra}")


@app.command(
    name="check",
    epilog=examples("twin check my.toml", "twin check dtecn", "twin check runs/first", "twin check cases.parquet"),
)
def _check(
    file: Annotated[str, typer.Argument(help="Scenario (name or TOML file), directory of a run, or case set.")],
) -> int:
    """Validate a scenario, or verify a trace or a case set.

    Exit code 1 if rows do not have the digest that was written with them.
    """
    from sim.check import check

    verdict = check(file)
    typer.echo(verdict.text)
    return 0 if verdict.ok else 1
