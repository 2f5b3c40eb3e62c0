"""Finds out when the entities of a mobility trace are present, from how often each of them is sampled.

An entity is present between two samples that are close enough; a longer gap means that it left and came back. Which
gaps are too long depends on its own samples, not on those of others:

- Its usual interval is the median of the gaps between its own samples; of an even number of gaps, the lower middle one.
- An entity is steady if at least half of its gaps are of that length, within 1 %: a simulator, or a receiver with a
  clock. It has been away if a gap is longer than 1.5 usual intervals.
- Any other entity is unsteady. It has been away if a gap is longer than 3 usual intervals.
- An entity with one gap, or with two that differ, has no usual interval. The rule then uses all gaps of all entities.
- An entity with one sample is present at that instant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from physical.arrays import Ints, Mask
from traces.arrays import of_numbers
from traces.exogenous.schema import Cut, MobilityTrace, sorted_texts

JUMP_MPS = 100.0
"""No car and no vehicle of a traffic simulator is faster."""

_USUAL_NS_MAX = 1 << 61  # three times as much is still inside int64


def absent_after_ns(time_ns: Ints, entity: Ints, num_entity: int) -> Ints:
    """Return for each entity the longest gap between two samples during which it is present, [num_entity], ns.

    time_ns, entity : [num_row], in the order of entity and time

    >>> taxis, minutes = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([0, 10, 20, 60, 3, 6, 9])
    >>> absent_after_ns(minutes, taxis, 2).tolist()
    [15, 4]
    """
    same = np.diff(entity) == 0
    gap_ns, owner = np.diff(time_ns)[same], entity[1:][same]
    if not len(gap_ns):
        return np.zeros(num_entity, dtype=np.int64)
    limit_ns, num_gap, num_usual = _limits(gap_ns, owner, num_entity)
    of_all_ns, _, _ = _limits(gap_ns, np.zeros_like(owner), 1)
    tells = (num_gap > 2) | ((num_gap == 2) & (num_usual == 2))
    return np.where(tells, limit_ns, of_all_ns[0])


def _limits(gap_ns: Ints, owner: Ints, num_owner: int) -> tuple[Ints, Ints, Ints]:
    """Return the longest gap that is no absence, the number of gaps, and that of usual ones, [num_owner] each."""
    num_gap = np.bincount(owner, minlength=num_owner)
    begin = np.cumsum(num_gap) - num_gap
    has_gap = num_gap > 0
    usual_ns = np.zeros(num_owner, dtype=np.int64)
    by_length = gap_ns[np.lexsort((gap_ns, owner))]
    usual_ns[has_gap] = by_length[(begin + (num_gap - 1) // 2)[has_gap]]
    is_usual = np.abs(gap_ns - usual_ns[owner]) <= usual_ns[owner] // 100
    num_usual = np.bincount(owner[is_usual], minlength=num_owner)
    usual_ns = np.minimum(usual_ns, _USUAL_NS_MAX)
    limit_ns = np.where(2 * num_usual >= num_gap, usual_ns * 3 // 2, usual_ns * 3)
    return limit_ns, num_gap, num_usual


@dataclass(frozen=True)
class Whereabouts:
    """The rows of a mobility trace by entity, and the visits of entities, from coming to leaving.

    order : [num_row], of the rows of the trace: by entity, then by time
    time_ns, entity : [num_row], in that order
    absent_after_ns : [num_entity], the longest gap that is no absence
    begin, end : [num_visit], first and last row of each visit, in that order
    """

    order: Ints
    time_ns: Ints
    entity: Ints
    absent_after_ns: Ints
    begin: Ints
    end: Ints

    @classmethod
    def of(cls, trace: MobilityTrace) -> Whereabouts:
        """Return the visits of a trace; if its rows were cut from longer ones, the visits of the longer ones."""
        time_ns, entity = trace.column("t_ns"), trace.column("entity_id").astype(np.int64)
        order = np.lexsort((time_ns, entity))
        time_ns, entity = time_ns[order], entity[order]
        names, cut = trace.names("entity_id"), trace.provenance.cut
        if cut is None:
            limit_ns = absent_after_ns(time_ns, entity, len(names))
        else:
            limit_ns = np.array([cut.exceptions_ns.get(name, cut.absent_after_ns) for name in names], dtype=np.int64)
        together = (np.diff(entity) == 0) & (np.diff(time_ns) <= limit_ns[entity[1:]])
        begin = np.flatnonzero(np.concatenate([[True], ~together]))
        end = np.append(begin[1:], len(entity)) - 1
        return cls(order, time_ns, entity, limit_ns, begin, end)

    def slots(self, begin_ns: int, slot_ns: int) -> tuple[Ints, Ints]:
        """Return the first and the last slot start of each visit, [num_visit]; the first is later if there is none."""
        first: Ints = -(-(self.time_ns[self.begin] - begin_ns) // slot_ns)
        last: Ints = (self.time_ns[self.end] - begin_ns) // slot_ns
        return first, last

    def needed(self, begin_ns: int, slot_ns: int, num_slot: int) -> Mask:
        """Return the rows, [num_row] in this order, that are needed for the positions at the starts of some slots.

        These are, for every visit at one of the slot starts, the rows of the visit between the first and the last slot
        start, with the one before and the one after.
        """
        first, last = self.slots(begin_ns, slot_ns)
        is_there = (first <= last) & (last >= 0) & (first < num_slot)
        kept = np.repeat(is_there, self.end - self.begin + 1)
        end_ns = begin_ns + (num_slot - 1) * slot_ns
        within = np.ones(len(kept), dtype=np.bool_)
        within[self.begin] = False  # the first row of a visit has no row before it
        kept[1:] &= ~(within[1:] & (self.time_ns[:-1] >= end_ns))
        kept[:-1] &= ~(within[1:] & (self.time_ns[1:] <= begin_ns))
        return kept

    def cut(self, trace: MobilityTrace, kept: Mask) -> MobilityTrace:
        """Return a trace of some of the rows, [num_row] in this order, with the same visits of their entities."""
        mask = np.zeros(len(kept), dtype=np.bool_)
        mask[self.order] = kept
        rows = trace.rows.filter(of_numbers(mask)).combine_chunks()
        for name in ("entity_id", "kind"):  # only entities that are left count as vehicles
            texts = sorted_texts(rows.column(name).combine_chunks())
            rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), texts)
        names, left = trace.names("entity_id"), np.unique(self.entity[kept])
        limits, count = np.unique(self.absent_after_ns[left], return_counts=True)
        usual_ns = int(limits[count.argmax()])
        limit_of = {names[code]: int(self.absent_after_ns[code]) for code in left.tolist()}
        cut = Cut(*span_ns(trace), usual_ns, {name: limit for name, limit in limit_of.items() if limit != usual_ns})
        return MobilityTrace.of(rows, replace(trace.provenance, cut=cut))


def span_ns(trace: MobilityTrace) -> tuple[int, int]:
    """Return the earliest and the latest time of a trace, ns; if its rows were cut, those of the uncut trace."""
    cut = trace.provenance.cut
    return (trace.begin_ns, trace.end_ns) if cut is None else (cut.begin_ns, cut.end_ns)


def jump_of(trace: MobilityTrace) -> str:
    """Say where an entity first moves faster than any car between two samples; "" if none does."""
    time_ns, entity = trace.column("t_ns"), trace.column("entity_id")
    order = np.lexsort((time_ns, entity))
    x_m, y_m, time_s = trace.column("x_m")[order], trace.column("y_m")[order], time_ns[order] / 1e9
    same = np.diff(entity[order]) == 0
    distance_m, gap_s = np.hypot(np.diff(x_m), np.diff(y_m)), np.diff(time_ns[order]) / 1e9
    rows = np.flatnonzero(same & (distance_m > JUMP_MPS * gap_s))
    if not len(rows):
        return ""
    row = int(rows[time_s[rows].argmin()])
    name = trace.names("entity_id")[int(entity[order][row])]
    places = " to ".join(f"({x_m[at]:.10g}, {y_m[at]:.10g})" for at in (row, row + 1))
    speed_mps = distance_m[row] / gap_s[row]
    more = f"; {len(rows) - 1} more such jumps" if len(rows) > 1 else ""
    return (
        f"vehicle {name!r} jumps {distance_m[row]:.6g} m in {gap_s[row]:.6g} s at {time_s[row]:.10g} s, "
        f"from {places} m: {speed_mps:.4g} m/s, more than any car drives{more}"
    )
