"""Comparison of measured means with theory."""

from __future__ import annotations

import numpy as np
from scipy import stats

from physical.arrays import Floats


def assert_mean(batches: Floats, expected: float, width_max: float) -> None:
    """Check that a mean over independent batches is as expected, at 99.99 %, and that the interval is narrow."""
    half_width = stats.t.ppf(1 - 5e-5, len(batches) - 1) * batches.std(ddof=1) / np.sqrt(len(batches))
    assert half_width < width_max * expected
    assert abs(batches.mean() - expected) < half_width
