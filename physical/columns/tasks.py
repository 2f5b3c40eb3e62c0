"""Task rows as columns: one row per task, appended block by block, handed out when finished."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.task_rows import Metered, Outcome, TaskRows
from physical.ticks import NEVER

ColumnGroup = dict[str, tuple[type, float]]
"""Columns by name: the type, and what stands in a row that nothing has been written to."""
_COLUMNS: ColumnGroup = {
    # identity and inputs
    "slot": (np.int32, 0),
    "vehicle": (np.int32, 0),
    "task_class": (np.int32, 0),
    "flow": (np.int64, 0),
    "size_bytes": (np.float64, 0),
    # what was decided; NaN while the task is held
    "offloading_ratio": (np.float64, np.nan),
    # stages, in ticks
    "start": (np.int64, NEVER),
    "local_end": (np.int64, NEVER),
    "upload_end": (np.int64, NEVER),
    "arrive": (np.int64, NEVER),
    "serve": (np.int64, NEVER),
    "served": (np.int64, NEVER),
    "done": (np.int64, NEVER),
    "outcome": (np.int8, 0),
    # work in progress
    "edge_cycles": (np.float64, 0),
    "upload_left_bytes": (np.float64, 0),
    "upload_since": (np.int64, 0),
    # CPU time, s: what the local part needs, or has left, where it shares the CPU of its vehicle
    "local_left_s": (np.float64, 0),
    "next": (np.int64, -1),
    # what the network does to this task, drawn when its slot begins
    "uplink_latency": (np.int64, 0),
    "result_latency": (np.int64, 0),
    "uplink_lost": (np.bool_, 0),
    "result_lost": (np.bool_, 0),
}
METERED: ColumnGroup = {
    "local_hz": (np.float64, np.nan),
    "transmit_j": (np.float64, 0),
    "edge_j": (np.float64, 0),
}
"""Further columns where policies decide more than the split, or where tasks are metered one by one."""
WHOLE_WORK: ColumnGroup = {
    # the whole task in cycles of its vehicle, and of the server of its slot's serving node
    "local_work": (np.float64, 0),
    "edge_work": (np.float64, 0),
}
"""Further columns where the work of a task does not follow from its class and size alone."""
WAITING: ColumnGroup = {
    # when the part beyond the vehicle ended
    "remote_end": (np.int64, NEVER),
}
"""Further columns where tasks wait for the CPU of their vehicle."""


_TAKEN = TaskRows._fields[:13]
Rows = slice | Ints


def as_slice(rows: Ints) -> Rows:
    """Return ascending rows as a slice if they are consecutive: NumPy reads and writes those without an index.

    >>> as_slice(np.array([3, 4, 5])), as_slice(np.array([3, 5])).tolist()
    (slice(3, 6, None), [3, 5])
    """
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first == len(rows) - 1 else rows


def as_index(rows: Rows) -> Ints:
    """Return rows as an array of their numbers."""
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


class TaskColumns:
    """Growable columns; a row's index is stable until `compact`.

    has_absent : whether there have been tasks of size 0
    is_metered : whether there are the further columns `METERED`
    """

    slot: NDArray[np.int32]
    vehicle: NDArray[np.int32]
    task_class: NDArray[np.int32]
    flow: Ints
    size_bytes: Floats
    offloading_ratio: Floats
    start: Ints
    local_end: Ints
    upload_end: Ints
    arrive: Ints
    serve: Ints
    served: Ints
    done: Ints
    outcome: NDArray[np.int8]
    edge_cycles: Floats
    upload_left_bytes: Floats
    upload_since: Ints
    next: Ints
    uplink_latency: Ints
    result_latency: Ints
    uplink_lost: Mask
    result_lost: Mask
    local_hz: Floats
    transmit_j: Floats
    edge_j: Floats
    local_work: Floats
    edge_work: Floats
    local_left_s: Floats
    remote_end: Ints

    def __init__(self, num_vehicle: int, num_class: int, *further: ColumnGroup) -> None:
        """Start empty, with the common columns and `further` groups."""
        self.num_vehicle = num_vehicle
        self.num_class = num_class
        self._kinds = {name: kind for group in (_COLUMNS, *further) for name, kind in group.items()}
        self.is_metered = METERED in further
        self.num_row = 0
        self.has_absent = False
        self._capacity = 0
        self._reserve(1)

    def append_slots(self, first_slot: int, size_bytes: Floats) -> int:
        """Append the tasks of a block of slots, `size_bytes` : [B, N, K]; return the first row."""
        num_slot = size_bytes.shape[0]
        per_slot = self.num_vehicle * self.num_class
        begin, end = self.num_row, self.num_row + num_slot * per_slot
        self._reserve(end)
        flow = np.arange(per_slot)
        rows = slice(begin, end)
        for name, (_, empty) in self._kinds.items():
            getattr(self, name)[rows] = empty
        self.slot[rows] = np.repeat(np.arange(first_slot, first_slot + num_slot), per_slot)
        self.flow[rows] = np.tile(flow, num_slot)
        self.vehicle[rows] = np.tile(flow // self.num_class, num_slot)
        self.task_class[rows] = np.tile(flow % self.num_class, num_slot)
        self.size_bytes[rows] = size_bytes.reshape(-1)
        if not size_bytes.all():
            self.has_absent = True
            self.outcome[begin + np.flatnonzero(size_bytes.reshape(-1) == 0)] = Outcome.ABSENT
        self.num_row = end
        return begin

    def take(self, rows: Mask, local_left_s: Floats) -> TaskRows:
        """Return copies of the rows in the mask, in row order.

        local_left_s : CPU time that the local parts of these rows have left, s
        """
        local_work = self._chosen("local_work", rows) if "local_work" in self._kinds else None
        metered = Metered(*(self._chosen(name, rows) for name in METERED)) if self.is_metered else None
        taken = [self._chosen(name, rows) for name in _TAKEN]
        return TaskRows._make((*taken, local_left_s, local_work, metered))

    def _chosen(self, name: str, rows: Mask) -> NDArray[Any]:
        chosen: NDArray[Any] = getattr(self, name)[: self.num_row][rows]
        return chosen

    def compact(self, keep: Mask) -> Ints:
        """Drop all rows but those in the mask; return the new index of every old row (-1: dropped).

        The last entry is -1 and stands for "no row", so that ``renumbered[next]`` works for links of -1.
        """
        renumbered = np.full(self.num_row + 1, -1, dtype=np.int64)
        left = int(np.count_nonzero(keep))
        renumbered[:-1][keep] = np.arange(left)
        if left:
            for name in self._kinds:
                column = getattr(self, name)
                column[:left] = column[: self.num_row][keep]
            self.next[:left] = renumbered[self.next[:left]]
        self.num_row = left
        return renumbered

    def _reserve(self, num_row: int) -> None:
        if num_row <= self._capacity:
            return
        self._capacity = max(num_row, 2 * self._capacity)
        for name, (dtype, _) in self._kinds.items():
            column: NDArray[np.generic] = np.empty(self._capacity, dtype=dtype)
            if self.num_row:
                column[: self.num_row] = getattr(self, name)[: self.num_row]
            setattr(self, name, column)
