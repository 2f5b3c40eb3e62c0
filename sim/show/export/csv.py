"""CSV files: one per table of a run, and one that lists columns and units."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv

from physical.errors import InputError
from traces.atomic import whole_file
from traces.folder import folder_for
from traces.reader import Trace
from traces.schema import TABLES

UNITS = "units.csv"
_PER_CLASS = {"backlog_bytes", "arrived_bytes", "service_bytes", "estimated_backlog_bytes"}
"""Lists with one item per task class. They become one column per class; other lists stay one column of JSON."""
_FORMULA = "^([=+\\-@\uff1d\uff0b\uff0d\uff20\t\r\n'])"
"""A spreadsheet runs a text that begins with one of these signs, also as East Asian keyboards write them.

Such a text gets an apostrophe in front. A text that begins with an apostrophe gets another one. So whoever removes the
first apostrophe has the original texts again. Numbers are not changed.
"""
_BATCH_ROWS = 50_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time of a ZIP entry: equal contents give equal bytes


def write_csv(
    trace: Trace, out: Path, tables: Sequence[str] = (), progress: Callable[[int], None] = lambda _: None
) -> dict[str, int]:
    """Write tables of a run and return their numbers of rows.

    Texts that begin like a formula get an apostrophe in front, see `_FORMULA`.

    out : directory, or a file that ends in ``.zip``
    tables : by default all that have rows
    progress : called with the number of tables done

    Raises
    ------
    InputError : a table is unknown or cannot be read, or `out` cannot be written
    """
    for name in tables:
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}", where="--tables", accepted=", ".join(TABLES))
    chosen = [name for name in TABLES if not tables or name in tables]
    num_row = {}
    with _archive(out) if out.suffix == ".zip" else _folder(out) as create:
        described: list[tuple[str, str, str, str]] = []
        for done, name in enumerate(chosen):
            rows = trace.table(name)
            if rows.num_rows or tables:
                described += _describe(name, rows)
                num_row[name] = rows.num_rows
                with create(f"{name}.csv") as file:
                    _write_rows(file, rows)
            del rows
            progress(done + 1)
        with create(UNITS) as file:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("table", "column", "unit", "holds"), *described])
            file.write(text.getvalue().encode())
    return num_row


@contextmanager
def _folder(out: Path) -> Iterator[Callable[[str], Any]]:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", where="--out", accepted="a directory, or FILE.zip")
    folder_for(out, ("units.csv",), [f"{name}.csv" for name in TABLES], what="tables of an earlier export")
    yield lambda name: whole_file(out / name)


@contextmanager
def _archive(out: Path) -> Iterator[Callable[[str], Any]]:
    with whole_file(out) as file, zipfile.ZipFile(file, "w") as archive:

        def create(name: str) -> IO[bytes]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            return archive.open(entry, "w", force_zip64=True)

        yield create


def _write_rows(file: IO[bytes], rows: pa.Table) -> None:
    writer = None
    for begin in range(0, max(rows.num_rows, 1), _BATCH_ROWS):
        plain = _flat(rows.slice(begin, _BATCH_ROWS), _width(rows))
        if writer is None:
            writer = pa.csv.CSVWriter(file, plain.schema)
        writer.write_table(plain)
    if writer is not None:
        writer.close()


def _width(rows: pa.Table) -> dict[str, int]:
    """Return the number of columns for each list over task classes."""
    found = {}
    for name in _PER_CLASS & set(rows.column_names):
        found[name] = pa.compute.max(pa.compute.list_value_length(rows.column(name))).as_py() or 0
    return found


def _flat(rows: pa.Table, width: dict[str, int]) -> pa.Table:
    """Return rows without lists and dictionaries."""
    columns: dict[str, Any] = {}
    for field in rows.schema:
        column = rows.column(field.name)
        if field.name in width:
            values = column.to_pylist()
            for index in range(width[field.name]):
                one = [items[index] if items is not None and index < len(items) else None for items in values]
                columns[f"{field.name}[{index}]"] = pa.array(one, type=field.type.value_type)
        elif pa.types.is_list(field.type):
            columns[field.name] = pa.array([_spell(items) for items in column.to_pylist()], type=pa.string())
        elif pa.types.is_dictionary(field.type) or pa.types.is_string(field.type):
            columns[field.name] = _harmless(column.cast(pa.string()))
        else:
            columns[field.name] = column
    return pa.table(columns)


def _harmless(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts; those that a spreadsheet would take for formulas or for quoted texts get an apostrophe in front."""
    return pa.compute.replace_substring_regex(texts, pattern=_FORMULA, replacement=r"'\1")


def _spell(items: list[float | None] | None) -> str | None:
    if items is None:
        return None
    plain = [item if item is not None and math.isfinite(item) else None for item in items]
    return json.dumps(plain, separators=(",", ":"))


def _describe(table: str, rows: pa.Table) -> Iterator[tuple[str, str, str, str]]:
    """Yield one line of the list of columns for each column of the file."""
    width = _width(rows)
    for column in TABLES[table].columns:
        if column.name in width:
            for index in range(width[column.name]):
                yield table, f"{column.name}[{index}]", column.unit, f"of task class {index}"
        elif pa.types.is_list(column.type):
            yield table, column.name, column.unit, "JSON list over vehicles, then task classes"
        else:
            yield table, column.name, column.unit, "value"
