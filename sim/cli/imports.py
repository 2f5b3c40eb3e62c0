"""``twin import``: traces from elsewhere become canonical Parquet files, checked and quantised."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from physical.errors import InputError
from sim.cli import output
from sim.cli.app import Json, group, print_json, warn
from sim.cli.help import examples

imports = group(
    "import",
    "Import a trace: check it, quantise it once, and write it as canonical Parquet.",
    "twin import fcd --help",
    "twin import csv --help",
)


File = Annotated[Path, typer.Argument(metavar="FILE", help="What to import.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="Where the canonical file goes.")]
Licence = Annotated[str, typer.Option("--licence", metavar="TEXT", help="Of the source; kept with the rows.")]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="CANONICAL=NAME[:UNIT]",
        help="Which column of the file is which of ours, and in which unit; repeatable.",
    ),
]
TimeFormat = Annotated[
    str, typer.Option("--time-format", metavar="FORMAT", help="Of texts of times, as strptime has it.")
]
Geo = Annotated[
    bool | None,
    typer.Option("--geo/--no-geo", help="x and y are longitude and latitude, or metres; else it is recognised."),
]
Origin = Annotated[
    str,
    typer.Option("--origin", metavar="LAT,LON", help="Where x and y are 0; default: their median."),
]


@imports.command(
    name="fcd",
    epilog=examples(
        "twin import fcd town.fcd.xml.gz --out town.parquet",
        'twin import fcd town.fcd.parquet --out town.parquet --licence "EPL-2.0" --json',
        "twin import fcd geo.fcd.xml --out town.parquet --geo --origin 44.49,11.34",
    ),
)
def _fcd(
    file: File, out: Out, geo: Geo = None, origin: Origin = "", licence: Licence = "", as_json: Json = False
) -> None:
    """Import SUMO's floating car data: XML, CSV or Parquet, the first two also gzipped.

    Longitudes and latitudes (--fcd-output.geo) become metres east and north of the origin. Speeds that the file does
    not tell are derived from positions. Times are seconds, or clocks (--human-readable-time).
    """
    _import_file("fcd", file, out, None, licence, as_json, geo=geo, origin=_origin(origin))


@imports.command(
    name="csv",
    epilog=examples(
        "twin import csv drive.csv --out drive.parquet",
        "twin import csv drive.csv --out drive.parquet --map t_s=time --map entity_id=car --map x_m=easting "
        "--map y_m=northing --map speed_mps=v:km/h",
        "twin import csv gps.csv --out gps.parquet --map t_ns=when --map entity_id=taxi --map lon_deg=lng "
        "--map lat_deg=lat",
    ),
)
def _csv(
    file: File,
    out: Out,
    mapped: Map = None,
    time_format: TimeFormat = "",
    geo: Geo = None,
    origin: Origin = "",
    licence: Licence = "",
    as_json: Json = False,
) -> None:
    """Import mobility from columns, CSV or Parquet.

    Columns: t_ns (ns, or date and time) or t_s; entity_id; x_m, y_m, or lon_deg, lat_deg; optional: speed_mps (else
    derived from positions), kind, and heading_rad (counter-clockwise from east) or angle_deg (clockwise from north).
    A unit stands behind the name: t_s=time:ms, speed_mps=v:km/h. Dates whose year is not first need --time-format.
    """
    told = {"geo": geo, "origin": _origin(origin), "time_format": time_format}
    _import_file("csv", file, out, mapped, licence, as_json, **told)


@imports.command(
    name="requests",
    epilog=examples(
        "twin import requests AzureLLMInferenceTrace_code.csv --out code.parquet",
        "twin import requests mine.csv --out mine.parquet --map t_s=arrival:ms --map num_input_token=prompt "
        "--map num_output_token=answer",
    ),
)
def _requests(
    file: File,
    out: Out,
    mapped: Map = None,
    time_format: TimeFormat = "",
    licence: Licence = "",
    as_json: Json = False,
) -> None:
    """Import requests to language models from columns, CSV or Parquet.

    Columns: t_ns (ns, or date and time) or t_s; num_input_token, num_output_token. Times count from the first request.
    A unit stands behind the name: t_ns=time:ms. Dates whose year is not first need --time-format.
    """
    _import_file("requests", file, out, mapped, licence, as_json, time_format=time_format)


@imports.command(
    name="link",
    epilog=examples(
        "twin import link drive.csv --out drive.parquet",
        "twin import link drive.csv --out drive.parquet --map t_ns=Timestamp --map uplink_rate_bps=UL_bitrate:kbit/s "
        "--map downlink_rate_bps=DL_bitrate:kbit/s",
    ),
)
def _link(
    file: File,
    out: Out,
    mapped: Map = None,
    time_format: TimeFormat = "",
    licence: Licence = "",
    as_json: Json = False,
) -> None:
    """Import rates of links from columns, CSV or Parquet.

    Columns: t_ns (ns, or date and time) or t_s; uplink_rate_bps; optional: downlink_rate_bps, link_id. Times count from
    the earliest row; of rows of one link and time the last counts. A unit stands behind the name: t_ns=time:ms,
    uplink_rate_bps=up:Mbit/s. Dates whose year is not first need --time-format.
    """
    _import_file("link", file, out, mapped, licence, as_json, time_format=time_format)


def _origin(text: str) -> tuple[float, float] | None:
    """Return latitude and longitude of an option."""
    if not text:
        return None
    try:
        lat_deg, lon_deg = map(float, text.split(","))
    except ValueError:
        lat_deg, lon_deg = math.nan, math.nan
    if not (abs(lat_deg) <= 90 and abs(lon_deg) <= 180):
        raise InputError(f"{text!r} is no place", where="--origin", accepted="LAT,LON in degrees, such as 44.49,11.34")
    return lat_deg, lon_deg


def _import_file(
    kind: str, file: Path, out: Path, mapped: list[str] | None, licence: str, as_json: bool, **told: Any
) -> None:
    from sim.runs import imported
    from sim.show import terminal
    from traces.exogenous import MobilityTrace, import_file, parse_map
    from traces.exogenous.presence import jump_of

    column_map = parse_map(mapped or ())
    trace = import_file(kind, file, out, column_map, licence=licence, **told)
    output.results_in(out)
    warnings = imported.doubts(trace, column_map)
    if isinstance(trace, MobilityTrace) and (jump := jump_of(trace)):
        warnings.append(jump)
    for warning in warnings:
        warn(f"{file}: {warning}")
    if as_json:
        print_json({"file": str(out), **trace.summary()})
        return
    terminal.say(f"{out}: {imported.line(trace)}")
    for note in trace.provenance.notes:
        terminal.say(note)
