"""The command line. Exit codes: 0; 1 the answer is no; 2 bad input; 70 a fault of ours; 130 interrupted.

Heavy imports stand inside the commands, so that ``twin --help`` is quick.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physical.errors import InputError

if TYPE_CHECKING:
    from sim.scenario import Scenario

BAD_INPUT, INTERNAL, INTERRUPTED, BROKEN_PIPE = 2, 70, 130, 141
TRACEBACK = "VECTWIN_TRACEBACK"

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_guarded(arguments))


def _guarded(arguments: Sequence[str] | None) -> int:
    """Return the exit code; whatever went wrong has become one line on stderr."""
    try:
        code = app(args=arguments, prog_name="twin", standalone_mode=False)
        sys.stdout.flush()
    except InputError as error:
        return _complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _abandon_stdout()
    except SystemExit as error:
        # Typer and rich turn a closed pipe into an exit.
        return _abandon_stdout() if isinstance(error.__context__, BrokenPipeError) else _internal(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error; where its class lives depends on the version of typer
            return _complain(_usage(error), BAD_INPUT)
        return _internal(error)
    return code if isinstance(code, int) else 0


def _internal(error: BaseException) -> int:
    """Report what should not have happened."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    return _complain(f"internal error: {type(error).__name__}: {error} (set {TRACEBACK}=1 to see where)", INTERNAL)


def _complain(text: str, code: int) -> int:
    typer.echo("twin: " + " ".join(text.split()), err=True)
    return code


def _abandon_stdout() -> int:
    """Let nobody write to a pipe that nobody reads, not even Python when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def _usage(error: Any) -> str:
    """Spell a usage error as ``PLACE: problem (accepted: ...)``."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "twin"
    place = command.removeprefix("twin").strip() or "command line"
    parameter = getattr(error, "param", None)
    if parameter is not None:
        place = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar or parameter.name.upper()
    if parameter is not None and "issing" in type(error).__name__:
        return f"{place}: is missing (accepted: see {command} --help)"
    problem = ((error.message if parameter is not None else "") or error.format_message()).rstrip(".")
    problem = problem.replace(" Did you mean", " did you mean").replace("'. did", "'; did")
    cause = error.__cause__
    if parameter is not None and hasattr(cause, "errors"):  # pydantic's, which knows the value
        accepted = problem.removeprefix("Input should be ").partition(",")[0]
        return f"{place}: {cause.errors()[0]['input']!r} is wrong (accepted: {accepted})"
    return f"{place}: {problem} (accepted: see {command} --help)"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twin {version('vectwin')}")
        raise typer.Exit


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@app.callback(
    invoke_without_command=True,
    epilog=_examples("twin run dtecn", "twin run dtecn --policy random --seed 3 --slots 200 --json", "twin run --help"),
)
def _twin(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Vehicular edge computing with a digital twin: simulate, decide, record, replay."""
    if context.invoked_subcommand is None:
        commands = ", ".join(command.name or "" for command in app.registered_commands)
        raise InputError("is missing", where="COMMAND", accepted=f"{commands}; see twin --help")


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a scenario value, e.g. vehicles.num_vehicle=4; repeatable."
    ),
]


@app.command(
    name="run",
    epilog=_examples(
        "twin run dtecn",
        "twin run dtecn --policy greedy-cost --seed 1 --out runs/first",
        'twin run dtecn --duration "2 s" --set vehicles.num_vehicle=40 --set "server.frequency_hz=1.6 THz"',
        "twin run my.toml --slots 100 --set tasks.0.size_bytes=[100,5000] --json",
    ),
)
def _run(
    scenario: Annotated[str, typer.Argument(help="Built-in name or TOML file.")],
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help="Who decides; see twin policies.")
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
    as_json: Json = False,
) -> int:
    """Simulate a scenario: write a trace, print a summary."""
    from policies.registry import make
    from sim import show
    from sim.scenario import Scenario
    from sim.simulation import run

    chosen = _with_length(Scenario.load(scenario, settings or ()), slots, duration)
    make(chosen.policy.fallback, where=f"{scenario}: policy.fallback")
    name = policy if policy is not None else chosen.policy.name
    directory = out if out is not None else _free_directory(scenario, name, seed)
    try:
        with show.progress(chosen.time.num_slot, shown=not as_json and sys.stderr.isatty()) as progress:
            result = run(chosen, policy=name, seed=seed, out=directory, progress=progress)
    except InputError as error:
        if error.where == "--policy" and policy is None:
            error.where = f"{scenario}: policy.name"
        raise
    except OSError as error:
        place = str(error.filename or directory)
        raise InputError(f"cannot be used: {error.strerror or error}", where=place) from error
    if as_json:
        _print_json({**result.summary, "trace": str(directory), "status": result.status})
    else:
        show.summary(result.summary, f"{scenario}, policy {name}, seed {seed}", directory)
    if result.status == "interrupted":
        done = result.summary["slots"]
        return _complain(f"interrupted after {done} of {chosen.time.num_slot} slots; trace: {directory}", INTERRUPTED)
    return 0


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, allow_nan=False))


def _with_length(scenario: Scenario, slots: int | None, duration: str | None) -> Scenario:
    """Return the scenario with another number of slots; a duration is rounded up to whole ones."""
    if slots is not None and duration is not None:
        raise InputError("are given both", where="--slots, --duration", accepted="one of them")
    if slots is None and duration is None:
        return scenario
    num_slot = slots if slots is not None else _whole_slots(duration or "", scenario.time.slot_duration_s)
    data = scenario.model_dump(mode="json")
    data["time"]["num_slot"] = num_slot
    return type(scenario).from_dict(data, where="--slots" if slots is not None else "--duration")


def _whole_slots(text: str, slot_duration_s: float) -> int:
    from physical.quantity import accepted, parse

    try:
        duration_s = parse(text if re.search(r"[a-zµμ]\s*$", text) else float(text), "s")
    except ValueError:
        raise InputError(f"{text!r} is not a duration", where="--duration", accepted=accepted("s")) from None
    if duration_s <= 0:
        raise InputError(f"{text!r} is out of range", where="--duration", accepted="> 0")
    # 0.3 s are 3 slots of 0.1 s, although 0.3 / 0.1 is a little more than 3.
    return max(1, -int(-(duration_s / slot_duration_s - 1e-9) // 1))


def _free_directory(scenario: str, policy: str, seed: int) -> Path:
    """Return ``runs/<scenario>-<policy>-seed<S>``, numbered if that exists."""
    words = re.sub(r"[^\w.]+", "-", f"{Path(scenario).stem}-{policy}").strip("-.")
    base = Path("runs") / f"{words[:120]}-seed{seed}"
    number = 1
    directory = base
    while directory.exists():
        number += 1
        directory = base.with_name(f"{base.name}-{number}")
    return directory


@app.command(
    name="compare",
    epilog=_examples(
        "twin compare dtecn-congested --policies local-only,edge-equal,greedy-latency --seeds 0..19",
        "twin compare my.toml --policies random,greedy-cost --seeds 0..4 --slots 500 --out runs/mine --json",
    ),
)
def _compare(
    scenario: Annotated[str, typer.Argument(help="Built-in name or TOML file.")],
    policies: Annotated[str, typer.Option("--policies", metavar="A,B,...", help="Who is compared.")],
    seeds: Annotated[str, typer.Option("--seeds", metavar="0..19", help="Range or list; every policy gets all.")],
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Whom the others are compared with; by default the first.")
    ] = None,
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="How many slots to simulate.")] = None,
    settings: Settings = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes to use.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where results go; by default below runs/.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare policies on common random numbers: means, and paired differences with 95 % intervals.

    Finished runs are kept: a comparison that was stopped goes on where it was.
    """
    from sim import compare, show
    from sim.scenario import Scenario

    chosen = _with_length(Scenario.load(scenario, settings or ()), slots, None)
    directory = out if out is not None else compare.default_directory(scenario, chosen)
    names, numbers = compare.parse_policies(policies), compare.parse_seeds(seeds)
    try:
        num_run = len(names) * len(numbers)
        with show.progress(num_run, shown=not as_json and sys.stderr.isatty(), what="runs") as progress:
            comparison = compare.compare(
                chosen, names, numbers, directory, baseline=baseline, num_worker=workers, progress=progress
            )
    except KeyboardInterrupt:
        return _complain(f"interrupted; finished runs are kept, the same command goes on: {directory}", INTERRUPTED)
    if as_json:
        _print_json({**comparison.to_dict(), "directory": str(directory)})
    else:
        show.comparison(comparison, f"{scenario}, {len(numbers)} seeds", directory)
    return 0


@app.command(name="scenarios", epilog=_examples("twin scenarios", "twin scenarios --json"))
def _scenarios(as_json: Json = False) -> None:
    """List the built-in scenarios."""
    from sim.scenario import Scenario, names

    titles = {name: Scenario.load(name).title for name in names()}
    if as_json:
        _print_json({"scenarios": [{"name": name, "title": title} for name, title in titles.items()]})
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        typer.echo(f"{name:{width}}  {title}")


@app.command(name="policies", epilog=_examples("twin policies", "twin policies --json"))
def _policies(as_json: Json = False) -> None:
    """List the policies, and which extra they need."""
    from policies.registry import specs

    found = specs().values()
    if as_json:
        keys = ("name", "summary", "extra", "installed")
        _print_json({"policies": [{key: getattr(spec, key) for key in keys} for spec in found]})
        return
    width = max(len(spec.name) for spec in found)
    for spec in found:
        extra = f" [extra {spec.extra}: {'installed' if spec.installed else 'not installed'}]" if spec.extra else ""
        typer.echo(f"{spec.name:{width}}  {spec.summary}{extra}")


@app.command(name="check", epilog=_examples("twin check my.toml", "twin check dtecn", "twin check runs/first"))
def _check(
    file: Annotated[str, typer.Argument(help="Scenario (name or TOML file), or directory of a run.")],
) -> int:
    """Validate a scenario, or verify a trace.

    Exit code 1 if rows of a trace do not have the digest that its manifest gives.
    """
    from sim.check import check

    verdict = check(file)
    typer.echo(verdict.text)
    return 0 if verdict.ok else 1


@app.command(name="bench", epilog=_examples("twin bench", "twin bench kernel --json"))
def _bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which ones; by default all.")] = None,
    as_json: Json = False,
) -> None:
    """Measure speed as ratios; takes minutes."""
    from sim import bench, show

    reports = {}
    for spec in bench.select(names or ()):
        with show.spinner(f"{spec.name}: {spec.summary}", shown=not as_json and sys.stderr.isatty()):
            report = spec.load()()
        reports[spec.name] = report.values
        if not as_json:
            show.report(report)
    if as_json:
        _print_json(reports)


if __name__ == "__main__":
    main()
