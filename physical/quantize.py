"""Quantisation of the world's numbers, so that traces are the same on every processor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats


def freeze(*arrays: NDArray[Any]) -> None:
    """Make arrays read-only, because policies see them and must not change the world by writing into them."""
    for array in arrays:
        array.setflags(write=False)


def quantize(values: Any) -> Floats:
    """Round to the 24 significant bits of a float32, and return as float64.

    Functions such as exponentials and logarithms differ in their last bit between processors. Positions and gains that
    are rounded to 6e-8 relative (30 um of a kilometre, 3e-7 dB) are the same everywhere, and so is everything that
    follows from them by exact arithmetic.

    >>> float(quantize(1.0 + 1e-12))
    1.0
    """
    rounded: Floats = np.asarray(values, dtype=np.float32).astype(np.float64)
    return rounded


def quantize_position(position_m: Any) -> Floats:
    """Round positions [m] to multiples of 2^-14 m (61 um), for any origin of coordinates.

    Single precision would have steps of half a metre at the northings of UTM.

    >>> float(quantize_position(5334000.456)) - 5334000.456 < 31e-6
    True
    """
    rounded: Floats = np.rint(np.asarray(position_m, dtype=np.float64) * 16384.0) / 16384.0
    return rounded
