"""Tables with columns of other names and types, CSV or Parquet: which column is which, and its values, checked."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from physical.errors import InputError
from traces.exogenous.source import Rows, check_file, opened, plain, shown, some, suffix

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
HEADER_BYTES_MAX = 1 << 20
TIME_S_MAX = 4e9
TIME_NS_MAX = int(TIME_S_MAX * 1e9)

Names = Mapping[str, Sequence[str]]
"""Field: the names that its column may have."""

_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
# Arrow's complaint; an invalid_row_handler would be told the same, but not of rows that are not UTF-8.
_WIDTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_CASTABLE = (
    *(pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    *(pa.types.is_timestamp, pa.types.is_null),
)
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class TableFile:
    """A CSV or Parquet file whose header has been read."""

    path: Path
    names: list[str]
    metadata: Mapping[bytes, bytes]
    delimiter: str = ""

    @classmethod
    def open(cls, path: Path) -> TableFile:
        """Read the header.

        Raises
        ------
        InputError : no such file, of another format, or with two columns of one name
        """
        check_file(path, SUFFIXES)
        if suffix(path) == ".parquet":
            try:
                schema = pq.read_schema(path)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise InputError(f"is not Parquet: {_line(error)}", where=str(path)) from error
            file = cls(path, list(schema.names), schema.metadata or {})
        else:
            file = _open_csv(path)
        twice = [name for name in file.names if file.names.count(name) > 1]
        if twice:
            raise InputError(f"two columns are called {shown(twice[0])}", where=str(path))
        return file

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read some columns; those of CSV as texts."""
        where = str(self.path)
        try:
            if not self.delimiter:
                table = pq.read_table(self.path, columns=list(names))
                table.validate(full=True)
            else:
                table = self._read_csv(names)
        except zlib.error as error:
            raise InputError(f"is not gzip: {error}", where=where) from error
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot be read: {_line(error)}", where=where) from error
        if not table.num_rows:
            raise InputError("has no rows", where=where)
        return table

    def _read_csv(self, names: Sequence[str]) -> pa.Table:
        with opened(self.path) as file:
            try:
                return pyarrow.csv.read_csv(
                    file,
                    # Rows are counted only by one thread.
                    read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=self.names, skip_rows=1),
                    parse_options=pyarrow.csv.ParseOptions(delimiter=self.delimiter),
                    convert_options=pyarrow.csv.ConvertOptions(
                        include_columns=list(names),
                        column_types=dict.fromkeys(names, pa.string()),
                        strings_can_be_null=False,
                    ),
                )
            except pa.ArrowInvalid as error:
                found = _WIDTH.search(str(error))
                if not found:
                    raise
                line, width, actual = found.groups()
                problem, key = f"has {actual} columns", f"row {int(line) - 1}"
                raise InputError(problem, where=str(self.path), key=key, accepted=width) from None


def _open_csv(path: Path) -> TableFile:
    with opened(path) as file:
        line = file.readline(HEADER_BYTES_MAX + 1)
    try:
        text = line.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error.reason}", where=str(path), key="header") from error
    if len(line) > HEADER_BYTES_MAX or "\0" in text or not text.strip():
        raise InputError("is not a line of column names", where=str(path), key="header")
    delimiter = max(",;\t", key=text.count)
    try:
        names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter))]
    except csv.Error as error:
        raise InputError(f"is not CSV: {_line(error)}", where=str(path), key="header") from error
    return TableFile(path, names, {}, delimiter)


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def parse_map(texts: Sequence[str]) -> dict[str, str]:
    """Return the column map that ``--map CANONICAL=NAME`` options give.

    >>> parse_map(["x_m=utm east", "t_s=time"])
    {'x_m': 'utm east', 't_s': 'time'}
    """
    found: dict[str, str] = {}
    for text in texts:
        field, equals, name = text.partition("=")
        if not equals or not field or not name:
            raise InputError(f"{shown(text)} is no map", where="--map", accepted="CANONICAL=NAME")
        if field in found:
            raise InputError("is given twice", where="--map", key=plain(field), accepted="once")
        found[field] = name
    return found


def resolve(
    file: TableFile,
    fields: Names,
    alternatives: Sequence[tuple[str, ...]],
    optional: set[str],
    mapped: Mapping[str, str],
    hint: str = "--map {}=NAME",
) -> dict[str, str]:
    """Return which column holds which field.

    Parameters
    ----------
    fields : what columns may be called
    alternatives : fields of which one is enough, such as ("t_ns", "t_s"); every field is in one of them
    optional : first fields of alternatives that may be missing
    mapped : field: column, where the user says so
    hint : what else helps where the field {} has no column
    """
    where = str(file.path)
    for field, name in mapped.items():
        if field not in fields:
            raise InputError(f"{shown(field)} is no column to map", where="--map", accepted=", ".join(fields))
        if name not in file.names:
            problem = f"there is no column {shown(name)}"
            raise InputError(problem, where=where, key=f"--map {field}", accepted=some(file.names))
    found: dict[str, str] = {}
    for group in alternatives:
        given = {field: mapped[field] for field in group if field in mapped}
        if len(given) > 1:
            raise InputError("are given both", where="--map", key=", ".join(given), accepted="one of them")
        named = [(field, name) for field in group for name in fields[field] if name in file.names]
        given = given or dict(named[:1])
        if not given and group[0] not in optional:
            names = " or ".join(name for field in group for name in fields[field])
            problem = f"no column for it among {some(file.names)}"
            accepted = f"a column {names}, or {hint.format(group[0])}"
            raise InputError(problem, where=where, key=group[0], accepted=accepted)
        found |= given
    return found


def numbers(column: pa.ChunkedArray, name: str, rows: Rows) -> NDArray[np.float64]:
    """Return the finite numbers of a column, [num_row]."""
    values: NDArray[np.float64] = _cast(column, pa.float64(), name, rows, "a number")
    rows.refuse(~np.isfinite(values), name, values, "is not finite", "a finite number")
    return values


def integers(column: pa.ChunkedArray, name: str, rows: Rows) -> NDArray[np.int64]:
    """Return the whole numbers of a column, [num_row]."""
    values: NDArray[np.int64] = _cast(column, pa.int64(), name, rows, "a whole number")
    return values


def texts(column: pa.ChunkedArray, name: str, rows: Rows, *, optional: bool = False) -> pa.Array:
    """Return the texts of a column, or its whole numbers as texts; where `optional`, null if there is none."""
    kind = _decoded_type(column.type)
    if not (_is_text(kind) or pa.types.is_integer(kind)):
        raise _wrong_type(column, name, rows, "texts")
    values = pc.utf8_trim_whitespace(column.cast(kind).cast(pa.string()).combine_chunks())
    empty = pc.fill_null(pc.equal(values, ""), True)
    if optional:
        return pc.if_else(empty, None, values)
    if pc.any(empty).as_py():
        raise rows.error(int(np.asarray(empty).argmax()), name, "is missing", "a text")
    return values


def times(
    columns: Mapping[str, pa.ChunkedArray], names: Mapping[str, str], rows: Rows
) -> tuple[NDArray[np.int64], bool]:
    """Return the times of the rows [ns], and whether they are dates, that is, since 1970.

    Parameters
    ----------
    columns : by field, ``t_ns`` (whole ns, or date and time) or ``t_s`` (s, rounded to 1 us: what a float64 holds)
    names : what the columns are called in the file
    """
    field = "t_ns" if "t_ns" in columns else "t_s"
    column, name = columns[field], names[field]
    if field == "t_s":
        seconds = numbers(column, name, rows)
        rows.refuse(
            (seconds < 0) | (seconds > TIME_S_MAX), name, seconds, "is out of range", f"0 s to {TIME_S_MAX:g} s"
        )
        return seconds_to_ns(seconds), False
    dated = _date_type(column)
    if dated is not None:
        return _cast(column, dated, name, rows, "date and time").view(np.int64), True
    values = integers(column, name, rows)
    rows.refuse((values < 0) | (values > TIME_NS_MAX), name, values, "is out of range", f"0 ns to {TIME_NS_MAX} ns")
    return values, False


def time_name(names: Mapping[str, str]) -> str:
    """Return what the column of times is called in the file."""
    return names["t_ns"] if "t_ns" in names else names["t_s"]


def seconds_to_ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Convert times to whole microseconds, in ns; the whole seconds apart, so that dates lose nothing.

    >>> seconds_to_ns(np.array([0.1, 1700000000.3])).tolist()
    [100000000, 1700000000300000000]
    """
    whole = np.floor(seconds)
    micro: NDArray[np.int64] = np.rint((seconds - whole) * 1e6).astype(np.int64)
    return whole.astype(np.int64) * 1_000_000_000 + micro * 1000


def _date_type(column: pa.ChunkedArray) -> pa.DataType | None:
    """Return the type to cast a column of dates and times to, or None for a column of numbers."""
    kind = _decoded_type(column.type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if not _is_text(kind):
        return None
    first = (column[0].as_py() or "").strip()
    if not first or _WHOLE.fullmatch(first):
        return None
    return pa.timestamp("ns", "UTC" if _ZONE.search(first) else None)


def _cast(column: pa.ChunkedArray, target: pa.DataType, name: str, rows: Rows, accepted: str) -> NDArray[Any]:
    """Convert a column without loss, and complain about the first row that cannot be."""
    kind = _decoded_type(column.type)
    if not (_is_text(kind) or any(test(kind) for test in _CASTABLE)):
        raise _wrong_type(column, name, rows, accepted)
    values = column.cast(kind).combine_chunks()
    if _is_text(kind):
        values = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(values, ""), None, values)
    if values.null_count:
        raise rows.error(int(np.asarray(values.is_null()).argmax()), name, "is missing", accepted)
    try:
        return np.asarray(values.cast(target))
    except pa.ArrowNotImplementedError:
        raise _wrong_type(column, name, rows, accepted) from None
    except pa.ArrowInvalid:
        index = _first_bad(values, target)
        problem = f"{shown(values[index].as_py())} is not {accepted}"
        raise rows.error(index, name, problem, accepted) from None


def _first_bad(values: pa.Array, target: pa.DataType) -> int:
    """Return the first row that cannot be cast, by halving."""
    begin, end = 0, len(values)
    while end - begin > 1:
        middle = (begin + end) // 2
        try:
            values[begin:middle].cast(target)
            begin = middle
        except pa.ArrowInvalid:
            end = middle
    return begin


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _wrong_type(column: pa.ChunkedArray, name: str, rows: Rows, accepted: str) -> InputError:
    return InputError(f"has values of type {column.type}", where=rows.where, key=plain(name), accepted=accepted)
