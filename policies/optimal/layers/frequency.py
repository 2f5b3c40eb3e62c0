"""Shares of a server's frequency, eqs. 8 and 10e: V_f, the cheapest way to run given work, and its price."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints

_NEWTON = 4
"""Steps from the starts used below, at most 8 % off, to 1e-15."""
_OUTER_MAX = 80
_CLOSE = 3e-8
"""Newton's method ends with a relative step of this size; the error is its square."""
_LEAST = 1e-9
"""Of ``1 - (F / (n f0))^3`` in the start of Newton's method."""


def free_hz(time_weight: float, energy_price: Floats, hz_max: Floats) -> Floats:
    """Return the frequency at which a cycle is cheapest, ``(w / (2 v kappa))^(1/3)``, Hz, at most `hz_max`.

    Parameters
    ----------
    time_weight : w, per s
    energy_price : [...], v kappa, s^3
    hz_max : [...], Hz
    """
    with np.errstate(divide="ignore"):  # energy costs nothing, so the highest frequency is best
        return np.minimum(np.cbrt(time_weight / (2.0 * energy_price)), hz_max)


def slowdown(scarcity: Floats) -> Floats:
    """Return the positive root u of ``u^3 - tau u - 1 = 0`` for tau >= 0; f_nm = f0 / u.

    Newton's method from ``sqrt(1 + tau)``, which is never below the root, so that it falls towards it.
    """
    u: Floats = np.sqrt(1.0 + scarcity)
    for _ in range(_NEWTON):
        square = u * u
        u = (2.0 * square * u + 1.0) / (3.0 * square - scarcity)
    return u


def respond_hz(cycles: Floats, price: Floats, start_hz: Floats, time_weight: float) -> Floats:
    """Return the share that is best at a price of frequency, [J], Hz: ``min_f W (w / f + v kappa f^2) + sigma f``.

    Parameters
    ----------
    cycles : [J], W_n; 0 gets no share
    price : [J], sigma >= 0, per Hz
    start_hz : [J], Hz, f0
    time_weight : w, per s

    **Source** paper 'llm6g', eq. 16 set to 0.
    """
    some = np.where(cycles > 0.0, cycles, 1.0)
    hz = start_hz / slowdown(price * start_hz * start_hz / (time_weight * some))
    return np.where(cycles > 0.0, hz, 0.0)


def share_hz(
    cycles: Floats, owner: Ints, start_hz: Floats, capacity_hz: Floats, time_weight: float
) -> tuple[Floats, Floats]:
    """Return the shares that minimise ``sum W_n (w / f_n + v kappa f_n^2)``, ``sum f_n <= F``, and the prices sigma.

    With ``f_n = f0 y_n``: ``1 - y_n^3 = c_n y_n^2 / q^2``, where ``c_n = f0^2 / (w W_n)`` and ``sigma = q^-2``. The
    demand is concave in q, so Newton's method is monotone after its first step, which ends left of the root. It begins
    at the root for equal vehicles, and stays above ``q = (F / f0) / sum c_n^(-1/2)``, which is below the root.

    Parameters
    ----------
    cycles : [J], W_n; 0 gets no share
    owner : [J], the server of each, index below G
    start_hz, capacity_hz : [G], Hz, f0 and F
    time_weight : w, per s

    Returns
    -------
    f : [J], Hz, and sigma : [G], per Hz
    """
    num_set = len(capacity_hz)
    hz = np.where(cycles > 0.0, start_hz[owner], 0.0)
    price = np.zeros(num_set)
    full = np.bincount(owner, weights=hz, minlength=num_set) > capacity_hz
    if not full.any():
        return hz, price
    scarce = full[owner] & (cycles > 0.0)
    index = (np.cumsum(full) - 1)[owner[scarce]]
    start, room = start_hz[full], capacity_hz[full] / start_hz[full]
    weight = start[index] ** 2 / (time_weight * cycles[scarce])
    least = room / np.bincount(index, weights=weight**-0.5, minlength=len(room))
    even = room / np.bincount(index, minlength=len(room))
    scale = least / np.sqrt(np.maximum(1.0 - even**3, _LEAST))
    y, elasticity, step = np.ones_like(weight), np.ones_like(weight), np.zeros_like(room)
    for _ in range(_OUTER_MAX):
        scarcity = weight / (scale * scale)[index]
        y = 1.0 / slowdown(scarcity)
        used = np.bincount(index, weights=y, minlength=len(room))
        elasticity = 2.0 * scarcity * y / (3.0 * y + 2.0 * scarcity)
        step = (room - used) / np.bincount(index, weights=elasticity, minlength=len(room))
        scale = np.maximum(scale * (1.0 + step), least)
        if np.all(np.abs(step) <= _CLOSE):
            break
    y += elasticity * step[index]
    y *= (room / np.bincount(index, weights=y, minlength=len(room)))[index]
    hz[scarce] = y * start[index]
    price[full] = scale**-2.0
    return hz, price


def spread_hz(
    cycles: Floats, owner: Ints, start_hz: Floats, capacity_hz: Floats, time_weight: float
) -> tuple[Floats, Floats]:
    """Return shares that use up servers with more capacity than vehicles want, ``sum f_n = F > n f0`` (10e); sigma < 0.

    With ``f_n = f0 y_n`` and ``t_n = -sigma c_n``: ``y_n^3 - t_n y_n^2 = 1``. The sum of the shares is convex in
    -sigma, so Newton's method is monotone after its first step. It begins at the root for equal vehicles.

    Parameters
    ----------
    cycles, owner, start_hz, capacity_hz, time_weight : as of `share_hz`, cycles > 0
    """
    num_set = len(capacity_hz)
    room = capacity_hz / start_hz
    weight = start_hz[owner] ** 2 / (time_weight * cycles)
    count, total = np.bincount(owner, minlength=num_set), np.bincount(owner, weights=weight, minlength=num_set)
    even = room / count
    gift = (even - even**-2.0) * count / total
    y, slope, step = np.ones_like(weight), np.ones_like(weight), np.zeros_like(room)
    for _ in range(_OUTER_MAX):
        pull = gift[owner] * weight
        y = pull + (1.0 + pull / 3.0) ** -2.0
        for _ in range(_NEWTON):
            y = y - (y * y * (y - pull) - 1.0) / (y * (3.0 * y - 2.0 * pull))
        slope = weight * y / (3.0 * y - 2.0 * pull)
        step = (room - np.bincount(owner, weights=y, minlength=num_set)) / np.bincount(
            owner, weights=slope, minlength=num_set
        )
        gift = np.maximum(gift + step, 0.0)
        if np.all(np.abs(step) <= _CLOSE * gift):
            break
    y += slope * step[owner]
    y *= (room / np.bincount(owner, weights=y, minlength=num_set))[owner]
    return y * start_hz[owner], -gift
