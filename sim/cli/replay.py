"""`twin replay` and `twin branch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physical.errors import InputError
from sim.cli import hints, output
from sim.cli.app import BY_PATH, Engine, Json, app, interrupted, print_json
from sim.cli.help import examples
from sim.cli.hints import Step

if TYPE_CHECKING:
    from sim.runs.replay import RecordedRun
    from sim.runs.run import RunResult

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the new trace goes; by default nowhere.")]


@app.command(
    name="replay",
    epilog=examples(
        "twin replay runs/first",
        "twin replay runs/first --policy greedy-cost --out runs/what-if",
        "twin replay runs/first --policy p2-exact --json",
        "twin replay runs/first --engine events",
    ),
)
def _replay(
    run: Run,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help=f"Who decides instead; {BY_PATH}.")
    ] = None,
    out: Out = None,
    engine: Engine = None,
    as_json: Json = False,
    quiet: hints.Quiet = False,
) -> int:
    """Simulate a run again: with its recorded decisions, and compare every table; or with another policy.

    The engine is that of the recorded scenario. With --engine the other one can replay it, and must agree.
    Exit code 1 if the replay differs from the record; the first difference is printed.
    """
    from sim.runs import replay
    from sim.show import terminal

    if policy is not None:
        with terminal.progress(_num_slot(run), shown=hints.is_shown(silent=as_json or quiet)) as progress:
            recorded, result = replay.counterfactual(run, policy, out, progress, engine=engine)
        again = ["replay", run, "--policy", policy, *hints.engine_words(engine)]
        return _present(recorded, result, policy, (out, again), as_json=as_json)
    if out is not None:
        raise InputError("goes with --policy only", where="--out", accepted="a replay that verifies writes nothing")
    with terminal.progress(_num_slot(run), shown=hints.is_shown(silent=as_json or quiet)) as progress:
        found = replay.verify(run, progress, engine=engine)
    if found.result.status == "interrupted":
        return interrupted()
    difference = found.difference
    if as_json:
        place = None if difference is None else difference.to_dict()
        print_json({"identical": difference is None, "difference": place, **found.result.summary})
    elif difference is None:
        what = "what the killed run recorded is" if found.recorded.status == "running" else "is"
        terminal.say(
            f"{run}: {what} identical, {found.recorded.num_slot} slots, digest {found.result.summary['digest']}"
        )
    else:
        terminal.say(f"{run}: differs: {difference}")
    if difference is None:
        other = hints.other_policy(found.recorded.scenario, found.recorded.policy)
        hints.tell([_keeping("what if", ["replay", run, "--policy", other]), Step("look at it", hints.report(run))])
    else:
        hints.tell([Step("is it as it was written", ["check", run])])
    return 0 if difference is None else 1


@app.command(
    name="branch",
    epilog=examples(
        "twin branch runs/first --at 30 --policy p2-exact --out runs/from-30s",
        "twin branch runs/first --at 0.5 --policy local-only --json",
        "twin branch runs/first --at 0.5 --policy local-only --engine events",
    ),
)
def _branch(
    run: Run,
    at: Annotated[float, typer.Option("--at", metavar="SECONDS", help="When the other policy takes over.")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help=f"Who decides from then on; {BY_PATH}.")
    ],
    out: Out = None,
    engine: Engine = None,
    as_json: Json = False,
    quiet: hints.Quiet = False,
) -> int:
    """Simulate a run as recorded before a time, and with another policy from then on."""
    from sim.runs import replay
    from sim.show import terminal

    with terminal.progress(_num_slot(run), shown=hints.is_shown(silent=as_json or quiet)) as progress:
        recorded, result = replay.branch(run, at, policy, out, progress, engine=engine)
    again = ["branch", run, "--at", at, "--policy", policy, *hints.engine_words(engine)]
    return _present(recorded, result, f"{recorded.policy}, from {at:g} s {policy}", (out, again), as_json=as_json)


def _num_slot(run: Path) -> int:
    from traces.reader import Trace

    scenario = Trace(run).manifest.get("scenario")
    time = scenario.get("time") if isinstance(scenario, dict) else None
    num_slot = time.get("num_slot") if isinstance(time, dict) else None
    return num_slot if isinstance(num_slot, int) else 0


def _keeping(what_for: str, command: Sequence[object]) -> Step:
    """Return a command with an own directory for the trace, beside the run, which is the command's second word."""
    return Step(what_for, [*command, "--out", hints.unused(hints.beside(Path(str(command[1])), "-what-if"))])


def _present(
    recorded: RecordedRun,
    result: RunResult,
    policy: str,
    kept: tuple[Path | None, Sequence[object]],
    *,
    as_json: bool,
) -> int:
    """Print both runs side by side.

    policy : name of the new run
    kept : directory of the new trace, if there is one, and the command without it
    """
    from sim.show import terminal

    out, command = kept
    original = recorded.trace.manifest.get("summary", {})
    output.results_in(out)
    if as_json:
        trace = None if out is None else str(out)
        print_json({**result.summary, "trace": trace, "status": result.status, "original": original})
    else:
        before = recorded.policy if policy != recorded.policy else f"{policy} (recorded)"
        terminal.side_by_side({before: original, policy: result.summary}, f"{recorded.trace.directory}", out)
    if result.status == "interrupted":
        return interrupted(f"interrupted after {result.summary['slots']} slots")
    if out is None:
        hints.tell([_keeping("keep it", command)])
    else:
        hints.tell(
            [Step("look at both", hints.report(recorded.trace.directory, out)), Step("check it", ["check", out])]
        )
    return 0
