"""Uplink: noise, rate, and how long an upload takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from physical.model.arrays import Array, namespace
from physical.model.computing import execution_delay_s
from physical.model.units import BITS_PER_BYTE, dbm_to_w

if TYPE_CHECKING:
    from physical.params import UploadRule

THERMAL_DENSITY_DBM_HZ = -174.0
"""Noise of a resistor at 290 K (kT), dBm/Hz; no receiver has less."""

_BITS_PER_NAT = 1.0 / math.log(2.0)


def noise_power_w(density_dbm_hz: Array, bandwidth_hz: Array, noise_figure_db: Array = 0.0) -> Array:
    """Return the noise power on a bandwidth: ``10^((N0 + NF - 30) / 10) w``.

    Parameters
    ----------
    density_dbm_hz : [...], dBm/Hz, -174 for thermal noise at 290 K
    bandwidth_hz : [...], Hz
    noise_figure_db : [...], dB, of the receiver

    Returns
    -------
    [...], W

    **Source** standard link budget; paper 'dtecn', Table I gives one noise power (-110 dBm) whatever the bandwidth.

    >>> round(noise_power_w(-170.0, 1e6) * 1e14, 9)
    1.0
    """
    return dbm_to_w(density_dbm_hz + noise_figure_db) * bandwidth_hz


def uplink_rate_bps(bandwidth_hz: Array, transmit_power_w: Array, channel_gain: Array, noise_w: Array) -> Array:
    """Return the uplink rate: ``r = w log2(1 + p g / noise)``.

    Parameters
    ----------
    bandwidth_hz : [..., N], Hz
    transmit_power_w : [..., N], W
    channel_gain : [..., N], linear power ratio, no unit
    noise_w : [...], W, on that bandwidth

    Returns
    -------
    [..., N], bit/s

    **Source** paper 'dtecn', eq. 2. Evaluated as log1p / ln 2: exact for a weak signal too, never 0 by rounding.

    >>> import numpy as np
    >>> uplink_rate_bps(20e6, 0.2, np.array([1.5e-13]), 1e-14).round(3).tolist()
    [40000000.0]
    """
    snr = transmit_power_w * channel_gain / noise_w
    return bandwidth_hz * (namespace(snr).log1p(snr) * _BITS_PER_NAT)


def upload_bytes(size_bytes: Array, offloading_ratio: Array, rule: UploadRule) -> Array:
    """Return the bytes charged to the uplink: ``omega D`` (proportional), ``D [omega > 0]`` (whole) or ``D`` (always).

    Parameters
    ----------
    size_bytes : [..., N, K], bytes, size D of the task
    offloading_ratio : [..., N, K], no unit, omega in [0, 1]
    rule : "proportional", "whole" or "always"

    Returns
    -------
    [..., N, K], bytes

    Raises
    ------
    ValueError : an unknown `rule`, with its value

    **Source** paper 'dtecn', first term of eq. 9. "always" is literal: a task at ratio 0 still pays its whole upload.

    >>> import numpy as np
    >>> [upload_bytes(np.array([1000.0]), np.array([0.0]), rule).item() for rule in ("proportional", "whole", "always")]
    [0.0, 0.0, 1000.0]
    """
    if rule == "proportional":
        return offloading_ratio * size_bytes
    if rule == "whole":
        return namespace(size_bytes, offloading_ratio).where(offloading_ratio > 0.0, size_bytes, 0.0 * size_bytes)
    if rule == "always":
        return size_bytes
    raise ValueError(f"upload rule {rule!r} is not one of proportional, whole, always")


def upload_delay_s(upload_bytes: Array, rate_bps: Array) -> Array:
    """Return the time on the uplink: ``8 bytes / r``; 0 without bytes, infinite with bytes but no rate.

    Parameters
    ----------
    upload_bytes : [...], bytes
    rate_bps : [...], bit/s, >= 0

    Returns
    -------
    [...], s

    **Source** paper 'dtecn', first term of eq. 9; the K tasks of one vehicle do not share the uplink there, nor here.

    >>> import numpy as np
    >>> upload_delay_s(np.array([1250.0, 1250.0, 0.0]), np.array([1e7, 0.0, 0.0])).tolist()
    [0.001, inf, 0.0]
    """
    return execution_delay_s(BITS_PER_BYTE * upload_bytes, rate_bps)


def fdma_rate_bps(
    bandwidth_hz: Array, transmit_power_w: Array, channel_gain: Array, noise_density_w_hz: Array
) -> Array:
    """Return the rate on a share of the spectrum: ``r = b log2(1 + g p / (N0 b))``, and 0 where b = 0.

    Gradients are finite everywhere, also at ``b = 0``.

    Parameters
    ----------
    bandwidth_hz : [..., N], Hz, >= 0
    transmit_power_w : [..., N], W
    channel_gain : [..., N], linear power ratio, no unit
    noise_density_w_hz : W/Hz

    Returns
    -------
    [..., N], bit/s

    **Source** paper 'llm6g', eq. 3; its "noise power" sigma^2 is divided by no bandwidth, so it must be a density.

    >>> import numpy as np
    >>> fdma_rate_bps(np.array([1e6, 0.0]), np.array([3.0, 3.0]), np.array([1e-12, 1e-12]), 1e-18).round(3).tolist()
    [2000000.0, 0.0]
    """
    xp = namespace(bandwidth_hz, transmit_power_w, channel_gain)
    some = bandwidth_hz > 0.0
    share_hz = xp.where(some, bandwidth_hz, 1.0 + 0.0 * bandwidth_hz)
    rate_bps = uplink_rate_bps(share_hz, transmit_power_w, channel_gain, noise_density_w_hz * share_hz)
    return xp.where(some, rate_bps, 0.0 * rate_bps)


def gain_for_rate(rate_bps: Array, bandwidth_hz: Array, transmit_power_w: Array, noise_w: Array) -> Array:
    """Return the channel gain at which an uplink has a given rate: ``g = (2^(r / w) - 1) noise / p``.

    Parameters
    ----------
    rate_bps : [..., N], bit/s
    bandwidth_hz : [..., N], Hz
    transmit_power_w : [..., N], W
    noise_w : [...], W, on that bandwidth

    Returns
    -------
    [..., N], linear power ratio, no unit

    **Source** paper 'dtecn', eq. 2, solved for the gain.

    >>> import numpy as np
    >>> float(uplink_rate_bps(20e6, 0.2, gain_for_rate(np.array([5e6]), 20e6, 0.2, 1e-14), 1e-14)[0])
    5000000.0
    """
    exponent = rate_bps / bandwidth_hz / _BITS_PER_NAT
    return namespace(exponent).expm1(exponent) * noise_w / transmit_power_w
