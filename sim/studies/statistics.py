"""Statistics over seeds: intervals of means, paired differences, p-values of several comparisons at once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from physical.arrays import Floats

CONFIDENCE = 0.95
ROUND_OFF = 64 * float(np.finfo(np.float64).eps)
"""Numbers that differ by at most this part of the larger one are equal.

The rounding error of a sum of n terms grows as the square root of n (Higham 2002, *Accuracy and Stability of Numerical
Algorithms*, section 4.2): 64 units in the last place are that of some thousand slots, added in another order.
"""
SKEWNESS_MAX = 1.0
SEEDS_OF_BOOTSTRAP = 20
_NUM_RESAMPLE = 9_999
_SEED_OF_BOOTSTRAP = 0  # equal results give equal intervals


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval.

    Parameters
    ----------
    mean : NaN where a run has no such number
    half_width : half of the interval's length; NaN where it is unknown
    bounds : low and high end of a bootstrap interval, which may be asymmetric about the mean
    """

    mean: float
    half_width: float
    bounds: tuple[float, float] | None = None

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half_width if self.bounds is None else self.bounds[0]

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half_width if self.bounds is None else self.bounds[1]

    @property
    def method(self) -> str | None:
        """How the interval was found: "t" (Student) or "bca" (bootstrap); None if there is no interval."""
        if not math.isfinite(self.half_width):
            return None
        return "t" if self.bounds is None else "bca"

    def to_dict(self, *, unstable: bool = False) -> dict[str, Any]:
        """Return plain data; unknown numbers and the interval of an unstable policy's mean are None."""
        low, high = (None, None) if unstable else (self.low, self.high)
        found = {"mean": self.mean, "low": low, "high": high}
        plain = {key: value if value is not None and math.isfinite(value) else None for key, value in found.items()}
        return {**plain, "interval": "unstable" if unstable else self.method}


def interval(values: ArrayLike) -> Interval:
    """Return the mean and the half-width of its 95 % interval by Student's t; 0 if all values are equal.

    **Source** Student (1908), The probable error of a mean, *Biometrika* 6(1); Law (2015), *Simulation Modeling and
    Analysis*, 5th ed., eq. 4.12.

    >>> print("{0.mean:.3f} {0.half_width:.3f}".format(interval([1.0, 3.0])))
    2.000 12.706
    """
    known = np.asarray(values, dtype=np.float64)
    count, mean = len(known), float(known.mean())
    if count < 2 or not math.isfinite(mean):
        return Interval(mean, math.nan)
    if _alike(known):
        return Interval(mean, 0.0)
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1))
    return Interval(mean, quantile * float(known.std(ddof=1)) / math.sqrt(count))


def interval_of_differences(values: ArrayLike) -> Interval:
    """Return mean and 95 % interval of paired differences, by Student's t or by the bootstrap where t is wrong.

    The bias-corrected and accelerated bootstrap replaces Student's t from 20 seeds on if the differences are skewed,
    |skewness| > 1, because the interval of t then misses more often on one side. With fewer seeds the interval of the
    bootstrap is too short, so t stays.

    **Source** Efron (1987), Better bootstrap confidence intervals, *J. Am. Stat. Assoc.* 82(397); |skewness| > 1 as
    "highly skewed": Bulmer (1979), *Principles of Statistics*.
    """
    plain = interval(values)
    known = np.asarray(values, dtype=np.float64)
    if len(known) < SEEDS_OF_BOOTSTRAP or not abs(skewness(known)) > SKEWNESS_MAX:
        return plain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # its interval is NaN, and t stays
        found = stats.bootstrap(
            (known,),
            np.mean,
            n_resamples=_NUM_RESAMPLE,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(_SEED_OF_BOOTSTRAP),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return Interval(plain.mean, (high - low) / 2, (low, high)) if math.isfinite(high - low) else plain


def skewness(values: ArrayLike) -> float:
    """Return the sample skewness g1 = m3 / m2^1.5; 0 if all values are equal.

    **Source** Joanes and Gill (1998), Comparing measures of sample skewness and kurtosis, *The Statistician* 47(1).

    >>> round(skewness([0.0, 0.0, 0.0, 1.0]), 3)
    1.155
    """
    known = np.asarray(values, dtype=np.float64)
    return 0.0 if not np.isfinite(known).all() or _alike(known) else float(stats.skew(known))


def difference(values: ArrayLike, others: ArrayLike) -> Floats:
    """Return values minus others; it is 0 where they differ by no more than round-off, see `ROUND_OFF`.

    >>> difference([0.3, 1.0], [0.1 + 0.2, 0.5]).tolist()
    [0.0, 0.5]
    """
    first, second = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    found = first - second
    magnitude = np.maximum(np.abs(first), np.abs(second))
    return np.where(np.abs(found) <= ROUND_OFF * magnitude, 0.0, found)


def paired_p_value(differences: ArrayLike) -> float:
    """Return the two-sided p-value of "the mean of the differences is 0", paired t test; NaN with fewer than 2 seeds.

    Differences that are all equal have no spread: p is 1 if they are 0, else 0.

    **Source** Student (1908); Law (2015), section 10.2.1, which recommends pairing by common random numbers.

    >>> round(paired_p_value([1.0, 2.0, 3.0]), 4), paired_p_value([0.0, 0.0])
    (0.0742, 1.0)
    """
    found = interval(differences)
    if not math.isfinite(found.half_width):
        return math.nan
    if found.half_width == 0.0:
        return 1.0 if found.mean == 0.0 else 0.0
    known = np.asarray(differences, dtype=np.float64)
    t = found.mean / float(known.std(ddof=1)) * math.sqrt(len(known))
    return float(2 * stats.t.sf(abs(t), len(known) - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values that hold for all comparisons at once; NaN stays NaN and does not count as a comparison.

    The i-th smallest of m p-values is multiplied by m + 1 - i. No p-value becomes smaller than the one before it, or
    larger than 1.

    **Source** Holm (1979), A simple sequentially rejective multiple test procedure, *Scand. J. Statist.* 6(2).

    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}
    """
    adjusted = dict(p_values)
    ordered = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    largest = 0.0
    for rank, (p, name) in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p))
        adjusted[name] = largest
    return adjusted


def _alike(values: Floats) -> bool:
    return float(np.ptp(values)) <= ROUND_OFF * float(np.abs(values).max())
