"""Messages to the twin, as cohorts: all those that were sent at one instant."""

from __future__ import annotations

from typing import NamedTuple

from physical.arrays import Floats, Ints
from physical.columns.fleet import VehicleStates
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
