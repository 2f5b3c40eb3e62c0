"""The channel against theory: every bound follows from the number of independent samples, none is a pinned sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from physical.model import channel
from physical.model.bessel import bessel_j0

SIGMAS = 4.5  # two-sided probability 7e-6 per comparison
NUM_VEHICLE = 40_000  # independent processes
DOPPLER_HZ = 100.0


def _fading(rng: np.random.Generator, correlation: float, num_step: int) -> Any:
    """Simulate eq. 4: complex [num_step + 1, NUM_VEHICLE], started in its stationary distribution."""
    parts = rng.normal(0.0, np.sqrt(0.5), (2, NUM_VEHICLE))
    path = [parts]
    for _ in range(num_step):
        parts = channel.gauss_markov(parts, correlation, rng.normal(0.0, np.sqrt(0.5), (2, NUM_VEHICLE)))
        path.append(parts)
    return np.array([real + 1j * imaginary for real, imaginary in path])


@pytest.mark.parametrize("interval_s", [1e-3, 5e-3, 0.1])
def test_fading_autocorrelation_is_j0_to_the_lag(interval_s: float) -> None:
    correlation = float(channel.fading_correlation(np.array([DOPPLER_HZ]), interval_s)[0])
    assert correlation == pytest.approx(float(special.jv(0, 2 * np.pi * DOPPLER_HZ * interval_s)), abs=1e-12)
    path = _fading(np.random.default_rng(11), correlation, 8)
    for lag in range(1, 9):
        expected = correlation**lag
        measured = np.mean(path[0] * path[lag].conj())  # one pair per vehicle: independent samples
        # Var Re = (1 + rho^2) / 2, Var Im = (1 - rho^2) / 2 for unit-variance circular Gaussians.
        assert abs(measured.real - expected) < SIGMAS * np.sqrt((1 + expected**2) / 2 / NUM_VEHICLE)
        assert abs(measured.imag) < SIGMAS * np.sqrt((1 - expected**2) / 2 / NUM_VEHICLE)


def test_fading_keeps_unit_power_and_is_exponential() -> None:
    correlation = float(channel.fading_correlation(np.array([DOPPLER_HZ]), 1e-3)[0])
    final = _fading(np.random.default_rng(12), correlation, 60)[-1]
    power = channel.fading_power(final.real, final.imag)
    assert abs(power.mean() - 1.0) < SIGMAS / np.sqrt(NUM_VEHICLE)  # the variance of Exp(1) is 1
    assert stats.kstest(power, "expon").pvalue > 1e-4


def test_fading_of_a_standing_vehicle_never_changes() -> None:
    correlation = channel.fading_correlation(np.array([0.0]), 0.1)
    assert channel.gauss_markov(np.array([0.3]), correlation, np.array([5.0]))[0] == 0.3


@pytest.mark.parametrize("largest", [1e-4, 5.0, 50.0, 1e4])
def test_bessel_function_is_that_of_scipy(largest: float) -> None:
    """To the last bits; as a single, to which the world rounds it, it is the same number."""
    x = np.concatenate([np.linspace(0.0, largest, 20_001), np.random.default_rng(3).uniform(0.0, largest, 20_000)])
    found, expected = bessel_j0(x), special.j0(x)
    assert np.abs(found - expected).max() <= 4e-16
    assert np.array_equal(found.astype(np.float32), expected.astype(np.float32))
    assert np.array_equal(bessel_j0(-x), found)
    assert bessel_j0(float(x[7])) == found[7]


def test_shadowing_autocorrelation_and_spread() -> None:
    rng = np.random.default_rng(13)
    std_db, decorrelation_m, step_m = 8.0, 50.0, np.array([1.0, 5.0, 25.0])
    correlation = channel.shadowing_correlation(step_m, decorrelation_m)
    start = rng.normal(0.0, std_db, (NUM_VEHICLE, 3))
    shadowing = start
    for lag in range(1, 11):
        shadowing = channel.gauss_markov(shadowing, correlation, rng.normal(0.0, std_db, (NUM_VEHICLE, 3)))
        expected = np.exp(-lag * step_m / decorrelation_m)
        measured = (start * shadowing).mean(axis=0) / std_db**2
        assert np.all(abs(measured - expected) < SIGMAS * np.sqrt((1 + expected**2) / NUM_VEHICLE))
    spread = (shadowing**2).mean(axis=0) / std_db**2
    assert np.all(abs(spread - 1.0) < SIGMAS * np.sqrt(2 / NUM_VEHICLE))
    assert np.all(abs(shadowing.mean(axis=0)) < SIGMAS * std_db / np.sqrt(NUM_VEHICLE))


@pytest.mark.parametrize("power", [0.01, 1.0, 6.0])
@pytest.mark.parametrize("num_step", [1, 4])
def test_predicted_gain_is_the_conditional_mean(power: float, num_step: int) -> None:
    rng = np.random.default_rng(14)
    large_scale, correlation = 3e-11, 0.85
    parts = np.zeros((2, NUM_VEHICLE))
    parts[0] = np.sqrt(power)
    for _ in range(num_step):
        parts = channel.gauss_markov(parts, correlation, rng.normal(0.0, np.sqrt(0.5), (2, NUM_VEHICLE)))
    later = channel.channel_gain(large_scale, channel.fading_power(parts[0], parts[1]))
    now = channel.channel_gain(large_scale, power)
    predicted = channel.predicted_gain(large_scale, now, correlation**num_step)
    assert predicted == pytest.approx(large_scale * (1 + correlation ** (2 * num_step) * (power - 1)))
    assert abs(later.mean() - predicted) < SIGMAS * later.std() / np.sqrt(NUM_VEHICLE)


def test_loss_is_a_loss() -> None:
    """A farther vehicle, or a shadowed one, has a smaller linear gain; dB never meet linear factors."""
    loss_db = channel.path_loss_db(np.array([10.0, 100.0, 1000.0]))
    np.testing.assert_allclose(loss_db, [52.9, 90.5, 128.1], rtol=1e-14)
    gain = channel.large_scale_gain(loss_db, 0.0)
    np.testing.assert_allclose(gain[:-1] / gain[1:], 10**3.76, rtol=1e-12)
    np.testing.assert_allclose(channel.large_scale_gain(loss_db, 10.0) / gain, 0.1, rtol=1e-12)
    np.testing.assert_allclose(channel.path_loss_db(np.array([1e3, 1e4]), 100.0, 20.0), [100.0, 120.0])


def test_doppler() -> None:
    np.testing.assert_allclose(channel.doppler_hz(np.array([10.0, 15.0]), 2e9), [200 / 3, 100.0])


def test_torch_gives_the_same_channel() -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    rng = np.random.default_rng(15)
    distance, shadowing = rng.uniform(10, 500, (4, 6)), rng.normal(0, 8, (4, 6))
    real, imaginary, speed = rng.normal(size=(4, 6)), rng.normal(size=(4, 6)), rng.uniform(0, 15, 6)

    def gains(convert: Any) -> tuple[Any, ...]:
        correlation = channel.fading_correlation(channel.doppler_hz(convert(speed), 2e9), 0.1)
        decay = channel.shadowing_correlation(convert(speed) * 0.1, 50.0)
        shadow_db = channel.gauss_markov(convert(shadowing), decay, 8.0 * convert(real))
        large = channel.large_scale_gain(channel.path_loss_db(convert(distance)), shadow_db)
        gain = channel.channel_gain(large, channel.fading_power(convert(real), convert(imaginary)))
        return correlation, large, gain, channel.predicted_gain(large, gain, correlation)

    for tensor, array in zip(gains(torch.from_numpy), gains(np.asarray), strict=True):
        np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-12)


def test_fading_correlation_is_accurate_and_the_same_in_torch() -> None:
    """J0(x) = 1/pi int_0^pi cos(x sin t) dt; the trapezoid rule with 400 points is exact to rounding for x < 300."""
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    doppler = np.linspace(0.0, 400.0, 2001)
    angle = np.pi * (np.arange(400) + 0.5) / 400
    expected = np.cos(2 * np.pi * 0.1 * doppler[:, None] * np.sin(angle)).mean(axis=1)
    correlation = channel.fading_correlation(doppler, 0.1)
    np.testing.assert_allclose(correlation, expected, atol=1e-12)
    np.testing.assert_array_equal(channel.fading_correlation(torch.from_numpy(doppler), 0.1).numpy(), correlation)
    single = channel.fading_correlation(torch.tensor([10.0]), 0.1)
    assert (str(single.dtype), single.shape) == ("torch.float32", (1,))
