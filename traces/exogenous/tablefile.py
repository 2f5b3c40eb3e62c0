"""Reads the header and some columns of tables of others, CSV or Parquet, without changing the values."""

from __future__ import annotations

import csv
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from physical.errors import InputError
from traces.exogenous.source import expands_too_far, format_of, most_expanded, opened, plain, shown

HEADER_BYTES_MAX = 1 << 20

# Arrow's complaint; an invalid_row_handler would be told the same, but not of rows that are not UTF-8.
_WIDTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


@dataclass(frozen=True)
class TableFile:
    """A CSV or Parquet file whose header has been read."""

    path: Path
    names: list[str]
    metadata: Mapping[bytes, bytes]
    delimiter: str = ""

    @property
    def format(self) -> str:
        """Return "csv" or "parquet"."""
        return "csv" if self.delimiter else "parquet"

    @classmethod
    def open(cls, path: Path) -> TableFile:
        """Read the header.

        Raises
        ------
        InputError : no such file, of another format, or with two columns of one name
        """
        if format_of(path, ("csv", "parquet")) == "parquet":
            try:
                schema = pq.read_schema(path.absolute())
            except (pa.ArrowException, OSError, ValueError) as error:
                raise InputError(f"is not Parquet: {_line(error)}", where=str(path)) from error
            file = cls(path, list(schema.names), schema.metadata or {})
        else:
            file = _open_csv(path)
        twice = [name for name, num in Counter(file.names).items() if num > 1]
        if twice:
            raise InputError(f"two columns are called {shown(twice[0])}", where=str(path))
        return file

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read some columns; those of CSV as texts."""
        where = str(self.path)
        try:
            table = self._read_parquet(names) if not self.delimiter else self._read_csv(names)
        except zlib.error as error:
            raise InputError(f"is not gzip: {error}", where=where) from error
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot be read: {_line(error)}", where=where) from error
        if not table.num_rows:
            raise InputError("has no rows", where=where)
        return table

    def _read_parquet(self, names: Sequence[str]) -> pa.Table:
        """Read batch by batch, up to a limit: a row may take no byte of the file, and a text in it the whole file.

        Its absolute path: another one that holds a colon, such as s3:town.parquet, Arrow takes for an address.
        """
        most = left = most_expanded(self.path)
        fields = [pq.read_schema(self.path.absolute()).field(name) for name in names]
        for field in fields:
            if pa.types.is_nested(field.type):
                problem = f"has values of type {field.type}"
                raise InputError(problem, where=str(self.path), key=plain(field.name), accepted="numbers or texts")
        batches = []
        texts = [field.name for field in fields if pa.types.is_string(field.type)]
        with pq.ParquetFile(self.path.absolute(), read_dictionary=texts) as file:
            for batch in file.iter_batches(columns=list(names), use_threads=False):
                left -= sum(map(_decoded_bytes, batch.columns))
                if left < 0:
                    raise expands_too_far(str(self.path), most)
                batches.append(batch)
        table = pa.Table.from_batches(batches, batches[0].schema if batches else pa.schema(fields))
        table.validate(full=True)
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


def _decoded_bytes(column: pa.Array) -> int:
    """Return the size of a column whose texts are not in a dictionary."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return 4 * len(column) + int(pc.sum(lengths).as_py() or 0)


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
