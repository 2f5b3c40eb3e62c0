"""The array type of the model, and which library an array belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from physical.arrays import Mask

Array = Any  # an array of any array-API library: NumPy in the processes, torch where gradients are wanted

_NUMPY_TYPES = frozenset({np.ndarray, np.float64, float, int})


def namespace(*values: Array) -> Any:
    """Return the array-API namespace of `values`; NumPy for plain numbers.

    ``array_namespace`` alone takes 3 us, longer than most formulas of the model; NumPy input skips it.

    Parameters
    ----------
    values : [...], any unit, arrays of one library and plain numbers

    Returns
    -------
    module with the array-API functions for these arrays

    **Source** none: array library selection, no physics.

    >>> namespace(np.ones(2), 1.0).__name__
    'numpy'
    """
    for value in values:
        if type(value) not in _NUMPY_TYPES:
            return array_namespace(*values)
    return np


def some(mask: Mask) -> bool:
    """Return whether a NumPy mask is true anywhere; for the few entries of a slot, in a third of the time of `any`.

    Parameters
    ----------
    mask : [...], no unit

    Returns
    -------
    bool

    **Source** none: array library, no physics.

    >>> some(np.array([False, True])), some(np.array([False, False]))
    (True, False)
    """
    return bool(np.count_nonzero(mask))


def every(mask: Mask) -> bool:
    """Return whether a NumPy mask is true everywhere; for the few entries of a slot, in a third of the time of `all`.

    Parameters
    ----------
    mask : [...], no unit

    Returns
    -------
    bool

    **Source** none: array library, no physics.

    >>> every(np.array([False, True])), every(np.array([True, True]))
    (False, True)
    """
    return bool(np.count_nonzero(mask) == mask.size)
