"""Sums whose last digit is known, because the order of their terms is."""

from __future__ import annotations

from collections.abc import Iterable


def added(values: Iterable[float], total: float = 0.0) -> float:
    """Return a total with some values added one after the other.

    `sum` does so up to Python 3.11; later versions carry the rounding errors along. NumPy's `bincount` and `cumsum` add
    like this function, its `sum` adds in pairs.

    >>> added([1e16, 1.0, 1.0]), added([1.0, 1.0, 1e16])
    (1e+16, 1.0000000000000002e+16)
    """
    for value in values:
        total += value
    return total
