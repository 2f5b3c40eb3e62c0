"""Delays of tasks in parts of their deadlines, counted: what is kept of a run whose trace is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from physical.arrays import Floats, Ints

STEPS_PER_DEADLINE = 50
"""The deadline itself is the end of a step: who is in time is counted exactly."""
_NUM_STEP = 4 * STEPS_PER_DEADLINE


class DelayCounts:
    """Counts of tasks by class and delay: up to each fiftieth of the deadline, up to four of them; others are beyond.

    deadline_ns : [K]
    """

    def __init__(self, deadline_ns: Ints) -> None:
        self._deadline_ns = deadline_ns
        self._counts = np.zeros((len(deadline_ns), _NUM_STEP + 1), dtype=np.int64)
        self._ended = np.zeros(len(deadline_ns), dtype=np.int64)

    def add(self, task_class: int, delay_ns: Ints, num_ended: int) -> None:
        """Count tasks of a class.

        delay_ns : of those that came to their end, in time or late
        num_ended : how many did, or were dropped
        """
        # A delay of exactly one step belongs to it: the quotient of such is exact, and others are far enough from it.
        part = np.ceil(STEPS_PER_DEADLINE * delay_ns / float(self._deadline_ns[task_class]))
        step = (np.minimum(np.maximum(part, 1.0), _NUM_STEP + 1.0) - 1.0).astype(np.int64)
        self._counts[task_class] += np.bincount(step, minlength=_NUM_STEP + 1)
        self._ended[task_class] += num_ended

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: per class the counts of its steps up to the last with any, and how many tasks ended."""
        lasts = (np.flatnonzero(row[:-1]) for row in self._counts)
        return {
            "counts": [
                row[: int(found[-1]) + 1 if found.size else 0].tolist()
                for row, found in zip(self._counts, lasts, strict=True)
            ],
            "ended": self._ended.tolist(),
        }


def shares(kept: list[dict[str, Any]], task_class: int) -> tuple[Floats, Floats]:
    """Return delays in parts of the deadline, and the share of the tasks of some runs that were done by then.

    kept : of each run, as `DelayCounts.to_dict` gives it

    >>> counts = DelayCounts(np.array([100]))
    >>> counts.add(0, np.array([2, 5]), num_ended=2)
    >>> [values.tolist() for values in shares([counts.to_dict()], 0)]
    [[0.0, 0.02, 0.04, 0.06], [0.0, 0.5, 0.5, 1.0]]
    """
    rows = [one["counts"][task_class] for one in kept]
    total = np.zeros(max(map(len, rows), default=0))
    for row in rows:
        total[: len(row)] += row
    ended = sum(one["ended"][task_class] for one in kept)
    x = np.arange(len(total) + 1) / STEPS_PER_DEADLINE
    return x, np.concatenate([[0.0], np.cumsum(total) / max(ended, 1)])
