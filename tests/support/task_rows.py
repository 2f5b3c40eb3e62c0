"""Tasks as the columns hand them out, of which a test tells only what it needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from physical.task_rows import TaskRows
from physical.ticks import NEVER

_TYPES = {"slot": np.int32, "vehicle": np.int32, "task_class": np.int32, "outcome": np.int8}
_REALS = ("size_bytes", "offloading_ratio", "local_left_s")


def task_rows(**columns: Any) -> TaskRows:
    """Return rows with these columns; of the others, stages never take place, and all else is 0."""
    (num_row,) = {len(values) for values in columns.values()}
    rows: dict[str, Any] = {}
    for name in TaskRows._fields[:14]:
        if name in _TYPES:
            rows[name] = np.zeros(num_row, dtype=_TYPES[name])
        elif name in _REALS:
            rows[name] = np.zeros(num_row)
        else:
            rows[name] = np.full(num_row, NEVER)
    return TaskRows(**(rows | columns))
