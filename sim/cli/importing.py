"""``twin import``: traces from elsewhere become canonical Parquet files, checked and quantised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.app import Json, group, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from traces.exogenous import ExogenousTrace

imports = group(
    "import",
    "Import a trace: check it, quantise it once, and write it as canonical Parquet.",
    "twin import fcd --help",
    "twin import csv --help",
)


_PLURAL = {"entity_id": "entities", "link_id": "links"}


File = Annotated[Path, typer.Argument(metavar="FILE", help="What to import.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="Where the canonical file goes.")]
Licence = Annotated[str, typer.Option("--licence", metavar="TEXT", help="Of the source; kept with the rows.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="CANONICAL=NAME", help="Which column of the file is which of ours; repeatable."),
]


@imports.command(
    name="fcd",
    epilog=examples(
        "twin import fcd town.fcd.xml.gz --out town.parquet",
        'twin import fcd town.fcd.parquet --out town.parquet --licence "EPL-2.0" --json',
    ),
)
def _fcd(file: File, out: Out, licence: Licence = "", as_json: Json = False) -> None:
    """Import SUMO's floating car data: .xml, .xml.gz, .csv, .csv.gz or .parquet."""
    _import_file("fcd", file, out, None, licence, as_json)


@imports.command(
    name="csv",
    epilog=examples(
        "twin import csv drive.csv --out drive.parquet",
        "twin import csv drive.csv --out drive.parquet --map t_s=time --map entity_id=car --map x_m=easting "
        "--map y_m=northing --map speed_mps=v",
    ),
)
def _csv(file: File, out: Out, mapped: Map = None, licence: Licence = "", as_json: Json = False) -> None:
    """Import mobility from columns, CSV or Parquet.

    Columns: t_ns (ns, or date and time) or t_s; entity_id, x_m, y_m, speed_mps; optional: kind, and heading_rad
    (counter-clockwise from east) or angle_deg (clockwise from north).
    """
    _import_file("csv", file, out, mapped, licence, as_json)


@imports.command(
    name="requests",
    epilog=examples(
        "twin import requests AzureLLMInferenceTrace_code.csv --out code.parquet",
        "twin import requests mine.csv --out mine.parquet --map t_s=arrival --map num_input_token=prompt "
        "--map num_output_token=answer",
    ),
)
def _requests(file: File, out: Out, mapped: Map = None, licence: Licence = "", as_json: Json = False) -> None:
    """Import requests to language models from columns, CSV or Parquet.

    Columns: t_ns (ns, or date and time) or t_s; num_input_token, num_output_token. Times count from the first request.
    """
    _import_file("requests", file, out, mapped, licence, as_json)


@imports.command(
    name="link",
    epilog=examples(
        "twin import link drive.csv --out drive.parquet",
        "twin import link drive.csv --out drive.parquet --map t_ns=Timestamp --map uplink_rate_bps=UL_bitrate",
    ),
)
def _link(file: File, out: Out, mapped: Map = None, licence: Licence = "", as_json: Json = False) -> None:
    """Import rates of links from columns, CSV or Parquet.

    Columns: t_ns (ns, or date and time) or t_s; uplink_rate_bps; optional: downlink_rate_bps, link_id. Times count from
    the earliest row; of rows of one link and time the last counts.
    """
    _import_file("link", file, out, mapped, licence, as_json)


def _import_file(kind: str, file: Path, out: Path, mapped: list[str] | None, licence: str, as_json: bool) -> None:
    from sim import show
    from traces.exogenous import MobilityTrace, import_file, parse_map
    from traces.exogenous.presence import jump_of

    trace = import_file(kind, file, out, parse_map(mapped or ()), licence=licence)
    if isinstance(trace, MobilityTrace) and (jump := jump_of(trace)):
        typer.echo(f"twin: warning: {file}: {jump}", err=True)
    summary = {"file": str(out), **trace.summary()}
    if as_json:
        print_json(summary)
    else:
        show.say(_line(trace, summary))


def _line(trace: ExogenousTrace, summary: dict[str, Any]) -> str:
    """Return the result in one line."""
    entities = f", {summary['num_entity']} {_PLURAL[trace.group]}" if trace.group else ""
    step_ns, left_out = summary["step_ns"], summary["num_left_out"]
    step = "no common step" if step_ns is None else f"step {step_ns / 1e9:g} s"
    rest = f", {left_out} rows left out" if left_out else ""
    return (
        f"{summary['file']}: {summary['num_row']} rows{entities}, {summary['begin_s']:g} to {summary['end_s']:g} s, "
        f"{step}{rest}, digest {summary['digest']}"
    )
