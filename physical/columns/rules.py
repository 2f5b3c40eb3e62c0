"""How the tasks of a vehicle use its CPU or its uplink: in turn, in equal parts, or each as if it were alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.columns.resource import ResourceRows, Use
from physical.columns.tasks import TaskColumns
from physical.ticks import NEVER, seconds

Rule = Literal["each", "in-turn", "sharing"]


class InTurnRows(ResourceRows):
    """First come, first served, ties by row: the first has the whole rate. `_goal` is the work that is left."""

    def __init__(self, columns: TaskColumns, num_vehicle: int, use: Use) -> None:
        super().__init__(columns, num_vehicle, use)
        self._turn = np.full(self._row.shape, NEVER, dtype=np.int64)
        self._num_come = np.zeros(num_vehicle, dtype=np.int64)

    def _matrices(self) -> list[NDArray[np.generic]]:
        return [*super()._matrices(), self._turn]

    def _widen(self, num_place: int) -> None:
        self._turn = np.pad(self._turn, ((0, 0), (0, num_place - self._row.shape[1])), constant_values=NEVER)
        super()._widen(num_place)

    def _enter(self, owner: Ints, place: Ints, work: Floats) -> None:
        self._goal[owner, place] = work
        # Places are filled in the order in which rows come, one after the other.
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        size = np.diff(first, append=len(owner))
        self._turn[owner, place] = self._num_come[owner] + np.arange(len(owner)) - np.repeat(first, size)
        self._num_come[owner[first]] += size

    def _empty(self, vehicle: Ints, place: Ints) -> None:
        super()._empty(vehicle, place)
        self._turn[vehicle, self._count[vehicle]] = NEVER

    def _before_joining(self, vehicle: Ints, at: Ints) -> None:
        """Who comes last changes nothing for who is in service."""
        idle = self._count[vehicle] == 0
        self._since[vehicle[idle]] = at[idle]

    def _before_leaving(self, vehicle: Ints, gone: Mask, now: int) -> None:
        """Who gives up waiting changes nothing for who is in service either."""
        self._settle(vehicle[gone[vehicle, self._next[vehicle]]], now)

    def _settle(self, vehicle: Ints, at: int | Ints) -> None:
        place = self._turn[vehicle].argmin(axis=1)
        self._charge(vehicle, place, at)
        done = self._rate[vehicle] * seconds(at - self._since[vehicle])
        # An empty resource has an infinite goal, which stays.
        self._goal[vehicle, place] = np.maximum(self._goal[vehicle, place] - done, 0.0)
        self._since[vehicle] = at

    def _charge(self, vehicle: Ints, place: Ints, at: int | Ints) -> None:
        """Charge whose turn it is for the time up to `at`."""
        if self._use.joules:
            busy = self._count[vehicle] > 0
            spent_j = self._watts[vehicle] * seconds(at - self._since[vehicle])
            getattr(self._columns, self._use.joules)[self._row[vehicle, place][busy]] += spent_j[busy]

    def _foresee(self, vehicle: Ints) -> tuple[Ints, Floats]:
        place = self._turn[vehicle].argmin(axis=1)
        return place, self._goal[vehicle, place]

    def _complete(self, vehicle: Ints, place: Ints, at: Ints) -> None:
        self._charge(vehicle, place, at)

    def _left_at(self, now: int | None) -> Floats:
        left = self._goal.copy()
        if now is not None:
            vehicle = np.flatnonzero(self._count)
            done = self._rate[vehicle] * seconds(now - self._since[vehicle])
            place = self._next[vehicle]
            left[vehicle, place] = np.maximum(left[vehicle, place] - done, 0.0)
        return left

    def _tidy(self) -> None:
        super()._tidy()
        self._turn[~self._present()] = NEVER


class SharingRows(ResourceRows):
    """Processor sharing: each of n rows gets 1/n of the rate, or ("each") all of it.

    By virtual work V: what each row has got since the resource was last empty, so that V grows by ``rate dt / n``. A
    row with work W that comes at V is done when V reaches its goal V + W; then V is set to that very number, which ends
    all rounding of the time before.
    """

    def __init__(self, columns: TaskColumns, num_vehicle: int, use: Use, *, whole: bool = False) -> None:
        super().__init__(columns, num_vehicle, use)
        self._whole = whole
        self._virtual = np.zeros(num_vehicle)
        self._spent_j = np.zeros(num_vehicle)
        self._joined_j = np.zeros(self._row.shape)

    def _matrices(self) -> list[NDArray[np.generic]]:
        return [self._row, self._goal, self._joined_j] if self._use.joules else [self._row, self._goal]

    def _widen(self, num_place: int) -> None:
        self._joined_j = np.pad(self._joined_j, ((0, 0), (0, num_place - self._row.shape[1])))
        super()._widen(num_place)

    def _parts(self, vehicle: Ints) -> Floats:
        """Return into how many parts each of some resources is cut."""
        return np.ones(len(vehicle)) if self._whole else np.maximum(self._count[vehicle], 1)

    def _enter(self, owner: Ints, place: Ints, work: Floats) -> None:
        self._goal[owner, place] = self._virtual[owner] + work
        if self._use.joules:
            self._joined_j[owner, place] = self._spent_j[owner]

    def _settle(self, vehicle: Ints, at: int | Ints) -> None:
        elapsed_s = seconds(at - self._since[vehicle])
        parts = self._parts(vehicle)
        virtual = self._virtual[vehicle] + self._rate[vehicle] * elapsed_s / parts
        busy = self._count[vehicle] > 0
        self._virtual[vehicle] = np.where(busy, np.minimum(virtual, self._goal[vehicle].min(axis=1)), 0.0)
        if self._use.joules:
            self._spent_j[vehicle] += np.where(busy, self._watts[vehicle] * elapsed_s / parts, 0.0)
        self._since[vehicle] = at

    def _foresee(self, vehicle: Ints) -> tuple[Ints, Floats]:
        place = self._goal[vehicle].argmin(axis=1)
        return place, (self._goal[vehicle, place] - self._virtual[vehicle]) * self._parts(vehicle)

    def _complete(self, vehicle: Ints, place: Ints, at: Ints) -> None:
        if self._use.joules:
            elapsed_s = seconds(at - self._since[vehicle])
            self._spent_j[vehicle] += self._watts[vehicle] * elapsed_s / self._parts(vehicle)
            spent_j = self._spent_j[vehicle] - self._joined_j[vehicle, place]
            getattr(self._columns, self._use.joules)[self._row[vehicle, place]] = spent_j
        self._virtual[vehicle] = self._goal[vehicle, place]

    def _write_left(self, places: Mask) -> None:
        super()._write_left(places)
        if self._use.joules:
            spent_j = self._spent_j[:, np.newaxis] - self._joined_j
            getattr(self._columns, self._use.joules)[self._row[places]] = spent_j[places]

    def _left_at(self, now: int | None) -> Floats:
        virtual = self._virtual
        if now is not None:
            everyone = np.arange(len(virtual))
            done = self._rate * seconds(now - self._since) / self._parts(everyone)
            virtual = np.minimum(virtual + done, self._goal.min(axis=1))
        left: Floats = self._goal - virtual[:, np.newaxis]
        return left


def make_resource(rule: Rule, columns: TaskColumns, num_vehicle: int, use: Use) -> ResourceRows:
    """Return the resource of a rule: "in-turn", "sharing", or "each", where everybody has the whole of it."""
    if rule == "in-turn":
        return InTurnRows(columns, num_vehicle, use)
    return SharingRows(columns, num_vehicle, use, whole=rule == "each")
