"""What a policy's exceptions and classes say of themselves is nobody's to believe, and never the end of a run."""

from __future__ import annotations

import re
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from physical.system import System
from policies.registry import construct
from sim import Scenario, run
from sim.runs.run import RunResult
from tests.support.command import twin
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

SCENARIO = ("vehicles.num_vehicle=3", "time.num_slot=12")


class Hides(type):
    """A class of such classes does not say what they are called, nor where they are from."""

    is_shut = False  # while tests are collected

    def __getattribute__(cls, name: str) -> Any:
        if name in {"__module__", "__name__"} and Hides.is_shut:
            raise KeyboardInterrupt if name == "__module__" else ZeroDivisionError
        return super().__getattribute__(name)


@pytest.fixture(autouse=True)
def _shut() -> Iterator[None]:
    Hides.is_shut = True
    yield
    Hides.is_shut = False


class Nameless(Exception, metaclass=Hides):
    pass


class Interrupts(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Leaves(Exception):
    def __str__(self) -> str:
        raise SystemExit(7)


class Traceless(Exception):
    @property
    def __traceback__(self) -> Any:  # type: ignore[override]  # the fault
        raise GeneratorExit


class Pretends(Exception):
    @property  # type: ignore[misc]  # the fault
    def __class__(self) -> Any:
        raise SystemExit(3)


class Closed(OSError):
    @property
    def filename(self) -> Any:
        raise KeyError("filename")


class Words(str):
    """A text that cannot be cut."""

    __slots__ = ()

    def __getitem__(self, key: object) -> Any:
        raise OverflowError


class Uncut(Exception):
    def __str__(self) -> str:
        return Words("long")


STRANGE: tuple[type[BaseException], ...] = (Nameless, Interrupts, Leaves, Traceless, Pretends, Closed, Uncut)


class Nobody(metaclass=Hides):
    """Decides that everybody is on his own, unless it fails in one of its methods."""

    def __init__(self, **methods: Callable[[], Any]) -> None:
        self.methods = methods

    def _do(self, name: str) -> Any:
        return self.methods[name]() if name in self.methods else None

    def reset(self, system: System, seed: int) -> Any:
        return self._do("reset")

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decided: Any = self._do("decide")
        zeros = np.zeros(snapshot.size_bytes.shape)
        return Decision(zeros, zeros) if decided is None else decided

    def learn(self, outcomes: Any) -> Any:
        return self._do("learn")

    def close(self) -> Any:
        return self._do("close")


def simulate(policy: Any) -> RunResult:
    return run(Scenario.load("dtecn", [*SCENARIO]), policy=policy)


def raising(kind: type[BaseException]) -> Callable[[], Any]:
    def fail() -> Any:
        raise kind("x")

    return fail


def name_of(kind: type) -> str:
    return kind.__qualname__


@pytest.mark.parametrize("kind", STRANGE, ids=name_of)
@pytest.mark.parametrize("method", ["decide", "learn"])
def test_a_strange_error_costs_decisions(method: str, kind: type[BaseException]) -> None:
    result = simulate(Nobody(**{method: raising(kind)}))
    events: list[dict[str, Any]] = result.table("events").to_pylist()
    assert result.status == "complete"
    assert events
    assert all(event["kind"] == "fallback" and kind.__qualname__ in event["detail"] for event in events)


@pytest.mark.parametrize("kind", [each for each in STRANGE if each is not Interrupts], ids=name_of)
def test_a_strange_error_before_the_run_is_one_of_the_input(kind: type[BaseException]) -> None:
    with pytest.raises(InputError, match=rf"^--policy: Nobody\.reset: {kind.__qualname__}: .* at test_strange"):
        simulate(Nobody(reset=raising(kind)))


@pytest.mark.parametrize("kind", STRANGE, ids=name_of)
def test_a_strange_error_at_the_end_is_told(kind: type[BaseException]) -> None:
    told = simulate(Nobody(close=raising(kind))).summary["not_closed"]
    assert told.startswith(f"Nobody.close: {kind.__qualname__}: ")


def test_a_decision_of_a_strange_class_is_refused_by_its_name() -> None:
    summary = simulate(Nobody(decide=Nobody)).summary
    assert "returned Nobody, not a Decision" in summary["fallback_first"]


async def later() -> None:
    raise AssertionError


def bit_by_bit() -> Any:
    yield


async def both() -> Any:
    yield


@pytest.mark.parametrize("method", [later, bit_by_bit, both])
def test_methods_that_nobody_has_executed_are_told(method: Callable[[], Any]) -> None:
    """And Python itself need not tell."""
    words = "TypeError: returned a (coroutine|generator) .*: nothing of it has been executed"
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        summary = simulate(Nobody(decide=method, close=method)).summary
        assert summary["fallbacks"] == summary["slots"]
        assert re.search(words, summary["fallback_first"])
        assert re.match(f"Nobody.close: {words}", summary["not_closed"])
        assert simulate(Nobody(learn=method)).summary["fallbacks"] == 1
        with pytest.raises(InputError, match=rf"Nobody\.reset: {words}"):
            simulate(Nobody(reset=method))
        with pytest.raises(InputError, match=words):
            construct(method, "made")
    assert heard == []


MODULES = {
    "error": "raise InputError('no', where=5)",
    "made": "class Policy:\n    def __init__(self): raise InputError('no', where=5)\n    reset = decide = None",
    "kind": "class Ours(InputError):\n    __str__ = None\nclass Policy:\n"
    "    def __init__(self): raise Ours('no')\n    reset = decide = None",
}


@pytest.mark.parametrize("name", MODULES)
def test_an_error_like_ours_is_told_as_any_other(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text(f"from physical.errors import InputError\n{MODULES[name]}\n", "utf-8")
    assert f"{name}.py" in twin("run", "dtecn", "--policy", f"{file}:Policy", "--slots", 1).complaint()


def test_nobody_interrupts_where_signals_are_ignored() -> None:
    """In the background of a shell Ctrl-C is ignored: an interrupt there is the policy's own."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = simulate(Nobody(decide=raising(Interrupts)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.status == "complete"
    assert result.summary["fallbacks"] == 12
