"""Numbers that somebody else's code gives: looked at before anybody reckons with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from physical.arrays import Floats
from physical.errors import InputError


def check_numbers(
    name: str, array: Floats, shape: tuple[int, ...], low: float, high: float, wrong: Callable[[str, str], InputError]
) -> None:
    """Refuse an array of another shape, or with numbers that are not finite or out of range.

    Parameters
    ----------
    name : what it is called
    array : the numbers
    shape : what its shape has to be
    low, high : the least and the greatest number that may be
    wrong : makes an error of a problem, and of what is accepted

    Raises
    ------
    InputError : what `wrong` makes
    """
    if array.shape != shape:
        raise wrong(f"{name} has the shape {list(array.shape)}", f"{list(shape)}")
    if not np.isfinite(array).all():
        raise wrong(f"{name} has a number that is not finite", "finite numbers")
    if array.size and (array.min() < low or array.max() > high):
        raise wrong(f"{name} is {array.min():g} to {array.max():g}", f"{low:g} to {high:g}")
