"""Writes a trace in parts that are closed and renamed atomically: a killed run keeps all but the last part."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from physical.errors import InputError
from traces import arrays
from traces.atomic import replacing, writing
from traces.digest import TableDigest, digest_of_run
from traces.folder import folder_for
from traces.schema import SCHEMA_VERSION, TABLES, Column, Table

MANIFEST = "manifest.json"
_BATCH_ROWS = 2**16
# What may be null in the tables with most of the rows: for such columns, Parquet encodes a level with every value.
_NULLABLE = {
    "tasks": (
        *("started_ns", "local_end_ns", "upload_end_ns", "arrived_ns"),
        *("service_begin_ns", "service_end_ns", "done_ns"),
    ),
    "vehicles": ("serving_node",),
    "twin": (),
}
# A kill may leave the first tables of a part only; what they hold can then still be replayed. Decisions come before
# all that they bring about, also the backlogs of vehicles.
_CAUSES_FIRST = ("entities", "decisions", "vehicles", "prompts", "twin", "messages", "events", "slots", "jobs", "tasks")


class TraceWriter:
    """Collects rows and writes them.

    Parameters
    ----------
    directory : where the run goes; None keeps it in memory
    part_rows : task rows after which the open part is closed
    part_seconds : wall time after which the open part is closed
    keep : False without a directory computes digests only
    now_s : the clock that tells the age of a part, s
    """

    def __init__(
        self,
        directory: Path | None,
        part_rows: int,
        part_seconds: float,
        *,
        keep: bool = True,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self._keep = keep or directory is not None
        self.tables: dict[str, list[pa.Table]] = {name: [] for name in TABLES}
        self._part_rows = part_rows
        self._part_seconds = part_seconds
        self._part = 0
        self._now_s = now_s
        self._opened = now_s()
        self._digests = {name: TableDigest(table) for name, table in TABLES.items()}
        self._manifest: dict[str, Any] = {}

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Start the trace: make the directory and write the manifest.

        Raises
        ------
        InputError : the directory cannot be made, or holds anything
        """
        self._manifest = {"schema_version": SCHEMA_VERSION, "status": "running", **manifest}
        if self.directory is None:
            return
        if (self.directory / MANIFEST).exists():
            raise InputError("holds a run already", where=str(self.directory), accepted="a new or empty directory")
        folder_for(self.directory)
        with writing(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        self._write_manifest()

    def note(self, **entries: Any) -> None:
        """Add entries to the manifest of a trace that is open."""
        self._manifest |= entries
        if self.directory is not None:
            self._write_manifest()

    def add(self, name: str, columns: Mapping[str, Any]) -> None:
        """Add rows to a table, given as arrays by column."""
        table = TABLES[name]
        filled = [arrays.to_arrow(columns[column.name], column.type) for column in table.columns]
        rows = pa.Table.from_arrays(filled, schema=table.schema())
        if rows.num_rows:
            self._digests[name].add(rows)
            if self._keep:
                self.tables[name].append(rows)

    @property
    def overdue(self) -> bool:
        """Whether the open part has been open for long enough to be closed at the next occasion."""
        return self._now_s() - self._opened > self._part_seconds

    def close_part_if_due(self) -> None:
        """Close the open part if it is large or old enough."""
        num_row = sum(rows.num_rows for rows in self.tables["tasks"])
        if num_row >= self._part_rows or self.overdue:
            self.close_part()

    def close_part(self) -> None:
        """Write what has been collected, one file per table."""
        self._opened = self._now_s()
        if self.directory is None:
            return
        for name in _CAUSES_FIRST:
            if chunks := self.tables[name]:
                with writing(self.directory):
                    _write_part(self.directory / name, self._part, pa.concat_tables(chunks), TABLES[name])
                chunks.clear()
        self._part += 1

    def digest(self) -> str:
        """Return the digest of the run."""
        return digest_of_run(self._named_digests())

    def _named_digests(self) -> dict[str, str]:
        return {name: digest.hex() for name, digest in self._digests.items()}

    def close(self, status: str, summary: Mapping[str, Any]) -> None:
        """Close the last part and complete the manifest; `status` is "complete" or "interrupted"."""
        self.close_part()
        digests = self._named_digests()
        self._manifest |= {"status": status, "digest": self.digest(), "digests": digests, "summary": dict(summary)}
        if self.directory is not None:
            self._write_manifest()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands."""
        return self._manifest

    def _write_manifest(self) -> None:
        assert self.directory is not None
        text = json.dumps(self._manifest, indent=2, allow_nan=False)
        with writing(self.directory), replacing(self.directory / MANIFEST) as file:
            file.write(f"{text}\n".encode())


def _write_part(directory: Path, part: int, rows: pa.Table, table: Table) -> None:
    directory.mkdir(exist_ok=True)
    numbers = [_leaf(column) for column in table.columns if _is_number(column)]
    fields = [field.with_nullable(_may_be_null(table, field.name)) for field in rows.schema]
    # Numbers split into their bytes shrink about as well as in a dictionary, in a fraction of the time; the system's
    # allocator keeps the pages that Arrow's gives back between parts.
    with replacing(directory / f"part-{part:05d}.parquet") as file:
        pq.write_table(
            pa.Table.from_arrays(rows.columns, schema=pa.schema(fields, rows.schema.metadata)),
            file,
            compression="lz4",
            use_dictionary=[_leaf(column) for column in table.columns if not _is_number(column)],
            column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
            write_statistics=False,
            write_batch_size=_BATCH_ROWS,
            memory_pool=pa.system_memory_pool(),
        )


def _leaf(column: Column) -> str:
    """Return Parquet's name of the values of a column."""
    return f"{column.name}.list.element" if pa.types.is_list(column.type) else column.name


def _may_be_null(table: Table, name: str) -> bool:
    return name not in table.key and name in _NULLABLE.get(table.name, (name,))


def _is_number(column: Column) -> bool:
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
