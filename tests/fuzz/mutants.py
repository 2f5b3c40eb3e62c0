"""One integer draws one mutant: a seed, one to four mutations, and a command; any of the mutations can be left out."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import columns, octets, tree, words
from tests.fuzz.corpus import Corpus, Seed
from tests.fuzz.dice import Dice

MIX: dict[str, float] = {
    "scenario": 24,
    "settings": 16,
    "arguments": 16,
    "run": 20,
    "study": 3,
    "sweep": 2,
    "import": 16,
    "canonical": 5,
    "cases": 6,
    "weights": 2,
    "model": 2,
    "language": 0.4,
}
"""How often each kind is drawn; what takes long, seldom."""
_TEXT = {".toml", ".json", ".csv", ".xml", ".gz"}


@dataclass(frozen=True)
class Mutant:
    """What an integer drew.

    number : the integer
    seed : what is mutated
    command : words, before they are mutated
    count : of mutations
    renewed : digests beside a file are written anew, so that what reads it believes it
    """

    number: int
    seed: Seed
    command: tuple[str, ...]
    count: int
    renewed: bool


def draw(number: int, corpus: Corpus) -> Mutant:
    """Draw a mutant."""
    dice = Dice(number)
    seed = dice.pick(corpus.of(dice.weighed(MIX)))
    count = dice.weighed({1: 6, 2: 2, 3: 1, 4: 1})
    return Mutant(number, seed, dice.pick(seed.commands), count, dice.chance(0.6))


def apply(mutant: Mutant, corpus: Corpus, kept: Sequence[int] | None = None) -> tuple[list[str], list[str]]:
    """Mutate what is in the working directory; return the command's words, and what was done.

    kept : which of the mutations are made; None: all
    """
    command, told = list(mutant.command), []
    for index in range(mutant.count) if kept is None else kept:
        dice = Dice(mutant.number, 1 + index)  # trailing zeros are no seed of their own
        if mutant.seed.kind == "settings":
            told.append(words.setting(dice, command, corpus.values[mutant.seed.name]))
        elif mutant.seed.kind == "arguments":
            told.append(dice.weighed(words.OF_WORDS)(dice, command) if len(command) > 1 else "nothing")
        else:
            told.append(_change(dice, mutant.seed))
    if mutant.renewed:
        _renew(Path("m.gguf"), Path("m.json"))
        _renew(Path("w.safetensors"), Path("w.json"))
    return command, told


def _change(dice: Dice, seed: Seed) -> str:
    path = Path(dice.pick(seed.files))
    if not path.is_file():
        return f"{path}: is no file any more"
    parquets = [Path(name) for name in seed.files if name.endswith(".parquet") and Path(name).is_file()]
    if dice.chance(0.08):
        return words.change_folder(dice, path, [other for other in parquets if other != path])
    if path.suffix in {".json", ".toml"} and dice.chance(0.7):
        return f"{path}: {tree.change_file(dice, path)}"
    if path.suffix == ".parquet" and dice.chance(0.7):
        return f"{path}: {columns.change_file(dice, path)}"
    weights = octets.OF_TEXT if path.suffix in _TEXT else octets.OF_BYTES
    return f"{path}: {octets.change_file(dice, path, weights)}"


def _renew(file: Path, sidecar: Path) -> None:
    """Let a sidecar tell the digest that its file has."""
    try:
        told = json.loads(sidecar.read_bytes())
        told["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        sidecar.write_text(json.dumps(told, indent=2), "utf-8")
    except (OSError, ValueError, TypeError, RecursionError):
        return


def run_command(command: Sequence[str]) -> None:
    """Call the command line as a program does."""
    from sim.cli import main

    sys.argv = ["twin", *command]
    main(command)
