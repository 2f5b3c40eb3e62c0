"""Reads columns in files of others: finds the field and the unit of each, and checks its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from physical import quantity
from physical.arrays import Floats, Ints
from physical.errors import InputError
from traces.exogenous.source import Rows, plain, shown, some
from traces.exogenous.tablefile import TableFile

Names = Mapping[str, Sequence[str]]
"""Field: the names that its column may have."""

_UNITS = {"ns": "s", "s": "s", "m": "m", "mps": "m/s", "bps": "bit/s", "rad": "rad", "deg": "deg"}
"""Suffix of a field -> its unit, to which other units are converted."""
_CASTABLE = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_timestamp,
    pa.types.is_null,
)


@dataclass(frozen=True)
class Columns:
    """Columns of a file by canonical field.

    values : field -> values as they are in the file
    names : field -> name of its column in the file
    rows : for errors that name a row
    units : field -> unit of its values, if the user gives it; otherwise it is the unit in the field's name
    """

    values: Mapping[str, pa.ChunkedArray]
    names: Mapping[str, str]
    rows: Rows
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_row(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.values.values())))

    def has(self, name: str) -> bool:
        """Return whether the file has a value of a field in any row."""
        column = self.values.get(name)
        return column is not None and column.null_count < len(column)

    def numbers(self, name: str) -> Floats:
        """Return the finite numbers of a field, in its unit, [num_row]."""
        values: Floats = cast(self.values[name], pa.float64(), self.names[name], self.rows, "a number")
        self.rows.refuse(~np.isfinite(values), self.names[name], values, "is not finite", "a finite number")
        if name not in self.units:
            return values
        factor = scale_of(name, self.units[name])
        # If the factor is a fraction, the values are divided, because 3.6 has an exact decimal and 1/3.6 has not.
        return values * float(factor) if factor >= 1 else values / float(1 / factor)

    def integers(self, name: str) -> Ints:
        """Return the whole numbers of a field, [num_row]."""
        values: Ints = cast(self.values[name], pa.int64(), self.names[name], self.rows, "a whole number")
        return values

    def texts(self, name: str, *, optional: bool = False) -> pa.Array:
        """Return the texts of a field, or its whole numbers as texts; where `optional`, null if there is none."""
        column, rows = self.values[name], self.rows
        kind = decoded_type(column.type)
        if not (is_text(kind) or pa.types.is_integer(kind)):
            raise _wrong_type(column, self.names[name], rows, "texts")
        values = pc.utf8_trim_whitespace(column.cast(kind).cast(pa.string()).combine_chunks())
        broken = pc.fill_null(pc.match_substring(values, "\0"), False)
        if pc.any(broken).as_py():
            raise rows.error(int(np.asarray(broken).argmax()), self.names[name], "holds a NUL", "a text")
        empty = pc.fill_null(pc.equal(values, ""), True)
        if optional:
            return pc.if_else(empty, None, values)
        if pc.any(empty).as_py():
            raise rows.error(int(np.asarray(empty).argmax()), self.names[name], "is missing", "a text")
        return values


def read_columns(
    file: TableFile,
    fields: Names,
    alternatives: Sequence[tuple[str, ...]],
    optional: set[str],
    mapped: Mapping[str, str] | None = None,
    hint: str = "--map {}=NAME",
) -> Columns:
    """Find the columns of a file and read them.

    Parameters
    ----------
    fields : names that columns may have
    alternatives : fields of which one is enough, such as ("t_ns", "t_s"); every field is in one of them
    optional : first fields of alternatives that may be missing
    mapped : field: column, or column:unit, as the user gives it
    hint : advice for the case that the field {} has no column

    Raises
    ------
    InputError : a column is missing or unknown, or a unit does not suit its field
    """
    names, units = _resolve(file, fields, alternatives, optional, mapped or {}, hint)
    table = file.read(list(dict.fromkeys(names.values())))
    values = {field: table.column(name) for field, name in names.items()}
    return Columns(values, names, Rows(str(file.path)), units)


def scale_of(name: str, unit: str) -> Decimal:
    """Return the size of another unit in a field's unit; times are in seconds.

    >>> scale_of("uplink_rate_bps", "kbit/s"), scale_of("t_ns", "ms")
    (Decimal('1000'), Decimal('0.001'))
    """
    own = _UNITS.get(name.rpartition("_")[2], "")
    if not own:
        raise InputError("has no unit", where="--map", key=plain(name), accepted="--map CANONICAL=NAME")
    try:
        return quantity.scale(unit, own)
    except ValueError as error:
        problem, _, accepted = str(error).partition("; ")
        raise InputError(problem, where="--map", key=plain(name), accepted=accepted) from None


def parse_map(texts: Sequence[str]) -> dict[str, str]:
    """Return the column map that ``--map CANONICAL=NAME`` or ``CANONICAL=NAME:UNIT`` options give.

    >>> parse_map(["x_m=utm east", "speed_mps=v:km/h"])
    {'x_m': 'utm east', 'speed_mps': 'v:km/h'}
    """
    found: dict[str, str] = {}
    for text in texts:
        field, equals, name = text.partition("=")
        if not equals or not field or not name:
            raise InputError(
                f"{shown(text)} is no map", where="--map", accepted="CANONICAL=NAME or CANONICAL=NAME:UNIT"
            )
        if field in found:
            raise InputError("is given twice", where="--map", key=plain(field), accepted="once")
        found[field] = name
    return found


def _resolve(
    file: TableFile,
    fields: Names,
    alternatives: Sequence[tuple[str, ...]],
    optional: set[str],
    mapped: Mapping[str, str],
    hint: str,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the column of each field, and the units that `mapped` gives."""
    where = str(file.path)
    said: dict[str, str] = {}
    units: dict[str, str] = {}
    for name, text in mapped.items():
        if name not in fields:
            field, colon, unit = text.partition(":")
            if name in file.names and field in fields:
                accepted = f"turned round: --map {field}={plain(name)}{colon}{plain(unit)}"
                raise InputError(f"{shown(name)} is a column of the file", where="--map", accepted=accepted)
            raise InputError(f"{shown(name)} is no column to map", where="--map", accepted=", ".join(fields))
        said[name], unit = _column_and_unit(file, name, text)
        if unit:
            units[name] = unit
    found: dict[str, str] = {}
    for group in alternatives:
        given = {name: said[name] for name in group if name in said}
        if len(given) > 1:
            raise InputError("are given both", where="--map", key=", ".join(given), accepted="one of them")
        known = [(name, column) for name in group for column in fields[name] if column in file.names]
        given = given or dict(known[:1])
        if not given and group[0] not in optional:
            names = " or ".join(column for name in group for column in fields[name])
            problem = f"no column for it among {some(file.names)}"
            accepted = f"a column {names}, or {hint.format(group[0])}"
            raise InputError(problem, where=where, key=group[0], accepted=accepted)
        found |= given
    return found, units


def _column_and_unit(file: TableFile, name: str, text: str) -> tuple[str, str]:
    """Split NAME:UNIT, unless a column has the whole text as its name."""
    if text in file.names:
        return text, ""
    column, colon, unit = text.rpartition(":")
    if not colon or column not in file.names:
        problem = f"there is no column {shown(column if colon else text)}"
        raise InputError(problem, where=str(file.path), key=f"--map {name}", accepted=some(file.names))
    scale_of(name, unit)
    return column, unit


def cast(
    column: pa.ChunkedArray, target: pa.DataType, name: str, rows: Rows, accepted: str, hint: str = ""
) -> NDArray[Any]:
    """Convert a column without loss; an error names the first row that cannot be converted, and ends with `hint`."""
    kind = decoded_type(column.type)
    if not (is_text(kind) or any(test(kind) for test in _CASTABLE)):
        raise _wrong_type(column, name, rows, accepted)
    values = column.cast(kind).combine_chunks()
    if is_text(kind):
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
        raise rows.error(index, name, problem, accepted + hint) from None


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


def decoded_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of values, also of those in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is one of texts."""
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _wrong_type(column: pa.ChunkedArray, name: str, rows: Rows, accepted: str) -> InputError:
    return InputError(f"has values of type {column.type}", where=rows.where, key=plain(name), accepted=accepted)
