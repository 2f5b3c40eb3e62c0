"""The price bound: a lower bound of P2 from a price on capacity, and the price that makes it largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from policies.optimal.menu import Menu, Response
from policies.optimal.tasks import SharedServer

ROUNDING = 3e-13
"""This part of the capacity counts as 0; `policies.feasible.project` accepts an excess of 1e-12."""
_STEP_MAX = 256.0
_MARGIN = 1.1
_LEAST = 1e-30
_MAX_STEP = 60
_MAX_STEP_DOWN = 3
_MAX_ITERATION = 100
_SLOW = 0.5
_RUSH = 0.02


@dataclass(frozen=True)
class DualPoint:
    """The dual function at a price.

    Parameters
    ----------
    price : 1/Hz
    bound : d(p), a lower bound of P2 less its constant
    excess_hz : Hz, its derivative: demand less offer of capacity
    responses : of each menu
    """

    price: float
    bound: float
    excess_hz: float
    responses: tuple[Response, ...]

    @property
    def used_hz(self) -> float:
        """Capacity asked for, Hz."""
        return sum(response.used_hz for response in self.responses)

    @property
    def offered_hz(self) -> float:
        """Capacity offered, Hz."""
        return max(self.used_hz - self.excess_hz, 1.0)


@dataclass(frozen=True)
class Bracket:
    """Prices on both sides of the best one: the demand is too large at `low`, and not too large at `high`.

    Parameters
    ----------
    low, high : the two sides; they are the same point if capacity is left over at the best price
    bound : largest bound found
    """

    low: DualPoint
    high: DualPoint
    bound: float

    @property
    def low_part(self) -> float:
        """Weight of `low` in the mixture of both ends that uses the capacity exactly."""
        spread = self.low.excess_hz - self.high.excess_hz
        return min(max(-self.high.excess_hz / spread, 0.0), 1.0) if spread > 0 else 0.0


class Dual:
    """The dual function of some menus at one server.

    ``d(p) = sum_i min_options min_v [cost(v) + (p - s) v] + min_(V <= C) [e3 V^3 - p V]``. One price pays for energy
    and capacity, because both count the same v. Up to ``e3' (C)`` it is the price of energy, and the server offers less
    than C.

    Parameters
    ----------
    menus : tasks
    server : capacity and energy
    """

    def __init__(self, menus: Sequence[Menu], server: SharedServer) -> None:
        self.menus = menus
        self.server = server
        self.price_full = server.marginal(server.capacity_hz)
        self._cost_full = server.cost(server.capacity_hz)
        self.price_min = max(menu.drain_max for menu in menus)

    def offered_hz(self, price: float) -> float:
        """Return the capacity that the server offers at a price, Hz."""
        if price < self.price_full:
            return math.sqrt(price / (3.0 * self.server.cubic))
        return self.server.capacity_hz

    def at(self, price: float) -> DualPoint:
        """Return the dual function at a price."""
        responses = tuple(menu.respond(price) for menu in self.menus)
        bound = sum(response.cost for response in responses)
        excess_hz = sum(response.used_hz for response in responses) - self.offered_hz(price)
        if price < self.price_full:
            bound -= 2.0 / 3.0 * price * self.offered_hz(price)
        else:
            bound += self._cost_full - price * self.server.capacity_hz
        return DualPoint(price, bound, excess_hz, responses)

    def absorbed_hz(self, point: DualPoint) -> float:
        """Return the capacity that tasks which only drain the backlog could take at no cost, Hz."""
        spare_hz = 0.0
        for menu, response in zip(self.menus, point.responses, strict=True):
            spare_hz += float(menu.pick(response.choice).spare_hz(point.price, response.v_hz).sum())
        return spare_hz


def find_price(dual: Dual, start: float, tolerance: float, target: float = math.inf) -> Bracket | None:
    """Return a bracket of the price at which the bound is largest, or None if no price makes the tasks fit.

    The search is regula falsi (Illinois) in ``1 / sqrt(p - s)``, in which the demand is almost a straight line. Where
    the demand jumps, the next price is the crossing of the tangents of d. The best bound cannot exceed that crossing,
    which ends the search.

    Parameters
    ----------
    dual : the dual function
    start : first price, 1/Hz
    tolerance : distance by which the bound may stay below the best one
    target : a bound that is good enough; where a task jumps, 2 % of the distance to it may be lost
    """
    close_hz = ROUNDING * dual.server.capacity_hz
    low, high = _enclose(dual, start, close_hz)
    if high is None:
        return None
    best = max(low.bound, high.bound)
    weight, last, method = [1.0, 1.0], -1, 0
    for _ in range(_MAX_ITERATION):
        if low is high or abs(high.excess_hz) <= close_hz:
            return Bracket(high, high, best)
        crossing, peak = _crossing(low, high)
        if peak - best <= tolerance or best >= target:
            break
        if peak - best <= _RUSH * (target - peak) < math.inf and _differ(low, high):
            break
        price = (_trial(dual, low, high, weight), crossing, math.nan)[method]
        if not low.price < price < high.price:
            price = 0.5 * (low.price + high.price)
            if not low.price < price < high.price:
                break
        point = dual.at(price)
        best = max(best, point.bound)
        side = 0 if point.excess_hz > close_hz else 1
        replaced = high if side else low
        slow = abs(point.excess_hz) > _SLOW * abs(replaced.excess_hz)
        method = (1 if method != 1 else 2) if slow else method % 2
        weight[side] = 1.0
        if side == last:  # Illinois: the end that stays gets less weight
            weight[1 - side] *= 0.5
        last = side
        low, high = (low, point) if side else (point, high)
    return Bracket(low, high, best)


def _enclose(dual: Dual, start: float, close_hz: float) -> tuple[DualPoint, DualPoint | None]:
    """Return a price at which the demand is too large, and one at which it is not; the same price twice if it is best.

    Each step is a bit longer than it had to be if the demand were a straight line in ``1 / sqrt(p - s)``.
    """
    base = dual.price_min
    above = max(start - base, _LEAST)
    point = dual.at(base + above)
    margin = _MARGIN
    if point.excess_hz > close_hz:
        for _ in range(_MAX_STEP):
            low = point
            above *= min(margin * (point.used_hz / point.offered_hz) ** 2, _STEP_MAX)
            margin *= 2.0
            point = dual.at(base + above)
            if point.excess_hz <= close_hz:
                return low, point
        return point, None
    for _ in range(_MAX_STEP_DOWN):
        high = point
        above /= min(margin * (point.offered_hz / max(point.used_hz, 1.0)) ** 2, _STEP_MAX)
        margin *= 2.0
        point = dual.at(base + above)
        if point.excess_hz > close_hz:
            return point, high
    high = point
    point = dual.at(base)
    if point.excess_hz > close_hz:
        return point, high
    if base > 0 and point.excess_hz < -close_hz - dual.absorbed_hz(point):
        high, point = point, dual.at(0.0)
        if point.excess_hz > close_hz:
            return point, high
    return point, point


def _trial(dual: Dual, low: DualPoint, high: DualPoint, weight: list[float]) -> float:
    """Return the price at which demand and offer would be equal if both were straight in ``1 / sqrt(p - s)``."""
    above_low, above_high = low.price - dual.price_min, high.price - dual.price_min
    if above_low <= 0.0:
        return math.nan
    far, near = 1.0 / math.sqrt(above_low), 1.0 / math.sqrt(above_high)
    too_much, too_little = weight[0] * low.excess_hz, weight[1] * high.excess_hz
    root = near - too_little * (far - near) / (too_much - too_little)
    return dual.price_min + 1.0 / (root * root)


def _crossing(low: DualPoint, high: DualPoint) -> tuple[float, float]:
    """Return the price at which the tangents of d at both ends cross, and their value there, an upper limit of d."""
    price = (high.bound - low.bound + low.excess_hz * low.price - high.excess_hz * high.price) / (
        low.excess_hz - high.excess_hz
    )
    return price, low.bound + low.excess_hz * (price - low.price)


def _differ(one: DualPoint, other: DualPoint) -> bool:
    """Tell whether any task chooses another option."""
    pairs = zip(one.responses, other.responses, strict=True)
    return any((here.choice != there.choice).any() for here, there in pairs)
