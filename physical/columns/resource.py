"""What a vehicle has one of, its CPU or its uplink, and the tasks that use it; `physical.columns.rules` tells how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.columns.tasks import TaskColumns
from physical.model import computing
from physical.model.arrays import every
from physical.ticks import NEVER, NO_ROWS, ticks_from_s

_ENDLESS = 1e100
"""More work than any, of any unit: it outlasts all time at every rate, and no rate makes it infinite."""


class Use(NamedTuple):
    """Which columns a resource reads and writes.

    ready : when a row comes to the resource
    work : what there is to do; written when a row is taken out unfinished: what is left
    end : written when it is done
    joules : energy of the use, written if it is metered; or ""
    """

    ready: str
    work: str
    end: str
    joules: str = ""


CPU = Use(ready="start", work="local_left_s", end="local_end")
"""Work is CPU time in seconds: what a task needs at its own frequency. The rate is 1."""
UPLINK = Use(ready="local_end", work="upload_left_bytes", end="upload_end", joules="transmit_j")
"""Work is bytes."""


class _Places:
    """The rows that use the resources of N vehicles at present: one row of a matrix for each, [N, places].

    They are in no particular order; `_goal` is infinite where a place is empty.
    """

    def __init__(self, num_vehicle: int) -> None:
        self._count = np.zeros(num_vehicle, dtype=np.int64)
        self._row = np.full((num_vehicle, 4), -1, dtype=np.int64)
        self._goal = np.full((num_vehicle, 4), np.inf)

    def _present(self) -> Mask:
        """Return which places are taken, [N, places]."""
        taken: Mask = np.arange(self._row.shape[1]) < self._count[:, np.newaxis]
        return taken

    def _matrices(self) -> list[NDArray[np.generic]]:
        """Return all that is kept for each place, [N, places]."""
        return [self._row, self._goal]

    def _widen(self, num_place: int) -> None:
        extra = num_place - self._row.shape[1]
        self._row = np.pad(self._row, ((0, 0), (0, extra)), constant_values=-1)
        self._goal = np.pad(self._goal, ((0, 0), (0, extra)), constant_values=np.inf)

    def _empty(self, vehicle: Ints, place: Ints) -> None:
        """Put the last of each vehicle's rows into the place of one that leaves."""
        last = self._count[vehicle] - 1
        for matrix in self._matrices():
            matrix[vehicle, place] = matrix[vehicle, last]
        self._goal[vehicle, last] = np.inf
        self._count[vehicle] = last

    def _close_up(self, vehicle: Ints, gone: Mask) -> None:
        """Empty the places in a mask, which are at some vehicles; the other rows move up, in the order they are in."""
        order = np.argsort(gone[vehicle] | ~self._present()[vehicle], axis=1, kind="stable")
        for matrix in self._matrices():
            matrix[vehicle] = np.take_along_axis(matrix[vehicle], order, axis=1)
        self._count[vehicle] -= gone[vehicle].sum(axis=1)
        self._tidy()

    def _tidy(self) -> None:
        """Mark places that have become empty when rows were taken out."""
        self._goal[~self._present()] = np.inf


class ResourceRows(_Places, ABC):
    """One resource for each of N vehicles, all of the same kind. Times `now` are ticks.

    What happens is settled when a row comes or leaves and somebody's part changes by that, and when a rate changes;
    looking at it changes nothing.
    """

    def __init__(self, columns: TaskColumns, num_vehicle: int, use: Use) -> None:
        super().__init__(num_vehicle)
        self._columns = columns
        self._use = use
        self._rate = np.zeros(num_vehicle)
        self._watts = np.zeros(num_vehicle)
        self._since = np.zeros(num_vehicle, dtype=np.int64)
        self._finish = np.full(num_vehicle, NEVER, dtype=np.int64)
        self._next = np.zeros(num_vehicle, dtype=np.int64)
        self._coming = NO_ROWS
        self._first_ready = NEVER
        self._num_present = 0

    @property
    def busy(self) -> bool:
        """Whether anybody is there."""
        return self._num_present > 0

    def add(self, rows: Ints) -> None:
        """Let rows come at their ready times, which lie after what this has been advanced to, or at it."""
        self._coming = np.concatenate([self._coming, rows])
        self._first_ready = min(self._first_ready, int(getattr(self._columns, self._use.ready)[rows].min()))

    def advance(self, now: int) -> Ints:
        """Go on to `now`; return the rows that are done by then, with their ends in their column."""
        due = self._take_due(now) if self._first_ready <= now else None
        done: list[Ints] = []
        while self._num_present or due is not None:
            leaving = (self._finish <= now).nonzero()[0]
            if due is not None:
                # Who leaves at the instant at which others come leaves first.
                leaving = leaving[self._finish[leaving] <= due.times(leaving)]
                arriving = due.vehicle[due.next_times() < self._finish[due.vehicle]]
                if arriving.size:
                    self._admit(arriving, due)
                    due = due if due.vehicle.size else None
            elif not leaving.size:
                break
            if leaving.size:
                done.append(self._leave(leaving))
        return NO_ROWS if not done else done[0] if len(done) == 1 else np.concatenate(done)

    def _take_due(self, now: int) -> _Due | None:
        """Take the rows that come by `now` from those that will; None if those that would have come are gone."""
        ready = getattr(self._columns, self._use.ready)[self._coming]
        is_due = ready <= now
        rows, at = self._coming[is_due], ready[is_due]
        self._coming = self._coming[~is_due]
        self._first_ready = int(ready[~is_due].min(initial=NEVER))
        if not rows.size:
            return None
        vehicle = self._columns.vehicle[rows].astype(np.int64)
        order = np.lexsort((rows, at, vehicle))
        return _Due(rows[order], vehicle[order], at[order])

    def _admit(self, vehicle: Ints, due: _Due) -> None:
        """Let the next rows of some vehicles come, those of one instant together, in row order."""
        at = due.times(vehicle)
        rows, size = due.take(vehicle)
        self._before_joining(vehicle, at)
        place = self._count[vehicle]
        self._count[vehicle] += size
        if (most := int(self._count[vehicle].max())) > self._row.shape[1]:
            self._widen(max(most, 2 * self._row.shape[1]))
        owner = np.repeat(vehicle, size)
        place = np.repeat(place - size.cumsum() + size, size) + np.arange(len(rows))
        self._row[owner, place] = rows
        self._enter(owner, place, getattr(self._columns, self._use.work)[rows])
        self._num_present += len(rows)
        self._plan(vehicle)

    def _leave(self, vehicle: Ints) -> Ints:
        """Let the row of each of some vehicles leave whose use ends next; return these rows."""
        at = self._finish[vehicle]
        place = self._next[vehicle]
        rows = self._row[vehicle, place]
        self._complete(vehicle, place, at)
        getattr(self._columns, self._use.end)[rows] = at
        self._since[vehicle] = at
        self._empty(vehicle, place)
        self._num_present -= len(rows)
        self._plan(vehicle)
        return rows

    def change_rates(self, now: int, rate: Floats, watts: Floats | None = None) -> None:
        """Change the rates [N] (work per second) and powers [N] at `now`, to which this has been advanced."""
        if self._num_present:
            changed = self._rate != rate if watts is None else (self._rate != rate) | (self._watts != watts)
            vehicle = np.flatnonzero(changed & (self._count > 0))
            if vehicle.size:
                self._settle(vehicle, now)
                self._rate = rate
                self._plan(vehicle)
        self._rate = rate
        if watts is not None:
            self._watts = watts

    def remove(self, vehicles: Mask, now: int, *, coming: bool) -> Ints:
        """Take the rows of some vehicles, a mask [N], out at `now`, to which this has been advanced.

        The work of those that were there is what is left of it.

        coming : take those that have not come yet, too
        """
        rows = self._remove(vehicles[:, np.newaxis] & self._present(), now)
        if not coming:
            return rows
        gone = vehicles[self._columns.vehicle[self._coming]]
        rows = np.concatenate([rows, self._coming[gone]])
        self._coming = self._coming[~gone]
        return rows

    def remove_rows(self, rows: Ints, now: int) -> None:
        """Take those of some rows out that are here or will come, at `now`, to which this has been advanced."""
        self._coming = self._coming[~np.isin(self._coming, rows)]
        self._remove(self._present() & np.isin(self._row, rows), now)

    def _remove(self, gone: Mask, now: int) -> Ints:
        vehicle = np.flatnonzero(gone.any(axis=1))
        if not vehicle.size:
            return NO_ROWS
        self._before_leaving(vehicle, gone, now)
        self._write_left(gone)
        rows = self._row[gone]
        self._close_up(vehicle, gone)
        self._num_present -= len(rows)
        self._finish[vehicle] = NEVER
        self._plan(vehicle[self._count[vehicle] > 0])
        return rows

    def settle(self, now: int) -> None:
        """Write what is left to do, and what has been spent, at the end `now` of a run."""
        vehicle = np.flatnonzero(self._count)
        self._settle(vehicle, now)
        self._write_left(self._present())

    def left(self, now: int) -> tuple[Ints, Floats]:
        """Return the rows that use or wait for the resources at `now`, ascending, and the work that each has left."""
        if not self._num_present:
            return NO_ROWS, np.empty(0)
        present = self._present()
        rows = self._row[present]
        order = rows.argsort()
        return rows[order], self._left_at(now)[present][order]

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._coming = renumbered[self._coming]
        if self._num_present:
            present = self._present()
            self._row[present] = renumbered[self._row[present]]

    def _write_left(self, places: Mask) -> None:
        """Write the work that rows have left now that they have been settled."""
        left = self._left_at(None)
        getattr(self._columns, self._use.work)[self._row[places]] = left[places]

    def _plan(self, vehicle: Ints) -> None:
        """Foresee when the next row of each of some vehicles is done."""
        self._next[vehicle], left = self._foresee(vehicle)
        # Where nobody is, there is an infinite amount of work; a finite one that never ends divides by any rate.
        need_s = computing.execution_delay_s(np.minimum(left, _ENDLESS), self._rate[vehicle])
        self._finish[vehicle] = self._since[vehicle] + ticks_from_s(need_s)

    # What the rules differ in.

    def _before_joining(self, vehicle: Ints, at: Ints) -> None:
        """Get ready for rows that come to some vehicles at their times `at`."""
        self._settle(vehicle, at)

    def _before_leaving(self, vehicle: Ints, _gone: Mask, now: int) -> None:
        """Get ready for taking out the rows at the places in a mask, which are at some vehicles, at `now`."""
        self._settle(vehicle, now)

    @abstractmethod
    def _enter(self, owner: Ints, place: Ints, work: Floats) -> None:
        """Take in rows with their work, at places that have just been filled."""

    @abstractmethod
    def _settle(self, vehicle: Ints, at: int | Ints) -> None:
        """Count what has been done at some vehicles since the last event until `at`."""

    @abstractmethod
    def _foresee(self, vehicle: Ints) -> tuple[Ints, Floats]:
        """Return the place of the row that is done next, and the work that the whole resource does until then."""

    @abstractmethod
    def _complete(self, vehicle: Ints, place: Ints, at: Ints) -> None:
        """Bring some vehicles exactly to the end of the use of one row each."""

    @abstractmethod
    def _left_at(self, now: int | None) -> Floats:
        """Return what all places have left at `now`, [N, places]; None: when last settled."""


class _Due:
    """Rows that come by the time that a resource is advanced to, vehicle by vehicle in order of time, then row."""

    def __init__(self, rows: Ints, vehicle: Ints, at: Ints) -> None:
        self._rows = rows
        self._at = at
        is_last = np.ones(len(rows), dtype=np.bool_)
        is_last[:-1] = vehicle[1:] != vehicle[:-1]
        self._end = is_last.nonzero()[0] + 1
        self.vehicle = vehicle[self._end - 1]
        self._next = np.zeros(len(self._end), dtype=np.int64)
        self._next[1:] = self._end[:-1]
        # Where the rows of one vehicle and instant end, for each row.
        is_last[:-1] |= at[1:] != at[:-1]
        changes = is_last.nonzero()[0]
        self._group_end = changes[changes.searchsorted(np.arange(len(rows)))] + 1

    def next_times(self) -> Ints:
        """Return when the next row comes to each of the vehicles in `vehicle`."""
        return self._at[self._next]

    def times(self, vehicle: Ints) -> Ints:
        """Return when the next row comes to each of some vehicles; NEVER if none does."""
        place = np.minimum(self.vehicle.searchsorted(vehicle), len(self.vehicle) - 1)
        return np.where(self.vehicle[place] == vehicle, self._at[self._next[place]], NEVER)

    def take(self, vehicle: Ints) -> tuple[Ints, Ints]:
        """Take the rows that come next to some vehicles, those of one instant; also return how many each."""
        place = self.vehicle.searchsorted(vehicle)
        begin = self._next[place]
        end = self._group_end[begin]
        size = end - begin
        index = np.repeat(begin - size.cumsum() + size, size) + np.arange(int(size.sum()))
        self._next[place] = end
        left = self._next < self._end
        if not every(left):
            self.vehicle, self._next, self._end = self.vehicle[left], self._next[left], self._end[left]
        return self._rows[index], size
