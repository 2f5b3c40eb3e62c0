"""What the columns record does not depend on when, or how often, somebody looks: equal bits, not nearly equal ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from physical.arrays import Floats
from physical.columns.arrived_bytes import ArrivedBytes
from physical.columns.cpu import OwnCpus
from physical.columns.edge_server import PowerMeter
from physical.columns.left_behind import Leaving
from physical.columns.pipeline import DataPlane, Fate
from physical.columns.resource import CPU, UPLINK, ResourceRows
from physical.columns.rules import Rule, make_resource
from physical.columns.slices import Slices
from physical.columns.tasks import METERED, WAITING, TaskColumns
from physical.columns.uplink import Uplink
from physical.task_rows import TaskRows
from physical.ticks import seconds
from tests.support.queues import MS
from tests.support.scenarios import make_scenario

SHAPE = NUM_SLOT, NUM_VEHICLE, NUM_CLASS = 12, 3, 2
NUM_FLOW = NUM_VEHICLE * NUM_CLASS
SLOT = 10 * MS


class Run(NamedTuple):
    """What is recorded: tasks, what is left of those cut short, backlogs at some times, and bytes that arrived."""

    rows: TaskRows
    cut: TaskRows
    backlogs: list[Floats]
    arrived_bytes: Floats


def drive(settings: Sequence[str], looks: Sequence[int]) -> Run:
    """Let a plane run for some slots with rates that stay for two of three slots; look at further times.

    To look is to advance, to ask for backlogs, and to tell all rates and serving nodes once more.
    """
    rng = np.random.default_rng(23)
    plane = DataPlane(make_scenario(*settings).system())
    sizes = rng.uniform(1e3, 3e4, SHAPE)
    plane.append_slots(0, sizes, np.zeros(SHAPE[:2], dtype=np.int64), Fate(0, None), Fate(0, None))
    uplink_bps = rng.uniform(5e6, 2e7, (NUM_SLOT // 3, NUM_VEHICLE))
    service_hz = rng.uniform(3e8, 3e9, (NUM_SLOT // 3, NUM_VEHICLE, NUM_CLASS))
    gain, node = np.ones(NUM_VEHICLE), np.zeros(NUM_VEHICLE, dtype=np.int64)
    ratio = rng.choice([0.0, 0.3, 0.8, 1.0], (NUM_SLOT, NUM_FLOW))
    backlogs: list[Floats] = []
    told = uplink_bps[0], service_hz[0]
    for now in sorted({*looks, *(slot * SLOT for slot in range(NUM_SLOT + 1))}):
        plane.advance(now)
        slot, within = divmod(now, SLOT)
        if not within and slot < NUM_SLOT:
            told = uplink_bps[slot // 3], service_hz[slot // 3]
        plane.begin_slot(now, told[0].copy(), gain.copy(), node.copy())
        plane.set_service_rate(now, told[1].copy())
        seen = _backlogs(plane, now)
        if not within:
            backlogs += seen
            if slot < NUM_SLOT:
                plane.start(slice(slot * NUM_FLOW, (slot + 1) * NUM_FLOW), now + MS // 3, ratio[slot])
    now = NUM_SLOT * SLOT
    plane.advance(now)
    rows, _ = plane.take_finished(now)
    arrived_bytes = plane.take_arrived_bytes()
    plane.settle(now)
    return Run(rows, plane.take_unfinished(plane.columns.num_row, now), backlogs, arrived_bytes)


def _backlogs(plane: DataPlane, now: int) -> list[Floats]:
    waits = plane.backlogs(now)
    served = [part for part in plane.queues.backlog(now) if part is not None]
    return [*([] if waits is None else waits), *served]


def assert_same(run: Run, other: Run) -> None:
    for rows, others in ((run.rows, other.rows), (run.cut, other.cut)):
        for name, values, further in zip(TaskRows._fields, rows, others, strict=True):
            np.testing.assert_equal(values, further, err_msg=name)
    np.testing.assert_equal(run.backlogs, other.backlogs)
    np.testing.assert_array_equal(run.arrived_bytes, other.arrived_bytes)


@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("discipline", ["slices", "fifo"])
@pytest.mark.parametrize(
    ("cpu", "uplink"), [("per-task", "each"), ("in-turn", "in-turn"), ("sharing", "sharing"), ("per-task", "sharing")]
)
def test_looking_changes_nothing(cpu: str, uplink: str, discipline: str, order: str) -> None:
    settings = (
        *(f"vehicles.cpu={cpu}", f"radio.uplink={uplink}"),
        *(f"server.discipline={discipline}", f"model.order={order}"),
    )
    rng = np.random.default_rng(7)
    alone = drive(settings, ())
    watched = drive(settings, sorted(rng.integers(1, NUM_SLOT * SLOT, 60).tolist()))
    assert len(alone.rows.slot) > 10
    assert len(alone.cut.slot) > 2
    assert_same(watched, alone)


def columns_of(*work: float, use: Any = UPLINK, ready: Sequence[int] = ()) -> TaskColumns:
    """Return the columns of one vehicle whose rows have some work, and come at 0 or when they are ready."""
    columns = TaskColumns(1, len(work), METERED, WAITING)
    columns.append_slots(0, np.ones((1, 1, len(work))))
    getattr(columns, use.work)[: len(work)] = work
    getattr(columns, use.ready)[: len(work)] = ready or [0] * len(work)
    return columns


def test_a_local_part_has_left_what_it_needs_but_what_it_has_run() -> None:
    """Not the time to its end, which has been rounded to ticks."""
    columns = TaskColumns(1, 3)
    columns.append_slots(0, np.ones((1, 1, 3)))
    cpus = OwnCpus(columns)
    need_s = np.array([0.1, 0.07, 1e12])
    columns.start[:3] = MS
    cpus.start(slice(0, 3), MS, need_s, np.zeros(3))
    for now in (0, MS, 7 * MS // 3, 50 * MS):
        rows, left_s = cpus.left(now)
        assert rows.tolist() == [0, 1, 2]
        expected = need_s - seconds(max(now - MS, 0))
        np.testing.assert_array_equal(left_s, expected)
        np.testing.assert_array_equal(cpus.left_s(np.ones(3, dtype=np.bool_), np.full(3, now)), expected)
    assert cpus.left(75 * MS)[0].tolist() == [0, 2]
    assert cpus.left_s(np.ones(3, dtype=np.bool_), np.full(3, 75 * MS))[1] == 0.0


def test_an_upload_whose_rate_stays_goes_on_untouched() -> None:
    """The rate of the other vehicle changes, and the untouched one is foreseen from its own beginning still."""
    columns = TaskColumns(2, 1)
    columns.append_slots(0, np.ones((1, 2, 1)))
    columns.start[:2] = 0
    uplink = Uplink(columns)
    rate_bps = np.array([7e6, 7e6])
    uplink.set_rate(0, rate_bps, np.zeros(2))
    uplink.add(np.arange(2), columns.start, np.array([30_001.0, 30_001.0]))
    end = columns.upload_end[:2].copy()
    for now in range(MS // 3, 20 * MS, MS):
        rate_bps = rate_bps * [1.0, 1.01]
        uplink.set_rate(now, rate_bps, np.zeros(2))
    assert columns.upload_end[0] == end[0]
    assert columns.upload_since[0] == 0
    assert columns.upload_left_bytes[0] == 30_001.0
    assert columns.upload_end[1] < end[1]
    stopped = np.zeros(2)
    uplink.set_rate(20 * MS, stopped, stopped)
    left = columns.upload_left_bytes[:2].copy()
    uplink.set_rate(21 * MS, stopped, stopped)
    np.testing.assert_array_equal(columns.upload_left_bytes[:2], left)
    np.testing.assert_array_equal(columns.upload_since[:2], 20 * MS)


def served(resource: ResourceRows, rate: float) -> None:
    resource.change_rates(0, np.array([rate]), np.array([0.7]))
    resource.add(np.arange(resource._columns.num_row))


def test_who_comes_changes_nothing_for_who_is_in_service() -> None:
    late = [0, *(MS // 3 + index * MS for index in range(5))]
    columns = columns_of(30_001.0, *(1.0,) * 5, ready=late)
    resource = make_resource("in-turn", columns, 1, UPLINK)
    served(resource, 1e6 / 3)
    resource.advance(20 * MS)
    assert resource.left(20 * MS)[1][0] == 30_001.0 - 1e6 / 3 * seconds(20 * MS)
    resource.remove_rows(np.array([2, 4]), 21 * MS)  # who gives up waiting changes nothing either
    assert resource.left(33 * MS)[1][0] == 30_001.0 - 1e6 / 3 * seconds(33 * MS)
    resource.advance(1000 * MS)
    assert columns.transmit_j[0] == 0.7 * seconds(columns.upload_end[0])
    resource_alone = make_resource("in-turn", alone := columns_of(30_001.0), 1, UPLINK)
    served(resource_alone, 1e6 / 3)
    resource_alone.advance(1000 * MS)
    assert columns.upload_end[0] == alone.upload_end[0]
    # An idle resource begins anew with who comes.
    again = columns_of(1000.0, 1000.0, ready=[0, 50 * MS])
    resource = make_resource("in-turn", again, 1, UPLINK)
    served(resource, 1e6)
    resource.advance(1000 * MS)
    assert again.upload_end[:2].tolist() == [MS, 51 * MS]


@pytest.mark.parametrize("rule", ["in-turn", "sharing", "each"])
def test_who_is_left_is_told_in_the_order_of_rows(rule: Rule) -> None:
    """The place of who leaves is filled with the last one's row."""
    columns = columns_of(1.0, *(float(5000 + index) for index in range(6)), use=CPU)
    resource = make_resource(rule, columns, 1, CPU)
    served(resource, 1e4)
    resource.advance(100 * MS)
    rows, left = resource.left(100 * MS)
    assert rows.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.all(np.diff(left[1:]) > 0)  # of the same rows; the first may be in service


def test_arrived_bytes_are_the_same_in_any_order_and_any_parts() -> None:
    rng = np.random.default_rng(3)
    task_class = rng.integers(0, 2, 500).astype(np.int32)
    for scale in (1e4, 1e13):
        sizes = rng.uniform(0, scale, 500)
        taken = []
        for order, parts in ((np.arange(500), 1), (rng.permutation(500), 7), (np.arange(500)[::-1], 500)):
            arrived = ArrivedBytes(2)
            for chosen in np.array_split(order, parts):
                arrived.add(task_class[chosen], sizes[chosen])
            taken.append(arrived.take().tolist())
            assert arrived.take().tolist() == [0.0, 0.0]
        assert taken[0] == taken[1] == taken[2]
        exact = [math.fsum(sizes[task_class == number]) for number in range(2)]
        assert taken[0] == pytest.approx(exact, rel=1e-13)


def test_a_task_that_waits_again_keeps_the_time_at_which_its_service_began() -> None:
    """Its vehicle leaves twice: what was in service the second time waits behind what was left behind before."""
    columns = TaskColumns(1, 2)
    columns.append_slots(0, np.ones((1, 1, 2)))
    columns.flow[:2] = 0
    columns.edge_cycles[:2] = 1e6
    columns.arrive[:2] = [2 * MS, 5 * MS]
    queues, leaving = Slices(columns, np.ones(1), 1), Leaving(columns, np.ones(1), 1)
    flow, rate_hz = np.array([0]), np.array([[1e7]])
    queues.set_rates(0, rate_hz, flow)
    queues.admit(np.array([0]))
    leaving.take_over(flow, 3 * MS, queues, flow)  # 99 of 100 ms are left
    queues.admit(np.array([1]))
    leaving.take_over(flow, 6 * MS, queues, flow)
    assert columns.serve[:2].tolist() == [2 * MS, 5 * MS]
    _, ends = leaving.advance(1000 * MS)
    assert columns.serve[:2].tolist() == [2 * MS, 5 * MS]
    np.testing.assert_allclose(ends / MS, [102, 201])


def test_a_meter_is_not_read_by_who_changes_nothing() -> None:
    system = make_scenario().system()
    rates = [0, 7, 7, 7, 30, 30]
    taken = []
    for often in (False, True):
        meter, before = PowerMeter(system, 0), -1
        for step, rate in enumerate(rates):
            if often or rate != before:
                meter.change(step * 10_000_019 + 1, rate * 1e9 / 3, np.full(2, rate * 1e9 / 6))
            before = rate
        energy_j, service_bytes = meter.take(99_999_999)
        taken.append((energy_j, service_bytes.tolist()))
    assert taken[0] == taken[1]
    # A change of either one counts.
    meter = PowerMeter(system, 0)
    meter.change(0, 1e9, np.ones(2))
    meter.change(50_000_000, 1e9, np.full(2, 3.0))
    meter.change(100_000_000, 2e9, np.full(2, 3.0))
    energy_j, service_bytes = meter.take(200_000_000)
    np.testing.assert_allclose(service_bytes * system.cycles_per_byte, 0.05 + 0.05 * 3 + 0.1 * 3)
    one_j, _ = _steady(system, 1e9)
    two_j, _ = _steady(system, 2e9)
    assert energy_j == pytest.approx(one_j + two_j, rel=1e-12)


def _steady(system: Any, total_hz: float) -> tuple[float, Floats]:
    meter = PowerMeter(system, 0)
    meter.change(0, total_hz, np.zeros(2))
    return meter.take(100_000_000)
