"""From the probabilities of answers to ratios and shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.llm.vocabulary import SHARE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """How answers are read off their probabilities.

    A task is offloaded if that is more probable than not, and its share is a quantile of the shares' distribution. What
    the tasks then take together need not fit the server, since each is answered on its own: the cases show how full it
    usually is. While it is fuller than in any case, times a slack, the task that the model is least sure of stays on
    its vehicle; while it is emptier than in all of them, the surest of those that stay is offloaded.

    Parameters
    ----------
    quantile : of the shares
    slack : how much fuller than in the cases the server may be
    least, most : tasks that are offloaded with a smaller probability never join, those with a greater one never leave
    """

    quantile: float = 0.6
    slack: float = 1.1
    least: float = 0.3
    most: float = 0.9

    def read(self, logits: NDArray[np.floating[Any]]) -> tuple[NDArray[np.bool_], Floats]:
        """Return which tasks are offloaded, and their places on the scale of shares, both [...].

        logits : [..., NUM_ANSWER]
        """
        weight = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
        shares = weight[..., 1:]
        total = shares.sum(axis=-1)
        offloaded = total > 0.5 * weight.sum(axis=-1)
        # The quantile lies between the edges of a bin, as far as the bin is used up.
        above = np.cumsum(shares, axis=-1) / np.maximum(total, 1e-300)[..., np.newaxis]
        place = np.minimum((above < self.quantile).sum(axis=-1), shares.shape[-1] - 1)
        upper = np.take_along_axis(above, place[..., np.newaxis], -1)[..., 0]
        lower = np.where(place > 0, np.take_along_axis(above, np.maximum(place - 1, 0)[..., np.newaxis], -1)[..., 0], 0)
        inside = (self.quantile - lower) / np.maximum(upper - lower, 1e-12)
        return offloaded, np.clip(place - 0.5 + inside, 0.0, shares.shape[-1] - 1.0)

    def settle(self, logits: NDArray[np.floating[Any]], used: Sequence[float]) -> tuple[NDArray[np.bool_], Floats]:
        """Return what `read` does, but with about as much of the server in use as in the cases.

        logits : [..., NUM_ANSWER], of all tasks of a slot
        used : part of the server that is in use in each case; none: no matter how much
        """
        offloaded, place = self.read(logits)
        if not len(used):
            return offloaded, place
        share = SHARE.centre(place).reshape(-1)
        weight = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
        sure = (1.0 - weight[..., 0] / weight.sum(axis=-1)).reshape(-1)
        chosen = offloaded.reshape(-1).copy()
        total = float(share[chosen].sum())
        for task in np.argsort(sure, kind="stable"):
            if total <= self.slack * max(used) or sure[task] >= self.most:
                break
            if chosen[task]:
                chosen[task] = False
                total -= share[task]
        for task in np.argsort(-sure, kind="stable"):
            if sure[task] < self.least or (not chosen[task] and total + share[task] > min(used)):
                break
            if not chosen[task]:
                chosen[task] = True
                total += share[task]
        return chosen.reshape(offloaded.shape), place
