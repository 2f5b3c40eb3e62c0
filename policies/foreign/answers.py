"""Reads the values that a policy returns in place of an array as numbers, or refuses them and says what they are."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats
from policies.foreign.mistakes import named
from policies.foreign.strangers import class_name

_ALIEN = {"U": "texts", "S": "texts", "T": "texts", "M": "dates", "m": "times", "V": "records"}


class InvalidDecisionError(ValueError):
    """A policy returned something that cannot be read as a decision."""


def numbers_of(values: Any, name: str, shape: tuple[int, ...]) -> Floats:
    """Return the values of a user's policy as numbers in double precision.

    Truth values count as 0 and 1. Texts, dates, complex numbers and values that a mask hides are refused.

    Parameters
    ----------
    values : array of any library, nested lists, a number
    name : of the field, for errors
    shape : that they must have

    Raises
    ------
    InvalidDecisionError : says what the values are

    >>> numbers_of([[True, 0.5]], "offloading_ratio", (1, 2)).tolist()
    [[1.0, 0.5]]
    >>> numbers_of([1j], "offloading_ratio", (1,))
    Traceback (most recent call last):
    policies.foreign.answers.InvalidDecisionError: offloading_ratio has complex values
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        raise InvalidDecisionError(f"{name} has values that are masked")
    try:
        # Libraries warn about conversions. The error below says what is wrong, so their warnings are not shown.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            array = np.asarray(values)
            if array.dtype.kind in "biuf" and array.shape == shape:
                return np.array(array, dtype=np.float64)
    except Exception as error:  # `__array__` is the user's code and may raise anything
        raise InvalidDecisionError(f"{name} is not an array of numbers: {named(error)}") from error
    if array.dtype.kind == "O":
        array = _of_objects(array, name)
    if array.dtype.kind in "biuf" and array.shape == shape:
        return array
    if array.dtype.kind in "biuf":
        raise InvalidDecisionError(f"{name} has shape {list(array.shape)}, not {list(shape)}")
    if array.dtype.kind == "c":
        raise InvalidDecisionError(f"{name} has complex values")
    what = _ALIEN.get(array.dtype.kind, str(array.dtype))
    raise InvalidDecisionError(f"{name} is not an array of numbers, but of {what}")


def _of_objects(array: NDArray[Any], name: str) -> Floats:
    found = np.empty(array.shape)
    for index, value in np.ndenumerate(array):
        if isinstance(value, complex | np.complexfloating):
            raise InvalidDecisionError(f"{name} has complex values")
        if not isinstance(value, numbers.Real | np.bool_):
            raise InvalidDecisionError(f"{name} is not an array of numbers, but of {class_name(value)}")
        try:
            found[index] = float(value)
        except OverflowError:
            raise InvalidDecisionError(f"{name} has a value that is too large") from None
    return found
