"""Server discipline `slices`: every vehicle-class flow has its own rate and is served first come, first served."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.flow_queues import FlowQueues, Service
from physical.columns.tasks import TaskColumns

UNITS_PER_BYTE = float(1 << 20)
"""Waiting work is summed in integers, so that the sum returns exactly to zero."""
_EDGE = Service(flow="flow", ready="arrive", work="edge_cycles", begin="serve")
_METERED_EDGE = _EDGE._replace(joules="edge_j")


class FlowMeter(Protocol):
    """Tells what it takes to serve flows."""

    def edge_job_energy_j(self, cycles: Floats, frequency_hz: Floats, node: Ints, /) -> Floats:
        """Return the energy of work at the servers of the vehicles' nodes, [N, K], J; `node` : [N]."""


class Slices(FlowQueues):
    """`ServerQueues` of N x K flows, of all nodes: the work of a vehicle is at the node that serves it.

    meter : charges each task for its service; needs the column `edge_j`
    """

    def __init__(
        self, columns: TaskColumns, cycles_per_byte: Floats, num_flow: int, meter: FlowMeter | None = None
    ) -> None:
        super().__init__(columns, num_flow, _EDGE if meter is None else _METERED_EDGE)
        self._meter = meter
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

    def set_rates(self, now: int, rate_hz: Floats, serving_node: Ints) -> None:
        """Change the rates [N, K] (and powers) at `now`, to which the queues have been advanced."""
        watts: Floats | None = None
        if self._meter is not None:  # joules per second: those of as many cycles as run in one
            watts = self._meter.edge_job_energy_j(rate_hz, rate_hz, serving_node).reshape(-1)
        self.change_rates(now, rate_hz.reshape(-1), watts)

    def leave_behind(self, flow: Ints, now: int) -> tuple[Ints, Floats, Floats]:
        """Take all rows of some flows out at `now`; also return the rate and the power of each flow, [num_flow]."""
        rate_hz, watts = self._rate.copy(), self._watts.copy()
        return self.remove(flow, now), rate_hz, watts

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
