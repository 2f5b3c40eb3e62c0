"""The comparison of engines finds what differs, and says where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from sim import RunResult, Scenario, run
from tests.support.both_engines import difference


@pytest.fixture(scope="module")
def result() -> RunResult:
    return run(Scenario.load("dtecn", ["trace.messages=true"]), "random", seed=1, num_slot=3)


def with_table(result: RunResult, name: str, rows: pa.Table) -> RunResult:
    return replace(result, _tables={**result._tables, name: [rows]})


def with_value(result: RunResult, name: str, column: str, row: int, value: Any) -> RunResult:
    rows = result.table(name)
    values = rows[column].to_pylist()
    values[row] = value
    place = rows.column_names.index(column)
    changed = pa.array(values, rows.schema.field(column).type)
    return with_table(result, name, rows.set_column(place, column, changed))


def test_a_run_equals_itself(result: RunResult) -> None:
    again = replace(result, summary=result.summary | {"wall_s": 7.0, "engine": "events", "decision_ms_p99": 1.0})
    assert not difference(result, again)


def test_one_nanosecond_is_a_difference(result: RunResult) -> None:
    ends = result.table("tasks")["local_end_ns"].to_pylist()
    row = next(row for row, end in enumerate(ends) if row > 4 and end is not None)
    other = with_value(result, "tasks", "local_end_ns", row, ends[row] + 1)
    key = ", ".join(f"{name} {result.table('tasks')[name][row]}" for name in ("slot", "vehicle", "task_class"))
    expected = f"tasks: {key}: local_end_ns: columns {ends[row]}, events {ends[row] + 1}; tables that differ: tasks"
    assert difference(result, other) == expected


def test_the_last_bit_of_a_number_is_a_difference(result: RunResult) -> None:
    value = result.table("slots")["energy_edge_j"][1].as_py()
    other = with_value(result, "slots", "energy_edge_j", 1, value * (1 + 2e-16))
    assert difference(result, other).startswith("slots: slot 1: energy_edge_j: columns ")


def test_a_missing_row_is_a_difference(result: RunResult) -> None:
    messages = result.table("messages")
    fewer = with_table(result, "messages", messages.slice(1))
    assert difference(result, fewer).partition(";")[0].endswith("only columns have this row")
    assert difference(fewer, result).partition(";")[0].endswith("only events have this row")


def test_the_cause_is_told_before_what_follows(result: RunResult) -> None:
    decided = with_value(result, "decisions", "repaired", 2, not result.table("decisions")["repaired"][2].as_py())
    both = with_value(decided, "slots", "num_late", 0, 1234)
    told = difference(result, both)
    assert told.startswith("decisions: slot 2: repaired: ")
    assert told.endswith("tables that differ: slots, decisions")


def test_a_number_of_the_summary_is_a_difference(result: RunResult) -> None:
    other = replace(result, summary=result.summary | {"tasks_late": -1})
    assert difference(result, other) == f"summary: tasks_late: columns {result.summary['tasks_late']}, events -1"
