"""Compares two traces table by table, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from traces.digest import bits
from traces.schema import TABLES, Table

ORDER = ("entities", "vehicles", "twin", "decisions", "prompts", "messages", "events", "tasks", "jobs", "slots")
"""Tables in the order from causes to effects, so the first difference is a cause. Columns of effects are last."""


@dataclass(frozen=True)
class Difference:
    """The first difference between two traces.

    Parameters
    ----------
    table : its name
    row : values of the table's key
    column : the first column that differs; "" if the whole row is missing on one side
    recorded, replayed : the values there; None for a row that is missing
    """

    table: str
    row: dict[str, Any]
    column: str
    recorded: Any
    replayed: Any

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data.

        >>> Difference("slots", {"slot": 3}, "drift", float("nan"), 1.0).to_dict()["recorded"]
        'nan'
        """
        return {name: _plain(value) for name, value in vars(self).items()}

    def __str__(self) -> str:
        """Return it as one line."""
        key = ", ".join(f"{name} {value}" for name, value in self.row.items())
        if not self.column:
            side = "replay" if self.replayed is None else "record"
            return f"{self.table}: {key}: the {side} has no such row"
        values = f"recorded {_shown(self.recorded)}, replayed {_shown(self.replayed)}"
        return f"{self.table}: {key}: {self.column}: {values}"


def _plain(value: Any) -> Any:
    """Return a value as JSON data; a number that JSON does not have becomes its name."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)


def first_difference(
    recorded: Mapping[str, pa.Table], replayed: Mapping[str, pa.Table], *, partial: bool = False
) -> Difference | None:
    """Return the first difference between two traces, in the order of `ORDER` and then of each table's key.

    Parameters
    ----------
    recorded, replayed : table name -> rows in key order
    partial : whether the record may lack rows that the replay has, as after a killed run
    """
    for effect in (False, True):
        for name in ORDER:
            found = _table_difference(TABLES[name], recorded[name], replayed[name], partial=partial, effect=effect)
            if found is not None:
                return found
    return None


def _table_difference(
    table: Table, recorded: pa.Table, replayed: pa.Table, *, partial: bool, effect: bool
) -> Difference | None:
    """Return the first difference in the keys and in the columns that are effects, or in the columns that are not."""
    values = [column for column in table.columns if column.name not in table.key and column.digested]
    values = [column for column in values if column.effect == effect]
    if effect and not values:
        return None
    if partial:
        replayed = _matching(table, recorded, replayed)
    common = min(recorded.num_rows, replayed.num_rows)
    keys = [column for column in table.columns if column.name in table.key]
    differs = {
        column.name: bits(recorded.column(column.name)[:common], column)
        != bits(replayed.column(column.name)[:common], column)
        for column in (*keys, *values)
        if common
    }
    rows = np.flatnonzero(np.logical_or.reduce(list(differs.values()))) if common else np.empty(0, dtype=np.int64)
    if rows.size:
        row = int(rows[0])
        if any(differs[column.name][row] for column in keys):
            return _missing_row(table, recorded, replayed, row)
        name = next(column.name for column in values if differs[column.name][row])
        left, right = recorded.column(name)[row].as_py(), replayed.column(name)[row].as_py()
        if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs = enumerate(zip(left, right, strict=True))
            index = next((i for i, (a, b) in pairs if a != b and not (np.isnan(a) and np.isnan(b))), 0)
            return Difference(table.name, _key(table, recorded, row), f"{name}[{index}]", left[index], right[index])
        return Difference(table.name, _key(table, recorded, row), name, left, right)
    if recorded.num_rows != replayed.num_rows:
        return _missing_row(table, recorded, replayed, common)
    return None


def _missing_row(table: Table, recorded: pa.Table, replayed: pa.Table, row: int) -> Difference:
    """Return the side that lacks a row, which is the one whose row at this place has the later key."""
    left = _key(table, recorded, row) if row < recorded.num_rows else None
    right = _key(table, replayed, row) if row < replayed.num_rows else None
    if right is None or (left is not None and tuple(left.values()) < tuple(right.values())):
        assert left is not None
        return Difference(table.name, left, "", left, None)
    return Difference(table.name, right, "", None, right)


def _key(table: Table, rows: pa.Table, row: int) -> dict[str, Any]:
    return {name: rows.column(name)[row].as_py() for name in table.key}


def _matching(table: Table, recorded: pa.Table, replayed: pa.Table) -> pa.Table:
    """Return the replayed rows whose keys the record has."""
    wanted = _key_bits(table, recorded)
    return replayed.filter(pa.array(np.isin(_key_bits(table, replayed), wanted)))


def _key_bits(table: Table, rows: pa.Table) -> NDArray[np.uint64]:
    total = np.zeros(rows.num_rows, dtype=np.uint64)
    if rows.num_rows:
        for column in table.columns:
            if column.name in table.key:
                total = total * np.uint64(0x9E3779B97F4A7C15) + bits(rows.column(column.name), column)
    return total
