"""Constants and unit conversions."""

from __future__ import annotations

from physical.model.arrays import Array, namespace

SPEED_OF_LIGHT_MPS = 3e8  # Table I of 'dtecn' rounds it
BITS_PER_BYTE = 8
GAIN_MIN, GAIN_MAX = 1e-36, 1e36
"""Bounds of channel gains: single precision holds them, and no gain is zero or infinite."""


def bounded_gain(gain: Array) -> Array:
    """Return a channel gain between 1e-36 and 1e36, beyond which no link is or matters: ``min(max(g, 1e-36), 1e36)``.

    Parameters
    ----------
    gain : [...], linear power ratio, no unit

    Returns
    -------
    [...], linear power ratio, no unit, > 0

    **Source** none: what single precision holds. Decibels of a gain, and of an error of one, are then finite.

    >>> import numpy as np
    >>> bounded_gain(np.array([0.0, 1e-10, np.inf])).tolist()
    [1e-36, 1e-10, 1e+36]
    """
    return namespace(gain).clip(gain, GAIN_MIN, GAIN_MAX)


def db_to_linear(db: Array) -> Array:
    """Convert a power ratio from decibels: ``10^(db / 10)``.

    Parameters
    ----------
    db : [...], dB

    Returns
    -------
    [...], ratio without unit

    **Source** definition of the decibel; paper 'dtecn' needs it for the losses below eq. 3.

    >>> db_to_linear(20.0)
    100.0
    """
    return 10.0 ** (db / 10.0)


def linear_to_db(ratio: Array) -> Array:
    """Convert a power ratio to decibels: ``10 log10(ratio)``.

    Parameters
    ----------
    ratio : [...], ratio without unit, > 0

    Returns
    -------
    [...], dB

    **Source** definition of the decibel; inverse of `db_to_linear`.

    >>> float(linear_to_db(100.0))
    20.0
    """
    return 10.0 * namespace(ratio).log10(ratio)


def dbm_to_w(dbm: Array) -> Array:
    """Convert a power from dBm: ``10^((dbm - 30) / 10)``.

    Parameters
    ----------
    dbm : [...], dBm

    Returns
    -------
    [...], W

    **Source** definition of dBm; paper 'dtecn', Table I prints the noise as "-110 mdB" and means this.

    >>> dbm_to_w(30.0)
    1.0
    """
    return db_to_linear(dbm - 30.0)


def w_to_dbm(power_w: Array) -> Array:
    """Convert a power to dBm: ``10 log10(power_w) + 30``.

    Parameters
    ----------
    power_w : [...], W, > 0

    Returns
    -------
    [...], dBm

    **Source** definition of dBm; inverse of `dbm_to_w`.

    >>> float(w_to_dbm(1.0))
    30.0
    """
    return linear_to_db(power_w) + 30.0
