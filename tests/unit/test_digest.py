"""Digests: blind to order and chunking of rows, sensitive to every value."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from traces.digest import TableDigest, digest_of_digests, digest_of_run
from traces.schema import TABLES, Column, Table

DIGESTED = [(name, column.name) for name, table in TABLES.items() for column in table.columns if column.digested]
UNDIGESTED = [(name, column.name) for name, table in TABLES.items() for column in table.columns if not column.digested]
NULLABLE = [
    (name, column.name)
    for name, table in TABLES.items()
    for column in table.columns
    if column.digested and not pa.types.is_list(column.type)  # lists of a trace are never null
]
NUM_ROW = 5


def values_of(column: Column, salt: int = 0) -> list[Any]:
    """Return values for a column, all different; with a salt, others."""
    rng = np.random.default_rng([zlib.crc32(column.name.encode()), salt])
    kind = column.type
    if pa.types.is_list(kind):
        return list(rng.normal(size=(NUM_ROW, 4)).tolist())
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return [f"text {salt} {row}" for row in range(NUM_ROW)]
    if pa.types.is_boolean(kind):
        return [(row + salt) % 2 == 0 for row in range(NUM_ROW)]
    if pa.types.is_floating(kind):
        return list(rng.normal(size=NUM_ROW).astype(kind.to_pandas_dtype()).tolist())
    low = 0 if kind == pa.uint64() else -(2**30)
    return [int(value) for value in rng.integers(low, 2**30, NUM_ROW)]


def make_table(table: Table, changed: dict[str, list[Any]] | None = None) -> pa.Table:
    arrays = []
    for column in table.columns:
        values = (changed or {}).get(column.name, values_of(column))
        plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        array = pa.array(values, type=plain)
        arrays.append(array.dictionary_encode().cast(column.type) if plain is not column.type else array)
    return pa.Table.from_arrays(arrays, schema=table.schema())


def digest(table: Table, *parts: pa.Table) -> str:
    made = TableDigest(table)
    for part in parts:
        made.add(part)
    return made.hex()


def changed_digest(name: str, column: str, values: list[Any]) -> str:
    return digest(TABLES[name], make_table(TABLES[name], {column: values}))


def column_of(name: str, column: str) -> Column:
    return next(item for item in TABLES[name].columns if item.name == column)


def flip(value: Any) -> Any:
    """Return the nearest other value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "."
    if isinstance(value, list):
        return [*value[:-1], flip(value[-1])]
    return float(np.nextafter(value, np.inf))


@pytest.mark.parametrize("name", TABLES)
def test_order_and_chunking_of_rows_do_not_matter(name: str) -> None:
    table = TABLES[name]
    rows = make_table(table)
    expected = digest(table, rows)
    assert digest(table, rows.take([3, 0, 4, 2, 1])) == expected
    assert digest(table, rows.slice(0, 2), rows.slice(2, 3)) == expected
    assert digest(table, rows.slice(4, 1), rows.slice(0, 0), rows.slice(1, 3), rows.slice(0, 1)) == expected
    assert digest(table, pa.concat_tables([rows.slice(0, 1), rows.slice(1, 4)])) == expected
    assert digest(table, pa.concat_tables([rows.slice(3, 2), rows.slice(0, 3)]).unify_dictionaries()) == expected


@pytest.mark.parametrize(("name", "column"), DIGESTED)
def test_a_single_value_changes_the_digest(name: str, column: str) -> None:
    table = TABLES[name]
    values = values_of(column_of(name, column))
    single = column_of(name, column).type == pa.float32()
    original = digest(table, make_table(table))
    for row in range(NUM_ROW):
        other = float(np.nextafter(np.float32(values[row]), np.float32(np.inf))) if single else flip(values[row])
        assert changed_digest(name, column, [*values[:row], other, *values[row + 1 :]]) != original


@pytest.mark.parametrize(("name", "column"), DIGESTED)
def test_exchanging_values_between_rows_changes_the_digest(name: str, column: str) -> None:
    values = values_of(column_of(name, column))
    exchanged = [values[1], values[0], *values[2:]]
    assert changed_digest(name, column, exchanged) != digest(TABLES[name], make_table(TABLES[name]))


@pytest.mark.parametrize(("name", "column"), UNDIGESTED)
def test_wall_times_do_not_count(name: str, column: str) -> None:
    other = values_of(column_of(name, column), salt=1)
    assert changed_digest(name, column, other) == digest(TABLES[name], make_table(TABLES[name]))


def test_only_wall_times_are_left_out() -> None:
    assert {column for _, column in UNDIGESTED} == {"policy_wall_s", "solve_wall_s", "prefill_wall_s", "decode_wall_s"}


@pytest.mark.parametrize(("name", "column"), NULLABLE)
def test_null_differs_from_every_ordinary_value(name: str, column: str) -> None:
    kind = column_of(name, column).type
    values = values_of(column_of(name, column))
    text = pa.types.is_dictionary(kind) or pa.types.is_string(kind)
    ordinary: list[Any] = ["", "null", "None"] if text else [False, True] if pa.types.is_boolean(kind) else [0, 1]
    null = changed_digest(name, column, [None, *values[1:]])
    for value in ordinary:
        assert changed_digest(name, column, [value, *values[1:]]) != null
    assert changed_digest(name, column, [values[0], None, *values[2:]]) != null  # and it matters where it is


@pytest.mark.parametrize("name", TABLES)
def test_a_column_more_or_less_of_the_same_is_another_row(name: str) -> None:
    """The number of rows counts: a row twice is not a row once, and not none."""
    table = TABLES[name]
    rows = make_table(table)
    digests = {digest(table), digest(table, rows), digest(table, rows, rows), digest(table, rows, rows, rows)}
    assert len(digests) == 4


def test_the_same_rows_in_another_table_have_another_digest() -> None:
    columns = (Column("slot", pa.int32()), Column("value", pa.float64()))
    rows = pa.table({"slot": pa.array([1], pa.int32()), "value": [2.0]})
    assert digest(Table("a", ("slot",), columns), rows) != digest(Table("b", ("slot",), columns), rows)


LISTS = Table("lists", ("slot",), (Column("values", pa.list_(pa.float64())),))


def lists(*values: list[float]) -> str:
    return digest(LISTS, pa.table({"values": pa.array(values, pa.list_(pa.float64()))}))


def test_order_and_length_of_lists_matter() -> None:
    digests = {
        lists([1.0, 2.0, 3.0]),
        lists([3.0, 2.0, 1.0]),
        lists([2.0, 1.0, 3.0]),
        lists([1.0, 2.0, 3.0, 0.0]),
        lists([0.0, 1.0, 2.0, 3.0]),
        lists([1.0, 2.0], [3.0]),
        lists([1.0], [2.0, 3.0]),
        lists([]),
        lists([0.0]),
        lists([0.0, 0.0]),
    }
    assert len(digests) == 10


def test_values_that_decode_to_equal_ones_have_one_digest() -> None:
    """-0.0 equals 0.0, and a NaN is a NaN: which sign the processor gives 0 / 0 must not matter."""
    numbers = Table("numbers", ("value",), (Column("value", pa.float64()),))
    zero, minus_zero, nan, minus_nan = (
        digest(numbers, pa.table({"value": [value]})) for value in (0.0, -0.0, np.nan, -np.nan)
    )
    assert zero == minus_zero
    assert len({zero, nan}) == 2
    assert nan == minus_nan


def test_the_digest_of_a_run_depends_on_every_table_and_its_name() -> None:
    pairs = [("tasks", "1"), ("slots", "2")]
    whole = digest_of_digests(pairs)
    assert digest_of_digests(pairs[::-1]) == whole
    others = {
        digest_of_digests(pairs[:1]),
        digest_of_digests([("tasks", "2"), ("slots", "1")]),
        digest_of_digests([("tasks", "1"), ("slots", "3")]),
        digest_of_digests([("tasks", "1"), ("events", "2")]),
    }
    assert whole not in others
    assert len(others) == 4


def test_positions_count_as_single_precision_where_that_holds_them() -> None:
    """Runs of before had singles; a place that no single holds is told from the nearest one that a single does."""
    table = TABLES["vehicles"]
    single = np.float32(691.3)
    before = pa.field("x_m", pa.float32())
    plain = Table("vehicles", table.key, tuple(replace(c, single=False) for c in table.columns if c.name == "x_m"))
    new = Table("vehicles", table.key, tuple(c for c in table.columns if c.name == "x_m"))
    old = Table("vehicles", table.key, (Column("x_m", before.type, "m"),))

    def of(kind: Table, value: float | None) -> str:
        return digest(kind, pa.table({"x_m": pa.array([value], kind.columns[0].type)}))

    for value in (float(single), 0.0, float("nan"), None, float(np.float32(-1e30))):
        assert of(new, value) == of(old, value)
    assert of(new, float(single)) != of(plain, float(single))
    assert of(new, 691.3) == of(plain, 691.3)
    assert of(new, 691.3) != of(new, float(single))
    assert of(new, 1e300) == of(plain, 1e300)


def test_tables_that_a_run_may_lack_do_not_change_its_digest() -> None:
    digests = {"tasks": "1-3", "slots": "2-1", "messages": "7-4"}
    whole = digest_of_run(digests)
    assert whole == digest_of_digests([("tasks", "1-3"), ("slots", "2-1")])
    assert whole == digest_of_run({**digests, "entities": TableDigest(TABLES["entities"]).hex()})
    assert whole != digest_of_run({**digests, "entities": "5-1"})
