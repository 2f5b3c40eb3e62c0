"""Work that stays behind: of vehicles that have gone to another node, finished by the old one (rule "finish")."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints
from physical.columns.server_queues import ServerQueues
from physical.columns.slices import FlowMeter, Slices
from physical.columns.tasks import TaskColumns


class Leaving(Slices):
    """Queues like `Slices`, each at the frequency that its flow had when its vehicle left.

    A flow that is left behind twice goes on at the frequency and the node of the first time.
    """

    def __init__(
        self, columns: TaskColumns, cycles_per_byte: Floats, num_flow: int, meter: FlowMeter | None = None
    ) -> None:
        super().__init__(columns, cycles_per_byte, num_flow, meter)
        self._node = np.full(num_flow, -1, dtype=np.int64)

    @property
    def busy(self) -> bool:
        """Whether any work has been left behind."""
        return self._num_queued > 0

    def take_over(self, flow: Ints, now: int, queues: ServerQueues, node: Ints) -> None:
        """Take the work of some flows out of `queues` at `now`; `node` [num_flow] is where each of them was."""
        rows, rate_hz, watts = queues.leave_behind(flow, now)
        if not rows.size:
            return
        flow = self._columns.flow[rows]
        idle = flow[self._head[flow] < 0]
        self._node[idle] = node[idle]
        rate, power = self._rate.copy(), self._watts.copy()
        rate[idle], power[idle] = rate_hz[idle], watts[idle]
        self.change_rates(now, rate, power)
        arrive = self._columns.arrive[rows].copy()
        # They join this queue now, one tick after the other, so that the order within a flow is kept.
        first = np.flatnonzero(np.diff(flow, prepend=-1))
        self._columns.arrive[rows] = now + np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))
        self.admit(np.sort(rows))
        self._columns.arrive[rows] = arrive

    def _serve(self, rows: Ints, flow: Ints, start: Ints) -> None:
        """Begin, or go on with, the service of one row in each of some flows; the first time is the one that counts."""
        begun = self._columns.serve[rows]
        super()._serve(rows, flow, start)
        self._columns.serve[rows] = np.minimum(begun, start)

    def rate_at_hz(self, node: int) -> float:
        """Return how much of a node's server is taken by what has been left there, Hz."""
        if not self._num_queued:
            return 0.0
        return float(self._rate[(self._head >= 0) & (self._node == node)].sum())
