"""Pieces of trace events as JSON texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def micros(time_ns: int) -> str:
    """Spell a time in µs, exact to the ns.

    >>> micros(1_234_567), micros(5), micros(2000)
    ('1234.567', '0.005', '2')
    """
    whole, rest = divmod(time_ns, 1000)
    return f"{whole}.{rest:03d}" if rest else str(whole)


def compact(value: Mapping[str, Any]) -> str:
    """Spell a JSON object without spaces; numbers that JSON does not have become null."""
    return json.dumps({key: _plain(item) for key, item in value.items()}, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def flow(phase: str, name: str, identity: int, pid: int, tid: int, time_ns: int, *, to_next: bool = False) -> str:
    """Spell a point of a flow: "s" begins it, "t" continues it, "f" ends it, in the slice that the thread is in.

    identity : a number, because viewers read texts as hexadecimal numbers; each name of flows has its own numbers
    to_next : the flow ends in the next slice of the thread instead
    """
    place = ',"bp":"e"' if phase == "f" and not to_next else ""
    return (
        f'{{"ph":"{phase}","cat":"{name}","name":"{name}","id":{identity},"pid":{pid},"tid":{tid},'
        f'"ts":{micros(time_ns)}{place}}}'
    )
