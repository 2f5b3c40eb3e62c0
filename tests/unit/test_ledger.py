"""The books of a run, by hand: what counts as late, dropped, missed, in flight; and when slots are emitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physical.plane.columns import Outcome
from sim import run
from sim.ledger import ClosedSlot, Ledger
from tests.unit.test_twin import column, make_scenario

MS = 1_000_000
# Two vehicles with two classes: deadlines 40 and 500 ms.
SYSTEM = make_scenario(
    "vehicles.num_vehicle=2", "objective.deadline_price=2", "objective.energy_weight=0.5", "objective.beta=0.25"
).system()


def rows(*tasks: tuple[int, int, Outcome]) -> dict[str, Any]:
    """Return recorded columns of (slot, class, outcome)."""
    slot, task_class, outcome = (np.array(values) for values in zip(*tasks, strict=True))
    return {
        "slot": slot.astype(np.int32),
        "task_class": task_class.astype(np.int32),
        "outcome": outcome.astype(np.int8),
    }


def close(ledger: Ledger, num: int = 1, joules: float = 0.0) -> None:
    for _ in range(num):
        ledger.close_slot(ClosedSlot(np.array([1e4, 0.0]), np.array([3e4, 5e4]), np.array([1e4, 9e4]), joules, 4))


def add(ledger: Ledger, tasks: dict[str, Any], age_ms: list[float], local_j: list[float]) -> list[str]:
    age_ns = np.rint(np.array(age_ms) * MS).astype(np.int64)
    outcome = ledger.add_tasks(tasks, {"local": np.array(local_j)}, age_ns)
    return [Outcome(code).name for code in outcome.tolist()]


DONE, LOST, FLYING = Outcome.COMPLETED, Outcome.DROPPED_UPLINK, Outcome.IN_FLIGHT


def test_one_slot_by_hand() -> None:
    ledger = Ledger(SYSTEM)
    close(ledger, joules=0.75)
    tasks = rows((0, 0, DONE), (0, 0, DONE), (0, 1, LOST), (0, 1, DONE))
    assert add(ledger, tasks, [10, 50, 100, 250], [0.5, 0.25, 0.0, 0.25]) == [
        "COMPLETED",
        "LATE",
        "DROPPED_UPLINK",
        "COMPLETED",
    ]
    emitted = ledger.emit()
    assert emitted is not None
    # Delays: 10, 50, the deadline of 500 for the dropped one, 250 ms. QoS: 0.75, -0.25, 0, 0.5.
    expected = {
        "slot": 0,
        "num_completed": 2,
        "num_late": 1,
        "num_dropped": 1,
        "num_in_flight": 0,
        "delay_s_mean": 0.81 / 4,
        "qos": 0.25,
        "deadline_miss_ratio": 0.5,
        "energy_local_j": 1.0,
        "energy_edge_j": 0.75,
    }
    for name, value in expected.items():
        assert emitted[name].tolist() == pytest.approx([value], rel=1e-12), name
    # Q0 = 2 (20 + 40) / 2 kB = 60 kB: drift = (10 / 60) (20 / 60); P2 as in eq. 24.
    drift = 1 / 6 * 1 / 3
    assert emitted["drift"].tolist() == pytest.approx([drift], rel=1e-12)
    assert emitted["objective"].tolist() == pytest.approx([0.25 * drift - 0.25 + 0.5 * 1.75 + 2 * 0.5], rel=1e-12)
    np.testing.assert_array_equal(emitted["backlog_bytes"], [[1e4, 0.0]])


@pytest.mark.parametrize(("age_ms", "delay_ms"), [(100, 500), (500, 500), (700, 700)])
def test_a_dropped_task_costs_its_deadline_or_its_age(age_ms: float, delay_ms: float) -> None:
    for outcome in (Outcome.DROPPED_UPLINK, Outcome.DROPPED_RESULT):
        ledger = Ledger(SYSTEM)
        close(ledger)
        add(ledger, rows((0, 0, DONE), (0, 0, DONE), (0, 1, outcome), (0, 1, DONE)), [40, 40, age_ms, 500], [0.0] * 4)
        emitted = ledger.emit()
        assert emitted is not None
        assert emitted["num_dropped"].tolist() == [1]
        assert emitted["deadline_miss_ratio"].tolist() == [0.25]  # exactly at the deadline is in time
        assert emitted["delay_s_mean"].tolist() == pytest.approx([(0.04 + 0.04 + delay_ms / 1e3 + 0.5) / 4])


def test_in_flight_at_the_end_counts_only_when_overdue() -> None:
    ledger = Ledger(SYSTEM)
    close(ledger, 2)
    tasks = rows((0, 0, DONE), (0, 0, FLYING), (0, 1, FLYING), (0, 1, FLYING), (1, 0, FLYING), (1, 1, FLYING))
    names = add(ledger, tasks, [20, 120, 120, 600, 20, 20], [0.1] * 6)
    assert names == ["COMPLETED"] + ["IN_FLIGHT"] * 5
    emitted = ledger.emit(final=True)
    assert emitted is not None
    # Counted in slot 0: 20 ms in time, 120 ms of 40 and 600 ms of 500 overdue. In slot 1 nothing is known.
    assert emitted["num_in_flight"].tolist() == [3, 4]
    assert emitted["num_late"].tolist() == [0, 0]
    assert emitted["deadline_miss_ratio"][0] == pytest.approx(2 / 3)
    assert emitted["delay_s_mean"][0] == pytest.approx(0.74 / 3)
    assert emitted["qos"][0] == pytest.approx((0.5 - 2.0 - 0.2) / 3)
    np.testing.assert_allclose(emitted["energy_local_j"], [0.4, 0.2], rtol=1e-9)
    assert np.isnan([emitted["qos"][1], emitted["delay_s_mean"][1], emitted["deadline_miss_ratio"][1]]).all()
    totals = ledger.totals
    assert (totals.num_slot, totals.num_slot_counted) == (2, 1)
    assert totals.by_task["in_flight"] == 7
    assert totals.by_task["counted"] == 3
    assert totals.by_task["missed"] == 2
    assert totals.by_slot["qos"] == pytest.approx((0.5 - 2.0 - 0.2) / 3)


def test_a_slot_with_an_unfinished_task_holds_back_those_after_it() -> None:
    ledger = Ledger(SYSTEM)
    close(ledger, 4)
    for slot in (0, 2, 3):
        add(ledger, rows(*[(slot, k, DONE) for k in (0, 0, 1, 1)]), [10 + slot] * 4, [0.0] * 4)
    add(ledger, rows(*[(1, k, DONE) for k in (0, 0, 1)]), [11] * 3, [0.0] * 3)
    first = ledger.emit()
    assert first is not None
    assert first["slot"].tolist() == [0]
    assert ledger.emit() is None
    add(ledger, rows((1, 1, DONE)), [300], [0.0])
    rest = ledger.emit()
    assert rest is not None
    assert rest["slot"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(rest["delay_s_mean"], [0.333 / 4, 0.012, 0.013], rtol=1e-12)
    assert ledger.emit() is None
    assert ledger.totals.num_slot == 4


def test_a_slot_is_emitted_only_after_it_has_been_closed() -> None:
    ledger = Ledger(SYSTEM)
    add(ledger, rows(*[(0, k, DONE) for k in (0, 0, 1, 1)]), [10] * 4, [0.0] * 4)
    assert ledger.emit() is None
    close(ledger)
    emitted = ledger.emit()
    assert emitted is not None
    assert emitted["num_completed"].tolist() == [4]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_and_the_batches_in_which_tasks_end_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_slot, per_slot = 12, 4
    slot = np.repeat(np.arange(num_slot), per_slot)
    task_class = np.tile([0, 1, 0, 1], num_slot)
    outcome = rng.choice([DONE, LOST, Outcome.DROPPED_RESULT], slot.size)
    age_ms, joules = rng.uniform(1, 900, slot.size), rng.exponential(size=slot.size) * 1e-3
    emitted = []
    for batches in (1, 7):
        ledger = Ledger(SYSTEM)
        close(ledger, num_slot, joules=0.125)
        found = []
        for part in np.array_split(rng.permutation(slot.size), batches):
            chosen = np.sort(part)
            add(
                ledger,
                rows(*zip(slot[chosen], task_class[chosen], outcome[chosen], strict=True)),
                age_ms[chosen].tolist(),
                joules[chosen].tolist(),
            )
            if (given := ledger.emit()) is not None:
                found.append(given)
        emitted.append({name: np.concatenate([part[name] for part in found]) for name in found[0]})
    for name, values in emitted[0].items():
        np.testing.assert_array_equal(values, emitted[1][name], err_msg=name)
    assert emitted[0]["slot"].tolist() == list(range(num_slot))


HARD = (
    "time.num_slot=40",
    "server.frequency_hz=6e9",
    "network.access.loss=0.1",
    'network.access.latency_s={kind="exponential", mean_s=0.02}',
    "objective.deadline_price=2",
)


def test_a_run_conserves_tasks_and_its_slots_follow_from_its_tasks() -> None:
    """Against a loop over the task table: late, dropped, in flight; means over counted tasks; P2 of the slot."""
    scenario = make_scenario(*HARD)
    result = run(scenario, policy="edge-equal", seed=6)
    slots, end_ns = result.table("slots").to_pylist(), 40 * 100 * MS
    tasks = result.table("tasks").to_pylist()
    assert len(tasks) == 40 * 6
    for slot in slots:
        mine = [task for task in tasks if task["slot"] == slot["slot"]]
        delays, qualities, missed = [], [], 0
        for task in mine:
            deadline_ns = (40 * MS, 500 * MS)[task["task_class"]]
            until = task["done_ns"] if task["outcome"] != "in flight" else end_ns
            age_ns = until - task["generated_ns"]
            if task["outcome"] in ("completed", "late"):
                assert (task["outcome"] == "late") == (age_ns > deadline_ns)
            if task["outcome"] == "in flight" and age_ns <= deadline_ns:
                continue
            dropped = task["outcome"].startswith("dropped")
            delays.append(max(age_ns, deadline_ns) / 1e9 if dropped else age_ns / 1e9)
            qualities.append(1 - delays[-1] / (deadline_ns / 1e9))
            missed += dropped or age_ns > deadline_ns
        assert slot["delay_s_mean"] == pytest.approx(np.mean(delays), rel=1e-9)
        assert slot["qos"] == pytest.approx(np.mean(qualities), rel=1e-9)
        assert slot["deadline_miss_ratio"] == pytest.approx(missed / len(delays), rel=1e-12)
        counts = [slot[f"num_{name}"] for name in ("completed", "late", "dropped", "in_flight")]
        assert sum(counts) == len(mine) == 6
        assert counts[2] == sum(task["outcome"].startswith("dropped") for task in mine)
        queues = zip(slot["backlog_bytes"], slot["arrived_bytes"], slot["service_bytes"], strict=True)
        drift = sum(backlog * (arrived - service) for backlog, arrived, service in queues) / (3 * 30e3) ** 2
        expected = drift - slot["qos"] + slot["energy_local_j"] + slot["energy_edge_j"] + 2 * missed / len(delays)
        assert slot["objective"] == pytest.approx(expected, rel=1e-9)
    summary = result.summary
    kinds = ("tasks_completed", "tasks_late", "tasks_dropped", "tasks_in_flight")
    assert summary["tasks_generated"] == sum(summary[kind] for kind in kinds) == 240
    assert min(summary[kind] for kind in kinds) > 0  # the scenario is hard enough to have all of them
    assert summary["objective_mean"] == pytest.approx(np.mean([slot["objective"] for slot in slots]), rel=1e-9)


def test_local_energy_is_that_of_the_local_work() -> None:
    result = run(make_scenario("time.num_slot=3"), policy="random", seed=6)
    size, ratio = column(result, "tasks", "size_bytes"), column(result, "tasks", "offloading_ratio")
    per_byte = np.array([2000.0, 3000.0])[column(result, "tasks", "task_class")]
    cpu_hz = np.array([1.5e9, 2.5e9, 1.5e9])[column(result, "tasks", "vehicle")]
    joules = 1e-27 * cpu_hz**2 * (1 - ratio) * size * per_byte
    done = column(result, "tasks", "local_end_ns") >= 0
    assert done.all()
    recorded = column(result, "slots", "energy_local_j")
    ends = np.max(column(result, "tasks", "local_end_ns"))
    assert ends < 300 * MS  # nothing is cut off by the end of the run
    np.testing.assert_allclose(recorded, joules.reshape(3, 6).sum(axis=1), rtol=1e-9)
