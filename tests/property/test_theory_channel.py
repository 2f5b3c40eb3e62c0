"""The channel that `sim.inputs.blocks` makes, against Jakes, Gudmundson and Rayleigh."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import special, stats

from physical.arrays import Floats
from sim.inputs.blocks import Block, Inputs
from sim.inputs.streams import Streams
from tests.support.scenarios import make_scenario

NUM_VEHICLE = 400
SPEED_MPS = 12.5
SHADOWING_DB = 6.0
DECORRELATION_M = 20.0


@cache
def block(slot_s: float, num_slot: int, fading: str = "rayleigh") -> Block:
    """Return one block of many vehicles that all drive at the same speed."""
    scenario = make_scenario(
        f"time.slot_duration_s={slot_s}",
        f"vehicles.num_vehicle={NUM_VEHICLE}",
        f"mobility.speed_mps={SPEED_MPS}",
        f"radio.shadowing_std_db={SHADOWING_DB}",
        f"radio.shadowing_decorrelation_m={DECORRELATION_M}",
        f"radio.fading={fading}",
    )
    return Inputs(scenario.resolve(), Streams(7)).block(0, num_slot)


def fading_power(slot_s: float, num_slot: int) -> Floats:
    made = block(slot_s, num_slot)
    power: Floats = made.channel_gain / made.large_scale_gain
    return power


def shadowing_db(made: Block) -> Floats:
    """Return the shadowing, dB, from the large-scale gain and the positions (path loss of Table I)."""
    distance_m = np.maximum(np.hypot(made.x_m, made.y_m - 20.0), 10.0)
    loss_db: Floats = -10 * np.log10(made.large_scale_gain) - (128.1 + 37.6 * np.log10(distance_m / 1000.0))
    return loss_db


def assert_moment(products: Floats, expected: float, width_max: float) -> None:
    """Check the mean of [slots, vehicles] products; vehicles are independent, slots are not."""
    means = products.mean(axis=0)
    half_width = stats.t.ppf(1 - 5e-5, means.size - 1) * means.std(ddof=1) / np.sqrt(means.size)
    assert half_width < width_max
    assert abs(means.mean() - expected) < half_width


@pytest.mark.parametrize("slot_s", [0.001, 0.0025, 0.1])
@pytest.mark.parametrize("lag", [0, 1, 2, 5, 10])
def test_fading_power_decorrelates_as_jakes_ar1(slot_s: float, lag: int) -> None:
    """Complex correlation rho^lag with rho = J0(2 pi f_d dt); the power's covariance is its square, rho^(2 lag)."""
    rho = special.j0(2 * np.pi * SPEED_MPS * 2e9 / 3e8 * slot_s)
    deviation = fading_power(slot_s, 600) - 1.0
    assert_moment(deviation[: 600 - lag] * deviation[lag:], rho ** (2 * lag), 0.12)


def test_fading_power_is_exponential_with_mean_one_at_every_time() -> None:
    power = fading_power(0.001, 600)
    assert_moment(power, 1.0, 0.06)
    for slot in (0, 1, 255, 256, 599):
        assert stats.kstest(power[slot], "expon").pvalue > 1e-3


def test_fading_of_two_vehicles_is_independent() -> None:
    power = fading_power(0.1, 600)
    deviation = power - 1.0
    for other in (1, 7):
        assert_moment(deviation * np.roll(deviation, other, axis=1), 0.0, 0.05)


@pytest.mark.parametrize("lag", [0, 1, 8, 16, 64])
def test_shadowing_decorrelates_with_distance(lag: int) -> None:
    """Gudmundson: exp(-v dt lag / d0); 1.25 m a slot, so that 16 slots are one decorrelation distance."""
    shadowing = shadowing_db(block(0.1, 600))
    expected = SHADOWING_DB**2 * np.exp(-SPEED_MPS * 0.1 * lag / DECORRELATION_M)
    assert_moment(shadowing[: 600 - lag] * shadowing[lag:], expected, 0.08 * SHADOWING_DB**2)


def test_shadowing_is_normal_and_independent_of_fading_and_of_other_vehicles() -> None:
    made = block(0.1, 600)
    shadowing = shadowing_db(made)
    assert_moment(shadowing, 0.0, 0.4)
    for slot in (0, 1, 300, 599):
        assert stats.kstest(shadowing[slot], "norm", args=(0.0, SHADOWING_DB)).pvalue > 1e-3
    assert_moment(shadowing * (fading_power(0.1, 600) - 1.0), 0.0, 0.3)
    assert_moment(shadowing * np.roll(shadowing, 3, axis=1), 0.0, 3.0)


def test_without_fading_the_gain_is_the_large_scale_gain() -> None:
    made = block(0.1, 50, "none")
    np.testing.assert_array_equal(made.channel_gain, made.large_scale_gain)
    np.testing.assert_array_equal(made.large_scale_gain, block(0.1, 600).large_scale_gain[:50])


def test_the_rate_is_shannons() -> None:
    made = block(0.1, 600)
    expected = 20e6 * np.log2(1 + 0.2 * made.channel_gain / 1e-14)
    np.testing.assert_allclose(made.uplink_rate_bps, expected, rtol=1e-12, atol=0.5)
