"""A policy's mistakes are told with the file and the line of the one who wrote it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from physical.errors import InputError
from sim import Scenario, run
from tests.support.command import twin
from traces.reader import Trace

POLICY = """
import numpy as np

import helper_of_mistakes


class Policy:
    def reset(self, system, seed): ...

    def decide(self, snapshot): ...


class InNumpy(Policy):
    def reset(self, system, seed):
        np.linalg.inv(np.ones((2, 3)))


class InHelper(Policy):
    def reset(self, system, seed):
        helper_of_mistakes.fail()


class NoSeed(Policy):
    def reset(self, system): ...


class More(Policy):
    def reset(self, system, seed, rate, *, step): ...


class Within(Policy):
    def reset(self, system, seed):
        self.start()

    def start(self, system): ...


class NoSnapshot(Policy):
    def decide(self): ...


class Wrong(Policy):
    def decide(self, snapshot):
        return 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the current folder hold policies that fail."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.py").write_text(POLICY, "utf-8")
    (tmp_path / "helper_of_mistakes.py").write_text("\n\ndef fail():\n    {}['a']\n", "utf-8")
    monkeypatch.delitem(sys.modules, "helper_of_mistakes", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("InNumpy", f"must be square at policy.py:{POLICY[: POLICY.index('np.linalg')].count(chr(10)) + 1}\n"),
        ("InHelper", "InHelper.reset: KeyError: 'a' at helper_of_mistakes.py:4\n"),
        ("NoSeed", "NoSeed.reset: reset(system) lacks the argument seed: it is given (system, seed)\n"),
        ("More", "reset(system, seed, rate, step) wants step and rate, too: it is given (system, seed)\n"),
        ("Within", f"'system' at policy.py:{POLICY[: POLICY.index('self.start')].count(chr(10)) + 1}\n"),
    ],
)  # fmt: skip
def test_a_reset_that_fails_is_told_with_its_file_and_line(name: str, words: str) -> None:
    complaint = twin("run", "dtecn", "--slots", 2, "--policy", f"./policy.py:{name}", "--json").complaint()
    assert f"{complaint}\n".endswith(words)


@pytest.mark.parametrize(
    ("name", "words"),
    [("NoSnapshot", "decide() lacks the argument snapshot: it is given (snapshot)"), ("Wrong", "int")],
)
def test_the_reason_of_a_fallback_names_no_line_of_the_program(folder: Path, name: str, words: str) -> None:
    found = run(Scenario.load("dtecn", ["time.num_slot=2"]), policy=f"./policy.py:{name}", out=folder / "out")
    assert found.directory is not None
    reasons = Trace(found.directory).table("events").column("detail").to_pylist()
    assert len(reasons) == 2
    for reason in reasons:
        assert words in reason
        assert " at " not in reason


def test_a_class_in_place_of_an_object_is_told() -> None:
    class Mine:
        def reset(self, system: Any, seed: int) -> None: ...

        def decide(self, snapshot: Any) -> Any: ...

    with pytest.raises(InputError, match=r"Mine: is a class \(accepted: an object: Mine\(\)\)"):
        run(Scenario.load("dtecn", ["time.num_slot=2"]), policy=Mine)  # type: ignore[arg-type]  # the fault
