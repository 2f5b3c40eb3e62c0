"""Server discipline `fifo`: one queue per class, served in arrival order at the sum of its allocations (eq. 5)."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.tasks import TaskColumns
from physical.errors import InputError
from physical.model import computing
from physical.ticks import NEVER, NO_ROWS, seconds, ticks_from_s

_CHUNK = 4096


class Fifo:
    """K `ServerQueues`, each in the order of arrival."""

    def __init__(self, columns: TaskColumns, cycles_per_byte: Floats, num_flow: int) -> None:
        num_class = len(cycles_per_byte)
        self._num_class = num_class
        self._num_vehicle = num_flow // num_class
        self._queues = [_ClassQueue(columns) for _ in range(num_class)]
        self._columns = columns
        self._cycles_per_byte = cycles_per_byte

    def admit(self, rows: Ints) -> None:
        """Put arrived rows into the queue of their class, in arrival order, ties by row."""
        rows = rows[np.lexsort((rows, self._columns.arrive[rows]))]
        classes = self._columns.task_class[rows]
        for index, queue in enumerate(self._queues):
            queue.admit(rows[classes == index])

    def advance(self, now: int) -> tuple[Ints, Ints]:
        """Serve up to `now`; return the rows served and their ends, each class's in order."""
        served = [queue.advance(now) for queue in self._queues]
        return np.concatenate([rows for rows, _ in served]), np.concatenate([ends for _, ends in served])

    def set_rates(self, now: int, rate_hz: Floats, _serving_node: Ints, /) -> None:
        """Change the rates [N, K] at `now`, to which the queues have been advanced; rescale what is in service.

        All are at the same node.
        """
        for queue, rate in zip(self._queues, rate_hz.sum(axis=0).tolist(), strict=True):
            queue.set_rate(now, rate)

    def backlog(self, now: int, _vehicles: Mask | None = None, /) -> tuple[Floats, None]:
        """Return the work of each class that has arrived and is not served at `now`, [K], bytes.

        Class queues tell neither vehicles nor flows apart: there is None of these.
        """
        return np.array([queue.backlog_cycles(now) for queue in self._queues]) / self._cycles_per_byte, None

    def leave_behind(self, _flow: Ints, _now: int, /) -> tuple[Ints, Floats, Floats]:
        """Refuse: no flow has a rate of its own that it could keep."""
        accepted = "forward, drop; or server.discipline slices"
        raise InputError("'finish' needs queues of single vehicles", key="model.handover", accepted=accepted)

    def settle(self, _now: int, /) -> None:
        """Do nothing: class queues have no meter."""

    def remove(self, flow: Ints, now: int) -> Ints:
        """Take all rows of some flows out at `now`, to which the queues have been advanced."""
        return np.concatenate([queue.remove(flow, now) for queue in self._queues])

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        for queue in self._queues:
            queue.rows = renumbered[queue.rows]


class _ClassQueue:
    """One queue. `rows` is in arrival order and its first entry is in service since `_since`."""

    def __init__(self, columns: TaskColumns) -> None:
        self.rows = NO_ROWS
        self.rate_hz = 0.0
        self._columns = columns
        self._in_service = False
        self._since = 0
        self._left_cycles = 0.0
        self._free_at = 0

    def admit(self, rows: Ints) -> None:
        """Append rows that are in arrival order and later than all before them."""
        if rows.size:
            self.rows = np.concatenate([self.rows, rows]) if self.rows.size else rows

    def advance(self, now: int) -> tuple[Ints, Ints]:
        """Serve up to `now`."""
        all_rows: list[Ints] = []
        all_ends: list[Ints] = []
        while self.rows.size:
            rows, ends, stopped = self._serve_chunk(now)
            all_rows.append(rows)
            all_ends.append(ends)
            if stopped:
                break
        if not all_rows:
            return NO_ROWS, NO_ROWS
        return np.concatenate(all_rows), np.concatenate(all_ends)

    def _serve_chunk(self, now: int) -> tuple[Ints, Ints, bool]:
        """Serve the first rows of the queue by Lindley's recursion; the last value tells that `now` is reached."""
        columns = self._columns
        # No completion after `now` matters, so needs are cut there: sums of a whole chunk then stay inside int64.
        window = max(now - self._free_at, now - self._since, 0) + 1
        rows = self.rows[: max(1, min(_CHUNK, NEVER // window))]
        cycles = columns.edge_cycles[rows]
        begin = columns.arrive[rows]
        begin[0] = max(int(begin[0]), self._free_at)
        if self._in_service:
            cycles[0] = self._left_cycles
            begin[0] = self._since
        need = ticks_from_s(computing.execution_delay_s(cycles, np.full(len(rows), self.rate_hz)))
        cut = np.minimum(need, window)
        total = np.cumsum(cut)
        end = total + np.maximum.accumulate(begin - (total - cut))
        num_done = int(np.searchsorted(end, now, side="right"))
        start = end - cut
        num_started = int(np.searchsorted(start, now, side="right"))
        new = slice(1 if self._in_service else 0, num_started)
        columns.serve[rows[new]] = start[new]
        if num_done:
            self._free_at = int(end[num_done - 1])
            self._in_service = False
        if num_done < num_started and not (num_done == 0 and self._in_service):
            self._in_service = True
            self._since = int(start[num_done])
            self._left_cycles = float(cycles[num_done])
        self.rows = self.rows[num_done:]
        return rows[:num_done], end[:num_done], num_done < len(rows)

    def set_rate(self, now: int, rate_hz: float) -> None:
        """Change the rate at `now`."""
        if self._in_service and rate_hz != self.rate_hz:
            self._left_cycles = self._left_at(now)
            self._since = now
        self.rate_hz = rate_hz

    def _left_at(self, now: int) -> float:
        return max(self._left_cycles - self.rate_hz * float(seconds(now - self._since)), 0.0)

    def remove(self, flow: Ints, now: int) -> Ints:
        """Take the rows of some flows out at `now`."""
        gone = np.isin(self._columns.flow[self.rows], flow)
        removed = self.rows[gone]
        if self._in_service and gone[0]:
            self._in_service = False
            self._free_at = now
        self.rows = self.rows[~gone]
        return removed

    def backlog_cycles(self, now: int) -> float:
        """Return the work in the queue at `now`, cycles."""
        if not self.rows.size:
            return 0.0
        cycles = self._columns.edge_cycles[self.rows]
        if self._in_service:
            cycles[0] = self._left_at(now)
        return float(cycles.sum())
