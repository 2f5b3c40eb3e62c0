"""Mutations of a command's arguments, and of what stands in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.dice import NUMBERS, TEXTS, Dice

_OPTIONS = (
    "--policy",
    "--policies",
    "--seed",
    "--seeds",
    "--set",
    "--grid",
    "--baseline",
    "--warmup",
    "--precision",
    "--plot",
    "--json",
    "--quiet",
    "--fresh",
    "--maps",
    "--tables",
    "--from",
    "--until",
    "--at",
    "--to",
    "--map",
    "--geo",
    "--no-geo",
    "--origin",
    "--time-format",
    "--licence",
    "--variant",
    "--count",
    "--every",
    "--help",
    "--version",
    "--",
    "-",
    "-x",
    "--nothing",
)
_BAD = ("\udcff", "a\udcff.toml", "\udcc3\udc28")
"""Bytes that are no UTF-8, as Python shows arguments."""
_WORDS = (
    "zoo",
    "random,random",
    "edge-equal,,random",
    "p2-exact:margin=nan",
    "random:x=1",
    "nearest-case:file=missing.parquet",
    "llm:model=missing.gguf",
    "ddpg:weights=missing.safetensors",
    "./missing.py:A",
    "scenario.toml",
    "missing.toml",
    ".",
    "0..3",
    "3..0",
    "0..99999999999",
    "0,0",
    "0..",
    "auto",
    "0.5%",
    "tasks.0.deadline_s=nan",
    "tasks.99.deadline_s=1",
    "vehicles=1",
    "=",
    "a=b=c",
    "time.num_slot=2,1",
    "policy.name=random,edge-equal",
)
LONG = ("--slots", "--duration", "--steps", "--realtime", "--workers", "--seeds-max")
"""Options whose value may rightly ask for hours, or for many processes."""

Change = Callable[[Dice, list[str]], str]


def _value(dice: Dice) -> str:
    kind = dice.weighed({"number": 3, "text": 2, "word": 4, "bad": 0.5})
    among = {"number": NUMBERS, "text": TEXTS, "word": _WORDS, "bad": _BAD}[kind]
    return dice.pick([one for one in among if "\x00" not in one and ".." + os.sep not in one])


def _places(words: list[str]) -> list[int]:
    """List the words that may be replaced: not those that say how much work there is. A new one, if none is left."""
    found = [at for at, word in enumerate(words) if word not in LONG and (at == 0 or words[at - 1] not in LONG)]
    if not found:
        words.append("--help")
    return found or [len(words) - 1]


def replace(dice: Dice, words: list[str]) -> str:
    """Replace a word, or what stands behind its last =, : or comma."""
    at, value = dice.pick(_places(words)), _value(dice)
    old = words[at]
    mark = max(old.rfind(one) for one in "=:,")
    words[at] = old[: mark + 1] + value if mark >= 0 and dice.chance(0.7) else value
    return f"{old!r:.40} is {words[at]!r:.60}"


def drop(dice: Dice, words: list[str]) -> str:
    """Drop a word."""
    places = _places(words)
    return f"{words.pop(dice.pick(places))!r:.60} is gone"


def add(dice: Dice, words: list[str]) -> str:
    """Add an option of some command, with a value or without."""
    at = dice.below(len(words) + 1)
    if at and words[at - 1] in LONG:
        at = len(words)
    new = [dice.pick(_OPTIONS), *([_value(dice)] if dice.chance(0.6) else [])]
    words[at:at] = new
    return f"{new!r:.80} is new"


def repeat(dice: Dice, words: list[str]) -> str:
    """Say a word twice."""
    at = dice.pick(_places(words))
    words.insert(at, words[at])
    return f"{words[at]!r:.60} is said twice"


def exchange(dice: Dice, words: list[str]) -> str:
    """Let two words change places."""
    one, other = dice.pick(_places(words)), dice.pick(_places(words))
    words[one], words[other] = words[other], words[one]
    return f"{words[one]!r:.40} and {words[other]!r:.40} swapped"


OF_WORDS: dict[Change, float] = {replace: 6, drop: 1.5, add: 2, repeat: 0.7, exchange: 1}


def setting(dice: Dice, words: list[str], values: dict[str, Any]) -> str:
    """Add a setting, mostly of a number.

    values : what the scenario says, by key
    """
    numbers = [key for key, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    key = dice.pick(numbers if dice.chance(0.7) else list(values))
    if dice.chance(0.05):
        key = dice.pick((key + ".0", key.partition(".")[0], key + "x", key.replace("0", "-1"), key + "."))
    kind = dice.weighed({"near": 5, "number": 5, "any": 2, "list": 1, "table": 0.5})
    old, value = values.get(key), _value(dice)
    if kind == "near" and isinstance(old, int | float) and old:
        value = repr(old * 10.0 ** dice.pick((-12, -6, -3, -2, -1, 1, 2, 3, 6, 12)))
    elif kind in {"near", "number"}:
        value = dice.number()
    elif kind == "list":
        value = f"[{dice.number()},{dice.number()}]"
    elif kind == "table":
        value = f'{{kind="{dice.pick(("uniform", "lognormal", "timed", "zoo"))}",mean_s={dice.number()}}}'
    if key == "time.num_slot":
        value = "3"
    words += ["--set", f"{key}={value}"]
    return f"--set {key}={value!s:.60}"


def change_folder(dice: Dice, path: Path, others: list[Path]) -> str:
    """Let a file be missing, be another one, be a directory, or be a link to itself."""
    what = dice.weighed({"missing": 2, "another": 4, "directory": 1, "loop": 0.5, "again": 1})
    if what in {"another", "again"} and others:
        other = dice.pick(others)
        if what == "again":
            beside = path.with_name(f"part-00001{path.suffix}")
            shutil.copyfile(other, beside)
            return f"{beside.name} beside {path} is a copy of {other}"
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        other.write_bytes(one)
        return f"{path} and {other} swapped"
    path.unlink()
    if what == "directory":
        path.mkdir()
        return f"{path} is a directory"
    if what == "loop":
        path.symlink_to(path.name)
        return f"{path} is a link to itself"
    return f"{path} is missing"
