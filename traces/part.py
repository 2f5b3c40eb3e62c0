"""Reads one Parquet file of a table; its metadata are checked before the rows are read, and its rows afterwards."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from physical.errors import InputError
from traces.limits import Extent, check_rows
from traces.schema import Column, Table

_VALUES_PLAIN, _VALUES_PER_BYTE, _TEXTS_MAX = 1 << 26, 100, 1 << 29
"""This number of values or bytes is harmless. A small file with more of them is meant to fill the memory."""


def check_own(path: Path, folder: Path) -> None:
    """Refuse everything but a run's own files: pipes and devices, which may never end, and links to other places.

    folder : of the run

    Raises
    ------
    InputError : it is no such file, or does not exist
    """
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
        is_within = path.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        problem = f"cannot be read: {getattr(error, 'strerror', None) or 'links in a circle'}"
        raise InputError(problem, where=str(path)) from None
    if not is_regular:
        raise InputError("is not a regular file", where=str(path))
    if not is_within:
        raise InputError("is a link to a file outside the run", where=str(path), accepted="a copy of that file")


def read_part(path: Path, table: Table, extent: Extent | None = None) -> pa.Table:
    """Read a part; columns that the table does not have are left out.

    extent : sizes of the run; None if the values of the rows need not be checked

    Raises
    ------
    InputError : the file is not Parquet, encrypted or damaged, a column is missing or of another type, or a value is
        impossible
    """
    where = str(path)
    try:
        # Repeated values stay a dictionary until their size is known.
        texts = [column.name for column in table.columns if _is_text(column.type)]
        # A file of Arrow's, whose threads would ask Python for the bytes of another one, also while Python ends. And no
        # path, as some names look like addresses of the network.
        with pa.OSFile(where) as data:
            head = pq.ParquetFile(data)
            _check_columns(head.schema_arrow, table, where)
            _check_size(head.metadata, table, extent, where)
            rows = pq.ParquetFile(data, metadata=head.metadata, read_dictionary=texts).read(
                [column.name for column in table.columns]
            )
        rows.validate(full=True)
        arrays = [_converted(rows.column(column.name), column.type) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        told = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"cannot be read: {told}", where=where) from error
    rows = pa.Table.from_arrays(arrays, schema=table.schema())
    if extent is not None:
        check_rows(rows, table, extent, where)
    return rows


def _check_columns(schema: pa.Schema, table: Table, where: str) -> None:
    for column in table.columns:
        found = schema.get_all_field_indices(column.name)
        kind = schema.field(found[0]).type if found else None
        if len(found) == 1 and _fits(kind, column):
            continue
        problem = "is missing" if not found else "is there twice" if len(found) > 1 else f"has type {kind}"
        raise InputError(problem, where=where, key=column.name, accepted=_spelled(column.type))


def _check_size(metadata: pq.FileMetaData, table: Table, extent: Extent | None, where: str) -> None:
    """Refuse too many rows before they are read, because a small file can hold very many equal rows."""
    most = None if extent is None else extent.rows_max(table)
    if most is not None and metadata.num_rows > most:
        raise InputError(f"has {metadata.num_rows} rows", where=where, accepted=f"at most {most} in this run")
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    values = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    if values > max(_VALUES_PLAIN, _VALUES_PER_BYTE * Path(where).stat().st_size):
        accepted = f"at most {_VALUES_PER_BYTE} per byte"
        raise InputError(f"holds {values} values in few bytes", where=where, accepted=accepted)


def _fits(kind: pa.DataType, column: Column) -> bool:
    """Tell whether a type of a file suits a column; texts may have any encoding."""
    if _is_text(column.type):
        return _is_text(kind)
    if pa.types.is_list(column.type):
        return bool(pa.types.is_list(kind) and kind.value_type == column.type.value_type)
    return bool(kind == column.type or (column.single and kind == pa.float32()))  # of version 2


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _decoded_bytes(texts: pa.DictionaryArray) -> int:
    """Return the number of bytes of texts without their dictionary."""
    import pyarrow.compute as pc  # a run that is only written does not need it

    lengths = np.append(np.asarray(pc.binary_length(texts.dictionary).fill_null(0), dtype=np.int64), 0)
    return int(lengths[np.asarray(texts.indices.fill_null(-1))].sum())


def _spelled(kind: pa.DataType) -> str:
    return "texts" if _is_text(kind) else str(kind)


def _converted(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return values with the type of the table."""
    if values.type == kind:
        return values
    if not _is_text(kind):
        return values.cast(kind)
    if pa.types.is_dictionary(values.type) and (size := sum(map(_decoded_bytes, values.chunks))) > _TEXTS_MAX:
        raise ValueError(f"texts of {size} bytes in {len(values)} rows")
    plain = values.cast(pa.string())
    return plain.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else plain
