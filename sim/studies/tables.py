"""Writes the tables of a study: all summaries as one Parquet file with a row per run, and the statistics as JSON.

Both files appear together: of two studies that end in one folder at the same time, none mixes its files with those of
the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from textwrap import indent
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from traces.atomic import whole_file, write_whole

SUMMARIES = "runs.parquet"
_CHUNK = 1_000
"""Rows that are dictionaries at a time; after that they are columns, which take a tenth of the memory."""
_LOCK = ".tables.lock"


def write_runs(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Store one row per run as a Parquet table; a key that a row lacks is null there."""
    write_whole(_joined(map(_columns, _chunks(rows))), path)


def write_comparison(rows: Iterable[Mapping[str, Any]], report: Mapping[str, Any], directory: Path) -> None:
    """Store a comparison: a row per run, and its statistics."""
    table = _joined(map(_columns, _chunks(rows)))
    text = f"{json.dumps(report, indent=2, allow_nan=False)}\n".encode()
    with _both(directory, "compare.json") as (summaries, statistics):
        pq.write_table(table, summaries, compression="zstd")
        statistics.write(text)


class SweepTables:
    """Takes the points of a sweep one after the other, and stores them at the end.

    Parameters
    ----------
    directory : of the sweep
    as_texts : keys of the grid whose values are texts at some points; they become texts at all
    """

    def __init__(self, directory: Path, as_texts: Iterable[str] = ()) -> None:
        self._directory = directory
        self._as_texts = frozenset(as_texts)
        self._tables: list[pa.Table] = []
        self._reports: list[bytes] = []

    def add(self, rows: Iterable[Mapping[str, Any]], report: Mapping[str, Any]) -> None:
        """Take a point: a row per run, and its statistics."""
        texts = ({**row, **{key: str(row[key]) for key in self._as_texts}} for row in rows)
        self._tables += map(_columns, _chunks(texts))
        self._reports.append(indent(json.dumps(report, indent=2, allow_nan=False), "  ").encode())

    def write(self) -> None:
        """Store everything."""
        with _both(self._directory, "sweep.json") as (summaries, statistics):
            pq.write_table(_joined(self._tables), summaries, compression="zstd")
            statistics.write(b"[")
            for index, report in enumerate(self._reports):
                statistics.write(b"," * (index > 0) + b"\n" + report)
            statistics.write(b"\n]\n")


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    for first in iterator:
        yield [*chain([first], islice(iterator, _CHUNK - 1))]


def _columns(rows: list[Mapping[str, Any]]) -> pa.Table:
    keys = dict.fromkeys(key for row in rows for key in row)
    return pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in rows])


def _joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Return tables below each other; a column that a table lacks is null there."""
    found = [*tables]
    return pa.concat_tables(found, promote_options="permissive") if found else pa.table({})


@contextmanager
def _both(directory: Path, statistics: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open both files of a study; they appear when both are written."""
    with _alone(directory), whole_file(directory / statistics) as text, whole_file(directory / SUMMARIES) as table:
        yield table, text
        for file in (table, text):
            file.flush()  # a full disk is found before the first of them appears


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let no other study write tables there meanwhile, where the system and the file system can do that."""
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            directory.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context((directory / _LOCK).open("a")), fcntl.LOCK_EX)
        yield
