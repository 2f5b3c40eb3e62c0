"""Time inside the data plane: int64 ticks of 2^-14 ns.

The event clock counts whole nanoseconds. If every stage of a task were rounded to them, errors would add up: a queue of
1 000 services would drift by hundreds of ns and break eq. 5. So stages are kept in ticks, and rounded to nanoseconds
only once, when they are recorded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from physical.arrays import Ints

TICK_BITS = 14
NS_PER_S = 1_000_000_000
TICKS_PER_S = float(NS_PER_S << TICK_BITS)
NEVER = (1 << 61) - (1 << 12)
"""Later than any time; the time of a stopped server or a lost message. The sum of a time and three durations, which may
all be NEVER, fits into int64. This is needed because the ends of a task's local part, its upload and its way to the
server are computed together."""
_NEVER = float(NEVER)
NO_ROWS: Ints = np.empty(0, dtype=np.int64)
HORIZON_NS = (1 << (61 - TICK_BITS)) - 1
"""Latest time of the clock, 39 hours; earlier than NEVER."""
HORIZON_S = HORIZON_NS / NS_PER_S


def to_ns(seconds: float) -> int:
    """Round seconds to the nanoseconds of the clock.

    >>> to_ns(0.1)
    100000000
    """
    return round(seconds * NS_PER_S)


def ticks_from_ns(time_ns: Any) -> Any:
    """Convert nanoseconds (int or int array) to ticks, exactly; times beyond the clock become NEVER (lost messages)."""
    if isinstance(time_ns, int):
        return min(time_ns << TICK_BITS, NEVER)
    return np.where(time_ns >= HORIZON_NS, NEVER, time_ns << TICK_BITS)


def ns_from_ticks(ticks: Ints) -> Ints:
    """Round ticks to nanoseconds."""
    rounded: Ints = (ticks + (1 << (TICK_BITS - 1))) >> TICK_BITS
    return rounded


def ticks_from_s(duration_s: Any) -> Any:
    """Round durations (float or array) to ticks; an infinite one becomes NEVER."""
    if isinstance(duration_s, float):
        return round(min(duration_s * TICKS_PER_S, _NEVER))
    return np.rint(np.minimum(duration_s * TICKS_PER_S, _NEVER)).astype(np.int64)


def seconds(ticks: Any) -> Any:
    """Convert a duration in ticks to seconds."""
    return ticks / TICKS_PER_S
