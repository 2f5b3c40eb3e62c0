"""Delays of tasks in parts of their deadlines, counted: what is kept of a run whose trace is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

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

    def add(self, task_class: Ints, delay_ns: Ints, done: NDArray[np.bool_], ended: NDArray[np.bool_]) -> None:
        """Count tasks, [rows].

        done : came to their end, in time or late; `ended` : or were dropped
        """
        chosen = task_class[done].astype(np.int64)
        # ceil(STEPS d / T) - 1, in whole numbers: a delay of exactly one step belongs to it.
        step = np.clip(-(-STEPS_PER_DEADLINE * delay_ns[done] // self._deadline_ns[chosen]) - 1, 0, _NUM_STEP)
        width = self._counts.shape[1]
        self._counts += np.bincount(chosen * width + step, minlength=self._counts.size).reshape(self._counts.shape)
        self._ended += np.bincount(task_class[ended], minlength=len(self._ended))

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
    >>> yes = np.array([True, True])
    >>> counts.add(np.array([0, 0]), np.array([2, 5]), yes, yes)
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
