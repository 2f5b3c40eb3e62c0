"""Server discipline `slices`: every vehicle-class flow has its own rate and is served first come, first served."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.flow_queues import FlowQueues, Stage
from physical.columns.tasks import TaskColumns

UNITS_PER_BYTE = float(1 << 20)
"""Waiting work is summed in integers, so that the sum returns exactly to zero."""
EDGE = Stage(flow="flow", ready="arrive", work="edge_cycles", begin="serve")
METERED_EDGE = EDGE._replace(joules="edge_j")


class Slices(FlowQueues):
    """N x K queues, of all nodes: the work of a vehicle is at the node that serves it."""

    def __init__(self, columns: TaskColumns, cycles_per_byte: Floats, num_flow: int, *, metered: bool = False) -> None:
        super().__init__(columns, num_flow, METERED_EDGE if metered else EDGE)
        self._num_class = len(cycles_per_byte)
        self._cycles_per_byte = cycles_per_byte
        self._class_of_flow = np.arange(num_flow) % self._num_class
        self._waiting_units = np.zeros(num_flow, dtype=np.int64)

    def _wait(self, rows: Ints, flow: Ints) -> None:
        super()._wait(rows, flow)
        self._waiting_units[flow] += self._units(rows, flow)

    def _leave_waiting(self, rows: Ints, flow: Ints) -> None:
        self._waiting_units[flow] -= self._units(rows, flow)

    def remove(self, flow: Ints, now: int) -> Ints:
        """Take all rows out of some flows at `now`; see `FlowQueues.remove`."""
        self._waiting_units[flow] = 0
        return super().remove(flow, now)

    def _units(self, rows: Ints, flow: Ints) -> Ints:
        bytes_ = self._columns.edge_cycles[rows] / self._cycles_per_byte[self._class_of_flow[flow]]
        return np.rint(bytes_ * UNITS_PER_BYTE).astype(np.int64)

    def set_rates(self, now: int, rate_hz: Floats, watts: Floats | None = None) -> None:
        """Change the rates [N, K] (and powers) at `now`, to which the queues have been advanced."""
        self.change_rates(now, rate_hz.reshape(-1), None if watts is None else watts.reshape(-1))

    def class_rate_hz(self) -> Floats:
        """Total rate per class, [K], Hz."""
        total: Floats = self._rate.reshape(-1, self._num_class).sum(axis=0)
        return total

    def backlog(self, now: int, vehicles: Mask | None = None) -> tuple[Floats, Floats | None]:
        """Return the work that has arrived and is not served at `now`; of some `vehicles` [N] only, if given.

        Of each class, [K], bytes; of each flow, [N, K], cycles, or None if there is none.
        """
        if not self._num_queued:
            return np.zeros(self._num_class), None
        queued = self._head >= 0
        if vehicles is not None:
            queued &= np.repeat(vehicles, self._num_class)
        flow = np.flatnonzero(queued)
        if not flow.size:
            return np.zeros(self._num_class), None
        classes = self._class_of_flow[flow]
        cycles_per_byte = self._cycles_per_byte[classes]
        left = self._left_at(now, flow)
        in_service = np.bincount(classes, weights=left / cycles_per_byte, minlength=self._num_class)
        class_bytes = in_service.astype(np.float64)
        if self._num_waiting:
            units = self._waiting_units[flow]
            # Sums of whole numbers below 2^53 are exact as floats, too.
            waiting = np.bincount(classes, weights=units, minlength=self._num_class)
            class_bytes += waiting / UNITS_PER_BYTE
            left += units / UNITS_PER_BYTE * cycles_per_byte
        flow_cycles = np.zeros(len(queued))
        flow_cycles[flow] = left
        return class_bytes, flow_cycles.reshape(-1, self._num_class)
