"""What a command may leave behind, whatever it was given."""

from __future__ import annotations

import json
import re

from tests.fuzz.forked import BROKEN, MEMORY_BYTES, TIME_S, Outcome

CODES = (0, 1, 2)
BAD_INPUT = 2
LENGTH_MOST = 2_100
"""Characters in one line of an error: more is no sentence that a person reads."""
_BESIDE = re.compile(r"twin: warning: |step \d+: mean return |[\w ]+: \d+ of \d+; ")
"""Lines that may stand beside the one line of an error: warnings and progress."""
_OF_PYTHON = re.compile(r"^twin: warning: \w+(Warning|Error): .* at \S+:\d+$", re.MULTILINE)
"""What the command line makes of warnings, and of errors in destructors and threads."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PLACED = re.compile(r"twin: \S.{0,400}?: \S")


def problems(outcome: Outcome, *, is_json: bool = False, memory_bytes: int = MEMORY_BYTES) -> list[str]:
    """Say what is wrong with an outcome, a line each; nothing if it is as it should be.

    is_json : the command was asked for one JSON object
    memory_bytes : more than this is wrong
    """
    found = []
    err, out = (text.decode(errors="surrogateescape") for text in (outcome.err, outcome.out))
    lines = err.splitlines()
    told = [line for line in lines if not _BESIDE.match(line)]
    if outcome.code == BROKEN:
        found.append("the fuzzer itself failed")
    elif outcome.is_late:
        found.append(f"took longer than {TIME_S:g} s")
    elif outcome.code < 0:
        found.append(f"died of signal {-outcome.code}")
    elif outcome.code not in CODES:
        found.append(f"exit code {outcome.code}")
    if outcome.memory_bytes > memory_bytes:
        found.append(f"took {outcome.memory_bytes / 1e9:.1f} GB")
    if "Traceback (most recent call last)" in err:
        found.append("a traceback")
    if _OF_PYTHON.search(err):
        found.append("a warning of Python's or of a library's")
    if "internal error" in err:
        found.append("an internal error")
    if len(told) > (outcome.code != 0):
        found.append(f"{len(told)} lines on stderr with exit code {outcome.code}")
    if outcome.code == BAD_INPUT:
        found += _line(told[0] if told else "")
    if any(map(_CONTROL.search, (err.replace("\n", ""), out.replace("\n", "")))):
        found.append("control characters in what it says")
    if is_json and outcome.code == 0 and not outcome.is_late:
        found += _json(out)
    found += [f"changed {path}" for path in outcome.touched]
    if outcome.num_left:
        found.append(f"{outcome.num_left} processes outlived it")
    return found


def _line(line: str) -> list[str]:
    if not line:
        return ["exit code 2 without a line"]
    if len(line) > LENGTH_MOST:
        return [f"a line of {len(line)} characters"]
    return [] if _PLACED.match(line) else ["a line that names no file, key or option"]


def _json(out: str) -> list[str]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} in JSON")

    try:
        json.loads(out, parse_constant=refuse)
    except ValueError as error:
        return [f"no JSON: {error}"]
    return []
