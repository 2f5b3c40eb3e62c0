"""What drawn numbers become: gains of radio channels, and sizes of tasks.

Who draws the numbers, in which order and from which streams, is another matter: a run draws vehicle by vehicle, the
batch engine for many environments at once, and the environments of the bundled model slot by slot. Shapes are theirs.
"""

from __future__ import annotations

import math

import numpy as np

from physical.arrays import Floats
from physical.model import channel
from physical.params import Radio

_HALF = math.sqrt(0.5)


def large_scale_gain(radio: Radio, distance_m: Floats, shadowing: Floats | float) -> Floats:
    """Return linear power gains without fading: path loss and lognormal shadowing.

    radio : parameters of the channel
    distance_m : [...], m, at least `Radio.distance_m_min`
    shadowing : [...] or a number, standard normal; 0 is the median
    """
    path_loss_db = channel.path_loss_db(distance_m, radio.intercept_db, radio.path_loss_slope_db)
    gain: Floats = channel.large_scale_gain(path_loss_db, radio.shadowing_std_db * shadowing)
    return gain


def rayleigh_power(real: Floats, imaginary: Floats) -> Floats:
    """Return the power of Rayleigh fading, [...], with mean one: each part has variance 1/2.

    real, imaginary : [...], standard normal
    """
    power: Floats = channel.fading_power(real * _HALF, imaginary * _HALF)
    return power


def shadowing_correlation(radio: Radio, speed_mps: Floats, slot_duration_s: float) -> Floats:
    """Return the correlation of shadowing from slot to slot, [...].

    speed_mps : [...], m/s, of the vehicles
    """
    correlation: Floats = channel.shadowing_correlation(speed_mps * slot_duration_s, radio.shadowing_decorrelation_m)
    return correlation


def fading_correlation(radio: Radio, speed_mps: Floats, slot_duration_s: float) -> Floats:
    """Return the correlation of both parts of the fading from slot to slot, [...].

    speed_mps : [...], m/s, of the vehicles
    """
    doppler_hz = channel.doppler_hz(speed_mps, radio.carrier_hz)
    correlation: Floats = channel.fading_correlation(doppler_hz, slot_duration_s)
    return correlation


def num_unit(low: Floats, high: Floats, uniform: Floats) -> Floats:
    """Return whole numbers of a task's units, from `low` to `high`, all equally likely.

    low, high : [...], whole numbers, both included
    uniform : [...], uniform numbers in [0, 1)

    >>> num_unit(np.array(2.0), np.array(3.0), np.array([0.0, 0.49, 0.5])).tolist()
    [2.0, 2.0, 3.0]
    """
    units: Floats = low + np.floor(uniform * (high - low + 1.0))
    return units


def enlarged(units: Floats, factor: Floats) -> Floats:
    """Return tasks in a burst, in whole units: of a task at least one is left, and no task stays none.

    units : [...], whole numbers, 0 where there is no task
    factor : [...], by how much tasks are larger

    >>> enlarged(np.array([0.0, 1.0, 10.0]), np.array(0.26)).tolist()
    [0.0, 1.0, 3.0]
    """
    larger: Floats = np.maximum(np.rint(units * factor), np.minimum(units, 1.0))
    return larger
