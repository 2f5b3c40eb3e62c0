"""From the probabilities of answers to ratios and shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """How answers are read off their probabilities.

    Parameters
    ----------
    threshold : a task is offloaded if that has a greater probability
    quantile : the share is this quantile of the shares' distribution
    """

    threshold: float = 0.5
    quantile: float = 0.6

    def read(self, logits: NDArray[np.floating[Any]]) -> tuple[NDArray[np.bool_], Floats]:
        """Return which tasks are offloaded, and their places on the scale of shares, both [...].

        logits : [..., NUM_ANSWER]
        """
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        weight = np.exp(shifted)
        shares = weight[..., 1:]
        total = shares.sum(axis=-1)
        offloaded = total > self.threshold * weight.sum(axis=-1)
        # The quantile lies between the edges of a bin, as far as the bin is used up.
        above = np.cumsum(shares, axis=-1) / np.maximum(total, 1e-300)[..., np.newaxis]
        place = np.minimum((above < self.quantile).sum(axis=-1), shares.shape[-1] - 1)
        upper = np.take_along_axis(above, place[..., np.newaxis], -1)[..., 0]
        lower = np.where(place > 0, np.take_along_axis(above, np.maximum(place - 1, 0)[..., np.newaxis], -1)[..., 0], 0)
        inside = (self.quantile - lower) / np.maximum(upper - lower, 1e-12)
        return offloaded, np.clip(place - 0.5 + inside, 0.0, shares.shape[-1] - 1.0)
