"""The layout of help texts: names of arguments in capitals, no Python types, no cut line, 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from typer.core import TyperCommand, TyperGroup

from physical.errors import InputError

_COLUMN_MAX = 24
"""Width of the left column; a wider entry has its own line."""
_PATHS = ("--out", "--plot")
_WIDTH = 72
"""Width of an example."""


def _written(name: str) -> str:
    """Return an argument or an option as users write it on a command line.

    >>> _written("--slots <int range>"), _written("file <path>"), _written("RUN... <list[Path]>")
    ('--slots N', 'FILE', 'RUN...')
    """
    if name.startswith("-"):
        return re.sub("<int( range)?>", "N", re.sub("<str>", "TEXT", name))
    return re.sub(r" <.*>$", "", name).upper()


def _said(text: str) -> str:
    """Return a help text with its limits in words.

    >>> _said("How many.  [default: 2; x>=1]")
    'How many.  [default: 2; at least 1]'
    """
    return re.sub(r"\bx>=(\S+?)(?=[;\]])", r"at least \1", text)


def _usage(pieces: Iterable[str]) -> list[str]:
    """Return the pieces of a line of usage.

    >>> _usage(["[OPTIONS]", "{scenario}", "{RUN...}..."])
    ['[OPTIONS]', 'SCENARIO', 'RUN...']
    """
    return [re.sub(r"\{(.*)\}", lambda found: found[1].upper(), piece).replace("......", "...") for piece in pieces]


def parameters(command: Any, ctx: Any, kind: str) -> list[tuple[str, str]]:
    """Return the parameters of a command as they are written, each with its help.

    kind : "argument" or "option"
    """
    records = [one.get_help_record(ctx) for one in command.get_params(ctx) if one.param_type_name == kind]
    return [(_written(record[0]), _said(record[1])) for record in records if record is not None]


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        if rows := parameters(command, ctx, kind):
            with formatter.section(title):
                formatter.write_dl(rows, col_max=_COLUMN_MAX)


class TwinCommand(TyperCommand):
    """A command of ``twin``, whose help fits into 80 columns."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an empty text for an option that takes a path, because it would mean the current folder."""
        for word, following in pairwise([*args, "--"]):
            option, equals, text = word.partition("=")
            if option in _PATHS and not (text if equals else following).strip():
                raise InputError("is empty", where=option, accepted="a path")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the part of the usage after the command's name."""
        return _usage(super().collect_usage_pieces(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options."""
        _write_parameters(self, ctx, formatter)


class TwinGroup(TyperGroup):
    """A group of commands."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options, then commands."""
        _write_parameters(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each with the whole first line of its help."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, (one.help or "").partition("\n\n")[0]) for name, one in found.items() if one])


def examples(*lines: str) -> str:
    """Return examples for the end of a help text; a long one continues in the next line, as a shell reads it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for example in lines for line in _broken(example))


def _broken(example: str) -> list[str]:
    r"""Break an example into lines before options.

    >>> _broken("twin run dtecn " + "--set " + "a" * 52 + " --json")
    ['twin run dtecn \\', '    --set aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --json']
    """
    first, *options = re.split(r" (?=--)", example)
    lines = [first]
    for option in options:
        if len(lines[-1]) + len(option) + 1 > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {option}")
        else:
            lines[-1] += f" {option}"
    return lines
