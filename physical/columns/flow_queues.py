"""Queues of flows: every flow has its own rate and serves its rows first come, first served."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints
from physical.columns.tasks import TaskColumns, as_slice
from physical.model import computing
from physical.model.arrays import every, some
from physical.ticks import NEVER, NO_ROWS, seconds, ticks_from_s


class Service(NamedTuple):
    """Which columns the service of a queue reads and writes.

    flow : to which queue a row belongs
    ready : when a row joins it
    work : what there is to do
    begin : written when service begins
    joules : energy of the service, written if it is metered; or ""
    """

    flow: str
    ready: str
    work: str
    begin: str
    joules: str = ""


class FlowQueues:
    """One queue per flow. The head of each is in service; the others hang behind it in a list linked by `columns.next`.

    Times `now` are ticks, one for all flows or one for each, [num_flow]: flows do not touch each other.
    """

    def __init__(self, columns: TaskColumns, num_flow: int, service: Service) -> None:
        self._columns = columns
        self._service = service
        self._rate = np.zeros(num_flow)
        self._watts = np.zeros(num_flow)
        self._head = np.full(num_flow, -1, dtype=np.int64)
        self._tail = np.full(num_flow, -1, dtype=np.int64)
        self._finish = np.full(num_flow, NEVER, dtype=np.int64)
        self._since = np.zeros(num_flow, dtype=np.int64)
        self._left = np.zeros(num_flow)
        self._num_waiting = 0
        self._num_queued = 0

    def admit(self, rows: Ints) -> None:
        """Put rows that are ready, given in ascending order, into their queues in that order, ties by row."""
        self._num_queued += len(rows)
        index = as_slice(rows)
        flow = getattr(self._columns, self._service.flow)[index]
        # Rows of one slot are of ascending flows; consecutive rows may be of several slots, once others are forgotten.
        if not every(flow[1:] > flow[:-1]):
            several = np.bincount(flow)[flow] > 1
            if some(several):  # few, as a rule: uploads that have lasted until others came
                self._admit_in_turn(rows[several], flow[several])
                rows, flow = rows[~several], flow[~several]
        self._admit_one_each(rows, flow)

    def _admit_in_turn(self, rows: Ints, flow: Ints) -> None:
        """Put rows into queues, some of which get several."""
        order = np.lexsort((rows, getattr(self._columns, self._service.ready)[rows], flow))
        rows, flow = rows[order], flow[order]
        first = np.flatnonzero(np.diff(flow, prepend=-1))
        rank = np.arange(len(flow)) - np.repeat(first, np.diff(first, append=len(flow)))
        for turn in range(int(rank.max()) + 1):
            self._admit_one_each(rows[rank == turn], flow[rank == turn])

    def _admit_one_each(self, rows: Ints, flow: Ints) -> None:
        if self._num_queued > len(rows) and some(busy := self._head[flow] >= 0):
            self._wait(rows[busy], flow[busy])
            rows, flow = rows[~busy], flow[~busy]
        if rows.size:
            self._serve(rows, flow, getattr(self._columns, self._service.ready)[rows])
            self._tail[flow] = rows

    def _wait(self, rows: Ints, flow: Ints) -> None:
        self._columns.next[self._tail[flow]] = rows
        self._tail[flow] = rows
        self._num_waiting += len(rows)

    def _serve(self, rows: Ints, flow: Ints, start: Ints) -> None:
        """Begin the service of one row in each of some flows."""
        work = getattr(self._columns, self._service.work)[rows]
        getattr(self._columns, self._service.begin)[rows] = start
        self._head[flow] = rows
        self._since[flow] = start
        self._left[flow] = work
        self._finish[flow] = start + ticks_from_s(computing.execution_delay_s(work, self._rate[flow]))

    def advance(self, now: int | Ints) -> tuple[Ints, Ints]:
        """Serve up to `now`; return the rows served and their ends, each flow's in order."""
        if not self._num_queued:
            return NO_ROWS, NO_ROWS
        flow = (self._finish <= now).nonzero()[0]
        served: list[Ints] = []
        ends: list[Ints] = []
        while flow.size:
            rows, end = self._head[flow], self._finish[flow]
            self._num_queued -= len(rows)
            served.append(rows)
            ends.append(end)
            self._charge(flow, end)
            follower = self._columns.next[rows]
            self._head[flow] = follower
            self._finish[flow] = NEVER
            waiting = follower >= 0
            if not (self._num_waiting and some(waiting)):
                break
            flow, rows = flow[waiting], follower[waiting]
            self._num_waiting -= len(rows)
            self._leave_waiting(rows, flow)
            self._serve(rows, flow, np.maximum(getattr(self._columns, self._service.ready)[rows], end[waiting]))
            flow = flow[self._finish[flow] <= (now if isinstance(now, int) else now[flow])]
        if not served:
            return flow, flow
        if len(served) == 1:
            return served[0], ends[0]
        return np.concatenate(served), np.concatenate(ends)

    def _leave_waiting(self, rows: Ints, flow: Ints) -> None:
        """Take note of rows that wait no longer."""

    def _charge(self, flow: Ints, until: int | Ints) -> None:
        """Charge what is in service in some flows for the time up to `until`, one for all or one for each."""
        if self._service.joules:
            rows = self._head[flow]
            spent_j = self._watts[flow] * seconds(until - self._since[flow])
            getattr(self._columns, self._service.joules)[rows] += spent_j

    def change_rates(self, now: int | Ints, rate: Floats, watts: Floats | None = None) -> None:
        """Change the rates [num_flow] at `now`, to which the queues have been advanced; rescale what is in service.

        rate : work per second
        watts : power while serving, where energy is metered
        """
        if self._num_queued:
            changed = self._rate != rate if watts is None else (self._rate != rate) | (self._watts != watts)
            flow = np.flatnonzero((self._head >= 0) & changed)
            at = now if isinstance(now, int) else now[flow]
            self._charge(flow, at)
            left = self._left_at(at, flow)
            self._left[flow] = left
            self._since[flow] = at
            self._finish[flow] = at + ticks_from_s(computing.execution_delay_s(left, rate[flow]))
        self._rate = rate
        if watts is not None:
            self._watts = watts

    def remove(self, flow: Ints, now: int) -> Ints:
        """Take all rows out of some flows at `now`, to which the queues have been advanced; return them in order.

        The work of those in service is what is left of it.
        """
        flow = flow[self._head[flow] >= 0]
        self._charge(flow, now)
        getattr(self._columns, self._service.work)[self._head[flow]] = self._left_at(now, flow)
        rows: list[int] = []
        for row in self._head[flow].tolist():
            while row >= 0:
                rows.append(row)
                row = int(self._columns.next[row])  # noqa: PLW2901 - follows the list
        removed = np.array(rows, dtype=np.int64)
        self._num_queued -= len(rows)
        self._num_waiting -= len(rows) - len(flow)
        self._columns.next[removed] = -1
        self._head[flow] = self._tail[flow] = -1
        self._finish[flow] = NEVER
        return removed

    def settle(self, now: int) -> None:
        """Charge what is in service for the time up to `now`."""
        flow = np.flatnonzero(self._head >= 0)
        self._charge(flow, now)
        self._left[flow] = self._left_at(now, flow)
        self._since[flow] = now

    def _left_at(self, now: int | Ints, flow: Ints) -> Floats:
        done = self._rate[flow] * seconds(now - self._since[flow])
        left: Floats = np.maximum(self._left[flow] - done, 0.0)
        return left

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._head = renumbered[self._head]
        self._tail = renumbered[self._tail]
