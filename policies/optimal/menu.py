"""Menus: the options of each task; each is a convex hyperbola in the capacity that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats

Ints = NDArray[np.intp]

_FLAT = 1e-14
"""A hyperbola that bends less than this over the capacity counts as a straight line."""
_TINY = 1e-300


@dataclass(frozen=True)
class Hyperbolas:
    """Costs ``base + (num0 + num1 v) / (den0 + den1 v)`` of options, [J, M]: J options (rows) of M tasks.

    This form holds the shifted reciprocals ``C0 + a / (v + z)`` of an option and their limit, a straight line. It
    avoids the cancellation of C0 and a near that limit.
    """

    base: Floats
    num0: Floats
    num1: Floats
    den0: Floats
    den1: Floats

    def at(self, v_hz: Floats) -> Floats:
        """Return the costs at v, [J, M]."""
        cost: Floats = self.base + (self.num0 + self.num1 * v_hz) / (self.den0 + self.den1 * v_hz)
        return cost

    def take(self, index: Ints) -> Hyperbolas:
        """Return the entries at `index`, of the flattened arrays: option times M plus task."""
        return Hyperbolas(
            self.base.take(index),
            self.num0.take(index),
            self.num1.take(index),
            self.den0.take(index),
            self.den1.take(index),
        )


@dataclass(frozen=True)
class Response:
    """The response of the tasks to a price.

    Parameters
    ----------
    cost : sum of the tasks' least costs, including the paid capacity
    used_hz : Hz, sum of v
    choice : [M], option of each task
    v_hz : [M], Hz
    """

    cost: float
    used_hz: float
    choice: Ints
    v_hz: Floats


@dataclass(frozen=True)
class Menu:
    """Options of M tasks with their prices, [J, M]; an option that a task does not have costs infinity.

    Parameters
    ----------
    curve : costs, convex and decreasing in v
    reach, offset : the best v at a price p is ``reach / sqrt(p - s) - offset``, clipped
    low_hz, high_hz : Hz, interval of v
    drain_per_hz : [M], 1/Hz, s: gain of one Hz with any option
    """

    curve: Hyperbolas
    reach: Floats
    offset: Floats
    low_hz: Floats
    high_hz: Floats
    drain_per_hz: Floats

    @property
    def num_task(self) -> int:
        """Number of tasks M."""
        return self.drain_per_hz.size

    @cached_property
    def drain_max(self) -> float:
        """Largest s, 1/Hz; below this price no capacity is left over."""
        return float(self.drain_per_hz.max()) if self.drain_per_hz.size else 0.0

    def values(self, price: float) -> tuple[Floats, Floats]:
        """Return cost plus paid capacity of every option at its best v, and that v; both [J, M].

        ``min_v cost(v) + (p - s) v`` on [low, high]: the bracket of the dual function.
        """
        net = price - self.drain_per_hz
        positive = net if price > self.drain_max else np.maximum(net, _TINY)
        v_hz = self.reach * (1.0 / np.sqrt(positive))
        v_hz -= self.offset
        np.maximum(v_hz, self.low_hz, out=v_hz)
        np.minimum(v_hz, self.high_hz, out=v_hz)
        if price < self.drain_max:
            np.copyto(v_hz, self.high_hz, where=net < 0.0)
        curve = self.curve
        value = curve.num1 * v_hz
        value += curve.num0
        below = curve.den1 * v_hz
        below += curve.den0
        value /= below
        value += curve.base
        value += np.multiply(v_hz, net, out=below)
        return value, v_hz

    def respond(self, price: float) -> Response:
        """Let every task choose its cheapest option, or the first of equally cheap ones."""
        value, v_hz = self.values(price)
        if len(value) == 1:
            nothing = np.zeros(self.num_task, dtype=np.intp)
            return Response(float(value.sum()), float(v_hz.sum()), nothing, v_hz[0])
        choice = value.argmin(axis=0)
        index = choice * self.num_task + np.arange(self.num_task)
        chosen_hz = v_hz.take(index)
        return Response(float(value.take(index).sum()), float(chosen_hz.sum()), choice, chosen_hz)

    def pick(self, choice: Ints, tasks: Ints | None = None) -> Menu:
        """Return the menu of one row that holds one option per task, of all tasks or of the given ones."""
        index = choice * self.num_task + (np.arange(self.num_task) if tasks is None else tasks)
        return self._entries(index[np.newaxis], self.drain_per_hz if tasks is None else self.drain_per_hz[tasks])

    def only(self, tasks: Ints) -> Menu:
        """Return the menu of some tasks."""
        index = np.arange(len(self.reach))[:, np.newaxis] * self.num_task + tasks
        return self._entries(index, self.drain_per_hz[tasks])

    def _entries(self, index: Ints, drain_per_hz: Floats) -> Menu:
        return Menu(
            self.curve.take(index),
            self.reach.take(index),
            self.offset.take(index),
            self.low_hz.take(index),
            self.high_hz.take(index),
            drain_per_hz,
        )

    def without(self, options: Ints, tasks: Ints) -> Menu:
        """Return the menu that lacks the given options of the given tasks."""
        base = self.curve.base.copy()
        base[options, tasks] = np.inf
        return replace(self, curve=replace(self.curve, base=base))

    def spare_hz(self, price: float, v_hz: Floats) -> Floats:
        """Return how much v may grow at no cost, in the first row, [M], because draining backlog earns its price."""
        free = (self.drain_per_hz == price) & (self.reach[0] == 0.0)
        return np.where(free, self.high_hz[0] - v_hz, 0.0)

    def least_hz(self) -> float:
        """Return the least capacity that the tasks need, Hz."""
        return float(np.where(np.isfinite(self.curve.base), self.low_hz, np.inf).min(axis=0).sum())


def make_menu(
    curve: Hyperbolas,
    bias_hz: Floats | float,
    bounds_hz: tuple[Floats, Floats],
    drain_per_hz: Floats,
    capacity_hz: float,
) -> Menu:
    """Return a menu of hyperbolas that are given in the true speed y = v + bias.

    The best v solves ``(num0 den1 - num1 den0) / (den0 + den1 y)^2 = p - s``.
    """
    excess = curve.num0 * curve.den1 - curve.num1 * curve.den0
    flat = ~(excess > 0.0)
    np.copyto(excess, 0.0, where=flat)
    bend = np.abs(curve.den0) * (_FLAT / capacity_hz)
    np.copyto(bend, curve.den1, where=np.abs(curve.den1) > bend)
    np.copyto(bend, 1.0, where=flat)
    offset = curve.den0 / bend
    if np.any(bias_hz):
        offset += bias_hz
        curve = replace(curve, num0=curve.num0 + curve.num1 * bias_hz, den0=curve.den0 + curve.den1 * bias_hz)
    np.copyto(offset, 0.0, where=flat)
    return Menu(
        curve,
        np.sqrt(excess) / bend,
        offset,
        *bounds_hz,
        drain_per_hz,
    )


def chord(menu: Menu, truth: Hyperbolas, entry: tuple[Ints, Ints], bounds_hz: tuple[Floats, Floats]) -> None:
    """Replace concave options, in place, by their chords over [low, high], a lower bound that is exact at both ends.

    Parameters
    ----------
    menu : changed at `entry`
    truth : [L], the concave costs
    entry : options and tasks, [L] each
    bounds_hz : low and high, [L] each
    """
    low_hz, high_hz = bounds_hz
    at_low, at_high = truth.at(low_hz), truth.at(high_hz)
    slope = np.minimum((at_high - at_low) / np.maximum(high_hz - low_hz, _TINY), 0.0)
    bend = _FLAT / np.maximum(high_hz, _TINY)
    curve = menu.curve
    curve.base[entry] = at_low - slope * low_hz
    curve.num0[entry], curve.num1[entry] = 0.0, slope
    curve.den0[entry], curve.den1[entry] = 1.0, 0.0
    menu.reach[entry], menu.offset[entry] = np.sqrt(-slope) / bend, 1.0 / bend
    menu.low_hz[entry], menu.high_hz[entry] = low_hz, high_hz
