"""The score of a run: losing a task is never better than finishing it late, and slots follow from what is recorded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from physical.registry import EngineName
from physical.system import System
from physical.task_rows import Outcome
from physical.ticks import NEVER, TICK_BITS
from sim import RunResult, Scenario, run
from sim.record.slots import ClosedSlot, Ledger
from sim.record.tasks import Spent
from tests.support.scenarios import make_scenario
from tests.support.states import LOSSES, states
from tests.support.task_rows import task_rows

ROUNDING = 1e-9


class Task(NamedTuple):
    """A task of the only slot: its delay or age, what it used, and what became of it."""

    task_class: int
    age_ns: int
    sent_ns: int
    joules: float
    outcome: Outcome


def emitted(system: System, tasks: list[Task]) -> dict[str, float]:
    """Return the row of a slot with these tasks, at whose end nothing else happens."""
    ledger = Ledger(system)
    for _ in range(2):
        for node in range(system.num_node):
            ledger.report_backlog(node, np.zeros(system.num_class))
    nothing = np.zeros(system.num_class)
    ledger.close_slot(ClosedSlot(nothing, nothing, 0.25, len(tasks)), states(system))
    classes = np.array([task.task_class for task in tasks], dtype=np.int32)
    sent = np.array([task.sent_ns for task in tasks], dtype=np.int64)
    # Local work ends at 0, and what was lost on its way up has not arrived.
    lost = np.array([task.outcome is Outcome.DROPPED_UPLINK for task in tasks])
    rows = task_rows(
        task_class=classes,
        size_bytes=system.size_bytes_mean[classes],
        offloading_ratio=np.ones(len(tasks)),
        local_end=np.zeros(len(tasks), dtype=np.int64),
        arrive=np.where(lost, NEVER, sent << TICK_BITS),
        done=np.array([task.age_ns for task in tasks]) << TICK_BITS,
        outcome=np.array([task.outcome for task in tasks], dtype=np.int8),
    )
    spent = Spent(np.array([task.joules for task in tasks]))
    ledger.add_tasks(rows, spent, np.array([task.age_ns for task in tasks]))
    found = ledger.emit(final=True)
    assert found is not None
    return {name: float(values[0]) for name, values in found.items() if np.ndim(values[0]) == 0}


@st.composite
def slots_of(draw: st.DrawFn, system: System) -> list[Task]:
    """Draw the tasks of a slot, the first of which is late."""
    tasks = []
    for index in range(draw(st.integers(1, 6))):
        task_class = draw(st.integers(0, system.num_class - 1))
        deadline_ns = round(system.deadline_s[task_class] * 1e9)
        least = deadline_ns + 1 if index == 0 else 1
        age_ns = draw(st.integers(least, 6 * deadline_ns))
        outcome = Outcome.COMPLETED if index == 0 else draw(st.sampled_from([Outcome.COMPLETED, *LOSSES]))
        tasks.append(Task(task_class, age_ns, draw(st.integers(0, age_ns)), draw(st.floats(0.0, 2.0)), outcome))
    return tasks


P2_SYSTEMS = [
    make_scenario("vehicles.num_vehicle=2", "objective.deadline_price=2").system(),
    make_scenario("vehicles.num_vehicle=2", "objective.qos_floor=-3.5", "objective.v=7").system(),
    make_scenario("vehicles.num_vehicle=2", "objective.qos_floor=0").system(),
]
LITERAL_SYSTEMS = [make_scenario("vehicles.num_vehicle=2", "model.mode=paper", "objective.qos_weight=3").system()]
COST_SYSTEMS = [Scenario.load("llm6g", [f"model.mode={mode}"]).system() for mode in ("paper", "corrected")]


@pytest.mark.parametrize("system", P2_SYSTEMS)
@given(data=st.data())
def test_losing_a_task_at_any_time_is_never_better_than_finishing_it_late(system: System, data: st.DataObject) -> None:
    tasks = data.draw(slots_of(system))
    late = tasks[0]
    kept = emitted(system, tasks)
    age_ns = data.draw(st.integers(1, 6 * late.age_ns))
    lost = emitted(system, [late._replace(outcome=data.draw(st.sampled_from(LOSSES)), age_ns=age_ns), *tasks[1:]])
    assert (kept["num_late"], lost["num_late"]) == (kept["num_late"], kept["num_late"] - 1)
    for name in ("penalty", "objective", "deadline_miss_ratio"):
        assert lost[name] >= kept[name] - ROUNDING, name
    assert lost["qos"] <= kept["qos"] + ROUNDING


@pytest.mark.parametrize("system", [*LITERAL_SYSTEMS, *COST_SYSTEMS])
@given(data=st.data())
def test_losing_a_task_is_never_better_than_finishing_it_late_at_that_time(system: System, data: st.DataObject) -> None:
    """Without a floor a very late task may cost more than one lost early: here both end at the same time."""
    tasks = data.draw(slots_of(system))
    kept = emitted(system, tasks)
    lost = emitted(system, [tasks[0]._replace(outcome=data.draw(st.sampled_from(LOSSES))), *tasks[1:]])
    assert lost["penalty"] >= kept["penalty"] - ROUNDING


@pytest.mark.parametrize("system", [*P2_SYSTEMS, *LITERAL_SYSTEMS, *COST_SYSTEMS])
@given(data=st.data())
def test_a_longer_delay_is_never_better(system: System, data: st.DataObject) -> None:
    tasks = data.draw(slots_of(system))
    longer = tasks[0]._replace(age_ns=tasks[0].age_ns + data.draw(st.integers(0, 10**10)))
    assert emitted(system, [longer, *tasks[1:]])["penalty"] >= emitted(system, tasks)["penalty"] - ROUNDING


@pytest.mark.parametrize("system", [*P2_SYSTEMS, *LITERAL_SYSTEMS])
@given(data=st.data())
def test_the_qos_of_a_slot_is_the_mean_of_its_tasks(system: System, data: st.DataObject) -> None:
    tasks = data.draw(slots_of(system))
    floor = system.objective.qos_floor if system.model.mode == "corrected" else -np.inf
    found = []
    for task in tasks:
        deadline_ns = round(system.deadline_s[task.task_class] * 1e9)
        least_ns = (1 - system.objective.qos_floor) * deadline_ns if task.outcome in LOSSES else 0.0
        found.append(max(1 - max(task.age_ns, least_ns) / deadline_ns, floor))
    assert emitted(system, tasks)["qos"] == pytest.approx(np.mean(found), abs=1e-7)


def array(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column as an array; lists become [rows, length]."""
    values = table[name].to_pylist()
    found: NDArray[Any] = np.array(values)
    return found


SCENARIOS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "overloaded": ("dtecn-congested", "edge-equal", ("network.access.loss=0.1",)),
    "slices": ("dtecn-congested", "p2-exact", ("server.discipline=slices", "model.order=parallel")),
    "sharing": ("dtecn-congested", "random", ("vehicles.cpu=sharing", "radio.uplink=sharing", "objective.v=2")),
    "in turn": ("dtecn-congested", "local-only", ("vehicles.cpu=in-turn", "radio.uplink=in-turn")),
    "floor": ("dtecn-congested", "edge-equal", ("objective.qos_floor=-4",)),
    "paper": ("dtecn-congested", "edge-equal", ("model.mode=paper", "network.access.loss=0.2")),
}


def long_and_short(name: str, engine: EngineName) -> tuple[Scenario, RunResult, RunResult]:
    """Return a scenario with its run, and the same with one slot more, which begins as the shorter one ends."""
    preset, policy, settings = SCENARIOS[name]
    short, longer = (Scenario.load(preset, [*settings, f"time.num_slot={count}"]) for count in (60, 61))
    result, more = (run(one, policy=policy, seed=2, engine=engine) for one in (short, longer))
    return short, result, more


@pytest.mark.parametrize("name", SCENARIOS)
def test_slots_follow_from_what_is_recorded(name: str, engine: EngineName) -> None:
    """Against loops over tables: QoS and misses of the tasks, drift of the backlog, penalty, objective, means."""
    scenario, result, longer = long_and_short(name, engine)
    weights, tasks = scenario.objective, result.table("tasks").to_pylist()
    slots = {column: array(result.table("slots"), column) for column in result.table("slots").column_names}
    qualities: list[list[float]] = [[] for _ in range(60)]
    misses: list[list[bool]] = [[] for _ in range(60)]
    for task in tasks:
        deadline_s = scenario.tasks[task["task_class"]].deadline_s
        end_ns = 60 * 10**8 if task["outcome"] == "in flight" else task["done_ns"]
        age_s = (end_ns - task["generated_ns"]) / 1e9
        lost = task["outcome"].startswith("dropped")
        if task["outcome"] == "in flight" and age_s <= deadline_s:
            continue
        delay_s = max(age_s, (1 - weights.qos_floor) * deadline_s) if lost else age_s
        quality = 1 - delay_s / deadline_s
        qualities[task["slot"]].append(
            max(quality, weights.qos_floor) if scenario.model.mode == "corrected" else quality
        )
        misses[task["slot"]].append(lost or age_s > deadline_s)
    qos = np.array([np.mean(values) if values else np.nan for values in qualities])
    missed = np.array([np.mean(values) if values else np.nan for values in misses])
    np.testing.assert_allclose(slots["qos"], qos, rtol=1e-9, atol=1e-9)
    energy_j = slots["energy_local_j"] + slots["energy_transmit_j"] + slots["energy_edge_j"]
    penalty = weights.v * (
        weights.deadline_price * missed + weights.energy_weight * energy_j - weights.qos_weight * qos
    )
    np.testing.assert_allclose(slots["penalty"], penalty, rtol=1e-9, atol=1e-9)
    q = array(longer.table("slots"), "backlog_bytes")
    np.testing.assert_array_equal(slots["backlog_bytes"], q[:-1])
    drift = (q[:-1] * (q[1:] - q[:-1])).sum(axis=1) / scenario.system().backlog_unit_bytes ** 2
    np.testing.assert_allclose(slots["drift"], drift, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(slots["objective"], penalty + weights.beta * drift, rtol=1e-9, atol=1e-9)
    counted = ~np.isnan(qos)
    for column in ("objective", "penalty", "drift"):
        assert result.summary[f"{column}_mean"] == pytest.approx(slots[column][counted].mean(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_waits_follows_from_what_is_recorded(name: str, engine: EngineName) -> None:
    """Against a loop over slots: cycles by frequency, bits by the mean rate so far, backlog by the server's speed."""
    scenario, result, _ = long_and_short(name, engine)
    system, slots, vehicles = scenario.system(), result.table("slots"), result.table("vehicles")
    shape = (60, system.num_vehicle)
    cycles, waits, rate_bps = (
        array(vehicles, column).reshape(shape)
        for column in ("cpu_backlog_cycles", "uplink_backlog_bytes", "uplink_rate_bps")
    )
    backlog = array(slots, "backlog_bytes")
    cycles_per_byte = np.array([task.cycles_per_byte for task in scenario.tasks])
    assert scenario.server is not None
    for slot in range(60):
        mean_bps = rate_bps[: slot + 1].mean(axis=0)
        expected = {
            "cpu": (cycles[slot] / system.cpu_hz).sum(),
            "uplink": (8 * waits[slot] / mean_bps).sum(),
            "server": (backlog[slot] * cycles_per_byte).sum() / scenario.server.frequency_hz,
        }
        for resource, waiting_s in expected.items():
            found = slots[f"waiting_{resource}_s"][slot].as_py()
            assert found == pytest.approx(waiting_s, rel=1e-9, abs=1e-12), (resource, slot)
    assert any(array(slots, f"waiting_{resource}_s").any() for resource in ("cpu", "uplink", "server"))


def test_offered_service_is_no_service(engine: EngineName) -> None:
    """With slices, flows without work are offered much; the queues do not shrink by that."""
    _, result, _ = long_and_short("slices", engine)
    slots = {
        column: array(result.table("slots"), column) for column in ("backlog_bytes", "arrived_bytes", "service_bytes")
    }
    served = (slots["backlog_bytes"] + slots["arrived_bytes"])[:-1] - slots["backlog_bytes"][1:]
    assert (slots["service_bytes"][:-1] > 1.5 * served).any()
    assert abs(result.summary["drift_mean"]) < 1.0


def test_more_loss_is_not_better() -> None:
    """Offloading everything into an overloaded server: what is lost leaves room for the rest, and still costs more."""
    penalties = []
    for loss in (0.0, 0.1, 0.3):
        scenario = Scenario.load("dtecn-congested", ["time.num_slot=300", f"network.access.loss={loss}"])
        penalties.append(run(scenario, policy="edge-equal", seed=0).summary["penalty_mean"])
    assert penalties == sorted(penalties)
