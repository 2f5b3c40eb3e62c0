"""Messages to the twin, as cohorts: all those that were sent at one instant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints
from physical.states import VehicleStates
from physical.ticks import HORIZON_NS

LOST_NS = HORIZON_NS
"""Delivery time of a message that never arrives: the horizon of the clock."""


class ReportCohort(NamedTuple):
    """State reports of one slot.

    slot : whose start they describe
    sent_ns : when they were sent
    vehicle : [n], who sent one, ascending; None: all vehicles
    delivered_ns : [n], or one time for all; LOST_NS for a lost one
    states : states of all vehicles, [N]
    """

    slot: int
    sent_ns: int
    vehicle: Ints | None
    delivered_ns: Ints | int
    states: VehicleStates

    def last_ns(self) -> int:
        """Return when the last report is delivered: LOST_NS if one is lost; without any, when they would be sent."""
        if isinstance(self.delivered_ns, int):
            return self.delivered_ns
        return int(self.delivered_ns.max(initial=self.sent_ns))

    def with_those(self, other: ReportCohort) -> ReportCohort:
        """Return this cohort together with another one of the same slot, of other vehicles."""
        mine, others = self.vehicle, other.vehicle
        if mine is None or (others is not None and not others.size):
            return self
        if others is None or not mine.size:
            return other
        vehicle = np.concatenate([mine, others])
        order = vehicle.argsort()
        delivered_ns: Ints | int = self.delivered_ns
        if not isinstance(delivered_ns, int) or delivered_ns != other.delivered_ns:
            times = np.broadcast_to(self.delivered_ns, mine.shape), np.broadcast_to(other.delivered_ns, others.shape)
            delivered_ns = np.concatenate(times)[order]
        everyone = len(vehicle) == len(self.states.x_m)
        return self._replace(vehicle=None if everyone else vehicle[order], delivered_ns=delivered_ns)


class ServerReport(NamedTuple):
    """The backlog of a node's server at a slot start.

    node : index of the node
    slot : whose start it describes
    delivered_ns : LOST_NS for a lost one
    backlog_bytes : [K], bytes, of each class
    flow_backlog_cycles : [N, K], cycles, of each flow of the vehicles that the node serves, with `slices`; None where
        nothing waits, and with `fifo`, whose queues do not tell flows apart
    """

    node: int
    slot: int
    delivered_ns: int
    backlog_bytes: Floats
    flow_backlog_cycles: Floats | None = None
