"""MSER-5: an example worked by hand, its definition, and synthetic transients."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.studies.warmup import common_cut, mser5


def series(*batch_means: float) -> NDArray[np.float64]:
    """Return batches of five values with the given means, none of them equal within a batch."""
    return np.concatenate([mean + np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) for mean in batch_means])


def test_worked_example() -> None:
    """Batch means 10 6 2 1 2 1 2 1 2 1. Squared deviations of what stays by (n - d)^2, by hand:

    d = 0: 77.6 / 100 = 0.776; d = 1: 20 / 81 = 0.247; d = 2: 2 / 64 = 0.0313; d = 3: (12 / 7) / 49 = 0.0350;
    d = 4: 1.5 / 36 = 0.0417; d = 5: 1.2 / 25 = 0.048. The least is that of d = 2: ten values are cut.
    """
    assert mser5(series(10, 6, 2, 1, 2, 1, 2, 1, 2, 1)) == 10


def test_by_definition() -> None:
    """Random walks: the least squared standard error over cuts of up to a half, by Python's own variance."""
    generator = np.random.default_rng(4)
    for num in (50, 53, 127, 500):
        walk = np.cumsum(generator.normal(size=num)) + generator.normal(size=num)
        means = [math.fsum(walk[5 * j : 5 * j + 5]) / 5 for j in range(num // 5)]
        errors = [statistics.pvariance(means[d:]) / (len(means) - d) for d in range(len(means) // 2 + 1)]
        assert mser5(walk) == 5 * errors.index(min(errors)), num


def test_transients_are_cut_and_the_mean_is_better_for_it() -> None:
    """2 + 6 exp(-t / 30) with correlated noise: the cut lies where the transient ends, the mean comes near to 2."""
    generator = np.random.default_rng(8)
    cuts, before, after = [], [], []
    for _ in range(50):
        noise = np.zeros(1_000)
        for t, shock in enumerate(generator.normal(0.0, 0.3, 1_000)):
            noise[t] = 0.5 * noise[t - 1] + shock
        values = 2.0 + 6.0 * np.exp(-np.arange(1_000) / 30) + noise
        cuts.append(mser5(values))
        before.append(abs(values.mean() - 2.0))
        after.append(abs(values[cuts[-1] :].mean() - 2.0))
    assert 60 <= np.median(cuts) <= 200  # 0.8 and 0.008 of the transient are left there
    assert max(cuts) <= 500
    assert np.mean(after) < 0.25 * np.mean(before)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0),
        np.full(200, 0.3),
        np.tile([0.1 + 0.2, 0.3], 100),  # constant but for round-off
        np.full(200, np.nan),
        np.linspace(9.0, 0.0, 49),  # fewer than ten batches
    ],
)
def test_nothing_to_cut(values: NDArray[np.float64]) -> None:
    assert mser5(values) == 0


def test_at_most_half_is_cut() -> None:
    """A trend that never ends."""
    assert mser5(np.linspace(0.0, 1.0, 203)) == 100


def test_a_constant_rest_is_not_cut_further() -> None:
    assert mser5(series(*[9.3, 4.1], *[0.1] * 30) - np.tile([-2.0, -1.0, 0.0, 1.0, 2.0], 32)) == 10


def test_slots_without_a_value_do_not_count() -> None:
    """A batch's mean is that of its other values; a batch without any is none."""
    values = series(10, 6, 2, 1, 2, 1, 2, 1, 2, 1, 0)
    values[[0, 4, 12]] = np.nan  # means stay: values are symmetrical about them
    values[-5:] = np.nan
    assert mser5(values) == 10
    second_half = np.concatenate([series(*[3, 1] * 10), np.full(100, np.nan)])
    assert mser5(second_half) <= 100


def test_one_cut_for_all() -> None:
    short, long = series(10, *[1, 2] * 10), series(10, 9, 8, *[1, 2] * 10)
    assert (mser5(short), mser5(long)) == (5, 15)
    assert common_cut([short, long, short]) == 15
    assert common_cut([]) == 0
