"""The recorded tables of a run and its scenario as plain arrays, read without the product's help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from physical.arrays import Floats

Columns = dict[str, NDArray[Any]]
KEYS = {
    "tasks": ("slot", "vehicle", "task_class"),
    "jobs": ("slot", "vehicle", "task_class"),
    "slots": ("slot",),
    "vehicles": ("slot", "vehicle"),
    "twin": ("slot", "vehicle"),
    "decisions": ("slot",),
    "prompts": ("slot",),
    "events": ("time_ns", "kind"),
    "messages": ("slot", "kind", "vehicle"),
    "entities": ("vehicle",),
}
NO_NODE, AWAY = -1, -2


def read_tables(folder: Path) -> dict[str, pa.Table]:
    """Return the tables of a run, the parts of each one after the other."""
    found = {}
    for name in KEYS:
        parts = [pq.read_table(path) for path in sorted((folder / name).glob("part-*.parquet"))]
        if parts:
            found[name] = pa.concat_tables(parts).unify_dictionaries()
    return found


def totals(index: NDArray[Any], values: Any, size: int) -> Floats:
    """Sum values by index, [size]."""
    return np.bincount(index, np.asarray(values, dtype=np.float64), size).astype(np.float64)


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as numbers, null as NaN; texts and lists as objects."""
    if pa.types.is_list(column.type):
        found = np.empty(len(column), dtype=object)
        for row, values in enumerate(column):
            found[row] = np.asarray(values.values.to_numpy(zero_copy_only=False), dtype=np.float64)
        return found
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy())


class Books:
    """What checks look at.

    manifest : of the run
    arrow : tables as they were read, or changed
    folder : of the run, for the files that it has kept
    """

    def __init__(self, manifest: Mapping[str, Any], arrow: Mapping[str, pa.Table], folder: Path) -> None:
        self.manifest, self.arrow, self.folder = manifest, arrow, folder
        self.scenario: dict[str, Any] = manifest["scenario"]
        self.summary: dict[str, Any] = manifest["summary"]
        self._columns: dict[str, Columns] = {}
        time = self.scenario["time"]
        self.slot_s: float = time["slot_duration_s"]
        self.slot_ns = round(self.slot_s * 1e9)
        self.num_slot: int = time["num_slot"]
        self.end_ns = self.num_slot * self.slot_ns

    @classmethod
    def open(cls, folder: Path) -> Books:
        """Read a run."""
        return cls(json.loads((folder / "manifest.json").read_text("utf-8")), read_tables(folder), folder)

    def table(self, name: str) -> Columns:
        """Return a table's columns in the order of its key; none of a table without rows."""
        if name not in self._columns:
            rows = self.arrow.get(name)
            if rows is None:
                return {}
            columns = {column: _array(rows.column(column)) for column in rows.column_names}
            order = np.lexsort(
                [
                    columns[key].astype("U") if columns[key].dtype == object else columns[key]
                    for key in reversed(KEYS[name])
                ]
            )
            self._columns[name] = {column: values[order] for column, values in columns.items()}
        return self._columns[name]

    @property
    def tasks(self) -> Columns:
        return self.table("tasks")

    @property
    def jobs(self) -> Columns:
        return self.table("jobs")

    @property
    def slots(self) -> Columns:
        return self.table("slots")

    @property
    def has_tasks(self) -> bool:
        """Whether there was any task."""
        return bool(self.tasks)

    def matrix(self, name: str) -> Floats:
        """Return a list column of `slots` as [T, K]."""
        return np.stack(list(self.slots[name]))

    @cached_property
    def num_vehicle(self) -> int:
        """Vehicles of the whole run."""
        if entities := self.table("entities"):
            return len(entities["vehicle"])
        if decisions := self.table("decisions"):
            return len(decisions["offloading_ratio"][0]) // self.num_class
        count, road = int(self.scenario["vehicles"]["num_vehicle"]), self.scenario["mobility"]
        if road["ends"] == "wrap":
            return count
        return count * (1 + int(np.ceil(self.end_ns * 1e-9 * float(max(road["speed_mps"])) / float(road["length_m"]))))

    @property
    def num_class(self) -> int:
        return len(self.scenario["tasks"])

    @cached_property
    def node_names(self) -> list[str]:
        rsus = [rsu["name"] for rsu in self.scenario["rsus"]]
        return rsus if rsus and self.scenario["base_station"] is None else ["base-station", *rsus]

    def grid(self, column: str) -> Floats:
        """Return a column of `vehicles` as [T, N], NaN where a vehicle is away."""
        found = np.full((self.num_slot, self.num_vehicle), np.nan)
        if rows := self.table("vehicles"):
            found[rows["slot"], rows["vehicle"]] = rows[column]
        return found

    @cached_property
    def node(self) -> NDArray[np.int64]:
        """Serving nodes at slot starts, [T, N]."""
        found = np.full((self.num_slot, self.num_vehicle), AWAY)
        if rows := self.table("vehicles"):
            index = {name: place for place, name in enumerate(self.node_names)} | {None: NO_NODE}
            found[rows["slot"], rows["vehicle"]] = [index[name] for name in rows["serving_node"]]
        return found

    @cached_property
    def decided(self) -> dict[int, dict[str, Any]]:
        """Decisions by slot; lists as [N, K] or [N]."""
        rows, found = self.table("decisions"), {}
        for place in range(len(rows.get("slot", ()))):
            row = {name: values[place] for name, values in rows.items()}
            for name in ("offloading_ratio", "compute_allocation_hz", "estimated_size_bytes"):
                row[name] = row[name].reshape(self.num_vehicle, self.num_class)
            found[int(row["slot"])] = row
        return found

    @cached_property
    def messages(self) -> dict[str, Columns] | None:
        """Messages by kind; None if they were not recorded."""
        rows = self.table("messages")
        if not rows or not self.scenario["trace"]["messages"]:
            return None
        return {
            kind: {name: values[rows["kind"] == kind] for name, values in rows.items()}
            for kind in ("report", "command", "server-report", "server-command")
        }

    def occurrences(self, *kinds: str) -> list[tuple[int, dict[str, Any]]]:
        """Spell timed events out: times, ns, and what happens then, in order."""
        found = []
        for event in self.scenario["timeline"]:
            if kinds and event["kind"] not in kinds:
                continue
            time_ns = round(event["at_s"] * 1e9)
            last_ns = self.end_ns - 1
            if event["until_s"] is not None:
                last_ns = min(last_ns, round(event["until_s"] * 1e9))
            while time_ns <= last_ns:
                found.append((time_ns, event))
                if event["every_s"] is None:
                    break
                time_ns += max(round(event["every_s"] * 1e9), 1)
        return sorted(found, key=lambda entry: entry[0])

    def first_slot(self, time_ns: int) -> int:
        """Return the first slot that begins at a time or later."""
        return int(-(-time_ns // self.slot_ns))
