"""Warm-up of runs: how many slots at the beginning still depend on the empty system at the start."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from physical.arrays import Floats
from sim.studies.statistics import ROUND_OFF

BATCH = 5
_BATCHES_MIN = 10
"""With fewer batches, the variance of the last few decides, and that is chance."""


def mser5(series: Floats) -> int:
    """Return how many values to cut from the beginning of a series, by MSER-5.

    The series becomes n means Z_j of batches of 5 values. The cut is the number d of batches with the least
    ``sum_{j > d} (Z_j - mean)^2 / (n - d)^2``, the squared standard error of the mean of what stays. It is at most half
    of the batches, because a larger cut would leave too few values. A series of fewer than 10 batches is not cut, and
    neither is a constant one.

    Parameters
    ----------
    series : [num_slot], NaN for slots without a value, which the mean of a batch leaves out

    **Source** White (1997), An effective truncation heuristic for bias reduction in simulation output, *Simulation*
    69(6); batches of 5 and the limit of a half: Franklin and White (2008), Stationarity tests and MSER-5, *Proc. Winter
    Simulation Conference*.

    >>> mser5(np.array([9.0] * 10 + [1.0, 2.0, 1.0, 2.0, 1.0] * 18))
    10
    """
    batches = series[: len(series) // BATCH * BATCH].reshape(-1, BATCH)
    known = np.isfinite(batches)
    count = known.sum(axis=1)
    if np.count_nonzero(count) < _BATCHES_MIN:
        return 0
    means = np.where(known, batches, 0.0).sum(axis=1) / np.maximum(count, 1)
    weight = (count > 0).astype(np.float64)
    shifted = np.where(count > 0, means - means[count > 0].mean(), 0.0)  # otherwise the squares lose digits
    if np.abs(shifted).max() <= ROUND_OFF * np.abs(means).max():
        return 0
    left, total, squares = (np.cumsum(values[::-1])[::-1] for values in (weight, shifted, shifted**2))
    half = len(means) // 2 + 1
    with np.errstate(invalid="ignore", divide="ignore"):  # the second half has no values
        spread = (squares - total**2 / left)[:half]
        spread[spread <= ROUND_OFF * squares[0]] = 0.0  # if what stays is constant, the first such cut is taken
        error = spread / left[:half] ** 2
    return int(np.nanargmin(error)) * BATCH


def common_cut(runs: Iterable[Floats]) -> int:
    """Return one cut for several runs: the largest of their cuts, 0 without runs.

    runs : series of each, [num_slot]
    """
    return max(map(mser5, runs), default=0)
