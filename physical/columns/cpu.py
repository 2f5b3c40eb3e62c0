"""The local parts of tasks on the CPUs of their vehicles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.resource import CPU
from physical.columns.rules import make_resource
from physical.columns.tasks import Rows, TaskColumns, as_index
from physical.model.arrays import some
from physical.params import CpuRule
from physical.ticks import NEVER, NO_ROWS, seconds, ticks_from_s

_NEED = ("start", "local_end", "size_bytes", "task_class", "vehicle", "offloading_ratio")
"""Columns of which follows what local parts have left."""


class OwnCpus:
    """Every task has a CPU of its own (eq. 7): its end is known when it starts.

    need_s : returns the time that the local parts of tasks take in all, s, given columns of these tasks; the end does
        not tell where it is beyond all time
    timed : keep what each task needs instead, where it is not always the same
    jobs : the work of each task is kept
    """

    def __init__(
        self, columns: TaskColumns, need_s: Callable[[Mapping[str, Any]], Floats], *, timed: bool, jobs: bool
    ) -> None:
        self._columns = columns
        self._need_s = need_s
        self._timed = timed
        self._names = (*_NEED, *(["local_left_s"] if timed else []), *(["local_work"] if jobs else []))
        self._running: list[Rows] = []
        self._last_end = 0

    def start(self, rows: Rows, at: Any, need_s: Floats) -> None:
        """Start local parts that take `need_s` at ticks `at`."""
        columns = self._columns
        ends = at + ticks_from_s(need_s)
        columns.local_end[rows] = ends
        if self._timed:
            columns.local_left_s[rows] = need_s
        self._running.append(rows)
        self._last_end = max(self._last_end, int(ends.max(initial=0)))

    def busy(self, now: int) -> bool:
        """Whether anything runs at `now`."""
        if self._last_end > now:
            return True
        self._running.clear()
        return False

    def left(self, now: int) -> tuple[Ints, Floats]:
        """Return the rows that run at `now`, and the time that each still takes, s."""
        columns = self._columns
        rows = np.concatenate([NO_ROWS, *map(as_index, self._running)])
        rows = rows[columns.local_end[rows] > now]
        self._keep(rows)
        return rows, self.left_s({name: getattr(columns, name)[rows] for name in self._names}, now)

    def left_s(self, tasks: Mapping[str, Any], now: int | Ints) -> Floats:
        """Return the time that the local parts of tasks still take at `now`, s; `tasks` holds columns of them."""
        start = tasks["start"]
        end = np.where(start < NEVER, tasks["local_end"], 0)
        left = seconds(np.maximum(end - np.maximum(start, now), 0))
        if self._timed:
            left = np.where(end > now, tasks["local_left_s"] - seconds(np.maximum(now - start, 0)), 0.0)
        elif some(endless := end - start >= NEVER):
            left = np.where(endless, self._need_s(tasks) - seconds(np.maximum(now - start, 0)), left)
        return np.asarray(left, dtype=np.float64)

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

    def settle(self, now: int) -> None:
        """Do nothing: what is left follows from the end."""

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._running = [rows[rows >= 0] for rows in (renumbered[rows] for rows in self._running)]


class SharedCpus:
    """One CPU for each vehicle, whose tasks run in turn or share it."""

    def __init__(self, columns: TaskColumns, num_vehicle: int, rule: CpuRule) -> None:
        self._columns = columns
        self._resource = make_resource("sharing" if rule == "sharing" else "in-turn", columns, num_vehicle, CPU)
        self._resource.change_rates(0, np.ones(num_vehicle))

    def busy(self, now: int) -> bool:  # noqa: ARG002 - as `OwnCpus.busy`
        """Whether anything runs or waits."""
        return self._resource.busy

    def start(self, rows: Ints, need_s: Floats) -> Ints:
        """Start local parts that take `need_s` at the ticks in `start`; return those whose end is known.

        A task without local work does not wait for the CPU.
        """
        columns = self._columns
        columns.local_left_s[rows] = need_s
        works = need_s > 0
        if some(works):
            self._resource.add(rows[works])
        idle = rows[~works]
        columns.local_end[idle] = columns.start[idle]
        return idle

    def advance(self, now: int) -> Ints:
        """Run up to `now`; return the rows whose local parts have ended since, in ascending order."""
        rows = np.sort(self._resource.advance(now))
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
