"""`twin bench`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sim.cli.app import Json, app, print_json
from sim.cli.help import examples


@app.command(name="bench", epilog=examples("twin bench", "twin bench kernel --json"))
def _bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Which ones; by default all but study and jobs, which take a quarter of an hour each."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure speed as ratios; takes minutes."""
    from sim import bench
    from sim.show import terminal

    reports = {}
    for spec in bench.select(names or ()):
        with terminal.spinner(f"{spec.name}: {spec.summary}", shown=not as_json and sys.stderr.isatty()):
            report = spec.load()()
        reports[spec.name] = report.values
        if not as_json:
            terminal.report(report)
    if as_json:
        print_json(reports)
