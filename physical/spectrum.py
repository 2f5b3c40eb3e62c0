"""What policies divide where they decide the radio: powers within their range, and the bandwidth of each node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.model import rate
from physical.model.arrays import Array
from physical.quantize import quantize

_ROUNDING = 1e-12
"""Part of a full pool that rounding may add to it."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The radio as policies decide it; a system whose radio is fixed has none.

    Parameters
    ----------
    pool_hz : [M], bandwidth of each node
    power_w_min, power_w_max : the least transmit power, and the greatest of each vehicle, [N]
    noise_density_w_hz : W/Hz
    held_by_all : every attached vehicle holds a share, whether or not it sends: in mode "paper", where eq. 4 of 'llm6g'
        is charged to everybody
    """

    pool_hz: Array
    power_w_min: float
    power_w_max: Array
    noise_density_w_hz: float
    held_by_all: bool

    def rate_bps(self, bandwidth_hz: Array, transmit_power_w: Array, channel_gain: Array) -> Array:
        """Return the uplink rates on decided shares (eq. 3 of 'llm6g') in single precision, [..., N].

        Not in whole bit/s: in mode "paper" a rate may be less than one.
        """
        return quantize(rate.fdma_rate_bps(bandwidth_hz, transmit_power_w, channel_gain, self.noise_density_w_hz))

    def holders(self, node: Array, sends: Array) -> Array:
        """Return who needs a share of its node's bandwidth, [N], given who sends; `node` is -1 without one."""
        attached = node >= 0
        return attached if self.held_by_all else attached & sends

    def within_pool_hz(self, bandwidth_hz: Array, node: Array) -> Array:
        """Return shares of the nodes' pools, scaled down together where they sum to more than there is, [N], Hz.

        What rounding adds to a full pool counts as nothing.

        bandwidth_hz : [N], Hz
        node : [N], index of the serving node, -1 without one
        """
        attached = node >= 0
        used_hz = np.bincount(node[attached], weights=bandwidth_hz[attached], minlength=len(self.pool_hz))
        over = used_hz > (1.0 + _ROUNDING) * self.pool_hz
        if not over.any():
            return bandwidth_hz
        part = np.where(over, self.pool_hz / np.where(over, used_hz, 1.0), 1.0)
        return np.where(attached, bandwidth_hz * part[np.maximum(node, 0)], bandwidth_hz)
