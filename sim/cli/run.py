"""`twin run`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from physical.errors import InputError
from sim.cli import hints, output
from sim.cli.app import BY_PATH, Engine, Json, Settings, app, interrupted, load, print_json, warn
from sim.cli.help import examples


@app.command(
    name="run",
    epilog=examples(
        "twin run dtecn",
        "twin run dtecn --policy greedy-cost --seed 1 --out runs/first",
        'twin run dtecn --duration "2 s" --set vehicles.num_vehicle=40 --set "server.frequency_hz=1.6 THz"',
        "twin run dtecn --duration 5 --realtime 1",
        "twin run dtecn --policy ./policy.py:BestChannels,part=0.8",
        "twin run dtecn --slots 50 --engine events",
        "twin run my.toml --slots 100 --set tasks.0.size_bytes=[100,5000] --json",
    ),
)
def _run(
    scenario: Annotated[str, typer.Argument(help="Built-in name or TOML file.")],
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help=f"Who decides, see twin policies; {BY_PATH}."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers.")] = 0,
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="How many slots to simulate.")] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="SECONDS", help='Or for how long, e.g. 2 or "500 ms".')
    ] = None,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the trace goes; by default below runs/.")
    ] = None,
    realtime: Annotated[
        float | None,
        typer.Option("--realtime", metavar="X", help="Pace the run: X simulated seconds per second of wall time."),
    ] = None,
    engine: Engine = None,
    as_json: Json = False,
    quiet: hints.Quiet = False,
) -> int:
    """Simulate a scenario: write a trace, print a summary."""
    from policies.registry import make
    from sim.runs.run import run
    from sim.show import terminal

    chosen = load(scenario, settings, slots, duration, engine)
    make(chosen.policy.fallback, where=f"{scenario}: policy.fallback")
    name = policy if policy is not None else chosen.policy.name
    directory = out if out is not None else free_directory(scenario, name, seed)
    if realtime is not None and not (math.isfinite(realtime) and realtime > 0):
        raise InputError(f"{realtime:g} is no speed", where="--realtime", accepted="> 0; 1 is real time")
    try:
        with terminal.progress(chosen.time.num_slot, shown=hints.is_shown(silent=as_json or quiet)) as progress:
            result = run(chosen, policy=policy, seed=seed, out=directory, progress=progress, speed=realtime)
    except InputError as error:
        if error.where == "--policy" and policy is None:
            error.where = f"{scenario}: policy.name"
        elif error.where.startswith(("timeline.", "policy.", "engine")):
            error.where = f"{scenario}: {error.where}"
        raise
    except OSError as error:
        place = str(error.filename or directory)
        raise InputError(f"cannot be used: {error.strerror or error}", where=place) from error
    output.results_in(directory)
    if as_json:
        print_json({**result.summary, "trace": str(directory), "status": result.status})
    else:
        terminal.summary(result.summary, f"{scenario}, policy {name}, seed {seed}", directory, chosen.readings())
    if fallbacks := result.summary["fallbacks"]:
        told = f"{fallbacks} of {result.summary['decisions']} decisions were taken by the fallback"
        warn(f"{told}; the first, {result.summary['fallback_first']}")
    if not_closed := result.summary.get("not_closed"):
        warn(not_closed)
    code = 0
    if result.status == "interrupted":
        done = result.summary["slots"]
        code = interrupted(f"interrupted after {done} of {chosen.time.num_slot} slots; trace: {directory}")
    is_whole = slots is None and duration is None
    changes = hints.set_words(settings, None if is_whole else chosen.time.num_slot)
    hints.tell(hints.after_run(directory, chosen, scenario, name, changes))
    return code


def free_directory(scenario: str, policy: str, seed: int) -> Path:
    """Return ``runs/<scenario>-<policy>-seed<S>``, with a number if it exists already."""
    from policies.foreign.origin import portable

    words = re.sub(r"[^\w.]+", "-", f"{Path(scenario).stem}-{portable(policy)}").strip("-.")
    return hints.unused(Path("runs") / f"{words[:120]}-seed{seed}")
