"""All that a policy gets to see: the twin's estimate of the system at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from physical.system import System

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TwinSnapshot:
    """Estimated state for N vehicles and K task classes; all arrays are read-only.

    Parameters
    ----------
    slot : index of the slot to decide
    time_ns : ns, time of the decision
    system : the static description, known to the twin
    size_bytes : [N, K], estimated sizes of the slot's tasks
    x_m, y_m : [N], estimated positions
    speed_mps, heading_rad : [N], last reported
    serving_node : [N], index of the last reported serving node; -1 without one
    channel_gain : [N], estimated linear power gain to the serving node; 0 without one
    age_of_information_s : [N], time since the state was sampled that the estimate rests on
    backlog_bytes : [K], last reported backlog of the servers' queues, all nodes together
    estimation_bias_hz : [N, K], the bias of edge frequencies as far as the twin knows it
    cpu_backlog_cycles : [N], estimated local work that waits or runs on each vehicle, cycles
    uplink_backlog_bytes : [N], estimated bytes that wait or are being sent on each vehicle's uplink
    flow_backlog_cycles : [N, K], with `slices` the last reported work of each flow at the server of its serving node,
        cycles; 0 with other disciplines

    The last three are 0 where they are not given.
    """

    slot: int
    time_ns: int
    system: System
    size_bytes: Floats
    x_m: Floats
    y_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    serving_node: NDArray[np.int64]
    channel_gain: Floats
    age_of_information_s: Floats
    backlog_bytes: Floats
    estimation_bias_hz: Floats
    cpu_backlog_cycles: Floats = None  # type: ignore[assignment]  # filled in below
    uplink_backlog_bytes: Floats = None  # type: ignore[assignment]
    flow_backlog_cycles: Floats = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Let nothing wait where nothing is told."""
        shape = self.size_bytes.shape
        for name, of_shape in (
            ("cpu_backlog_cycles", shape[:1]),
            ("uplink_backlog_bytes", shape[:1]),
            ("flow_backlog_cycles", shape),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(of_shape))

    @cached_property
    def uplink_rate_bps(self) -> Floats:
        """Uplink rates that follow from the estimated gains (eq. 2), [N], whole bit/s."""
        rate_bps: Floats = self.system.uplink_rate_bps(self.channel_gain)
        return rate_bps
