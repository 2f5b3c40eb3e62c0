"""`twin report` and `twin export`: runs for people without vectwin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from physical.errors import InputError
from physical.printable import printable
from sim.cli import output
from sim.cli.app import Json, app, print_json
from sim.cli.help import examples

_FORMATS = ("perfetto", "csv")


@app.command(
    name="report",
    epilog=examples(
        "twin report runs/first --out first.html",
        "twin report runs/first runs/what-if --out compared.html",
        "twin report runs/compare-rush-hour-1a2b3c4d",
    ),
)
def _report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Directories of runs, or the one of a comparison or a sweep.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.html", help="Where the page goes; by default report.html, in RUN if it is one."
        ),
    ] = None,
    maps: Annotated[
        int,
        typer.Option("--maps", min=0, metavar="N", help="Of a comparison: simulate a seed of N policies for the map."),
    ] = 4,
    as_json: Json = False,
) -> None:
    """Write one self-contained page about a run, about several side by side, or about a comparison or a sweep.

    It needs no network and no server: the numbers that matter, a map with the vehicles moving, charts on one time axis,
    and tables. Runs may be incomplete, as far as they are recorded. Of a comparison it ranks the policies, and
    simulates one seed of the best ones again for the map.
    """
    from sim.show import terminal
    from sim.show.report.write import default_out, write_report

    if not runs:
        raise InputError("is missing", where="RUN", accepted="directories of runs, of a comparison or of a sweep")
    file = default_out(runs) if out is None else out
    with terminal.spinner("writing the report", shown=not as_json and sys.stderr.isatty()):
        size = write_report(runs, file, maps)
    output.results_in(file)
    if as_json:
        print_json({"report": str(file), "bytes": size, "runs": [str(run) for run in runs]})
    else:
        typer.echo(printable(f"{file}: {size / 1e6:.1f} MB"))


@app.command(
    name="export",
    epilog=examples(
        "twin export runs/first --to perfetto --out first.json.gz      # open with https://ui.perfetto.dev",
        "twin export runs/first --to perfetto --from 10 --until 12 --out two-seconds.json",
        "twin export runs/first --to csv --out first-csv",
        "twin export runs/first --to csv --tables slots,tasks --out first.zip",
    ),
)
def _export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")],
    to: Annotated[str, typer.Option("--to", metavar="perfetto|csv", help="Format.")],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="perfetto: FILE.json or FILE.json.gz; csv: directory, FILE.zip."),
    ],
    tables: Annotated[
        str | None, typer.Option("--tables", metavar="NAME,...", help="csv: which tables; by default all with rows.")
    ] = None,
    begin: Annotated[
        float | None, typer.Option("--from", metavar="SECONDS", help="perfetto: slots that begin then or later.")
    ] = None,
    until: Annotated[
        float | None, typer.Option("--until", metavar="SECONDS", help="perfetto: slots that begin before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run for another tool: trace events (Perfetto, Chrome), or one CSV file per table.

    Perfetto shows every vehicle, serving node, edge server and the cloud with what they did when. Large runs are best
    cut with --from and --until. The CSV files come with units.csv, the units of all columns.
    """
    if to not in _FORMATS:
        raise InputError(f"there is no format {to!r}", where="--to", accepted=", ".join(_FORMATS))
    if to == "csv":
        for option, value in (("--from", begin), ("--until", until)):
            if value is not None:
                raise InputError("goes with --to perfetto only", where=option, accepted="whole tables in CSV files")
        _export_csv(run, out, tables, as_json=as_json)
        return
    if tables is not None:
        raise InputError("goes with --to csv only", where="--tables")
    _export_perfetto(run, out, (begin, until), as_json=as_json)


def _export_csv(run: Path, out: Path, tables: str | None, *, as_json: bool) -> None:
    from sim.show import terminal
    from sim.show.export.csv import write_csv
    from traces.reader import Trace
    from traces.schema import TABLES

    chosen = [] if tables is None else [name.strip() for name in tables.split(",")]
    shown = not as_json and sys.stderr.isatty()
    with terminal.progress(len(chosen) or len(TABLES), shown=shown, what="tables") as progress:
        rows = write_csv(Trace(run), out, chosen, progress)
    output.results_in(out)
    if as_json:
        print_json({"export": str(out), "rows": rows})
    else:
        terminal.say(f"{out}: {', '.join(f'{count} {name}' for name, count in rows.items())}; units in units.csv")


def _export_perfetto(run: Path, out: Path, between: tuple[float | None, float | None], *, as_json: bool) -> None:
    from sim.runs.replay import RecordedRun
    from sim.show import terminal
    from sim.show.export.perfetto.file import TraceEvents, check_name, write_perfetto

    check_name(out)
    export = TraceEvents(RecordedRun(run), *between)
    with terminal.progress(export.num_stage, shown=not as_json and sys.stderr.isatty(), what="stages") as progress:
        num = write_perfetto(export, out, progress)
    size = out.stat().st_size
    output.results_in(out)
    if as_json:
        print_json({"export": str(out), "events": num, "bytes": size})
    else:
        terminal.say(f"{out}: {num} events, {size / 1e6:.1f} MB; open with https://ui.perfetto.dev")
