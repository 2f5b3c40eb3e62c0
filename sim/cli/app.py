"""The command line.

Exit codes: 0 success; 1 the answer is no; 2 bad input, or the output cannot be written; 70 a fault of vectwin; 129, 130
and 143 ended by SIGHUP, Ctrl-C and SIGTERM; 141 nobody reads the output.

The module of a command is imported when the command is called, and a command imports what it needs itself. So
``twin --help`` and short runs are quick.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physical.errors import InputError, expected
from physical.nearest import nearest
from physical.printable import printable
from sim.cli import hints, output
from sim.cli.commands import COMMANDS, PANELS
from sim.cli.help import TwinCommand, TwinGroup, examples
from sim.runs import notices, stopping

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario

BAD_INPUT, INTERNAL, BROKEN_PIPE = 2, 70, 141
_INTERRUPT = 130
TRACEBACK = "VECTWIN_TRACEBACK"
# Errors of the machine, not of the code: disks that are full, broken or closed to this user, limits on the user's files
# and processes, and names that no file can have.
_NAMES = "NOSPC DQUOT FBIG ROFS IO ACCES PERM MFILE NFILE AGAIN NOMEM NAMETOOLONG LOOP NOTDIR ISDIR INVAL"
_MACHINE = {getattr(errno, f"E{name}") for name in _NAMES.split() if hasattr(errno, f"E{name}")}
_LINE_MAX, _WORD_MAX = 1_000, 250


class LazyCommands(TwinGroup):
    """The commands of ``twin``."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of a command, and return it."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            importlib.import_module(COMMANDS[cmd_name].target.partition(":")[0])
            loaded = typer.main.get_command(app)
            assert isinstance(loaded, TwinGroup)
            self.commands = loaded.commands
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; an error about an unknown command names similar ones."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            near = nearest(args[0], COMMANDS)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def make_context(self, *words: Any, **more: Any) -> Any:
        """Read the command line; on an interrupt, Typer alone would end with the code of Ctrl-C and no message."""
        try:
            return super().make_context(*words, **more)
        except KeyboardInterrupt:
            raise SystemExit(interrupted()) from None

    def invoke(self, ctx: Any) -> Any:
        """Call the command; on an interrupt, Typer alone would end without a message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return interrupted()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Write the commands by panel, without importing them."""
        width = max(map(len, COMMANDS))
        for panel, commands in PANELS.items():
            with formatter.section(panel):
                formatter.write_dl([(f"{name:{width}}", entry.about) for name, entry in commands.items()])


class _Typer(typer.Typer):
    """Makes commands that use our layout of help texts."""

    def command(self, name: str | None = None, **more: Any) -> Any:
        """Register a command."""
        return super().command(name, **{"cls": TwinCommand, **more})


def _typer(cls: type[TwinGroup] = TwinGroup, *, add_completion: bool = False) -> typer.Typer:
    return _Typer(
        cls=cls,
        add_completion=add_completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )


app = _typer(LazyCommands, add_completion=True)


def group(name: str, about: str, *lines: str) -> typer.Typer:
    """Return a group of commands; a call without one of its commands is an error.

    name : of the command
    about : its help
    lines : examples
    """
    made = _typer()

    def refuse(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            commands = ", ".join(command.name or "" for command in made.registered_commands)
            raise InputError("is missing", where="COMMAND", accepted=f"{commands}; see twin {name} --help")

    made.callback(invoke_without_command=True, help=about, epilog=examples(*lines))(refuse)
    app.add_typer(made, name=name)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # Imported objects stay until the end. Looking for garbage among them every 700 objects takes 5 % of a short run.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)  # no search at the end, when the process frees everything anyway
    # Without this, Pydantic looks for plug-ins in every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    words = sys.argv[1:] if arguments is None else arguments
    hints.begin(words)
    with output.streams(), stopping.as_interrupts(), notices.brief():
        try:
            code = _ended(_guarded(words))
        except KeyboardInterrupt:  # while the last messages were written
            code = stopping.exit_code()
    sys.exit(code)


def _ended(code: int) -> int:
    """Write buffered output; return the exit code, or that of an error if output is lost."""
    try:
        sys.stdout.flush()
    except OSError:
        output.abandon()
        return code or BROKEN_PIPE
    except output.Unwritable as error:
        output.abandon()
        return code or complain(str(error), BAD_INPUT)
    return code


def _guarded(words: Sequence[str]) -> int:
    """Run the command line and return the exit code; every error has become one line on stderr."""
    try:
        output.check_words(words)
        code = app(args=words, prog_name="twin", standalone_mode=False)
        if code == _INTERRUPT and stopping.exit_code() != code:  # Typer's, between the methods above
            return interrupted()
        sys.stdout.flush()
    except output.Unwritable as error:
        output.abandon()
        return complain(str(error), BAD_INPUT)
    except InputError as error:
        if error.__cause__ is not None:  # for example an error in a policy's own code
            _trace(error)
        return complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return interrupted()
    except BrokenPipeError:
        return _abandon_stdout()
    except SystemExit as error:
        # Typer and rich turn a closed pipe into an exit; completion ends with an exit too.
        if isinstance(error.__context__, BrokenPipeError):
            return _abandon_stdout()
        return error.code if isinstance(error.code, int) else _internal(error)
    except ImportError as error:
        return _not_imported(error)
    except MemoryError:
        return complain("memory: there is not enough for this (accepted: fewer slots, vehicles or rows)", BAD_INPUT)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error; where its class lives depends on the version of typer
            return complain(_usage(error), BAD_INPUT)
        if isinstance(error, OSError) and error.errno is not None and error.errno in _MACHINE:
            _trace(error)
            return complain(f"{error.filename or 'files'}: cannot be used: {os.strerror(error.errno)}", BAD_INPUT)
        return _internal(error)
    return code if isinstance(code, int) else 0


def _not_imported(error: ImportError) -> int:
    """Name the extra that is missing, or the file that hides one of our packages."""
    try:
        importlib.import_module("sim").check_packages()
        told = importlib.import_module("physical.extras").missing(error, "twin")
    except ImportError as shadowed:
        told = shadowed
    if told is None:
        return _internal(error)
    _trace(error)
    return complain(str(told), BAD_INPUT)


def _internal(error: BaseException) -> int:
    """Report a fault of vectwin."""
    _trace(error)
    return complain(f"internal error: {type(error).__name__}: {error} (set {TRACEBACK}=1 to see where)", INTERNAL)


def _trace(error: BaseException) -> None:
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)


def complain(text: str, code: int) -> int:
    """Print one line on stderr, for a person also the next steps; return the exit code."""
    typer.echo(f"twin: {_line(text)}", err=True)
    hints.after_failure(text, code, internal=INTERNAL)
    return code


def warn(text: str) -> None:
    """Print a warning on stderr, and go on."""
    note(f"warning: {text}")


def note(text: str) -> None:
    """Print a line on stderr, and go on."""
    typer.echo(f"twin: {_line(text)}", err=True)


def _line(text: str) -> str:
    """Return a text as one printable line of limited length, whatever it quotes."""
    words = map(printable, text.split())
    line = " ".join(f"{word[:100]}...{word[-50:]}" if len(word) > _WORD_MAX else word for word in words)
    if len(line) <= _LINE_MAX:
        return line
    return f"{line[: _LINE_MAX // 2]} ... {line[-_LINE_MAX // 2 :]}"  # the accepted values are at the end


def interrupted(text: str = "interrupted") -> int:
    """Print one line about a command that a signal has ended; return the exit code."""
    return complain(text, stopping.exit_code())


def _abandon_stdout() -> int:
    """Stop all writing to a pipe that nobody reads."""
    output.abandon()
    return BROKEN_PIPE


def _usage(error: Any) -> str:
    """Return a usage error as ``PLACE: problem (accepted: ...)``."""
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
        return f"{place}: {cause.errors()[0]['input']!r} is wrong (accepted: {expected(problem)})"
    return f"{place}: {problem} (accepted: see {command} --help)"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"twin {version('vectwin')}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog=examples("twin run dtecn", "twin run dtecn --policy random --seed 3 --slots 200 --json", "twin run --help"),
)
def _twin(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Vehicular edge computing with a digital twin: simulate, decide, record, replay."""
    if context.invoked_subcommand is None:
        raise InputError("is missing", where="COMMAND", accepted=f"{', '.join(COMMANDS)}; see twin --help")


BY_PATH = "or a class of your own, ./policy.py:CLASS[,OPTION=VALUE,...]"
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="What simulates: columns, fast; events, a process per vehicle and server; auto. Results are equal.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a scenario value, e.g. vehicles.num_vehicle=4; repeatable."
    ),
]


def print_json(value: object) -> None:
    """Print one JSON object."""
    typer.echo(json.dumps(value, allow_nan=False))


def load(
    source: str,
    settings: Sequence[str] | None,
    slots: int | None = None,
    duration: str | None = None,
    engine: str | None = None,
) -> Scenario:
    """Read a scenario with its settings, another length and engine if one is given; durations become whole slots.

    Impossible values in its files are named on stderr.
    """
    from sim.engine.choice import with_engine
    from sim.scenario.files import InputFiles

    scenario = with_engine(_load(source, settings, slots, duration), engine)
    for warning in InputFiles(scenario).warnings():
        warn(warning)
    return scenario


def _load(source: str, settings: Sequence[str] | None, slots: int | None, duration: str | None) -> Scenario:
    from sim.scenario.scenario import Scenario

    changes = [*(settings or ())]
    try:
        scenario = Scenario.load(source, changes)
    except InputError as error:
        # Another length may repair an error about the length; no other error can be repaired.
        if error.key != "time.num_slot" or "too many" not in error.problem:
            raise
        scenario = None
    if slots is not None and duration is not None:
        raise InputError("are given both", where="--slots, --duration", accepted="one of them")
    if duration is not None:
        known = scenario or Scenario.load(source, [*changes, "time.num_slot=1"])
        slots = _whole_slots(duration, known.time.slot_duration_s)
    if slots is None:
        return scenario or Scenario.load(source, changes)
    origin = {"time.num_slot": "--slots" if duration is None else "--duration"}
    return Scenario.load(source, [*changes, f"time.num_slot={slots}"], origin=origin)


def _whole_slots(text: str, slot_duration_s: float) -> int:
    from physical.quantity import accepted, parse
    from physical.ticks import HORIZON_S

    try:
        duration_s = parse(text if re.search(r"[a-zµμ]\s*$", text) else float(text), "s")
    except ValueError:
        raise InputError(f"{text!r} is not a duration", where="--duration", accepted=accepted("s")) from None
    if duration_s <= 0:
        raise InputError(f"{text!r} is out of range", where="--duration", accepted="> 0")
    if duration_s > HORIZON_S:
        accepted_ = f"at most {int(HORIZON_S)} s, the range of the clock"
        raise InputError(f"{text!r} is out of range", where="--duration", accepted=accepted_)
    # 0.3 s are 3 slots of 0.1 s, although 0.3 / 0.1 is a little more than 3.
    return max(1, -int(-(duration_s / slot_duration_s - 1e-9) // 1))
