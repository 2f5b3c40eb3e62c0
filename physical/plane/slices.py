"""Server discipline `slices`: every vehicle-class flow has its own rate and is served first come, first served."""

from __future__ import annotations

import numpy as np

from physical.model import computing
from physical.plane.columns import TaskColumns, as_slice
from physical.plane.ticks import NEVER, NO_ROWS, Floats, Ints, seconds, ticks_from_s

UNITS_PER_BYTE = float(1 << 20)
"""Waiting work is summed in integers, so that the sum returns exactly to zero."""


class Slices:
    """N x K queues. The head of each is in service; the others hang behind it in a list linked by `columns.next`."""

    def __init__(self, columns: TaskColumns, cycles_per_byte: Floats, num_flow: int) -> None:
        self._columns = columns
        self._num_class = len(cycles_per_byte)
        self._cycles_per_byte = cycles_per_byte
        self._class_of_flow = np.arange(num_flow) % self._num_class
        self._rate_hz = np.zeros(num_flow)
        self._head = np.full(num_flow, -1, dtype=np.int64)
        self._tail = np.full(num_flow, -1, dtype=np.int64)
        self._finish = np.full(num_flow, NEVER, dtype=np.int64)
        self._since = np.zeros(num_flow, dtype=np.int64)
        self._left_cycles = np.zeros(num_flow)
        self._waiting_units = np.zeros(self._num_class, dtype=np.int64)
        self._num_waiting = 0
        self._num_queued = 0

    def admit(self, rows: Ints) -> None:
        """Put arrived rows, given in ascending order, into their queues in arrival order, ties by row."""
        self._num_queued += len(rows)
        index = as_slice(rows)
        flow = self._columns.flow[index]
        # Rows of one slot are of ascending flows; consecutive rows may be of several slots, once others are forgotten.
        if (flow[1:] > flow[:-1]).all() or np.bincount(flow).max() == 1:
            self._admit_one_each(rows, flow)
            return
        order = np.lexsort((rows, self._columns.arrive[rows], flow))
        rows, flow = rows[order], flow[order]
        first = np.flatnonzero(np.diff(flow, prepend=-1))
        rank = np.arange(len(flow)) - np.repeat(first, np.diff(first, append=len(flow)))
        for turn in range(int(rank.max()) + 1):
            self._admit_one_each(rows[rank == turn], flow[rank == turn])

    def _admit_one_each(self, rows: Ints, flow: Ints) -> None:
        if self._num_queued > len(rows) and (busy := self._head[flow] >= 0).any():
            self._wait(rows[busy], flow[busy])
            rows, flow = rows[~busy], flow[~busy]
        if rows.size:
            self._serve(rows, flow, self._columns.arrive[rows])
            self._tail[flow] = rows

    def _wait(self, rows: Ints, flow: Ints) -> None:
        self._columns.next[self._tail[flow]] = rows
        self._tail[flow] = rows
        self._num_waiting += len(rows)
        np.add.at(self._waiting_units, self._class_of_flow[flow], self._units(rows, flow))

    def _units(self, rows: Ints, flow: Ints) -> Ints:
        bytes_ = self._columns.edge_cycles[rows] / self._cycles_per_byte[self._class_of_flow[flow]]
        return np.rint(bytes_ * UNITS_PER_BYTE).astype(np.int64)

    def _serve(self, rows: Ints, flow: Ints, start: Ints) -> None:
        """Begin the service of one row in each of some flows."""
        columns = self._columns
        cycles = columns.edge_cycles[rows]
        columns.serve[rows] = start
        self._head[flow] = rows
        self._since[flow] = start
        self._left_cycles[flow] = cycles
        self._finish[flow] = start + ticks_from_s(computing.execution_delay_s(cycles, self._rate_hz[flow]))

    def advance(self, now: int) -> tuple[Ints, Ints]:
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
            follower = self._columns.next[rows]
            self._head[flow] = follower
            self._finish[flow] = NEVER
            waiting = follower >= 0
            if not (self._num_waiting and waiting.any()):
                break
            flow, rows = flow[waiting], follower[waiting]
            self._num_waiting -= len(rows)
            np.subtract.at(self._waiting_units, self._class_of_flow[flow], self._units(rows, flow))
            self._serve(rows, flow, np.maximum(self._columns.arrive[rows], end[waiting]))
            flow = flow[self._finish[flow] <= now]
        if not served:
            return flow, flow
        if len(served) == 1:
            return served[0], ends[0]
        return np.concatenate(served), np.concatenate(ends)

    def set_rates(self, now: int, rate_hz: Floats) -> None:
        """Change the rates [N, K] at `now`, to which the queues have been advanced; rescale what is in service."""
        rate_hz = rate_hz.reshape(-1)
        if self._num_queued:
            flow = np.flatnonzero((self._head >= 0) & (self._rate_hz != rate_hz))
            left = self._left_at(now, flow)
            self._left_cycles[flow] = left
            self._since[flow] = now
            self._finish[flow] = now + ticks_from_s(computing.execution_delay_s(left, rate_hz[flow]))
        self._rate_hz = rate_hz

    def _left_at(self, now: int, flow: Ints) -> Floats:
        done = self._rate_hz[flow] * seconds(now - self._since[flow])
        left: Floats = np.maximum(self._left_cycles[flow] - done, 0.0)
        return left

    def class_rate_hz(self) -> Floats:
        """Total rate per class, [K], Hz."""
        total: Floats = self._rate_hz.reshape(-1, self._num_class).sum(axis=0)
        return total

    def backlog_bytes(self, now: int) -> Floats:
        """Work that has arrived and is not served at `now`, [K], bytes."""
        if not self._num_queued:
            return np.zeros(self._num_class)
        flow = np.flatnonzero(self._head >= 0)
        classes = self._class_of_flow[flow]
        left = self._left_at(now, flow) / self._cycles_per_byte[classes]
        in_service = np.bincount(classes, weights=left, minlength=self._num_class)
        return self._waiting_units / UNITS_PER_BYTE + in_service

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._head = renumbered[self._head]
        self._tail = renumbered[self._tail]
