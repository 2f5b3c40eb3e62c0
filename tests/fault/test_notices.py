"""What Python says by itself about a policy's code is one line, with its place, and without its text."""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path

import pytest

from sim.runs import notices
from tests.support.command import twin, twin_process

POLICY = """
import threading
import warnings

import numpy as np
from policies.baselines import LocalOnly


class Falls:
    def __del__(self):
        raise KeyError("gone")


def fail():
    raise ValueError("in a thread")


class Speaks(LocalOnly):
    def decide(self, snapshot):
        if snapshot.slot == 0:
            np.log(np.zeros(1))
            warnings.warn("two\\nlines \\x1b[31m")
            Falls()
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
        return super().decide(snapshot)
"""
EXPECTED = [
    ("RuntimeWarning: divide by zero encountered in log", "np.log"),
    ("UserWarning: two lines \\x1b[31m", "warnings.warn"),
    ("KeyError: 'gone'", "raise KeyError"),
    ("ValueError: in a thread", "raise ValueError"),
]


def test_each_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(POLICY, "utf-8")
    done = twin_process("run", "dtecn", "--policy", f"{tmp_path / 'policy.py'}:Speaks", "--slots", 2, "--json")
    assert done.code == 0
    lines = [POLICY[: POLICY.index(text)].count("\n") + 1 for _, text in EXPECTED]
    told = [f"twin: warning: {text} at policy.py:{line}" for (text, _), line in zip(EXPECTED, lines, strict=True)]
    assert done.err.splitlines() == told


def test_afterwards_python_is_as_it_was() -> None:
    def hooks() -> tuple[object, ...]:
        return warnings.formatwarning, sys.unraisablehook, threading.excepthook

    before = hooks()
    assert twin("policies").code == 0
    assert hooks() == before
    with notices.brief():
        assert not set(hooks()) & set(before)
    assert hooks() == before


def test_threads_that_leave_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with notices.brief():
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()
    assert capsys.readouterr().err == ""
