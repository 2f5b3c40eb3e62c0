"""The local parts of tasks on the CPUs of their vehicles."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.resource import CPU
from physical.columns.rules import make_resource
from physical.columns.tasks import Rows, TaskColumns, as_index
from physical.model.arrays import some
from physical.params import CpuRule
from physical.ticks import NEVER, NO_ROWS, seconds, ticks_from_s


class Cpus(Protocol):
    """What the pipeline asks of the CPUs of all vehicles; times `now` are ticks."""

    def start(self, rows: Rows, at: Any, need_s: Floats, upload_bytes: Floats) -> tuple[Ints, Floats]:
        """Start local parts that take `need_s` at ticks `at`; return those whose end is known, with their uploads."""

    def advance(self, now: int, /) -> Ints:
        """Run up to `now`; return the rows, in ascending order, whose local parts have ended and were not foreseen."""

    def together(self, rows: Ints, at: Ints, /) -> Ints:
        """Return when tasks end whose other part ends at `at`, as far as the end of the local part is known."""

    def busy(self, now: int, /) -> bool:
        """Whether anything runs or waits at `now`."""

    def left(self, now: int, /) -> tuple[Ints, Floats]:
        """Return the rows that run or wait at `now`, and the CPU time that each still takes, s.

        Those of a vehicle are in ascending order: sums of theirs do not depend on who has left before.
        """

    def left_s(self, chosen: Mask, until: Ints, /) -> Floats:
        """Return the CPU time that the rows in a mask had left `until` their own times, s."""

    def remove(self, vehicles: Mask, now: int, /) -> None:
        """Stop the local parts of some vehicles, a mask [N]."""

    def remove_rows(self, rows: Ints, now: int, /) -> None:
        """Stop some local parts."""

    def settle(self, now: int, /) -> None:
        """Write what is left of local parts at `now`."""

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""


class OwnCpus:
    """Every task has a CPU of its own (eq. 7): its end is known when it starts.

    What a task needs in all stays in the column `local_left_s`, whenever somebody asks for what is left.
    """

    def __init__(self, columns: TaskColumns) -> None:
        self._columns = columns
        self._running: list[Rows] = []
        self._last_end = 0

    def start(self, rows: Rows, at: Any, need_s: Floats, upload_bytes: Floats) -> tuple[Ints, Floats]:
        """Start local parts that take `need_s` at ticks `at`."""
        columns = self._columns
        ends = at + ticks_from_s(need_s)
        columns.local_end[rows] = ends
        columns.local_left_s[rows] = need_s
        self._running.append(rows)
        self._last_end = max(self._last_end, int(ends.max(initial=0)))
        return as_index(rows), upload_bytes

    def advance(self, _now: int, /) -> Ints:
        """Return nobody: all ends are foreseen."""
        return NO_ROWS

    def together(self, rows: Ints, at: Ints) -> Ints:
        """Return the later one of two ends."""
        return np.maximum(at, self._columns.local_end[rows])

    def busy(self, now: int) -> bool:
        """Whether anything runs at `now`."""
        if self._last_end > now:
            return True
        self._running.clear()
        return False

    def left(self, now: int) -> tuple[Ints, Floats]:
        """Return the rows that run at `now`, and the time that each still takes, s; a vehicle's rows ascend."""
        columns = self._columns
        # Vehicles start their tasks in the order of slots.
        rows = np.concatenate([NO_ROWS, *map(as_index, self._running)])
        rows = rows[columns.local_end[rows] > now]
        self._keep(rows)
        return rows, self._left_s(rows, columns.start[rows], now)

    def left_s(self, chosen: Mask, until: Ints) -> Floats:
        """Return the CPU time that the rows in a mask had left `until` their own times, s."""
        columns = self._columns
        rows = np.flatnonzero(chosen)
        start = columns.start[rows]
        runs = (columns.local_end[rows] > until) & (start < NEVER)
        if some(runs):
            return np.where(runs, self._left_s(rows, start, until), 0.0)
        return np.zeros(len(rows))  # the usual case, at a fraction of the cost

    def _left_s(self, rows: Ints, start: Ints, now: int | Ints) -> Floats:
        """Return the time that local parts which have not ended still take at `now`, s."""
        run_s = seconds(np.maximum(now - start, 0))
        left_s: Floats = np.maximum(self._columns.local_left_s[rows] - run_s, 0.0)
        return left_s

    def remove(self, vehicles: Mask, now: int) -> None:
        """Stop the local parts of some vehicles, a mask [N]."""
        rows, _ = self.left(now)
        self._keep(rows[~vehicles[self._columns.vehicle[rows]]])

    def remove_rows(self, rows: Ints, now: int) -> None:
        """Stop some local parts."""
        running, _ = self.left(now)
        self._keep(running[~np.isin(running, rows)])

    def _keep(self, rows: Ints) -> None:
        """Let these rows be all that run."""
        self._running = [rows]
        self._last_end = int(self._columns.local_end[rows].max(initial=0))

    def settle(self, _now: int, /) -> None:
        """Do nothing: what is left follows from the start."""

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._running = [rows[rows >= 0] for rows in (renumbered[rows] for rows in self._running)]


class SharedCpus:
    """One CPU for each vehicle, whose tasks run in turn or share it."""

    def __init__(self, columns: TaskColumns, rule: CpuRule) -> None:
        self._columns = columns
        self._resource = make_resource("sharing" if rule == "sharing" else "in-turn", columns, columns.num_vehicle, CPU)
        self._resource.change_rates(0, np.ones(columns.num_vehicle))

    def busy(self, _now: int, /) -> bool:
        """Whether anything runs or waits."""
        return self._resource.busy

    def start(self, rows: Rows, _at: Any, need_s: Floats, upload_bytes: Floats) -> tuple[Ints, Floats]:
        """Start local parts at the ticks in `start`; only a task without local work does not wait for the CPU."""
        columns, rows = self._columns, as_index(rows)
        columns.upload_left_bytes[rows] = upload_bytes
        columns.local_left_s[rows] = need_s
        works = need_s > 0
        if some(works):
            self._resource.add(rows[works])
        idle = rows[~works]
        columns.local_end[idle] = columns.start[idle]
        return idle, columns.upload_left_bytes[idle]

    def together(self, rows: Ints, at: Ints) -> Ints:
        """Return the later one of two ends; the other one is kept for when the local part has ended."""
        self._columns.remote_end[rows] = at
        return np.maximum(at, self._columns.local_end[rows])

    def left_s(self, chosen: Mask, _until: Ints, /) -> Floats:
        """Return the CPU time that was left of rows when they were taken off their CPUs, s."""
        columns = self._columns
        return columns.local_left_s[: columns.num_row][chosen]

    def advance(self, now: int) -> Ints:
        """Run up to `now`; return the rows whose local parts have ended since, in ascending order."""
        rows = self._resource.advance(now)
        if not rows.size:
            return rows
        rows = np.sort(rows)
        self._columns.local_left_s[rows] = 0.0
        return rows

    def left(self, now: int) -> tuple[Ints, Floats]:
        """Return the rows that run or wait at `now`, and the CPU time that each still takes, s."""
        return self._resource.left(now)

    def remove(self, vehicles: Mask, now: int) -> None:
        """Take the local parts of some vehicles, a mask [N], off their CPUs."""
        self._resource.remove(vehicles, now, coming=True)

    def remove_rows(self, rows: Ints, now: int) -> None:
        """Take some local parts off their CPUs."""
        self._resource.remove_rows(rows, now)

    def settle(self, now: int) -> None:
        """Write what is left of the local parts at `now`."""
        self._resource.settle(now)

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._resource.renumber(renumbered)
