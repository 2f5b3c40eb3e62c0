"""Transmit powers and shares of the spectrum, eqs. 3, 4 and 10c: V_b, the cheapest way to send, and its price.

A vehicle with the share b pays ``phi(b) = min_p s (w + v p) / (b log2(1 + gamma p / b))``, which is convex. In terms of
the SNR ``y = gamma p / b``, with ``L = ln(1 + y)`` and ``M = (1 + y) L - y``, the best power is ``p = (w / v) y / M``
within its limits, and the marginal price ``-phi'(b)`` is ``eta = s ln 2 (w + v p) M / ((1 + y) b^2 L^2)``. Its
logarithm is nearly a straight line in ln y (slope 1.5 to 3), so that Newton's method converges fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.model import computing, energy, rate
from physical.model.objective import weighted_cost

_LN2 = float(np.log(2.0))
_ITERATION_MAX = 60
_CLOSE = 1e-4
"""Newton's method ends with a step of this size in ln y. The error is less than its square, 1e-8, and the error of the
cost is about the square of that."""
_STEP_MAX = 8.0
_SERIES = 1e-2


@dataclass(frozen=True)
class Links:
    """Uplinks; all arrays [J].

    Parameters
    ----------
    bits : s, payload; 0 needs no share
    gamma : Hz/W, channel gain over noise density, > 0
    power_min_w, power_max_w : W
    time_weight, energy_weight : w, per s, and v, per J
    """

    bits: Floats
    gamma: Floats
    power_min_w: Floats
    power_max_w: Floats
    time_weight: float
    energy_weight: float

    @property
    def sends(self) -> Mask:
        """Links with something to send, [J]."""
        sends: Mask = self.bits > 0.0
        return sends

    def pick(self, index: Ints | Mask) -> Links:
        """Return some of the links."""
        return replace(
            self,
            bits=self.bits[index],
            gamma=self.gamma[index],
            power_min_w=self.power_min_w[index],
            power_max_w=self.power_max_w[index],
        )

    def silent(self) -> Links:
        """Return the links without anything to send."""
        return replace(self, bits=np.zeros_like(self.bits))

    def cost(self, power_w: Floats, bandwidth_hz: Floats) -> Floats:
        """Return the weighted time and energy of the uploads, [J]; infinite without a share."""
        rate_bps = rate.fdma_rate_bps(bandwidth_hz, power_w, self.gamma, 1.0)
        upload_s = computing.execution_delay_s(self.bits, rate_bps)
        upload_j = energy.transmit_energy_j(power_w, upload_s)
        cost: Floats = weighted_cost(upload_s, upload_j, self.time_weight, self.energy_weight)
        return cost


class _LinkPoint(NamedTuple):
    """Links at an SNR, [J]: p in W, b in Hz, ln eta, and the derivatives of ln eta and ln b in ln y."""

    power_w: Floats
    bandwidth_hz: Floats
    log_price: Floats
    price_slope: Floats
    bandwidth_slope: Floats


def _bend(snr: Floats, log_term: Floats) -> Floats:
    """Return ``M / y^2``, [J], by its series where M cancels; 1/2 at y = 0."""
    value: Floats = ((1.0 + snr) * log_term - snr) / snr / snr
    small = snr < _SERIES
    if small.any():
        y = snr[small]
        series = np.zeros_like(y)
        for k in range(9, 1, -1):
            series = 1.0 / (k * (k - 1)) - y * series
        value[small] = series
    return value


def _log_price(
    links: Links, log_snr: Floats, power_w: Floats, bandwidth_hz: Floats, log_term: Floats, bend: Floats
) -> Floats:
    """Return ln eta, [J]; in logarithms, because M of a very weak signal is not a number any more."""
    effort = links.bits * _LN2 * (links.time_weight + links.energy_weight * power_w)
    per_rate = np.log(bandwidth_hz) + np.log(log_term)
    log_price: Floats = np.log(effort * bend) - log_term + 2.0 * (log_snr - per_rate)
    return log_price


def _at(links: Links, log_snr: Floats) -> _LinkPoint:
    """Return the links at an SNR whose logarithm is given, [J]."""
    snr = np.exp(log_snr)
    log_term = np.log1p(snr)
    bend = _bend(snr, log_term)
    with np.errstate(divide="ignore", over="ignore"):  # energy that costs nothing: full power
        wanted_w = np.float64(links.time_weight) / links.energy_weight / (snr * bend)
    power_w = np.clip(wanted_w, links.power_min_w, links.power_max_w)
    free = power_w == wanted_w
    bandwidth_hz = links.gamma * power_w / snr
    log_price = _log_price(links, log_snr, power_w, bandwidth_hz, log_term, bend)
    steep = log_term / snr / bend
    saturation = snr / ((1.0 + snr) * log_term)
    price_slope = np.where(free, 2.0 * steep - saturation, steep - snr / (1.0 + snr) + 2.0 - 2.0 * saturation)
    return _LinkPoint(power_w, bandwidth_hz, log_price, price_slope, np.where(free, -steep, -1.0))


def best_power_w(links: Links, bandwidth_hz: Floats) -> Floats:
    """Return the powers, [J], W, that make uploads cheapest on given shares of the spectrum, [J], Hz.

    Solves ``M(y) = w gamma / (v b)`` for the SNR.
    """
    with np.errstate(divide="ignore", over="ignore"):  # energy that costs nothing: full power
        target = np.float64(links.time_weight) / links.energy_weight * links.gamma / bandwidth_hz
    inner = (target > 0.0) & np.isfinite(target)
    if not inner.all():
        power_w = np.where(target > 0.0, links.power_max_w, links.power_min_w)
        if inner.any():
            power_w[inner] = best_power_w(links.pick(inner), bandwidth_hz[inner])
        return power_w
    log_target = np.log(target)
    log_snr = np.where(target < 1.0, 0.5 * (log_target + _LN2), log_target)
    for _ in range(_ITERATION_MAX):
        snr = np.exp(log_snr)
        log_term = np.log1p(snr)
        bend = _bend(snr, log_term)
        step = (2.0 * log_snr + np.log(bend) - log_target) * bend * snr / log_term
        log_snr = log_snr - step
        if np.all(np.abs(step) <= _CLOSE):
            break
    return np.clip(np.exp(log_snr) * bandwidth_hz / links.gamma, links.power_min_w, links.power_max_w)


def marginal_price(links: Links, power_w: Floats, bandwidth_hz: Floats) -> tuple[Floats, Floats]:
    """Return ln eta, [J], at given shares with the best powers for them, and ln y there."""
    log_snr = np.log(links.gamma) + np.log(power_w / bandwidth_hz)
    snr = np.exp(log_snr)
    log_term = np.log1p(snr)
    return _log_price(links, log_snr, power_w, bandwidth_hz, log_term, _bend(snr, log_term)), log_snr


def respond(links: Links, log_price: Floats, log_snr: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the optimum at a price of spectrum, ``min_b phi(b) + eta b``: p in W, b in Hz, and ln y, all [J].

    Parameters
    ----------
    links : with something to send
    log_price : [J], ln eta
    log_snr : [J], ln y to begin at
    """
    z = log_snr
    for _ in range(_ITERATION_MAX):
        point = _at(links, z)
        step = np.clip((point.log_price - log_price) / point.price_slope, -_STEP_MAX, _STEP_MAX)
        z = z - step
        if np.all(np.abs(step) <= 1e-7):  # the bound holds for any share near the best: its error is the square
            break
    point = _at(links, z)
    return point.power_w, point.bandwidth_hz, z


def share_bandwidth(links: Links, owner: Ints, capacity_hz: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the powers and shares that minimise ``sum phi_n(b_n)``, ``sum b_n = Bw``, and the logarithm of each price.

    Newton's method in all ln y_n and ln eta at once; the shares are scaled at the end to add up.

    Parameters
    ----------
    links : [J], with something to send
    owner : [J], the node of each, index below G
    capacity_hz : [G], Hz, Bw

    Returns
    -------
    p : [J], W; b : [J], Hz; ln eta : [G], -inf where nothing is sent
    """
    num_set = len(capacity_hz)
    count = np.bincount(owner, minlength=num_set)
    capacity_hz = np.where(count > 0, capacity_hz, 1.0)
    root = np.sqrt(links.bits)  # the solution for equal links with a very high or a very low SNR
    total = np.where(count > 0, np.bincount(owner, weights=root, minlength=num_set), 1.0)
    share_hz = root * (capacity_hz / total)[owner]
    log_price, z = marginal_price(links, best_power_w(links, share_hz), share_hz)
    log_price = np.bincount(owner, weights=log_price, minlength=num_set) / np.maximum(count, 1)
    for _ in range(_ITERATION_MAX):
        point = _at(links, z)
        used_hz = np.where(count > 0, np.bincount(owner, weights=point.bandwidth_hz, minlength=num_set), 1.0)
        elasticity = point.bandwidth_hz / used_hz[owner] * point.bandwidth_slope / point.price_slope
        behind = log_price[owner] - point.log_price
        drift = np.bincount(owner, weights=elasticity * behind, minlength=num_set)
        slope = np.where(count > 0, np.bincount(owner, weights=elasticity, minlength=num_set), 1.0)
        price_step = (np.log(capacity_hz / used_hz) - drift) / slope
        step = np.clip((behind + price_step[owner]) / point.price_slope, -_STEP_MAX, _STEP_MAX)
        z, log_price = z + step, log_price + price_step
        if np.all(np.abs(step) <= _CLOSE):
            break
    point = _at(links, z)
    used_hz = np.bincount(owner, weights=point.bandwidth_hz, minlength=num_set)
    bandwidth_hz = point.bandwidth_hz * (capacity_hz / np.where(count > 0, used_hz, 1.0))[owner]
    return point.power_w, bandwidth_hz, np.where(count > 0, log_price, -np.inf)
