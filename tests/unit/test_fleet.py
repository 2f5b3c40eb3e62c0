"""Which command each task follows, and when: the fleet against a rule book in plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physical.columns.commands import CommandCohort, HardwareSettings, Settings
from physical.columns.fleet import Fleet
from physical.columns.pipeline import DataPlane, Fate
from physical.states import VehicleStates
from physical.ticks import NEVER
from sim import Scenario, run
from tests.support.observers import Spy
from tests.support.queues import MS
from tests.support.scenarios import make_scenario
from tests.support.tables import column

Missing = Literal["previous", "local", "wait"]

NUM_VEHICLE, NUM_CLASS = 3, 2
SLOT = 100 * MS


@dataclass(frozen=True)
class Command:
    slot: int
    sent: int
    arrive: list[int]  # by vehicle, ticks

    @property
    def ratio(self) -> float:
        return (1.0 + self.slot) / 64.0


def states() -> VehicleStates:
    ones = np.ones(NUM_VEHICLE)
    nodes = np.zeros(NUM_VEHICLE, dtype=np.int64)
    sizes = np.ones((NUM_VEHICLE, NUM_CLASS))
    return VehicleStates(ones, ones, ones, ones, nodes, ones, ones, 1e12 * ones, sizes, 0 * ones, 0 * ones)


def start_of(
    slot: int, vehicle: int, commands: list[Command], missing: Missing, patience: int, end: int
) -> tuple[int, float] | None:
    """Return when the tasks of a slot start at a vehicle, and their ratio; None: not before `end`.

    The first command to arrive that is meant for this slot or a later one, of several at once the one sent first; but
    if patience ends before, what `missing` says.
    """
    arrivals = [(c.arrive[vehicle], c.sent, c.slot, c.ratio) for c in commands if c.slot >= slot]
    first = min(arrivals, default=(NEVER, 0, 0, 0.0))
    impatient = slot * SLOT + patience
    if missing == "wait" or first[0] <= impatient:
        return (first[0], first[-1]) if first[0] < end else None
    if impatient >= end:
        return None
    heard = [(c.slot, c.ratio) for c in commands if c.arrive[vehicle] <= impatient]
    return impatient, max(heard, default=(-1, 0.0))[1] if missing == "previous" else 0.0


def simulate(
    num_slot: int, commands: list[Command], missing: Missing, patience: int, extra: list[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Run a fleet, advanced at slot starts, whenever a command is sent, and at `extra` times; start and ratio."""
    plane = DataPlane(make_scenario().system())
    fleet = Fleet(plane, missing, patience)
    shape = (num_slot, NUM_VEHICLE, NUM_CLASS)
    plane.append_slots(0, np.full(shape, 1000.0), np.zeros(shape[:2], dtype=np.int64), Fate(0, None), Fate(0, None))
    plane.set_service_rate(0, np.full(shape[1:], 1e9))
    todo: list[tuple[int, int, Any]] = [(slot * SLOT, 0, slot) for slot in range(num_slot)]
    todo += [(command.sent, 1, command) for command in commands if command.sent <= num_slot * SLOT]
    todo += [(now, 2, None) for now in [*extra, num_slot * SLOT]]
    for now, kind, what in sorted(todo, key=lambda item: item[:2]):
        fleet.advance(now)
        if kind == 0:
            fleet.begin_slot(what, now, states())
        elif kind == 1:
            same = len(set(what.arrive)) == 1 and what.arrive[0] < NEVER
            arrive = what.arrive[0] if same else np.array(what.arrive)
            settings_ = Settings(np.full(shape[1:], what.ratio))
            fleet.command(CommandCohort(what.slot, arrive, settings_, states().serving_node))
    columns = plane.columns
    return columns.start[: columns.num_row].reshape(shape), columns.offloading_ratio[: columns.num_row].reshape(shape)


@st.composite
def command_lists(draw: st.DrawFn, num_slot: int) -> list[Command]:
    commands = []
    for slot in sorted(draw(st.sets(st.integers(0, num_slot - 1)))):
        sent = slot * SLOT + draw(st.sampled_from([0, 10, 50, 99, 100, 170])) * MS
        delays = st.sampled_from([0, 5, 30, 40, 50, 60, 200]).map(lambda ms: ms * MS)
        if draw(st.booleans()):
            arrive = [sent + draw(delays)] * NUM_VEHICLE
        else:
            arrive = [
                NEVER if delay < 0 else sent + delay
                for delay in draw(st.lists(delays | st.just(-1), min_size=NUM_VEHICLE, max_size=NUM_VEHICLE))
            ]
        commands.append(Command(slot, sent, arrive))
    return commands


@pytest.mark.full
@pytest.mark.parametrize("missing", ["previous", "local", "wait"])
@given(data=st.data())
@settings(max_examples=120)
def test_tasks_start_as_the_rules_say_whenever_the_plane_is_advanced(missing: Missing, data: st.DataObject) -> None:
    num_slot = 4
    commands = data.draw(command_lists(num_slot))
    patience = data.draw(st.sampled_from([0, 20, 50, 99, 100, 130])) * MS
    extra = data.draw(st.lists(st.integers(0, num_slot * 100).map(lambda ms: ms * MS), max_size=6))
    start, ratio = simulate(num_slot, commands, missing, patience, extra)
    for slot in range(num_slot):
        for vehicle in range(NUM_VEHICLE):
            expected = start_of(slot, vehicle, commands, missing, patience, num_slot * SLOT)
            for task_class in range(NUM_CLASS):
                begin, omega = int(start[slot, vehicle, task_class]), float(ratio[slot, vehicle, task_class])
                assert (None if begin == NEVER else (begin, omega)) == expected, (slot, vehicle)


@pytest.mark.parametrize("missing", ["previous", "local", "wait"])
@pytest.mark.parametrize("access_ms", [0, 5, 49, 50, 51])
def test_every_task_is_served_once(missing: str, access_ms: int) -> None:
    """Commands reach vehicles later than the server, within or after their patience of 50 ms."""
    settings_ = (f"network.access.latency_s={access_ms / 1e3}", f"twin.command.missing={missing}", "time.num_slot=8")
    result = run(make_scenario(*settings_), policy=Spy())
    size = column(result, "tasks", "size_bytes") * column(result, "tasks", "offloading_ratio")
    came = column(result, "tasks", "arrived_ns") >= 0
    arrived = np.stack(column(result, "slots", "arrived_bytes").tolist()).sum()
    assert arrived == pytest.approx(size[came].sum(), rel=1e-12)
    outcomes = result.table("tasks").column("outcome").to_pylist()
    assert len(outcomes) == 48
    assert outcomes.count("completed") + outcomes.count("late") >= 36  # those of the first six slots at least


def test_a_command_that_comes_after_its_node_has_failed_brings_no_spectrum() -> None:
    """Whoever else is at that node would have less of it."""
    plane = DataPlane(Scenario.load("llm6g", [f"vehicles.num_vehicle={NUM_VEHICLE}", "rsus=[]"]).system())
    assert plane.decided_radios is not None
    shape = (2, NUM_VEHICLE, plane.system.num_class)
    plane.append_slots(
        0, np.full(shape, 8192.0 * 64), np.zeros(shape[:2], dtype=np.int64), Fate(0, None), Fate(0, None)
    )
    fleet = Fleet(plane, "wait", NEVER)
    now_states = states()._replace(size_bytes=np.ones(shape[1:]))
    fleet.begin_slot(0, 0, now_states)
    hardware = HardwareSettings(np.full(NUM_VEHICLE, 1e9), np.full(NUM_VEHICLE, 0.5), np.full(NUM_VEHICLE, 1e6))
    arrive = np.array([MS, 3 * MS, 4 * MS])
    fleet.command(CommandCohort(0, arrive, Settings(np.ones(shape[1:]), hardware), now_states.serving_node))
    fleet.advance(2 * MS)
    assert plane.decided_radios.bandwidth_hz.tolist() == [1e6, 0.0, 0.0]
    plane.fail(2 * MS, np.array([False, True, False]))
    fleet.advance(5 * MS)
    assert plane.decided_radios.bandwidth_hz.tolist() == [1e6, 0.0, 1e6]
    fleet.begin_slot(1, SLOT, now_states)
    assert plane.decided_radios.bandwidth_hz.tolist() == [1e6, 0.0, 1e6]
