"""Tables of a run as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim import RunResult

Array = NDArray[Any]
Columns = dict[str, NDArray[Any]]


def column(result: RunResult, table: str, name: str) -> Array:
    """Return a column of a trace as an array; null times are -1."""
    values = result.table(table).column(name)
    if values.null_count:
        values = values.fill_null(-1)
    array: Array = values.to_numpy()
    return array


def by_slot(result: RunResult, table: str, name: str) -> Array:
    """Return a column of a table with one row per slot and vehicle, [slots, N]."""
    return column(result, table, name).reshape(-1, 3)


def columns(table: pa.Table) -> Columns:
    """Return a table as arrays; lists of one length become [rows, length], a null time becomes NaN."""
    arrays = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        is_matrix = table.num_rows and isinstance(values[0], list) and len(set(map(len, values))) == 1
        arrays[name] = np.array(values) if is_matrix else table[name].to_numpy()
    return arrays


def shaped(result: RunResult, table: str, name: str, *shape: int) -> Any:
    """Return a column as an array [rows / shape, *shape]; lists become its last axes."""
    return np.array(result.table(table)[name].to_pylist()).reshape(-1, *shape)
