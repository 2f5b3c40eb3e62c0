"""Intervals, p-values and equality up to round-off, against textbooks, coverage, and independent recomputation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sim.studies.statistics import (
    ROUND_OFF,
    Interval,
    difference,
    holm,
    interval,
    interval_of_differences,
    paired_p_value,
    skewness,
)

SKEWED = np.concatenate([np.zeros(18), [1.0, 10.0]])


def test_holm_on_a_worked_example() -> None:
    """Four hypotheses with p 0.01, 0.04, 0.03, 0.005: x4, x3, x2, x1 from the smallest on, and never falling."""
    found = holm({"H1": 0.01, "H2": 0.04, "H3": 0.03, "H4": 0.005})
    assert found == pytest.approx({"H1": 0.03, "H2": 0.06, "H3": 0.06, "H4": 0.02})


def test_holm_of_what_is_not_known() -> None:
    """A comparison without a p-value (an unstable policy) is none: it does not make the others' larger."""
    found = holm({"a": 0.01, "b": math.nan, "c": 0.6, "d": 0.7})
    assert math.isnan(found["b"])
    assert {name: found[name] for name in "acd"} == pytest.approx({"a": 0.03, "c": 1.0, "d": 1.0})
    assert holm({}) == {}


@pytest.mark.full
@pytest.mark.parametrize("num_seed", [2, 5, 20])
def test_interval_covers_the_mean_in_95_of_100(num_seed: int) -> None:
    """Normal values: the share of intervals with the true mean is 0.95 within three Monte Carlo errors."""
    values = np.random.default_rng(7).normal(3.0, 2.0, (2_000, num_seed))
    covered = np.mean([found.low <= 3.0 <= found.high for found in map(interval, values)])
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2_000)


@pytest.mark.full
def test_p_value_is_uniform_where_there_is_no_difference() -> None:
    """Under the hypothesis p < x has probability x; and it agrees with the interval: p < 0.05 outside of it."""
    values = np.random.default_rng(3).normal(0.0, 1.0, (1_000, 8))
    p_values = np.array([paired_p_value(row) for row in values])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    np.testing.assert_allclose(p_values[:100], stats.ttest_1samp(values[:100], 0.0, axis=1).pvalue)
    outside = np.array([not found.low <= 0.0 <= found.high for found in map(interval, values)])
    np.testing.assert_array_equal(outside, p_values < 0.05)


def test_bootstrap_only_where_it_should() -> None:
    symmetrical = np.linspace(-1.0, 1.0, 20)
    assert skewness(SKEWED) > 1 > abs(skewness(symmetrical))
    assert interval_of_differences(SKEWED).method == "bca"
    assert interval_of_differences(-SKEWED).method == "bca"
    assert interval_of_differences(SKEWED[1:]).method == "t"  # 19 seeds
    assert interval_of_differences(symmetrical) == interval(symmetrical)
    assert interval_of_differences(np.ones(30)) == Interval(1.0, 0.0)


def test_bootstrap_follows_the_skewness() -> None:
    """The end on the side of the long tail is farther away; a mirror image gives a mirrored interval; no chance."""
    found, mirrored = interval_of_differences(SKEWED), interval_of_differences(-SKEWED)
    assert found.high - found.mean > 1.5 * (found.mean - found.low)
    assert found.mean == SKEWED.mean()
    assert found.half_width == pytest.approx((found.high - found.low) / 2)
    np.testing.assert_allclose([-mirrored.high, -mirrored.low], [found.low, found.high], rtol=0.1)
    assert interval_of_differences(SKEWED) == found


def test_bootstrap_interval_by_its_definition() -> None:
    """Efron's formulas by hand, from other random numbers: equal within Monte Carlo error."""
    values = np.random.default_rng(5).lognormal(0.0, 1.0, 40)
    found = interval_of_differences(values)
    assert found.method == "bca"
    means = np.random.default_rng(6).choice(values, (200_000, 40)).mean(axis=1)
    bias = stats.norm.ppf(np.mean(means < values.mean()))
    leave_out = (values.sum() - values) / 39
    gaps = leave_out.mean() - leave_out
    acceleration = (gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5)
    shifted = bias + stats.norm.ppf([0.025, 0.975])
    levels = stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
    np.testing.assert_allclose([found.low, found.high], np.quantile(means, levels), rtol=0.03)


@pytest.mark.full
def test_bootstrap_misses_on_both_sides_more_evenly_than_t() -> None:
    """Lognormal values, 40 seeds: t is nearly always below the true mean where it misses, the bootstrap less so."""
    values = np.random.default_rng(2).lognormal(0.0, 1.0, (200, 40))
    true_mean = math.exp(0.5)
    below = {}
    for name, made in (("t", interval), ("bca", interval_of_differences)):
        found = [made(row) for row in values]
        below[name] = np.mean([one.high < true_mean for one in found])
    assert below["bca"] < below["t"] - 0.01


def test_round_off_is_no_difference() -> None:
    """A sum of 4 000 slots, added forwards and backwards, is one number; 1e-9 of it is a difference."""
    slots = np.random.default_rng(1).normal(0.0, 1e-3, 4_000) + 1.0
    forwards, backwards = float(np.cumsum(slots)[-1]), float(np.cumsum(slots[::-1])[-1])
    assert forwards != backwards
    assert difference([forwards], [backwards]).tolist() == [0.0]
    assert difference([0.009 + 1e-18 * 2], [0.009]).tolist() == [0.0]
    assert difference([forwards * (1 + 1e-9)], [forwards])[0] == pytest.approx(4e-6, rel=1e-3)
    assert difference([1e-18, 2e-18], [0.0, 1e-18]).tolist() == [1e-18, 1e-18]  # small is not equal
    assert np.isnan(difference([math.nan], [1.0]))[0]
    assert interval([0.1 + 0.2, 0.3, 0.3]).half_width == 0.0
    assert interval([0.3, 0.3 * (1 + 4 * ROUND_OFF)]).half_width > 0.0


def test_one_seed_has_no_interval() -> None:
    found = interval([2.0])
    assert (found.mean, found.method) == (2.0, None)
    assert math.isnan(found.half_width)
    assert math.isnan(paired_p_value([2.0]))
    assert interval_of_differences([2.0]).method is None


def test_equal_differences_have_a_p_value() -> None:
    assert paired_p_value([0.0, 0.0, 0.0]) == 1.0
    assert paired_p_value([0.5, 0.5, 0.5]) == 0.0
