"""Mutations of a Parquet file's table: types, nulls, extreme numbers, rows, columns, and what its schema tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz import tree
from tests.fuzz.dice import TEXTS, Dice

_TYPES = (
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.int8(),
    pa.int64(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.timestamp("s"),
    pa.date32(),
    pa.decimal128(38, 3),
    pa.dictionary(pa.int32(), pa.string()),
    pa.list_(pa.float64()),
    pa.struct([("a", pa.int64())]),
    pa.null(),
)
_EXTREME: tuple[Any, ...] = (
    None,
    0,
    -1,
    1,
    2**31,
    2**62,
    2**63 - 1,
    -(2**63),
    float("nan"),
    float("inf"),
    1e308,
    1e-300,
    *TEXTS,
)

Change = Callable[[Dice, pa.Table], tuple[pa.Table, str]]


def _column(dice: Dice, table: pa.Table) -> int:
    return dice.below(max(1, table.num_columns))


def _with(table: pa.Table, index: int, column: Any, name: str | None = None) -> pa.Table:
    return table.set_column(index, name or table.column_names[index], column)


def retype(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Let a column have another type: its values where they can be, else nulls or lists."""
    index, kind = _column(dice, table), dice.pick(_TYPES)
    column = table.column(index)
    try:
        changed = column.cast(kind, safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        changed = pa.nulls(len(column), kind)
    return _with(table, index, changed), f"{table.column_names[index]} is of type {kind}"


def extreme(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Let some values of a column be something else that its type can hold."""
    index, value = _column(dice, table), dice.pick(_EXTREME)
    column = table.column(index)
    values = column.to_pylist()
    rows = range(len(values)) if dice.chance(0.3) else [dice.below(len(values))] if values else []
    for row in rows:
        values[row] = [value] if pa.types.is_list(column.type) else value
    try:
        changed = pa.array(values, column.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, ValueError):
        kind = pa.string() if isinstance(value, str) else pa.float64()
        changed = pa.array([None if one is None else value for one in values], kind)
    return _with(table, index, changed), f"{table.column_names[index]}[{list(rows)}] is {value!r:.40}"


def drop(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Drop a column."""
    index = _column(dice, table)
    return table.remove_column(index), f"{table.column_names[index]} is gone"


def rename(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Call a column like another one, or like none."""
    index = _column(dice, table)
    name = dice.pick((*table.column_names, "x", "", "a" * 300))
    names = [name if place == index else one for place, one in enumerate(table.column_names)]
    return table.rename_columns(names), f"{table.column_names[index]} is called {name!r:.60}"


def add(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Add a column."""
    values = pa.nulls(table.num_rows, dice.pick(_TYPES))
    return table.append_column("new", values), f"a column of type {values.type} is new"


def rows(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Drop rows, repeat them or reverse their order."""
    kept = {
        "none": [],
        "first": list(range(table.num_rows))[:1],
        "but one": [row for row in range(table.num_rows) if row != 0],
        "twice": [*range(table.num_rows), *range(table.num_rows)],
        "reversed": list(range(table.num_rows))[::-1],
        "the last again": [*range(table.num_rows), *([table.num_rows - 1] if table.num_rows else [])],
        "many": list(range(table.num_rows)) * 500,
    }
    what = dice.pick(list(kept))
    return table.take(pa.array(kept[what], pa.int64())), f"rows: {what}"


def metadata(dice: Dice, table: pa.Table) -> tuple[pa.Table, str]:
    """Let the schema say something else besides: nothing, other texts, a changed JSON, or foreign keys."""
    found = dict(table.schema.metadata or {})
    if not found or dice.chance(0.15):
        return table.replace_schema_metadata(None), "no metadata"
    key = dice.pick(sorted(found))
    if dice.chance(0.6):
        path = Path("metadata.json")
        path.write_bytes(found[key])
        told = tree.change_file(dice, path)
        found[key] = path.read_bytes()
        path.unlink()
    elif dice.chance(0.5):
        found[key] = dice.pick(TEXTS).encode()
        told = f"is {found[key][:40]!r}"
    else:
        del found[key]
        told = "is gone"
    return table.replace_schema_metadata(found), f"metadata {key!r}: {told}"


CHANGES: dict[Change, float] = {retype: 3, extreme: 4, drop: 2, rename: 2, add: 1, rows: 3, metadata: 4}


def change_file(dice: Dice, path: Path) -> str:
    """Change the table of a Parquet file; of one that is broken already nothing."""
    try:
        table = pq.ParquetFile(path).read(use_threads=False)
        changed, told = dice.weighed(CHANGES)(dice, table)
        pq.write_table(changed, path, compression=dice.pick(("none", "snappy", "zstd")))
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError) as error:
        return f"stays as it is: {type(error).__name__}"
    return told
