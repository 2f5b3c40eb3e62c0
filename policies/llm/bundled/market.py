"""The price of capacity in a slot: the demand of the tasks at some prices, and the supply of the server.

At a given price of the server's capacity, P2 separates into its tasks, so that the model answers each task on its own.
The price of a slot is the one at which demand equals supply. The supply is known from the cases, which contain their
prices. The price is never below the worth of draining a queue, because a queue takes all remaining capacity at that
price.
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
"""Largest distance of the next price from the prices that were tried, as a logarithm."""
_SLOPE = -1.1
"""Slope of demand over price, both as logarithms, if only one price is known.

More than the 1/2 of shares at the margin, because tasks also leave; a guess, which the next answers correct.
"""
_FLAT = -0.1
"""Least slope that is used; a smaller one would lead to far prices."""
_GROWTH_MAX = 0.5
"""Slope of supply over price, both as logarithms, for a server whose power is the cube of its speed."""
_LEAST = 1e-6
"""Least part of the server, because its logarithm is taken."""
_AT_DRAIN = 0.1
"""If the price exceeds the worth of draining a queue by at most this part, the queue gets the remaining capacity."""


@dataclass(frozen=True)
class Offers:
    """The demand of the tasks of a slot at a price.

    Parameters
    ----------
    price : of the whole server, in QoS of a task
    sure : [N, K], probability that a task is offloaded
    share : [N, K], part of the server that it needs if it is offloaded
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
        price : price of the question
        reachable : [N], whether a vehicle can offload; answers for other vehicles are ignored
        reading : see `Reading`
        """
        probability = probabilities(logits)
        place = quantiles(probability[..., 1:], reading.quantile)
        sure = np.where(reachable[:, np.newaxis], 1.0 - probability[..., 0], 0.0)
        return Offers(price, sure, SHARE.centre(place))

    @property
    def demand(self) -> float:
        """Expected demand of the tasks, as a part of the server."""
        return float((self.sure * self.share).sum())

    def choose(self, there: float, reading: Reading) -> Mask:
        """Return which tasks are offloaded, [N, K], so that they take about as much of the server as is available.

        As long as the demand exceeds the supply times a slack, the least probable task stays on its vehicle. After
        that, the most probable task on a vehicle is offloaded as long as it fits.
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
        """Return a decision that takes about as much of the server as is available.

        If the price is about the worth of draining the best queue, the remaining capacity goes to that queue: to its
        tasks on vehicles, or to all its tasks if there are none. Otherwise all offloaded tasks get more, in proportion.

        Parameters
        ----------
        there : available part of the server
        worth : [K], of draining the queues
        reading : see `Reading`
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
    """The available part of the server at a price, according to the cases; it does not fall with the price.

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
        """Compute it from cases; without cases, the whole server is available at every price."""
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
        """Return the available part at a price, at most everything that is not reserved.

        If a case used more than the server, which is possible with a bias, that use counts as the whole server.
        """
        place = float(np.log(price))
        beyond = place - float(np.clip(place, self.prices[0], self.prices[-1]))
        used = float(np.interp(place, self.prices, self.used)) + self.growth * beyond
        most = float(np.exp(max(float(self.used[-1]), 0.0))) - self.reserved
        return max(min(float(np.exp(used)), most), _LEAST)

    def excess(self, offers: Offers) -> float:
        """Return demand over supply, as a logarithm."""
        return float(np.log(max(offers.demand, _LEAST) / self.at(offers.price)))


def clearing_price(tried: Sequence[Offers], supply: Supply, worth: float) -> float:
    """Return the price at which demand should equal supply.

    Demand is modelled as a power of the difference between the price and the best worth, because it is smooth in it.

    Parameters
    ----------
    tried : demand at other prices
    supply : available part of the server
    worth : largest worth of draining a queue
    """
    points = sorted((float(np.log(max(o.price - worth, PRICE.low))), supply.excess(o)) for o in tried)
    low = max((point for point in points if point[1] > 0), default=points[0], key=lambda point: point[0])
    high = min((point for point in points if point[1] <= 0), default=points[-1], key=lambda point: point[0])
    if low[0] >= high[0]:  # if all are on one side, the two prices nearest to the other side are extrapolated
        ends = points[-2:] if points[-1][1] > 0 else points[:2]
        low, high = ends[0], ends[-1]
    rise, run = high[1] - low[1], high[0] - low[0]
    slope = min(rise / run, _FLAT) if run > 0 else _SLOPE
    anchor = low if abs(low[1]) < abs(high[1]) else high
    step = float(np.clip(-anchor[1] / slope, -_REACH, _REACH))
    return worth + float(np.clip(np.exp(anchor[0] + step), PRICE.low, PRICE.high))
