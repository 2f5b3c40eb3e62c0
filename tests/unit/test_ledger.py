"""The books of a run, by hand: what counts as late, dropped, missed, in flight; and when slots are emitted."""

from __future__ import annotations

import numpy as np
import pytest

from physical.system import System
from physical.task_rows import Outcome, TaskRows
from physical.ticks import TICK_BITS
from sim import Scenario, run
from sim.record.slots import ClosedSlot, Ledger
from sim.record.tasks import Spent
from tests.support.scenarios import BASE, make_scenario
from tests.support.states import LOSSES, states
from tests.support.tables import column
from tests.support.task_rows import task_rows

MS = 1_000_000
# Two vehicles with two classes: deadlines 40 and 500 ms.
SYSTEM = make_scenario(
    "vehicles.num_vehicle=2", "objective.deadline_price=2", "objective.energy_weight=0.5", "objective.beta=0.25"
).system()


def rows(*tasks: tuple[int, int, Outcome]) -> TaskRows:
    """Return tasks of (slot, class, outcome)."""
    slot, task_class, outcome = (np.array(values) for values in zip(*tasks, strict=True))
    return task_rows(
        slot=slot.astype(np.int32), task_class=task_class.astype(np.int32), outcome=outcome.astype(np.int8)
    )


def close(ledger: Ledger, num: int = 1, joules: float = 0.0) -> None:
    """Close slots that begin with 10 kB of the first class."""
    for _ in range(num):
        ledger.report_backlog(0, np.array([1e4, 0.0]))
        ledger.close_slot(ClosedSlot(np.array([3e4, 5e4]), np.array([1e4, 9e4]), joules, 4), states(SYSTEM))


def end(ledger: Ledger) -> None:
    """Tell the backlog at the end of the run."""
    ledger.report_backlog(0, np.array([1.5e4, 7e3]))


def add(ledger: Ledger, tasks: TaskRows, age_ms: list[float], local_j: list[float]) -> list[str]:
    age_ns = np.rint(np.array(age_ms) * MS).astype(np.int64)
    outcome = ledger.add_tasks(tasks, Spent(np.array(local_j)), age_ns)
    return [Outcome(code).name for code in outcome.tolist()]


DONE, LOST, FLYING = Outcome.COMPLETED, Outcome.DROPPED_UPLINK, Outcome.IN_FLIGHT


def test_one_slot_by_hand() -> None:
    ledger = Ledger(SYSTEM)
    close(ledger, joules=0.75)
    end(ledger)
    tasks = rows((0, 0, DONE), (0, 0, DONE), (0, 1, LOST), (0, 1, DONE))
    assert add(ledger, tasks, [10, 50, 100, 250], [0.5, 0.25, 0.0, 0.25]) == [
        "COMPLETED",
        "LATE",
        "DROPPED_UPLINK",
        "COMPLETED",
    ]
    emitted = ledger.emit()
    assert emitted is not None
    # Delays: 10, 50, twice the deadline of 500 for the dropped one, 250 ms. QoS: 0.75, -0.25, -1, 0.5.
    expected = {
        "slot": 0,
        "num_completed": 2,
        "num_late": 1,
        "num_dropped": 1,
        "num_in_flight": 0,
        "delay_s_mean": 1.31 / 4,
        "qos": 0.0,
        "deadline_miss_ratio": 0.5,
        "energy_local_j": 1.0,
        "energy_edge_j": 0.75,
    }
    for name, value in expected.items():
        assert emitted[name].tolist() == pytest.approx([value], rel=1e-12), name
    # Q0 = 2 (20 + 40) / 2 kB = 60 kB, and the first queue has grown by 5 kB: drift = (10 / 60) (5 / 60).
    drift = 1 / 6 * 1 / 12
    assert emitted["drift"].tolist() == pytest.approx([drift], rel=1e-12)
    penalty = 0.5 * 1.75 + 2 * 0.5  # eq. 17a with a price for misses
    assert emitted["penalty"].tolist() == pytest.approx([penalty], rel=1e-12)
    assert ledger.slot_penalty.tolist() == emitted["penalty"].tolist()
    assert emitted["objective"].tolist() == pytest.approx([0.25 * drift + penalty], rel=1e-12)
    np.testing.assert_array_equal(emitted["backlog_bytes"], [[1e4, 0.0]])


@pytest.mark.parametrize(
    ("settings", "age_ms", "delay_ms", "quality"),
    [
        ((), 100, 1000, -1.0),
        ((), 1000, 1000, -1.0),
        ((), 1400, 1400, -1.0),
        (("objective.qos_floor=-3",), 100, 2000, -3.0),
        (("objective.qos_floor=0",), 100, 500, 0.0),
        (("model.mode=paper",), 100, 1000, -1.0),
        (("model.mode=paper",), 1400, 1400, -1.8),  # no floor
    ],
)
def test_a_dropped_task_counts_the_floor_or_its_age(
    settings: tuple[str, ...], age_ms: float, delay_ms: float, quality: float
) -> None:
    for outcome in LOSSES:
        ledger = Ledger(make_scenario("vehicles.num_vehicle=2", *settings).system())
        close(ledger)
        end(ledger)
        add(ledger, rows((0, 0, DONE), (0, 0, DONE), (0, 1, outcome), (0, 1, DONE)), [40, 40, age_ms, 500], [0.0] * 4)
        emitted = ledger.emit()
        assert emitted is not None
        assert emitted["num_dropped"].tolist() == [1]
        assert emitted["deadline_miss_ratio"].tolist() == [0.25]  # exactly at the deadline is in time
        assert emitted["delay_s_mean"].tolist() == pytest.approx([(0.04 + 0.04 + delay_ms / 1e3 + 0.5) / 4])
        assert emitted["qos"].tolist() == pytest.approx([quality / 4])  # the others are at 0


@pytest.mark.parametrize(("mode", "quality"), [("corrected", -1.0), ("paper", -11.5)])
def test_nothing_late_counts_less_than_the_floor(mode: str, quality: float) -> None:
    """One task just in time and one after 12.5 times its deadline, of each class, in flight or not."""
    for last in (DONE, FLYING):
        ledger = Ledger(make_scenario("vehicles.num_vehicle=2", f"model.mode={mode}").system())
        close(ledger)
        end(ledger)
        add(ledger, rows((0, 0, DONE), (0, 0, last), (0, 1, DONE), (0, 1, last)), [40, 500, 500, 6250], [0.0] * 4)
        emitted = ledger.emit(final=True)
        assert emitted is not None
        assert emitted["qos"].tolist() == pytest.approx([quality / 2])
        assert emitted["delay_s_mean"].tolist() == pytest.approx([(0.04 + 0.5 + 0.5 + 6.25) / 4])
        assert emitted["deadline_miss_ratio"].tolist() == [0.5]


def job(outcome: Outcome, system: System) -> TaskRows:
    """Return one prompt that is run where it came up."""
    ticks = np.array([5 << TICK_BITS])
    return rows((0, 0, outcome))._replace(size_bytes=system.size_bytes_mean[:1], local_end=ticks, done=ticks)


@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_by_the_weighted_cost_a_lost_task_counts_two_deadlines_or_its_age(mode: str) -> None:
    """By hand: the deadline is 10 s, and time has half of the weight."""
    system = Scenario.load("llm6g", [f"model.mode={mode}", "cost.normalise=false"]).system()
    for age_s, counted_s in ((0.5, 20.0), (15.0, 20.0), (45.0, 45.0)):
        ledger = Ledger(system)
        for queues in (np.zeros(1), np.zeros(1)):
            for node in range(system.num_node):
                ledger.report_backlog(node, queues)
        ledger.close_slot(ClosedSlot(np.zeros(1), np.zeros(1), 0.0, 1), states(system))
        ledger.add_tasks(job(LOST, system), Spent(np.array([3.0])), np.array([round(age_s * 1e9)]))
        emitted = ledger.emit()
        assert emitted is not None
        assert emitted["penalty"].tolist() == pytest.approx([0.5 * counted_s + 0.5 * 3.0], rel=1e-9)
        assert emitted["objective"].tolist() == emitted["penalty"].tolist()


def test_in_flight_at_the_end_counts_only_when_overdue() -> None:
    ledger = Ledger(SYSTEM)
    close(ledger, 2)
    end(ledger)
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
    assert emitted["qos"][0] == pytest.approx((0.5 - 1.0 - 0.2) / 3)  # the floor is at -1
    np.testing.assert_allclose(emitted["energy_local_j"], [0.4, 0.2], rtol=1e-9)
    assert np.isnan([emitted["qos"][1], emitted["delay_s_mean"][1], emitted["deadline_miss_ratio"][1]]).all()
    totals = ledger.totals
    assert (totals.num_slot, totals.num_slot_counted) == (2, 1)
    assert totals.by_task["in_flight"] == 7
    assert totals.by_task["counted"] == 3
    assert totals.by_task["missed"] == 2
    assert totals.by_slot["qos"] == pytest.approx((0.5 - 1.0 - 0.2) / 3)


def test_a_slot_with_an_unfinished_task_holds_back_those_after_it() -> None:
    ledger = Ledger(SYSTEM)
    close(ledger, 4)
    end(ledger)
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
    assert ledger.emit() is None
    assert ledger.emit(final=True) is None  # by how much the queues grew is not known yet
    end(ledger)
    emitted = ledger.emit()
    assert emitted is not None
    assert emitted["num_completed"].tolist() == [4]


def test_drift_is_the_growth_of_the_queues_of_all_nodes() -> None:
    """By hand: Q0 is 60 kB, and the second node's queues count like those of the first."""
    two_nodes = BASE | {"base_station": {}, "rsus": [{"name": "r", "position_m": [100, 0]}]}
    ledger = Ledger(Scenario.from_dict(two_nodes, settings=["vehicles.num_vehicle=2"]).system())
    reported = {0: ([0, 0], [6, 0], [12, 6], [0, 0]), 1: ([6, 0], [6, 12], [0, 0], [0, 12])}  # kB
    for slot in range(3):
        for node in (1, 0):
            ledger.report_backlog(node, 1e3 * np.array(reported[node][slot]))
        ledger.close_slot(ClosedSlot(np.zeros(2), np.zeros(2), 0.0, 0), states(SYSTEM))
    first = ledger.emit()
    for node in (0, 1):
        ledger.report_backlog(node, 1e3 * np.array(reported[node][3]))
    last = ledger.emit()
    assert first is not None
    assert last is not None
    # Sums: [6, 0], [12, 12], [12, 6], [0, 12] kB; in Q0: [.1, 0], [.2, .2], [.2, .1], [0, .2].
    assert first["drift"].tolist() == pytest.approx([0.1 * 0.1, 0.2 * 0.0 + 0.2 * -0.1])
    assert last["drift"].tolist() == pytest.approx([0.2 * -0.2 + 0.1 * 0.1])
    np.testing.assert_allclose(last["backlog_bytes"], [[12e3, 6e3]])


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
        end(ledger)
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
    """Against a loop over the task table: late, dropped, in flight; means over counted tasks; penalty and P2."""
    result = run(make_scenario(*HARD), policy="edge-equal", seed=6)
    # A slot more begins with the queues with which these ones end.
    longer = run(make_scenario(*HARD, "time.num_slot=41"), policy="edge-equal", seed=6)
    backlog = np.array(longer.table("slots")["backlog_bytes"].to_pylist())
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
            delays.append(max(age_ns, 2 * deadline_ns) / 1e9 if dropped else age_ns / 1e9)
            qualities.append(max(1 - delays[-1] / (deadline_ns / 1e9), -1))
            missed += dropped or age_ns > deadline_ns
        assert slot["delay_s_mean"] == pytest.approx(np.mean(delays), rel=1e-9)
        assert slot["qos"] == pytest.approx(np.mean(qualities), rel=1e-9)
        assert slot["deadline_miss_ratio"] == pytest.approx(missed / len(delays), rel=1e-12)
        counts = [slot[f"num_{name}"] for name in ("completed", "late", "dropped", "in_flight")]
        assert sum(counts) == len(mine) == 6
        assert counts[2] == sum(task["outcome"].startswith("dropped") for task in mine)
        now, then = backlog[slot["slot"]], backlog[slot["slot"] + 1]
        drift = sum(now * (then - now)) / (3 * 30e3) ** 2
        assert slot["backlog_bytes"] == now.tolist()
        assert slot["drift"] == pytest.approx(drift, rel=1e-9)
        penalty = -np.mean(qualities) + slot["energy_local_j"] + slot["energy_edge_j"] + 2 * missed / len(delays)
        assert slot["penalty"] == pytest.approx(penalty, rel=1e-9)
        assert slot["objective"] == pytest.approx(penalty + drift, rel=1e-9)
    assert backlog[40].all()
    summary = result.summary
    for name in ("objective", "penalty", "drift"):
        assert summary[f"{name}_mean"] == pytest.approx(np.mean([slot[name] for slot in slots]), rel=1e-9)
    kinds = ("tasks_completed", "tasks_late", "tasks_dropped", "tasks_in_flight")
    assert summary["tasks_generated"] == sum(summary[kind] for kind in kinds) == 240
    assert min(summary[kind] for kind in kinds) > 0  # the scenario is hard enough to have all of them


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
