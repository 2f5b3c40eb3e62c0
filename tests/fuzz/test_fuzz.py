"""Mutated inputs and arguments end commands with 0, 1 or 2 and in one line; and what looks for that would see it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.cli.commands import COMMANDS
from tests.fuzz import tree, words
from tests.fuzz.campaign import Laboratory, Tried, printable
from tests.fuzz.corpus import ARGUMENTS, Corpus, Seed
from tests.fuzz.culprits import CULPRITS, GOOD
from tests.fuzz.dice import Dice
from tests.fuzz.mutants import MIX, apply, draw
from tests.fuzz.octets import OF_TEXT

ROOT = Path(__file__).resolve().parents[2]
COUNT = 300


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module in a process that has one thread."""
    command = [sys.executable, "-m", *map(str, arguments)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=variables)


@pytest.mark.full
def test_no_mutant_violates() -> None:
    needed = ("torch", "safetensors", "llama_cpp", "gguf")
    extras = [] if all(map(importlib.util.find_spec, needed)) else ["--no-models"]
    done = python("tests.fuzz", "--mutants", f"0..{COUNT - 1}", *extras)
    assert done.returncode == 0, f"{done.stdout[-6_000:]}\n{done.stderr[-3_000:]}"
    ends = {int(code): int(count) for count, code in re.findall(r"(\d+) with (-?\d+)", done.stdout)}
    assert set(ends) == {0, 1, 2}
    assert ends[0] > 0.1 * COUNT, "mutants that are refused at the door find nothing behind it"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    done = python("tests.fuzz.culprits", tmp_path_factory.mktemp("culprits"))
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", CULPRITS)
def test_the_verdict_sees(name: str, verdicts: dict[str, list[str]]) -> None:
    assert any(CULPRITS[name][1] in one for one in verdicts[name]), verdicts[name]


@pytest.mark.parametrize("name", GOOD)
def test_the_verdict_passes(name: str, verdicts: dict[str, list[str]]) -> None:
    assert verdicts[name] == []


# -------------------------------------------------------------------------------------------------------------- mutants


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A corpus of names only."""
    seeds = tuple(Seed(kind, kind, (("check", "a.toml"), ("run", "a.toml")), ("a.toml", "b.json")) for kind in MIX)
    return Corpus(tmp_path, seeds, {"settings": {"a": 1, "b.c": "x"}})


TEXTS = {"a.toml": 'x = 1\n[y]\nz = ["a", 2.5]\n', "b.json": '{"x": 1, "y": {"z": [1, 2]}}'}


def mutated(number: int, corpus: Corpus) -> tuple[Any, ...]:
    """Make a mutant of small files in the working directory; return the command, what was done, and the files."""
    for name, text in TEXTS.items():
        path = Path(name)
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")
    command, told = apply(draw(number, corpus), corpus)
    return command, told, [path.read_text("latin-1") if (path := Path(name)).is_file() else None for name in TEXTS]


def test_an_integer_draws_a_mutant(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changed = 0
    for number in range(100):
        command, told, after = mutated(number, corpus)
        assert (command, told, after) == mutated(number, corpus)
        changed += after != list(TEXTS.values()) or command != list(draw(number, corpus).command)
    assert changed > 90  # a bit can be flipped back, a word be replaced by itself
    assert {draw(number, corpus).seed.kind for number in range(1_000)} == set(MIX)


def test_a_mutation_is_the_same_without_the_others(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mutant = next(one for number in range(1_000) if (one := draw(number, corpus)).count > 2 and not one.seed.files[2:])
    texts = {}
    for kept in ((0,), (1,), (0, 1), ()):
        for name, text in TEXTS.items():
            Path(name).write_text(text, "utf-8")
        texts[kept] = apply(mutant, corpus, kept)[1]
    assert texts[()] == []
    assert texts[0, 1][0] == texts[0,][0]


def test_every_command_is_mutated() -> None:
    takes_minutes = {"bench", "figures"}
    assert {command[0] for command in ARGUMENTS} == set(COMMANDS) - takes_minutes


def test_dice_of_a_mutation_are_not_those_of_its_mutant() -> None:
    draws = [Dice(*seed).octets(8) for seed in ((7,), (7, 1), (7, 2), (8,))]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("change", OF_TEXT)
def test_every_mutation_of_bytes_changes_them(change: object) -> None:
    assert callable(change)
    data = b'x = 12\ny = "some text"\n[table]\nz = [1.5, 2]\n'
    found = [change(Dice(3, number), data)[0] for number in range(20)]
    assert sum(one != data for one in found) > 15
    assert len(set(found)) > 3
    assert isinstance(change(Dice(3, 1), b"")[0], bytes)


def test_what_a_tree_says_can_be_written_as_toml() -> None:
    import tomllib

    said = {"a": {"b c": [1, -2.5, True, "x\ny", {"d": []}]}, "e": float("inf")}
    assert tomllib.loads(tree.to_toml(said)) == said


def test_no_mutation_asks_for_hours() -> None:
    """Words that say how much work there is stay what they are."""
    for number in range(500):
        command = ["run", "a.toml", "--slots", "2", "--workers", "1"]
        for step in range(4):
            dice = Dice(number, step)
            dice.weighed(words.OF_WORDS)(dice, command)
        for option, value in (("--slots", "2"), ("--workers", "1")):
            assert [command[at + 1] for at, word in enumerate(command) if word == option] == [value]


# ------------------------------------------------------------------------------------------------------------- smaller


class Imagined(Laboratory):
    """A laboratory where a mutant violates if certain mutations are among its own."""

    def __init__(self, guilty: set[int]) -> None:
        self.guilty = guilty
        self.tried: list[tuple[int, ...]] = []

    def outcome(self, number: int, kept: object = None, **variables: str) -> Tried:
        made = tuple(range(4)) if kept is None else tuple(kept)  # type: ignore[arg-type]  # integers, as `try_one` gives
        self.tried.append(made)
        found = ("exit code 70",) if self.guilty <= set(made) else ()
        return Tried(number, "run", made, ("check", "run"), ("",), found, 70, "", 0.1, 0)


@pytest.mark.parametrize("guilty", [{0}, {3}, {1, 2}, {0, 1, 2, 3}])
def test_a_violating_mutant_becomes_smaller(guilty: set[int]) -> None:
    assert set(Imagined(guilty).try_one(5).kept) == guilty


def test_a_good_mutant_is_tried_once() -> None:
    laboratory = Imagined({9})
    assert laboratory.try_one(5).found == ()
    assert laboratory.tried == [(0, 1, 2, 3)]


def test_a_violation_is_told_in_one_line() -> None:
    told = Tried(
        7, "run", (0,), ("check", "a\x1b"), ("x is \n",), ("exit code 70",), 70, "", 0.1, 0, "at a.py:3"
    ).line()
    assert printable(told) == told
    assert told.startswith("mutant 7 (run): exit code 70 | at a.py:3 | ")
    assert told.endswith("python -m tests.fuzz --mutant 7 --keep DIR")
