"""The true states of vehicles at the start of a slot, as engines, the twin and the trace know them."""

from __future__ import annotations

from typing import NamedTuple

from physical.arrays import Floats, Ints

NO_NODE, AWAY = -1, -2
"""Serving nodes of vehicles out of range, and of those that are not in the scene."""


class VehicleStates(NamedTuple):
    """True states of vehicles at the start of a slot; arrays [N] unless noted, read-only.

    cpu_backlog_cycles : local work that waits or runs, cycles
    uplink_backlog_bytes : what waits to be sent or is being sent, bytes
    """

    x_m: Floats
    y_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    serving_node: Ints
    large_scale_gain: Floats
    channel_gain: Floats
    uplink_rate_bps: Floats
    size_bytes: Floats  # [N, K]
    cpu_backlog_cycles: Floats
    uplink_backlog_bytes: Floats
