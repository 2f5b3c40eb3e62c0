"""Radio channel: path loss, shadowing, small-scale fading and what can be predicted of it."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import device, to_device

from physical.model.arrays import Array, namespace
from physical.model.bessel import bessel_j0
from physical.model.units import SPEED_OF_LIGHT_MPS, bounded_gain, db_to_linear

_LOSS_DB_MAX = 300.0


def path_loss_db(distance_m: Array, intercept_db: float = 128.1, slope_db: float = 37.6) -> Array:
    """Return the path loss: ``intercept + slope log10(d / 1 km)``.

    Parameters
    ----------
    distance_m : [...], m, > 0
    intercept_db : dB, loss at 1 km
    slope_db : dB per decade of distance

    Returns
    -------
    [...], dB, positive for a loss

    **Source** paper 'dtecn', below eq. 3, which states no units. As in the 3GPP formula it copies, d is in km and the
    value a loss in dB.

    >>> import numpy as np
    >>> path_loss_db(np.array([100.0, 1000.0])).round(6).tolist()
    [90.5, 128.1]
    """
    return intercept_db + slope_db * namespace(distance_m).log10(distance_m * 1e-3)


def path_loss_intercept_db(carrier_hz: float) -> float:
    """Return the path loss at 1 km: ``128.1 + 21 log10(f / 2 GHz)``.

    Parameters
    ----------
    carrier_hz : Hz, > 0

    Returns
    -------
    dB

    **Source** 3GPP TR 36.942, section 4.5.2, macro cell, urban: ``PL = 40 (1 - 4e-3 h) log10(R) - 18 log10(h) +
    21 log10(f) + 80`` with f in MHz and the antenna h = 15 m above the roofs, which is 128.1 + 37.6 log10(R) at 2 GHz.

    >>> path_loss_intercept_db(2e9), round(path_loss_intercept_db(5.9e9), 2)
    (128.1, 137.97)
    """
    return 128.1 + 21.0 * math.log10(carrier_hz / 2e9)


def doppler_hz(speed_mps: Array, carrier_hz: Array) -> Array:
    """Return the maximum Doppler frequency: ``f_d = v f_c / c``.

    Parameters
    ----------
    speed_mps : [...], m/s
    carrier_hz : [...], Hz

    Returns
    -------
    [...], Hz

    **Source** paper 'dtecn', below eq. 4, with the c of Table I (3e8 m/s).

    >>> doppler_hz(15.0, 2e9)
    100.0
    """
    return speed_mps * carrier_hz / SPEED_OF_LIGHT_MPS


def fading_correlation(doppler_hz: Array, interval_s: Array) -> Array:
    """Return the correlation of Rayleigh fading over an interval: ``kappa = J0(2 pi f_d dt)``.

    NumPy computes it for every library: torch.special.bessel_j0 (2.13) is wrong by up to 4e-7. Hence no gradient: the
    Doppler frequency is an input, never a decision.

    Parameters
    ----------
    doppler_hz : [...], Hz
    interval_s : s

    Returns
    -------
    [...], no unit, in [-0.403, 1]

    **Source** paper 'dtecn', below eq. 4 (Jakes). At 100 ms and 67-100 Hz, |kappa| < 0.13: slots nearly independent.

    >>> import numpy as np
    >>> fading_correlation(np.array([0.0, 100.0]), 1e-3).round(4).tolist()
    [1.0, 0.9037]
    """
    phase_rad = 2.0 * math.pi * doppler_hz * interval_s
    xp = namespace(phase_rad)
    if xp is np:
        return bessel_j0(phase_rad)
    correlation = bessel_j0(np.asarray(to_device(phase_rad, "cpu")))
    return xp.asarray(correlation, dtype=phase_rad.dtype, device=device(phase_rad))


def shadowing_correlation(travelled_m: Array, decorrelation_m: float) -> Array:
    """Return the correlation of shadowing over a distance: ``exp(-d / d0)``.

    Parameters
    ----------
    travelled_m : [...], m, >= 0
    decorrelation_m : m, > 0

    Returns
    -------
    [...], no unit, in [0, 1]

    **Source** Gudmundson's model; paper 'dtecn' (below eq. 3) gives neither the correlation nor the deviation in dB.

    >>> import numpy as np
    >>> shadowing_correlation(np.array([0.0, 50.0]), 50.0).round(4).tolist()
    [1.0, 0.3679]
    """
    return namespace(travelled_m).exp(-travelled_m / decorrelation_m)


def gauss_markov(previous: Array, correlation: Array, innovation: Array) -> Array:
    """Step a stationary first-order Gauss-Markov process: ``rho previous + sqrt(1 - rho^2) innovation``.

    Parameters
    ----------
    previous : [...], any unit
    correlation : [...], no unit, in [-1, 1]
    innovation : [...], unit of `previous`, independent, with the variance that the process is to keep

    Returns
    -------
    [...], unit of `previous`

    **Source** paper 'dtecn', eq. 4, whose innovation has variance 1 - kappa^2. Here that factor is explicit, so that
    the same line serves fading (parts of variance 1/2) and shadowing (standard deviation in dB).

    >>> gauss_markov(1.0, 0.6, 2.0)
    2.2
    """
    return correlation * previous + (1.0 - correlation * correlation) ** 0.5 * innovation


def large_scale_gain(path_loss_db: Array, shadowing_db: Array) -> Array:
    """Return the gain of path loss and shadowing: ``h = 10^(-(PL + X) / 10)``, the loss being -300 to 300 dB.

    Parameters
    ----------
    path_loss_db : [...], dB, positive for a loss
    shadowing_db : [...], dB, positive for a loss

    Returns
    -------
    [...], linear power ratio, no unit

    **Source** paper 'dtecn', h in eq. 3. The paper multiplies |s|^2 by decibels; the linear gain is what it must mean.

    >>> float(large_scale_gain(90.0, 10.0)), float(large_scale_gain(500.0, 10.0))
    (1e-10, 1e-30)
    """
    loss_db = path_loss_db + shadowing_db
    return db_to_linear(-namespace(loss_db).clip(loss_db, -_LOSS_DB_MAX, _LOSS_DB_MAX))


def fading_power(real: Array, imaginary: Array) -> Array:
    """Return the power of a complex fading coefficient: ``|s|^2 = re^2 + im^2``.

    Parameters
    ----------
    real : [...], no unit, variance 1/2
    imaginary : [...], no unit, variance 1/2

    Returns
    -------
    [...], linear power ratio, no unit, mean 1

    **Source** paper 'dtecn', |s|^2 in eq. 3; s is circularly symmetric with unit variance, so each part has 1/2.

    >>> fading_power(3.0, 4.0)
    25.0
    """
    return real * real + imaginary * imaginary


def channel_gain(large_scale_gain: Array, fading_power: Array) -> Array:
    """Return the channel gain: ``g = |s|^2 h``, within the bounds of `bounded_gain`.

    Parameters
    ----------
    large_scale_gain : [...], linear power ratio, no unit
    fading_power : [...], linear power ratio, no unit

    Returns
    -------
    [...], linear power ratio, no unit

    **Source** paper 'dtecn', eq. 3.

    >>> float(channel_gain(1e-10, 2.0))
    2e-10
    """
    return bounded_gain(large_scale_gain * fading_power)


def predicted_gain(large_scale_gain: Array, channel_gain: Array, correlation: Array) -> Array:
    """Return the conditional mean of a later gain: ``E[g' | g] = h (1 + rho^2 (g / h - 1)) = h + rho^2 (g - h)``.

    Parameters
    ----------
    large_scale_gain : [...], linear power ratio, no unit; h, taken as unchanged until then
    channel_gain : [...], linear power ratio, no unit; g as last reported
    correlation : [...], no unit; of the fading amplitude over the interval (rho^m after m steps of eq. 4)

    Returns
    -------
    [...], linear power ratio, no unit

    **Source** follows from eqs. 3-4 of paper 'dtecn', which predicts nothing itself.

    >>> float(predicted_gain(1.0, 3.0, 0.5))
    1.5
    """
    # Rounding makes a deep fade of a vehicle at rest zero.
    return bounded_gain(large_scale_gain + correlation * correlation * (channel_gain - large_scale_gain))
