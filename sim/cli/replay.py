"""`twin replay` and `twin branch`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physical.errors import InputError
from sim.cli.app import INTERRUPTED, Json, app, complain, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from sim.replay import RecordedRun
    from sim.simulation import RunResult

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the new trace goes; by default nowhere.")]


@app.command(
    name="replay",
    epilog=examples(
        "twin replay runs/first",
        "twin replay runs/first --policy greedy-cost --out runs/what-if",
        "twin replay runs/first --policy p2-exact --json",
    ),
)
def _replay(
    run: Run,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help="Who decides instead.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Simulate a run again: with its recorded decisions, and compare every table; or with another policy.

    Exit code 1 if the replay differs from the record; the first difference is printed.
    """
    from sim import replay, show

    if policy is not None:
        with show.progress(_num_slot(run), shown=not as_json and sys.stderr.isatty()) as progress:
            recorded, result = replay.counterfactual(run, policy, out, progress)
        return _present(recorded, result, policy, out, as_json=as_json)
    if out is not None:
        raise InputError("goes with --policy only", where="--out", accepted="a replay that verifies writes nothing")
    with show.progress(_num_slot(run), shown=not as_json and sys.stderr.isatty()) as progress:
        found = replay.verify(run, progress)
    if found.result.status == "interrupted":
        return complain("interrupted", INTERRUPTED)
    difference = found.difference
    if as_json:
        place = None if difference is None else vars(difference)
        print_json({"identical": difference is None, "difference": place, **found.result.summary})
    elif difference is None:
        what = "what the killed run recorded is" if found.recorded.status == "running" else "is"
        typer.echo(f"{run}: {what} identical, {found.recorded.num_slot} slots, digest {found.result.summary['digest']}")
    else:
        typer.echo(f"{run}: differs: {difference}")
    return 0 if difference is None else 1


@app.command(
    name="branch",
    epilog=examples(
        "twin branch runs/first --at 30 --policy p2-exact --out runs/from-30s",
        "twin branch runs/first --at 0.5 --policy local-only --json",
    ),
)
def _branch(
    run: Run,
    at: Annotated[float, typer.Option("--at", metavar="SECONDS", help="When the other policy takes over.")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help="Who decides from then on.")
    ],
    out: Out = None,
    as_json: Json = False,
) -> int:
    """Simulate a run as recorded before a time, and with another policy from then on."""
    from sim import replay, show

    with show.progress(_num_slot(run), shown=not as_json and sys.stderr.isatty()) as progress:
        recorded, result = replay.branch(run, at, policy, out, progress)
    return _present(recorded, result, f"{recorded.policy}, from {at:g} s {policy}", out, as_json=as_json)


def _num_slot(run: Path) -> int:
    from traces.reader import Trace

    scenario = Trace(run).manifest.get("scenario")
    time = scenario.get("time") if isinstance(scenario, dict) else None
    num_slot = time.get("num_slot") if isinstance(time, dict) else None
    return num_slot if isinstance(num_slot, int) else 0


def _present(recorded: RecordedRun, result: RunResult, policy: str, out: Path | None, *, as_json: bool) -> int:
    """Print both runs side by side."""
    from sim import show

    original = recorded.trace.manifest.get("summary", {})
    if as_json:
        trace = None if out is None else str(out)
        print_json({**result.summary, "trace": trace, "status": result.status, "original": original})
    else:
        show.side_by_side({recorded.policy: original, policy: result.summary}, f"{recorded.trace.directory}", out)
    if result.status == "interrupted":
        return complain(f"interrupted after {result.summary['slots']} slots", INTERRUPTED)
    return 0
