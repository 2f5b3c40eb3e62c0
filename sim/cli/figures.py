"""`twin figures`."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physical.errors import InputError
from sim.cli import output, studies
from sim.cli.app import Json, app, interrupted, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from sim.show.figures import Produced

_SEEDS, _SEEDS_QUICK = "0..19", "0..2"
_NUM_WORKER = 2


@app.command(
    name="figures",
    epilog=examples(
        "twin figures llm6g --out figures/llm6g --workers 2",
        "twin figures dtecn --out figures/dtecn --workers 2",
        "twin figures dtecn --out /tmp/look --quick --mode corrected",
        "twin figures dtecn --out figures/dtecn --executor dask --scheduler tcp://10.0.0.1:8786",
    ),
)
def _figures(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="dtecn (Figs. 3-6) or llm6g (Figs. 1, 2).")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where figures, data and claims.md go.")],
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="0..19", help=f"By default {_SEEDS}, with --quick {_SEEDS_QUICK}."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes to use; by default 2, with dask one for each core."),
    ] = None,
    executor: studies.Executor = None,
    scheduler: studies.Scheduler = None,
    mode: Annotated[
        str, typer.Option("--mode", metavar="A,B", help="Model modes: corrected, paper.")
    ] = "corrected,paper",
    quick: Annotated[bool, typer.Option("--quick", help="Few seeds and points: a first look, marked as such.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what is kept already.")] = False,
    as_json: Json = False,
) -> int:
    """Draw a paper's figures anew, and test what it claims: DIR/claims.md.

    Takes minutes. Finished runs are kept: what was stopped goes on where it was.
    """
    from sim.show import figures, terminal
    from sim.show.figures import drawing, measure
    from sim.studies.compare import parse_seeds
    from sim.studies.pool import Pool
    from traces.folder import folder_for

    chosen = seeds if seeds is not None else _SEEDS_QUICK if quick else _SEEDS
    numbers = parse_seeds(chosen)
    plan = figures.load(paper, quick=quick)
    modes = figures.parse_modes(mode, plan)
    drawing.require("twin figures")
    folder_for(
        out,
        ("claims.md", "claims.csv"),
        ("runs", "runs.parquet", *(f"{figure.name}-*" for figure in plan.figures)),
        what="figures of the same command",
    )
    num_worker = _NUM_WORKER if workers is None and executor in (None, "local") else workers
    who = studies.Who(num_worker, executor, scheduler, fresh=fresh).options
    del who["keep_traces"]
    Pool(None, **who)  # what it refuses is not told after a minute of trial runs
    shown = not as_json and sys.stderr.isatty()
    with terminal.spinner("which policies can be run here", shown=shown):
        plan = measure.runnable(plan)
    words = ["twin", "figures", paper, "--out", str(out), "--seeds", chosen]
    command = shlex.join([*words, "--mode", ",".join(modes), *(["--quick"] if quick else [])])
    num_run = plan.num_run(len(modes), len(numbers))
    try:
        with terminal.progress(num_run, shown=shown, what="runs") as progress:
            produced = figures.produce(plan, modes, numbers, out, command=command, **who, progress=progress)
    except KeyboardInterrupt:
        return interrupted(f"interrupted; finished runs are kept, the same command goes on: {out}")
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot be written: {why}", where=str(error.filename or out)) from error
    output.results_in(out)
    if as_json:
        print_json({**produced.to_dict(), "directory": str(out)})
    else:
        _say(produced, out)
    return 0


def _say(produced: Produced, out: Path) -> None:
    """Print how many claims reproduce in each mode, and where the files are."""
    from sim.show import terminal

    for policy, reason in produced.measured.plan.missing.items():
        terminal.say(f"not run: {policy} ({reason})")
    for mode in produced.measured.modes:
        counts = Counter(one.verdict for one in produced.judged if one.mode == mode)
        terminal.say(f"mode {mode}: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    terminal.say(f"figures, their data and the claims: {out}, {out / 'claims.md'}")
