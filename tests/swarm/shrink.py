"""Makes a failing case smaller while the same check still fails: fewer tables, keys, items and digits."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

Data = dict[str, Any]
Place = tuple[Any, ...]
_GONE = object()
_SIZES = (("time", "num_slot"), ("vehicles", "num_vehicle"))


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places of all tables, keys and items; later items of a list before earlier ones."""
    entries: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        entries = reversed(list(enumerate(value)))
    for key, item in entries:
        yield (*place, key)
        yield from _places(item, (*place, key))


def _at(data: Data, place: Place) -> Any:
    """Return what is at a place, or that it has gone with something around it."""
    value: Any = data
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return _GONE
    return value


def _changed(data: Data, place: Place, value: Any) -> Data:
    """Return a scenario with another value at a place, or without it."""
    copied = copy.deepcopy(data)
    around = _at(copied, place[:-1])
    if value is _GONE:
        del around[place[-1]]
    else:
        around[place[-1]] = value
    return copied


def _simpler(value: Any) -> list[Any]:
    """Return values that are simpler than one: smaller whole numbers, fewer digits, one value for a range."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return list(dict.fromkeys(part for part in (1, value // 2, value - 1) if 0 < part < value))
    if isinstance(value, float) and math.isfinite(value):
        rounded = [float(f"{value:.{digits}e}") for digits in range(3)]
        return [number for number in dict.fromkeys(rounded) if number != value]
    if isinstance(value, list) and len(value) > 1 and not isinstance(value[0], dict | list):
        return [value[0]]
    return []


def _steps(data: Data) -> Iterator[tuple[Place, Any]]:
    """Yield what to try, the most drastic first: smaller sizes, then less and less of the tables, simpler values."""
    for place in _SIZES:
        yield from ((place, smaller) for smaller in _simpler(_at(data, place)))
    places = sorted(_places(data), key=len)
    yield from ((place, _GONE) for place in places)
    for place in places:
        yield from ((place, simpler) for simpler in _simpler(_at(data, place)))


def shrink(data: Data, fails: Callable[[Data], bool], limit_s: float = 60.0) -> Data:
    """Return a scenario that still fails, from which nothing more can be taken, or as far as time allows.

    fails : tells whether a scenario has the same violation; one that is not valid has not
    """
    until = time.monotonic() + limit_s
    changed = True
    while changed:
        changed = False
        for place, value in list(_steps(data)):
            if time.monotonic() >= until:
                return data
            before = _at(data, place)
            # What was there may have gone, or have become what is tried, by a step before.
            if before is _GONE or (value is not _GONE and value not in _simpler(before)):
                continue
            smaller = _changed(data, place, value)
            if fails(smaller):
                data, changed = smaller, True
    return data
