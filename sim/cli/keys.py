"""`twin keys`: what a scenario may say, in which units and ranges."""

from __future__ import annotations

from typing import Annotated

import typer

from sim.cli.app import Json, app, print_json
from sim.cli.help import examples


@app.command(
    name="keys", epilog=examples("twin keys", "twin keys radio", "twin keys rsus.0.server", "twin keys --json")
)
def _keys(
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="Table or key, such as radio or time.num_slot.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List the keys of a scenario: meaning, unit, range, and what holds if a key is not given.

    They stand in a TOML file, or after --set. The first item of a list stands for all: rsus.0.name is any RSU's.
    """
    from sim.scenario.keys import keys
    from sim.show import terminal

    found = keys(prefix)
    if as_json:
        print_json({"keys": [key.to_dict() for key in found]})
        return
    terminal.listing([(key.name, f"{key.about} ({key.words})") for key in found])
