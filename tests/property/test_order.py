"""Nothing depends on the order in which processes of one instant were created, or in which events were scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
from simpy.events import Event, ProcessGenerator

from physical.phase import Phase
from physical.registry import EngineName
from sim import Scenario
from sim.engine.clock import Clock, TickClock
from tests.property.families import case_of
from tests.property.layer_families import layer_case_of
from tests.property.towns import town_case_of
from tests.support.both_engines import difference
from tests.support.engine_runs import run_engine
from tests.support.town import TOWN

LATE = {
    "network": {
        "access": {"latency_s": 0.002, "jitter_s": 0.01, "loss": 0.05},
        "backhaul": {"latency_s": 0.003, "jitter_s": 0.02, "loss": 0.05},
    },
    "trace": {"messages": True},
}


class BackwardsClock(Clock):
    """Starts processes in reverse."""

    def begin(self, processes: Iterable[ProcessGenerator]) -> None:
        """Start the last one first."""
        super().begin(list(processes)[::-1])


class LastFirstClock(BackwardsClock):
    """What was scheduled last of one instant and phase happens first, too."""

    def __init__(self) -> None:
        super().__init__()
        self.env._eid = count(0, -1)  # SimPy's number of an event, which orders those of one time and priority


class BackwardsTicks(TickClock):
    """The same for entities."""

    def begin(self, processes: Iterable[ProcessGenerator]) -> None:
        """Start the last one first."""
        super().begin(list(processes)[::-1])


class LastFirstTicks(BackwardsTicks):
    """The same for entities, but what one of them lets others do one after the other stays in that order."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(-1, -1)

    def trigger(self, event: Event, time_ns: int, phase: Phase, value: object = None) -> None:
        """Let an event happen before what has been scheduled for the same instant and phase."""
        with self._reversed():
            super().trigger(event, time_ns, phase, value)

    def at_ticks(self, ticks: int, phase: Phase) -> Event:
        """Return an event that happens before what has been scheduled for the same instant and phase."""
        with self._reversed():
            return super().at_ticks(ticks, phase)

    @contextmanager
    def _reversed(self) -> Iterator[None]:
        usual, self.env._eid = self.env._eid, self._numbers
        yield
        self.env._eid = usual


CLOCKS: dict[EngineName, tuple[type[Clock], ...]] = {
    "columns": (Clock, BackwardsClock, LastFirstClock),
    "events": (TickClock, BackwardsTicks, LastFirstTicks),
}


@pytest.mark.parametrize(("place", "expected"), [(0, "abc"), (1, "abc"), (2, "cba")])
def test_the_clock_that_is_in_reverse_is(place: int, expected: str, engine: EngineName) -> None:
    clock, told = CLOCKS[engine][place](), list[str]()
    for name in "abc":
        clock.call_at(5, Phase.TICK, partial(told.append, name))
    clock.env.run()
    assert "".join(told) == expected


def check(scenario: Scenario, policy: Any, seed: int, engine: EngineName) -> None:
    """Compare runs forwards and backwards."""
    runs = [run_engine(scenario, policy, seed, engine=engine, clock=clock()) for clock in CLOCKS[engine]]
    for other in runs[1:]:
        found = difference(runs[0], other)
        assert not found, f"as it is called columns, in another order called events: {found}"


@pytest.mark.parametrize("trouble", [{"trace": {"messages": True}}, LATE])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dtecn-congested", ("twin.decision.latency=0.13",)),
        ("rush-hour", ("vehicles.report_interval=2",)),
        ("corridor", ("model.handover=finish", "server.frequency_hz=2e9", "radio.hysteresis_db=1")),
        ("corridor", ("model.handover=drop", "twin.bias.cpu_frequency_hz={kind='random-walk', step_std=1e8}")),
        ("blackout", ()),
        ("llm6g", ("time.num_slot=4",)),
    ],
)
def test_built_in_scenarios(name: str, settings: tuple[str, ...], trouble: dict[str, Any], engine: EngineName) -> None:
    """One node and several, handover, a node that fails, decisions that last longer than a slot."""
    num_slot = {"blackout": 60, "llm6g": 4}.get(name, 30)  # the RSU of `blackout` fails in slot 50
    data = Scenario.load(name, [*settings, f"time.num_slot={num_slot}"]).model_dump(mode="json")
    check(Scenario.from_dict({**data, **trouble}), "edge-equal", 2, engine)


def test_a_town_in_which_several_things_happen_at_one_instant(engine: EngineName) -> None:
    events = [
        {"kind": "node-down", "at_s": 0.5, "node": "west"},
        {"kind": "node-down", "at_s": 0.5, "node": "east"},
        {"kind": "node-up", "at_s": 0.8, "node": "west"},
        {"kind": "node-up", "at_s": 0.8, "node": "east"},
        {"kind": "vehicle-leaves", "at_s": 0.5, "vehicle": 1},
        {"kind": "vehicle-enters", "at_s": 0.7, "vehicle": 1},
        {"kind": "bias", "at_s": 0.5, "cpu_frequency_hz": 1e8},
        {"kind": "bias", "at_s": 0.7, "cpu_frequency_hz": -2e8},
    ]
    for rule in ("forward", "finish", "drop"):
        data = {**TOWN, **LATE, "timeline": events}
        data["model"] = {**data.get("model", {}), "handover": rule}
        check(Scenario.from_dict(data), "edge-equal", 4, engine)


@pytest.mark.parametrize("seed", range(12))
def test_small_systems_in_trouble(seed: int, engine: EngineName) -> None:
    case = case_of(seed)
    check(case.scenario, case.policy, case.seed, engine)


@pytest.mark.parametrize("seed", range(12))
def test_small_systems_with_joint_allocation(seed: int, engine: EngineName) -> None:
    case = layer_case_of(seed)
    check(case.scenario, case.policy, case.seed, engine)


@pytest.mark.parametrize("seed", range(6))
def test_towns_in_which_everything_happens(seed: int, engine: EngineName) -> None:
    scenario, policy = town_case_of(seed)
    check(scenario, policy, seed, engine)
