"""Turns prices into candidates: allocates for given options, and looks for better options near the best price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats
from policies.optimal.dual import ROUNDING, Bracket, Dual, find_price
from policies.optimal.menu import Ints, Menu
from policies.optimal.options import SlotOptions
from policies.optimal.tasks import SharedServer

_ALLOCATION_TOLERANCE = 1e-12
_MAX_FLIP = 64
_MAX_NEWTON = 10
_MAX_PAIR = 160


@dataclass(frozen=True)
class Candidate:
    """Options and capacities that fit.

    Parameters
    ----------
    value : P2 less its constant
    choice : [M], option of each task
    v_hz : [M], Hz
    price : 1/Hz, value of one more Hz
    """

    value: float
    choice: Ints
    v_hz: Floats
    price: float


def allocate(
    options: SlotOptions, server: SharedServer, choice: Ints, start: float, menu: Menu | None = None
) -> Candidate | None:
    """Return the best capacities for given options, or None if these do not fit.

    When the price is found, both ends of its bracket are mixed so that the capacity is used exactly.

    Parameters
    ----------
    options : menu of the slot
    server : server that the tasks share
    choice : [M], option of each task
    start : first price, 1/Hz
    menu : the chosen options, if they differ from those in `options`
    """
    menu = menu or options.menu.pick(choice)
    if menu.least_hz() > server.capacity_hz * (1.0 + ROUNDING):
        return None
    dual = Dual((menu,), server)
    found = _newton(dual, menu, start)
    if found is None:
        bracket = find_price(dual, start, _ALLOCATION_TOLERANCE)
        if bracket is None:
            return None
        found = _mix(bracket, menu), bracket.high.price
    v_hz, price = found
    return Candidate(_true_value(options, server, choice, v_hz), choice, v_hz, price)


def _newton(dual: Dual, menu: Menu, price: float) -> tuple[Floats, float] | None:
    """Return the allocation of given options and its price by Newton's method in ``1 / sqrt(p - s)``.

    It is fast if the demand is smooth. It returns None if the demand is not smooth, if capacity is left over, or after
    too many steps.
    """
    base, drain = dual.price_min, menu.drain_per_hz
    reach, offset, low_hz, high_hz = menu.reach[0], menu.offset[0], menu.low_hz[0], menu.high_hz[0]
    close_hz = ROUNDING * dual.server.capacity_hz
    for _ in range(_MAX_NEWTON):
        if not base < price < np.inf:
            return None
        net = price - drain
        wanted = reach / np.sqrt(net)
        free_hz = wanted - offset
        v_hz = np.minimum(np.maximum(free_hz, low_hz), high_hz)
        offered_hz = dual.offered_hz(price)
        slope = 0.5 * offered_hz / price if price < dual.price_full else 0.0
        excess_hz = float(v_hz.sum()) - offered_hz
        if abs(excess_hz) <= close_hz:
            return v_hz, price
        slope += 0.5 * float((wanted / net).sum(where=free_hz == v_hz))
        if slope <= 0.0:
            return None
        # d/dh of the excess, with p = base + 1 / h^2
        root = (price - base) ** -0.5
        root -= excess_hz / (slope * 2.0 / root**3)
        if root <= 0.0:
            return None
        price = base + root**-2
    return None


def _mix(bracket: Bracket, menu: Menu) -> Floats:
    """Return the capacities between both ends of a bracket; capacity that is left over drains the backlog."""
    low, high = bracket.low.responses[0].v_hz, bracket.high.responses[0].v_hz
    if bracket.low is not bracket.high:
        part = bracket.low_part
        return high + part * (low - high)
    left_hz = -bracket.high.excess_hz
    if left_hz <= 0.0 or bracket.high.price <= 0.0:
        return high
    spare_hz = menu.spare_hz(bracket.high.price, high)
    hosts = int(np.count_nonzero(spare_hz))
    if not hosts:
        return high
    return high + np.minimum(spare_hz, left_hz / hosts)


def _true_value(options: SlotOptions, server: SharedServer, choice: Ints, v_hz: Floats) -> float:
    index = choice * choice.size + np.arange(choice.size)
    cost = options.truth.take(index).at(v_hz)
    drained = float((options.menu.drain_per_hz * v_hz).sum())
    return float(cost.sum()) - drained + server.cost(float(v_hz.sum()))


def flips(options: SlotOptions, dual: Dual, bracket: Bracket) -> list[Ints]:
    """Return promising choices: both ends of the bracket, improved by changes of one and two options at a time.

    At the price p, a choice costs its Lagrangian. The change of the price that uses the capacity exactly costs about
    ``excess^2 / (2 |demand'|)``. Both are computed for all options at once.
    """
    menu, price = options.menu, bracket.high.price
    value, v_hz = menu.values(price)
    found: list[Ints] = []
    for point in (bracket.high, bracket.low):
        choice = point.responses[0].choice
        found.append(_climb(menu, dual, price, (value, v_hz), choice))
        found.append(choice)
        if bracket.low is bracket.high:
            break
    return found


def _climb(menu: Menu, dual: Dual, price: float, priced: tuple[Floats, Floats], start: Ints) -> Ints:
    """Change options of single tasks, then of pairs, while the estimated cost falls."""
    value, v_hz = priced
    choice, tasks = start.copy(), np.arange(start.size)
    offered_hz = dual.offered_hz(price)
    slope = _demand_slope(menu, dual, price, choice)

    def penalty(excess_hz: Floats) -> Floats:
        lack = excess_hz * excess_hz / (2.0 * slope) if slope > 0 else np.where(excess_hz > 0, np.inf, 0.0)
        spare = np.minimum(lack, -price * excess_hz)
        if price <= dual.price_min:
            spare = np.zeros_like(excess_hz)
        return np.where(excess_hz > 0, lack, spare)

    for _ in range(_MAX_FLIP):
        excess_hz = float(v_hz[choice, tasks].sum()) - offered_hz
        now = float(penalty(np.array(excess_hz)))
        option, task = np.nonzero(value - value[choice, tasks] < now)
        keep = choice[task] != option
        option, task = option[keep], task[keep]
        if not task.size:
            break
        extra = value[option, task] - value[choice[task], task]
        more_hz = v_hz[option, task] - v_hz[choice[task], task]
        single = extra + penalty(excess_hz + more_hz)
        best = int(np.argmin(single))
        if single[best] < now - 1e-15:
            choice[task[best]] = option[best]
            continue
        near = np.argsort(extra, kind="stable")[:_MAX_PAIR]
        both = extra[near][:, np.newaxis] + extra[near]
        both = both + penalty(excess_hz + more_hz[near][:, np.newaxis] + more_hz[near])
        both[task[near][:, np.newaxis] == task[near]] = np.inf
        one, two = np.unravel_index(int(np.argmin(both)), both.shape)
        if not both[one, two] < now - 1e-15:
            break
        for index in (near[one], near[two]):
            choice[task[index]] = option[index]
    return choice


def _demand_slope(menu: Menu, dual: Dual, price: float, choice: Ints) -> float:
    """Return the slope with which demand falls and offer grows with the price, Hz^2."""
    picked = menu.pick(choice)
    net = price - picked.drain_per_hz
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        v_hz = picked.reach[0] / np.sqrt(net) - picked.offset[0]
        slope = 0.5 * picked.reach[0] * net**-1.5
    inside = (v_hz > picked.low_hz[0]) & (v_hz < picked.high_hz[0])
    total = float(slope.sum(where=inside))
    if 0.0 < price < dual.price_full:
        total += 0.5 * dual.offered_hz(price) / price
    return total
