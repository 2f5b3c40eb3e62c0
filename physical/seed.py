"""The only check of seeds, so that equal seeds give equal numbers and every seed can be recorded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from numbers import Integral

from physical.errors import InputError

NUM_SEED_MAX = 100_000
"""Largest number of seeds of a study. More could not be run, and an endless generator has to end."""
STORED_MAX = 2**62
"""Largest seed in a table of 64-bit integers, with room for seeds that a precision adds."""


def whole_seed(seed: object, *, where: str, key: str = "seed", most: int | None = None) -> int:
    """Return a seed as a Python integer.

    A random stream depends on the text of its seed. So 1.0 would give other numbers than 1, and None could not be
    replayed.

    Parameters
    ----------
    seed : an integer >= 0 of any type, also NumPy's
    where, key : the place that errors name
    most : largest accepted seed; None: there is no limit

    Raises
    ------
    InputError : anything else, also True, 1.0 and "1"

    >>> import numpy as np
    >>> whole_seed(np.int64(3), where="run")
    3
    """
    accepted = "an integer >= 0" if most is None else f"an integer from 0 to {most}"
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise InputError(f"{repr(seed)[:40]} is not an integer", where=where, key=key, accepted=accepted)
    whole = int(seed)
    if whole < 0 or (most is not None and whole > most):
        shown = str(whole) if whole.bit_length() <= 64 else f"an integer of {whole.bit_length()} bits"
        raise InputError(f"{shown} is out of range", where=where, key=key, accepted=accepted)
    return whole


def whole_seeds(seeds: Iterable[object], *, where: str, key: str = "seeds", most: int | None = None) -> tuple[int, ...]:
    """Return different seeds as Python integers, in their order.

    Raises
    ------
    InputError : `whole_seed` refuses a seed, there is none, one occurs twice, or there are more than `NUM_SEED_MAX`

    >>> whole_seeds(range(3), where="compare")
    (0, 1, 2)
    """
    accepted = "different integers >= 0"
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise InputError(f"{repr(seeds)[:40]} is no list of seeds", where=where, key=key, accepted=accepted)
    found = tuple(whole_seed(seed, where=where, key=key, most=most) for seed in islice(seeds, NUM_SEED_MAX + 1))
    if len(found) > NUM_SEED_MAX:
        raise InputError("are too many", where=where, key=key, accepted=f"at most {NUM_SEED_MAX}")
    if not found or len(set(found)) < len(found):
        problem = "holds the same seed twice" if found else "is empty"
        raise InputError(problem, where=where, key=key, accepted=accepted)
    return found
