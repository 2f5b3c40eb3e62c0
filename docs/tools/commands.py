"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.tools.markdown import anchored, barred, code, prose, table
from sim.cli.app import app
from sim.cli.commands import PANELS
from sim.cli.help import parameters

INTRODUCTION = """\
# Commands

This page says what `twin --help` and the help of each command say.

A scenario is the name of a built-in one (`twin scenarios` lists them) or a TOML file. On a terminal, commands end with
what one may want next; `--quiet`, `--json` and a pipe leave that out. Where no `twin` is on the path,
`python -P -m sim.cli` is the same; without `-P`, Python looks for our packages in the current folder first.

## Exit codes { #exit-codes }

| Code | Meaning |
| --- | --- |
| 0 | Success. |
| 1 | The answer is no: a replay differs, or a check fails. |
| 2 | Bad input, or no place for the output. One line on stderr names the file, the key, what is wrong and what is \
accepted. |
| 70 | A fault of vectwin's own. Set `VECTWIN_TRACEBACK=1` to see where. |
| 129, 130, 143 | Ended by SIGHUP, Ctrl-C, SIGTERM. A run finishes its slot and closes its trace; a study keeps its \
finished runs. A second signal ends at once. |
| 141 | Nobody reads the output any more. |

## Environment variables { #environment }

| Variable | What it does |
| --- | --- |
| `VECTWIN_TRACEBACK` | With any text, a fault of vectwin's own shows where in the code it is. |
| `OMP_NUM_THREADS`, `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS` | Threads of the libraries that NumPy computes with. \
`1` is best where several runs go on at once; the processes of `--workers` have it. |
"""
_EXAMPLES = "\b\nExamples:\n"


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, "## Options of twin itself { #twin }", *_tables("twin", *_top())]
    found = dict(commands())
    for panel, entries in PANELS.items():
        parts.append(f"## {panel} {{ #{anchor_of(panel.lower())} }}")
        for name in entries:
            parts += [_section(path, found[path]) for path in found if path.split(" ")[0] == name]
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield all commands by their path, such as ``cases build``, each with its context.

    >>> "import fcd" in dict(commands())
    True
    """
    yield from _below(*_top(), "")


def _top() -> tuple[Any, Any]:
    """Return ``twin`` itself, and its context."""
    top: Any = typer.main.get_command(app)
    return top, top.context_class(top, info_name="twin")


def _below(group: Any, context: Any, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command.context_class(command, info_name=name, parent=context)
        here = f"{path} {name}".strip()
        yield here, (command, inner)
        if hasattr(command, "list_commands"):
            yield from _below(command, inner, here)


def anchor_of(path: str) -> str:
    """Return what a link to a command ends with.

    >>> anchor_of("import fcd")
    'import-fcd'
    """
    return path.replace(" ", "-")


def _section(path: str, found: tuple[Any, Any]) -> str:
    command, context = found
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [
        f"{'####' if ' ' in path else '###'} twin {path} {{ #{anchor_of(path)} }}",
        *(prose(" ".join(text.split())) for text in (command.help or "").split("\n\n")),
        f"```text\n{usage}\n```",
    ]
    return "\n\n".join([*parts, *_tables(path, command, context), *_examples(command.epilog or "")])


def _tables(path: str, command: Any, context: Any) -> list[str]:
    """Return what a command takes: its arguments and its options."""
    parts = []
    if arguments := parameters(command, context, "argument"):
        rows = [(code(_name(written)), *_told(said)) for written, said in arguments]
        parts.append(table(("Argument", "Meaning", "Limits and default"), rows))
    if options := parameters(command, context, "option"):
        rows = [(_option(path, written), *_told(said)) for written, said in options]
        parts.append(table(("Option", "Meaning", "Limits and default"), rows))
    return parts


def _name(written: str) -> str:
    return written.strip("[]")


def _option(path: str, written: str) -> str:
    """Return an option with an anchor of its own: `--seeds` of `compare` is at `compare--seeds`."""
    longest = re.findall(r"--[a-z][\w-]*", written)[0]
    return anchored(written, f"{anchor_of(path)}{longest}")


def _told(said: str) -> tuple[str, str]:
    """Separate a help text from what stands in brackets behind it.

    >>> _told("How many.  [default: 2; at least 1]")
    ('How many.', 'default: 2; at least 1')
    """
    found = re.fullmatch(r"(.*?)(?:  \[([^\]]*)\])?", said, re.DOTALL)
    assert found is not None
    return barred(prose(found[1])), barred(prose(found[2] or ""))


def _examples(epilog: str) -> list[str]:
    if not epilog.startswith(_EXAMPLES):
        return []
    lines = [line[2:] for line in epilog.removeprefix(_EXAMPLES).splitlines()]
    shown = [line if line.startswith(" ") else f"$ {line}" for line in lines]
    return ["```console\n" + "\n".join(shown) + "\n```"]
