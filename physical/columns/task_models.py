"""What tasks are to do, in cycles: bytes of a class, or the layers of a transformer."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from physical.arrays import Floats, Ints
from physical.columns.tasks import Rows, TaskColumns
from physical.system import System


class TaskModel(Protocol):
    """Knows the work of tasks."""

    def append(self, rows: slice, size_bytes: Floats, serving_node: Ints) -> None:
        """Take note of the new tasks in `rows`: those of a block of slots, `size_bytes` [B, N, K].

        serving_node : [B, N]
        """

    def work_cycles(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the work of whole tasks in cycles of their vehicle and of their server; a slice is a whole slot."""

    def offloaded_bytes(self, rows: Rows) -> Floats:
        """Return what servers get of tasks, in the bytes in which they count their backlog."""


class ByteTasks:
    """Every byte of a class is the same work, wherever it is done."""

    def __init__(self, columns: TaskColumns, system: System) -> None:
        self._columns = columns
        self._cycles_per_byte = np.tile(system.cycles_per_byte, system.num_vehicle)

    def append(self, rows: slice, size_bytes: Floats, serving_node: Ints) -> None:
        """Do nothing: the work follows from the size."""

    def work_cycles(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the same work twice."""
        columns, cycles_per_byte = self._columns, self._cycles_per_byte
        if not isinstance(rows, slice):  # a slice holds all flows of a slot, in order
            cycles_per_byte = cycles_per_byte[columns.flow[rows]]
        work = columns.size_bytes[rows] * cycles_per_byte
        return work, work

    def offloaded_bytes(self, rows: Rows) -> Floats:
        """Return the offloaded part of each task."""
        offloaded: Floats = self._columns.size_bytes[rows] * self._columns.offloading_ratio[rows]
        return offloaded


class LayerTasks:
    """The layers of a transformer are other work for vehicles than for servers, and some servers need more cycles.

    It needs the columns `WHOLE_WORK`.
    """

    def __init__(self, columns: TaskColumns, system: System) -> None:
        self._columns = columns
        self._system = system

    def append(self, rows: slice, size_bytes: Floats, serving_node: Ints) -> None:
        """Note the work at the serving node of each task's slot."""
        local_work, edge_work = self._system.work_cycles(size_bytes, serving_node)
        self._columns.local_work[rows] = local_work.reshape(-1)
        self._columns.edge_work[rows] = edge_work.reshape(-1)

    def work_cycles(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the work that was noted."""
        return self._columns.local_work[rows], self._columns.edge_work[rows]

    def offloaded_bytes(self, rows: Rows) -> Floats:
        """Return as many bytes as the offloaded layers are of the average work of a byte."""
        columns = self._columns
        offloaded: Floats = columns.edge_cycles[rows] / self._system.cycles_per_byte[columns.task_class[rows]]
        return offloaded
