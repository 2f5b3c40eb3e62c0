"""From the probabilities of words to numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats

_TRIES_MAX = 64
"""Largest number of prices that are tried for one decision; each is a call of the model."""


@dataclass(frozen=True)
class Reading:
    """How the probabilities of words become numbers.

    A task is offloaded if that is more probable than not, and its share is a quantile of the shares' distribution.

    Parameters
    ----------
    quantile : of the shares
    prices : quantiles of the price that are tried first, all at once
    num_correction : largest number of further prices, which are tried one by one
    tolerance : no further price is tried once demand over supply, as a logarithm, is within this limit
    slack : factor by which the demand may exceed the supply
    least, most : tasks with a smaller probability of offloading never join, tasks with a larger one never leave
    """

    quantile: float = 0.6
    prices: tuple[float, ...] = (0.5,)
    num_correction: int = 2
    tolerance: float = 0.08
    slack: float = 1.1
    least: float = 0.1
    most: float = 0.95

    def __post_init__(self) -> None:
        """Refuse numbers that are no probabilities, none or too many prices, and limits that let nothing pass."""
        if not all(0 < part < 1 for part in (self.quantile, *self.prices)):
            raise ValueError("quantile and prices must lie between 0 and 1")
        if not 1 <= len(self.prices) <= _TRIES_MAX or not 0 <= self.num_correction <= _TRIES_MAX:
            raise ValueError(f"prices and num_correction must be at most {_TRIES_MAX}, and one price at least")
        limits = self.tolerance >= 0 and 0 < self.slack < math.inf and 0 <= self.least <= self.most <= 1
        if not limits:
            raise ValueError("tolerance >= 0, slack > 0 and 0 <= least <= most <= 1 must hold")


def probabilities(logits: NDArray[np.floating[Any]]) -> Floats:
    """Return probabilities, [..., n], of logits."""
    weight = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True), dtype=np.float64)


def quantiles(probability: Floats, wanted: float | Sequence[float]) -> Floats:
    """Return quantiles of distributions over the bins of a scale, as places that may lie between two bins.

    Within a bin, a quantile moves from one edge to the other with the used part of the bin's probability.

    Parameters
    ----------
    probability : [..., n], of the bins; needs not sum to 1
    wanted : the quantile of each distribution, or several of a single one

    >>> quantiles(np.array([0.0, 1.0, 1.0]), [0.25, 0.5]).tolist()
    [1.0, 1.5]
    """
    total = np.maximum(probability.sum(axis=-1, keepdims=True), 1e-300)
    above = np.cumsum(probability, axis=-1) / total
    above, target = np.broadcast_arrays(above, np.asarray(wanted, dtype=np.float64)[..., np.newaxis])
    place = np.minimum((above < target).sum(axis=-1, keepdims=True), probability.shape[-1] - 1)
    upper = np.take_along_axis(above, place, -1)
    lower = np.where(place > 0, np.take_along_axis(above, np.maximum(place - 1, 0), -1), 0.0)
    inside = (target[..., :1] - lower) / np.maximum(upper - lower, 1e-12)
    return np.asarray(np.clip(place - 0.5 + inside, 0.0, probability.shape[-1] - 1.0)[..., 0], dtype=np.float64)
