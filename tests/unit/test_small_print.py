"""What the columns do in moments that drawn scenarios hardly ever meet."""

from __future__ import annotations

import numpy as np
import pytest

from physical.columns.arrived_bytes import ArrivedBytes
from physical.columns.fifo import Fifo
from physical.columns.left_behind import Leaving
from physical.columns.resource import CPU
from physical.columns.rules import make_resource
from physical.columns.slices import Slices
from physical.columns.tasks import WAITING, TaskColumns
from physical.columns.uplink import Uplink
from physical.ticks import HORIZON_NS, NEVER, NO_ROWS, ticks_from_ns
from sim.engine.clock import Pace
from tests.support.queues import MS

BPS = 8e6  # a byte per microsecond


def test_the_turn_of_who_waits_survives_that_others_are_taken_out() -> None:
    """When the first has left, the last one has its place."""
    columns = TaskColumns(1, 4, WAITING)
    columns.append_slots(0, np.ones((1, 1, 4)))
    columns.start[:4] = 0
    columns.local_left_s[:4] = [0.001, 0.002, 0.004, 0.008]
    cpu = make_resource("in-turn", columns, 1, CPU)
    cpu.change_rates(0, np.ones(1))
    cpu.add(np.arange(4))
    assert cpu.advance(MS).tolist() == [0]
    cpu.remove_rows(np.array([1]), 2 * MS)
    cpu.advance(100 * MS)
    assert columns.local_end[2:4].tolist() == [6 * MS, 14 * MS]


def uploads(since: list[int]) -> tuple[TaskColumns, Uplink]:
    """Let each of some vehicles send 1 000 bytes, each from its own time on: for a millisecond."""
    columns = TaskColumns(len(since), 1)
    columns.append_slots(0, np.ones((1, len(since), 1)))
    columns.start[: len(since)] = since
    uplink = Uplink(columns)
    uplink.set_rate(0, np.full(len(since), BPS), np.zeros(len(since)))
    uplink.add(np.arange(len(since)), columns.start, np.full(len(since), 1000.0))
    return columns, uplink


@pytest.mark.parametrize(("coming", "gone"), [(False, [0]), (True, [0, 1])])
def test_uploads_are_taken_out_of_the_vehicles_that_are_named(coming: bool, gone: list[int]) -> None:
    """The first two go: one is sending, one has not begun; of the others, who stay, too."""
    _, uplink = uploads([0, 5 * MS, 0, 5 * MS])
    removed = uplink.remove(np.array([True, True, False, False]), MS // 2, coming=coming)
    assert removed.tolist() == gone
    assert uplink.take_arrived(100 * MS).tolist() == [row for row in range(4) if row not in gone]
    assert not uplink.busy


def test_the_last_byte_of_an_upload_is_counted_as_what_is_left_of_it() -> None:
    _, uplink = uploads([0, 0, 5 * MS])
    np.testing.assert_allclose(uplink.backlog_bytes(MS - MS // 4000), [0.25, 0.25, 0.0], rtol=1e-6)
    assert uplink.backlog_bytes(MS).tolist() == [0.0, 0.0, 0.0]


def test_what_the_very_first_task_left_behind_takes_its_part_of_the_old_server() -> None:
    columns = TaskColumns(2, 1)
    columns.append_slots(0, np.ones((1, 2, 1)))
    columns.edge_cycles[:2] = 1e6
    columns.arrive[:2] = 0
    queues, leaving = Slices(columns, np.ones(1), 2), Leaving(columns, np.ones(1), 2)
    queues.set_rates(0, np.array([[3e7], [5e7]]), np.arange(2))
    queues.admit(np.arange(2))
    leaving.take_over(np.arange(2), MS, queues, np.array([4, 4]))
    assert leaving.rate_at_hz(4) == 8e7
    assert leaving.rate_at_hz(0) == 0.0


def test_arrived_bytes_are_counted_one_by_one_where_floats_no_longer_are() -> None:
    """From 2^53 units on, 2^33 bytes, a float has no room for a further unit."""
    arrived = ArrivedBytes(1)
    arrived.add(np.zeros(3, dtype=np.int32), np.array([2.0**33, 2.0**-20, 2.0**-20]))
    assert arrived.take().tolist() == [2.0**33 + 2.0**-19]


def test_a_queue_that_hardly_moves_is_where_it_was_at_the_end_of_the_clock() -> None:
    """Nine services of 39 hours each are more than int64 has room for."""
    columns = TaskColumns(1, 9)
    columns.append_slots(0, np.ones((1, 1, 9)))
    columns.task_class[:9] = 0
    columns.arrive[:9] = 0
    columns.edge_cycles[:9] = 1e6
    queues = Fifo(columns, np.ones(1), 9)
    queues.set_rates(0, np.full((9, 1), 1e-9), NO_ROWS)
    queues.admit(np.arange(9))
    rows, _ = queues.advance(ticks_from_ns(HORIZON_NS - 1))
    assert rows.size == 0
    assert columns.serve[:9].tolist() == [0, *[NEVER] * 8]


def test_a_slot_slips_when_it_begins_more_than_a_millisecond_late() -> None:
    pace = Pace()
    for late_s in (0.0005, 0.001, 0.0011, 0.0019):
        pace.note(late_s)
    assert (pace.num_slip, pace.slip_s_max) == (2, 0.0019)
