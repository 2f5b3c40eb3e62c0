"""The nearest of some known names, for a name that is not among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, num_name: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return known names that are like a name, the most similar first.

    Parameters
    ----------
    num_name : so many at most
    cutoff : from 0, any name, to 1, the same name

    >>> nearest("edge-eqaul", ["random", "edge-equal"])
    ['edge-equal']
    """
    return difflib.get_close_matches(name, list(known), n=num_name, cutoff=cutoff)


def did_you_mean(name: str, known: Iterable[str], *, num_name: int = 1, cutoff: float = 0.6) -> str:
    """Return what to add to a sentence that a name is unknown; nothing if no known name is like it.

    >>> did_you_mean("radoi", ["time", "radio"])
    '; did you mean radio?'
    >>> did_you_mean("zzz", ["time", "radio"])
    ''
    """
    near = nearest(name, known, num_name=num_name, cutoff=cutoff)
    return f"; did you mean {' or '.join(near)}?" if near else ""
