"""The event clock: when what is called, and that nobody else reads what SimPy keeps to itself."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import pytest
from simpy.core import Environment
from simpy.events import Event, Process, ProcessGenerator, Timeout
from simpy.rt import RealtimeEnvironment

from physical.phase import Phase
from sim.engine.clock import Clock

ROOT = Path(__file__).resolve().parents[2]
CLOCK = ROOT / "sim" / "engine" / "clock.py"


def test_calls_come_in_order_of_time_then_phase_then_as_they_were_asked_for() -> None:
    clock, called = Clock(), list[tuple[int, str]]()

    def call(name: str) -> None:
        called.append((clock.now, name))

    for time_ns, phase, name in (
        (20, Phase.TICK, "later"),
        (10, Phase.PATIENCE, "last"),
        (10, Phase.DECIDE, "decide"),
        (10, Phase.FAULT, "fault"),
        (10, Phase.DECIDE, "decide again"),
        (0, Phase.RELAY, "at once"),
    ):
        clock.call_at(time_ns, phase, partial(call, name))
    clock.env.run()
    assert called == [
        (0, "at once"),
        *((10, name) for name in ("fault", "decide", "decide again", "last")),
        (20, "later"),
    ]


def test_a_call_may_ask_for_another_one_at_the_same_instant() -> None:
    clock, called = Clock(), list[str]()
    clock.call_at(5, Phase.TICK, lambda: clock.call_at(5, Phase.RELAY, lambda: called.append("relay")))
    clock.call_at(5, Phase.DECIDE, lambda: called.append("decide"))
    clock.env.run()
    assert called == ["relay", "decide"]


def test_a_call_that_fails_ends_the_run() -> None:
    clock = Clock()

    def fail() -> None:
        raise ArithmeticError("7")

    clock.call_at(5, Phase.TICK, fail)
    with pytest.raises(ArithmeticError, match="7"):
        clock.env.run()


def private_of_simpy() -> set[str]:
    """Return the names of what SimPy keeps to itself."""
    env = Environment()

    def wait() -> ProcessGenerator:
        yield env.timeout(1)

    things = [env, RealtimeEnvironment(), Event(env), Timeout(env, 1), Process(env, wait())]
    found = {name for thing in things for name in (*vars(thing), *dir(type(thing)))}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_only_the_clock_reads_what_simpy_keeps_to_itself() -> None:
    """What others call `self._value` is their own."""
    names = private_of_simpy()
    assert {"_now", "_queue", "_eid", "_ok", "_value"} <= names
    found = []
    for folder in ("physical", "twin", "policies", "traces", "sim", "vectwin"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr in names:
                    is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
                    if not is_own and path != CLOCK:
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert not found, found
