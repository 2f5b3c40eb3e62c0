"""Comparison of the two engines: every table to the last bit, and every number of the summary."""

from __future__ import annotations

from typing import Any

from physical.registry import EngineName
from sim.runs.run import RunResult
from traces.diff import Difference, first_difference
from traces.digest import TableDigest
from traces.schema import TABLES

ENGINES: tuple[EngineName, EngineName] = ("columns", "events")
WALL = {"wall_s", "vehicle_slots_per_s", "decision_ms_p50", "decision_ms_p99"}
"""Numbers of a summary that depend on the machine; those about the engine begin with its name."""


def digests(result: RunResult) -> dict[str, str]:
    """Return the digest of each table of a run, also of those that the run's digest leaves out."""
    found = {}
    for name, table in TABLES.items():
        digest = TableDigest(table)
        digest.add(result.table(name))
        found[name] = digest.hex()
    return found


def difference(columns: RunResult, events: RunResult) -> str:
    """Return what differs first between a run of either engine, in causal order; "" if nothing does."""
    ours, theirs = digests(columns), digests(events)
    if different := [name for name in TABLES if ours[name] != theirs[name]]:
        both = ({name: result.table(name) for name in TABLES} for result in (columns, events))
        first = first_difference(*both)
        assert first is not None
        return f"{told(first)}; tables that differ: {', '.join(different)}"
    for name in dict.fromkeys((*columns.summary, *events.summary)):
        values = columns.summary.get(name), events.summary.get(name)
        if values[0] != values[1] and name not in WALL and not name.startswith("engine"):
            return f"summary: {name}: columns {values[0]!r}, events {values[1]!r}"
    return ""


def told(first: Difference) -> str:
    """Return a difference as one line: table, key, column, both values."""
    key = ", ".join(f"{name} {value}" for name, value in first.row.items())
    if not first.column:
        return f"{first.table}: {key}: only {'columns' if first.replayed is None else 'events'} have this row"
    return f"{first.table}: {key}: {first.column}: columns {first.recorded!r}, events {first.replayed!r}"


def assert_equal_runs(columns: RunResult, events: RunResult, case: Any = "") -> None:
    """Assert that both engines tell the same story; `case` : what a failure calls it."""
    found = difference(columns, events)
    assert not found, f"{case}: {found}"
