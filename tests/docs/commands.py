"""What pages tell their readers to type: split as a shell does, and checked against the command line without a run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from physical.errors import InputError
from policies.registry import load, look_up, parameters_of
from sim.cli import app
from sim.cli.app import load as load_scenario
from sim.cli.commands import COMMANDS
from sim.scenario import keys
from sim.scenario.sources import names
from sim.studies import compare
from sim.studies.sweep import parse_grid
from tests.docs.pages import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("twin", "python", "cat", "ls", "mkdir", "cp", "make", "pip", "source")
NOT_RUN = ("make", "pip", "source")
"""Programs that change the machine, or the shell: their arguments are looked up."""
_SIGNS = "|&;<>"


class CommandError(AssertionError):
    """A command that could not be typed as it stands."""


def split(text: str) -> list[list[str]]:
    """Split a line into commands, at ``&&``.

    >>> split("twin check a.toml && twin run a.toml --set 'radio.noise_w=\\"-92 dBm\\"'  # a comment")
    [['twin', 'check', 'a.toml'], ['twin', 'run', 'a.toml', '--set', 'radio.noise_w="-92 dBm"']]
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_SIGNS)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word == "&&":
            found.append([])
        elif set(word) <= set(_SIGNS):
            raise CommandError(f"{text!r}: pages show no {word}")
        else:
            found[-1].append(word)
    for words in found:
        if not words or words[0] not in PROGRAMS:
            raise CommandError(f"{text!r}: pages show {', '.join(PROGRAMS)} only")
    return found


def check(words: Sequence[str], folder: Path) -> None:
    """Check a command that is not run.

    folder : where the page's files are

    Raises
    ------
    CommandError : it could not be called like that
    """
    try:
        if words[0] == "twin":
            _check_twin(words[1:], folder)
        elif words[0] == "make":
            _check_make(words[1:])
        elif words[0] == "pip":
            _check_pip(words[1:])
        elif words[0] == "source" and list(words[1:]) != [".venv/bin/activate"]:
            raise CommandError("what make makes is .venv/bin/activate")
    except (InputError, CommandError) as error:
        raise CommandError(f"{shlex.join(words)}: {error}") from error
    except Exception as error:
        if not hasattr(error, "format_message"):  # a usage error; where its class lives depends on the version of typer
            raise
        raise CommandError(f"{shlex.join(words)}: {error.format_message()}") from error


def check_spoken(text: str) -> None:
    """Check a command in prose, which may leave things out: its name, and the options that it names.

    >>> check_spoken("twin import csv --map x_m=east")
    """
    words = [word for word in text.split()[1:] if word not in ("...", "…")]
    command, rest = _find(words)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word) and word.partition("=")[0] not in known | {"--help", "-h"}:
            raise CommandError(f"{text!r}: there is no option {word}")


def _find(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the command that is called, and its arguments."""
    command: Any = typer.main.get_command(app)
    rest, place = list(words), "twin"
    while rest and hasattr(command, "get_command") and not rest[0].startswith("-") and not rest[0].isupper():
        place = f"{place} {rest[0]}"
        found = command.get_command(None, rest.pop(0))
        if found is None:
            raise CommandError(f"there is no command {place!r}")
        command = found
    return command, rest


def _check_twin(words: Sequence[str], folder: Path) -> None:
    if not words or words[0] not in COMMANDS:
        raise CommandError(f"there is no command {' '.join(words[:1])!r}")
    command, rest = _find(words)
    if {"--help", "-h"} & set(rest):
        return
    given = dict(command.make_context(words[0], list(rest)).params)
    _check_names(words[0], given)
    for name in (given.get("policy"), *compare.parse_policies(given.get("policies") or "local-only")):
        if name is not None:
            _check_policy(name)
    settings = [*(given.get("settings") or ())]
    if "grid" in given:
        settings += [f"{key}={value}" for key, texts in parse_grid(given["grid"]).items() for value in texts[:1]]
    if given.get("scenario") is not None:
        _check_scenario(given, settings, folder)


def _check_names(command: str, given: dict[str, Any]) -> None:
    """Check what the program itself looks at when it runs."""
    tellers: dict[str, Callable[[str], object]] = {
        "seeds": compare.parse_seeds,
        "warmup": compare.parse_warmup,
        "precision": compare.parse_precision,
        "prefix": keys.keys,
    }
    for name, tell in tellers.items():
        if given.get(name):
            tell(given[name])
    if command == "export" and given["to"] not in ("perfetto", "csv"):
        raise CommandError(f"there is no format {given['to']!r}")
    if command == "train" and given["algorithm"] not in ("apg", "maddpg", "ddpg"):
        raise CommandError(f"there is no trainer {given['algorithm']!r}")
    if command == "figures" and given["paper"] not in ("dtecn", "llm6g"):
        raise CommandError(f"there is no paper {given['paper']!r}")
    if command == "bench":
        from sim import bench

        bench.select(given["names"] or ())


def _check_policy(text: str) -> None:
    """Check a policy's name, and of one that is installed the names of its options."""
    found = look_up(text, by_path=True)
    if not isinstance(found.spec.target, str) or not found.spec.installed:
        return
    for option in found.options.keys() - parameters_of(load(found.spec)):
        raise CommandError(f"{found.spec.name} has no option {option!r}")


def _check_scenario(given: dict[str, Any], settings: list[str], folder: Path) -> None:
    """Check a scenario with its settings and length; of a file that is not there only the keys of the settings."""
    source, file = given["scenario"], folder / given["scenario"]
    if source in names() or file.is_file():
        read = source if source in names() else str(file)
        load_scenario(read, settings, given.get("slots"), given.get("duration"))
        return
    if not source.endswith(".toml"):
        raise CommandError(f"there is no scenario {source!r}")
    for setting in settings:
        keys.keys(setting.partition("=")[0])


def _check_make(words: Sequence[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    for word in words:
        if "=" not in word and word not in targets:
            raise CommandError(f"there is no target {word!r}")


def _check_pip(words: Sequence[str]) -> None:
    """Let nothing but vectwin and its extras be installed."""
    if words[:1] != ["install"] or len(words) < 2:
        raise CommandError("pages show pip install only")
    for word in words[1:]:
        named = re.fullmatch(r"(?:vectwin|\.)(?:\[([a-z,]+)\])?", word)
        if word != "-e" and (named is None or not set((named[1] or "all").split(",")) <= {*EXTRAS, "all"}):
            raise CommandError(f"{word!r} is neither vectwin nor one of its extras")
