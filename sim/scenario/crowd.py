"""How many vehicles of a mobility trace a run has, and how many of them are on the road at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from physical.arrays import Ints
from physical.system import Crowd

if TYPE_CHECKING:
    from traces.exogenous.presence import Whereabouts


def traced_crowd(found: Whereabouts, begin_ns: int, slot_ns: int, num_slot: int) -> Crowd:
    """Return the crowd of a mobility trace.

    found : who is where when, of all vehicles of the run
    begin_ns : time of the trace at which the run begins
    slot_ns : ns, length of a slot
    """
    present = num_present(found, begin_ns, slot_ns, num_slot)
    return Crowd(len(found.absent_after_ns), float(present.mean()) or 1.0, int(present.max()) or 1)


def num_present(found: Whereabouts, begin_ns: int, slot_ns: int, num_slot: int) -> Ints:
    """Return how many vehicles of a mobility trace are on the road at the starts of the first slots, [num_slot]."""
    first, last = found.slots(begin_ns, slot_ns)
    there = (first <= last) & (last >= 0) & (first < num_slot)
    change = np.bincount(np.maximum(first[there], 0), minlength=num_slot + 1)
    change -= np.bincount(np.minimum(last[there] + 1, num_slot), minlength=num_slot + 1)
    return np.cumsum(change)[:num_slot]
