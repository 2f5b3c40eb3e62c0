"""A price of capacity for a slot: what tasks ask for at some prices, and how much of the server there is.

At a given price of the server's capacity P2 falls apart into its tasks: the model answers each of them on its own. The
price of a slot is the one at which they ask for as much as there is, which cases show: they know their prices. It is
never below what draining a queue is worth, since a queue takes all that is left at that price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Mask
from policies.llm.bundled.reading import Reading, probabilities, quantiles
from policies.llm.bundled.vocabulary import PRICE, SHARE
from twin.decision import Decision

if TYPE_CHECKING:
    from policies.cases.case import Case


_REACH = 1.2
"""How far beyond prices that were tried the next one may lie, as a logarithm."""
_SLOPE = -1.1
"""Of demand over price, both as logarithms, where only one price is known.

More than the 1/2 of shares at the margin, because tasks also leave; a guess, which the next answers correct.
"""
_FLAT = -0.1
"""Slope that is believed at least: less would lead far away."""
_GROWTH_MAX = 0.5
"""Of supply over price, both as logarithms: that of a server whose power is the cube of its speed."""
_LEAST = 1e-6
"""Part of the server that is always there: logarithms are taken of it."""
_AT_DRAIN = 0.1
"""Part of the price by which it may exceed what draining a queue is worth, so that the queue gets what is left."""


@dataclass(frozen=True)
class Offers:
    """What the tasks of a slot ask for at a price.

    Parameters
    ----------
    price : of the whole server, in QoS of a task
    sure : [N, K], probability that a task is offloaded
    share : [N, K], part of the server that it asks for if it is
    """

    price: float
    sure: Floats
    share: Floats

    @staticmethod
    def of(logits: NDArray[np.floating[Any]], price: float, reachable: Mask, reading: Reading) -> Offers:
        """Read answers.

        Parameters
        ----------
        logits : [N, K, NUM_ANSWER]
        price : at which they were given
        reachable : [N], vehicles that can offload; what is said of others does not count
        reading : see there
        """
        probability = probabilities(logits)
        place = quantiles(probability[..., 1:], reading.quantile)
        sure = np.where(reachable[:, np.newaxis], 1.0 - probability[..., 0], 0.0)
        return Offers(price, sure, SHARE.centre(place))

    @property
    def demand(self) -> float:
        """Part of the server that the tasks can be expected to ask for."""
        return float((self.sure * self.share).sum())

    def choose(self, there: float, reading: Reading) -> Mask:
        """Return which tasks are offloaded, [N, K], so that they take about as much of the server as there is.

        While they ask for more, times a slack, the task that is least sure stays on its vehicle; then the surest of
        those that stay is offloaded, as long as it fits.
        """
        sure, share = self.sure.reshape(-1), self.share.reshape(-1)
        chosen = sure > 0.5
        total = float(share[chosen].sum())
        for task in np.argsort(sure, kind="stable"):
            if total <= reading.slack * there or sure[task] >= reading.most:
                break
            if chosen[task]:
                chosen[task] = False
                total -= share[task]
        for task in np.argsort(-sure, kind="stable"):
            if sure[task] < reading.least:
                break
            if not chosen[task] and total + share[task] <= there:
                chosen[task] = True
                total += share[task]
        return chosen.reshape(self.sure.shape)

    def settle(self, there: float, worth: Floats, reading: Reading, server_hz: float) -> Decision:
        """Return a decision that takes about as much of the server as there is.

        What is left over goes to the queue that is best worth draining, if the price is about that: to its tasks that
        stay on their vehicles, or else to all of them. Otherwise all that are offloaded get more, in proportion.

        Parameters
        ----------
        there : part of the server
        worth : [K], of draining the queues
        reading : see there
        server_hz : Hz
        """
        chosen = self.choose(there, reading)
        share = np.where(chosen, self.share, 0.0)
        left, best = there - float(share.sum()), int(worth.argmax())
        if left > 0.0 and self.price - worth[best] < _AT_DRAIN * worth[best]:
            idle = ~chosen[:, best]
            takes = idle if idle.any() else ~idle
            share[takes, best] += left / takes.sum()
        elif left > 0.0 and share.any():
            share *= there / share.sum()
        return Decision(chosen.astype(np.float64), share * server_hz)


@dataclass(frozen=True)
class Supply:
    """How much of the server there is at a price, as the cases show it: never less at a higher price.

    Parameters
    ----------
    prices : logarithms of the cases' prices, increasing
    used : logarithms of the part of the server that is in use at each, not decreasing
    growth : of supply over price, both as logarithms, below and above the prices of the cases
    reserved : part of the server that leftovers need
    """

    prices: Floats
    used: Floats
    growth: float
    reserved: float = 0.0

    @staticmethod
    def of(cases: Sequence[Case], server_hz: float, num_task: int, reserved_hz: float = 0.0) -> Supply:
        """Read it off cases; without any, all of the server is there at any price."""
        used = np.log([max(float(case.decision.compute_allocation_hz.sum()) / server_hz, _LEAST) for case in cases])
        price = np.array([case.capacity_price * num_task for case in cases])
        known = np.isfinite(price) & (price > 0.0)
        reserved = reserved_hz / server_hz
        if not known.any():
            return Supply(np.zeros(1), np.array([used.mean() if used.size else 0.0]), 0.0, reserved)
        order = np.argsort(price[known], kind="stable")
        prices, used = np.log(price[known][order]), np.maximum.accumulate(used[known][order])
        span = float(prices[-1] - prices[0])
        growth = float(used[-1] - used[0]) / span if span > PRICE.step else 0.0
        return Supply(prices, used, min(growth, _GROWTH_MAX), reserved)

    def at(self, price: float) -> float:
        """Return what there is at a price, at most all that is not reserved.

        All of the server is what a case has used, if that is more: its bias makes up for it.
        """
        place = float(np.log(price))
        beyond = place - float(np.clip(place, self.prices[0], self.prices[-1]))
        used = float(np.interp(place, self.prices, self.used)) + self.growth * beyond
        most = float(np.exp(max(float(self.used[-1]), 0.0))) - self.reserved
        return max(min(float(np.exp(used)), most), _LEAST)

    def excess(self, offers: Offers) -> float:
        """Return by how much more is asked for than there is, as a logarithm."""
        return float(np.log(max(offers.demand, _LEAST) / self.at(offers.price)))


def clearing_price(tried: Sequence[Offers], supply: Supply, worth: float) -> float:
    """Return the price at which as much should be asked for as there is.

    Demand is taken for a power of what the price exceeds the best worth by, in which it is smooth.

    Parameters
    ----------
    tried : what was asked for at other prices
    supply : what there is
    worth : of the queue that is best worth draining
    """
    points = sorted((float(np.log(max(o.price - worth, PRICE.low))), supply.excess(o)) for o in tried)
    low = max((point for point in points if point[1] > 0), default=points[0], key=lambda point: point[0])
    high = min((point for point in points if point[1] <= 0), default=points[-1], key=lambda point: point[0])
    if low[0] >= high[0]:  # all on one side: the two nearest to the other side lead there
        ends = points[-2:] if points[-1][1] > 0 else points[:2]
        low, high = ends[0], ends[-1]
    rise, run = high[1] - low[1], high[0] - low[0]
    slope = min(rise / run, _FLAT) if run > 0 else _SLOPE
    anchor = low if abs(low[1]) < abs(high[1]) else high
    step = float(np.clip(-anchor[1] / slope, -_REACH, _REACH))
    return worth + float(np.clip(np.exp(anchor[0] + step), PRICE.low, PRICE.high))
