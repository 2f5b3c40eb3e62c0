"""Reads times in files of others, which are numbers of any unit, dates or clocks, as whole nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.errors import InputError
from traces.exogenous.columns import Columns, cast, decoded_type, is_text, scale_of
from traces.exogenous.source import shown

TIME_S_MAX = 4e9
TIME_NS_MAX = int(TIME_S_MAX * 1e9)
TEXT_FORMS = "date and time, such as 2019-12-14 10:16:30; other forms: --time-format"

_EPOCH_S_MIN = 1e9  # September 2001
_APART_NS_MIN = 100_000
"""Samples of this field are at least 0.1 ms apart. If they seem closer, their times are not in ns."""
_APART_S_MAX = 3600
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3}

_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LIKE_DATE = re.compile(r"\d+[-/.:]\d+[-/.:T ]\d")
_CLOCK = r"^(?:(?P<d>\d{1,5}):)?(?P<h>\d{1,6}):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?$"
_END = r"(\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})?$"
# The year is first; the separators are those that Arrow reads, and those of loggers and file names.
_DATES = (
    r"^(\d{4})[./-](\d{2})[./-](\d{2})[T _](\d{2})[:.-](\d{2})[:.-](\d{2})" + _END,
    r"^(\d{4})(\d{2})(\d{2})[T _](\d{2})(\d{2})(\d{2})" + _END,
)


class Times(NamedTuple):
    """Times of rows.

    t_ns : [num_row], ns
    dated : whether they count from 1970
    note : sentence about what was recognised; "" if the file or the user said everything
    """

    t_ns: Ints
    dated: bool
    note: str = ""


def times(columns: Columns, time_format: str = "", *, mappable: bool = True) -> Times:
    """Return the times of the rows.

    Numbers of ``t_s`` are seconds, those of ``t_ns`` whole ns, unless the map gives a unit. In a column of another name
    that is mapped to ``t_ns`` without a unit, seconds, ms and us since 1970 are recognised where ns make no sense.
    Texts are dates with the year first, or h:m:s or d:h:m:s. Fractions are rounded to 1 us: what a float64 holds.

    Parameters
    ----------
    columns : with ``t_ns`` or ``t_s``
    time_format : as of `datetime.strptime`, which then reads every time
    mappable : whether the user may say which column is which

    Raises
    ------
    InputError : the first row whose time is none; numbers whose unit is not clear
    """
    field = time_field(columns)
    column = columns.values[field]
    if time_format:
        return _of_format(columns, field, time_format)
    kind = decoded_type(column.type)
    first = (column[0].as_py() or "").strip() if is_text(kind) else ""
    if re.match(_CLOCK, first):
        return Times(_of_clock(columns, field), False)
    is_date = pa.types.is_timestamp(kind) or (first and not _NUMBER.fullmatch(first))
    if field == "t_ns" and is_date:
        return Times(_of_dates(columns, field, first), True)
    if mappable and is_date and (not first or _LIKE_DATE.match(first)):
        name = columns.names[field]
        accepted = f"a number; dates go with --map t_ns={name}"
        raise columns.rows.error(0, name, f"{shown(first or str(column[0].as_py()))} is not a number", accepted)
    if field in columns.units:
        t_ns = _of_unit(columns, field, columns.units[field])
        return Times(t_ns, field == "t_ns" and bool(t_ns.min() >= _EPOCH_S_MIN * 1e9))
    return Times(_of_unit(columns, field, "s"), False) if field == "t_s" else _of_unknown(columns, field)


def time_field(columns: Columns) -> str:
    """Return the field that holds the times."""
    return "t_ns" if "t_ns" in columns.values else "t_s"


def time_name(columns: Columns) -> str:
    """Return the name of the column of times in the file."""
    return columns.names[time_field(columns)]


def to_ns(values: Floats, unit_ns: int) -> Ints:
    """Convert times, in units of `unit_ns`, to ns, rounded to 1 us; whole units are kept apart, so dates are exact.

    >>> to_ns(np.array([0.1, 1700000000.3]), 10**9).tolist(), to_ns(np.array([1.5, 0.25]), 10**6).tolist()
    ([100000000, 1700000000300000000], [1500000, 250000])
    """
    whole = np.floor(values)
    quantum_ns = min(1000, unit_ns)
    rest: Ints = np.rint((values - whole) * (unit_ns / quantum_ns)).astype(np.int64)
    return whole.astype(np.int64) * unit_ns + rest * quantum_ns


def _of_unit(columns: Columns, field: str, unit: str) -> Ints:
    """Return numbers of a known unit."""
    unit_ns = int(scale_of("t_s", unit) * 10**9)
    name, rows = columns.names[field], columns.rows
    plain = Columns(columns.values, columns.names, rows)
    whole = unit_ns < 10**9 and _is_whole(columns.values[field])  # a float64 holds whole seconds
    values: NDArray[Any] = plain.integers(field) if whole else plain.numbers(field)
    most = TIME_NS_MAX // unit_ns
    bad = (values < 0) | (values > most)
    accepted = f"0 {unit} to {most:g} {unit}"
    if bad.any() and (other := _since_1970(values[bad])) and unit == "s":
        accepted += f"; of {other} since 1970: --map {field}={name}:{other}"
    rows.refuse(bad, name, values, "is out of range", accepted)
    return values * unit_ns if whole else to_ns(values, unit_ns)


def _is_whole(column: pa.ChunkedArray) -> bool:
    """Return whether numbers are read as whole numbers; seconds of SUMO, such as 1.00, are not."""
    kind = decoded_type(column.type)
    if not is_text(kind):
        return bool(pa.types.is_integer(kind))
    values = pc.utf8_trim_whitespace(column.cast(kind).cast(pa.string()))
    return bool(pc.all(pc.match_substring_regex(values, r"^[+-]?\d{1,19}$")).as_py())


def _since_1970(values: Floats | Ints) -> str:
    """Return the unit in which all values are times since 1970, from 2001 to 2096; "" if there is none."""
    least, most = float(values.min()), float(values.max())
    for unit, unit_ns in _NS.items():
        per_s = 1e9 / unit_ns
        if per_s * _EPOCH_S_MIN <= least and most <= per_s * TIME_S_MAX:
            return unit
    return ""


def _of_unknown(columns: Columns, field: str) -> Times:
    """Return numbers that are ns, unless they make sense as seconds, ms or us since 1970 and not as ns."""
    name, rows = columns.names[field], columns.rows
    values: NDArray[Any] = columns.integers(field) if _is_whole(columns.values[field]) else columns.numbers(field)
    rows.refuse((values < 0) | (values > TIME_NS_MAX), name, values, "is out of range", f"0 ns to {TIME_NS_MAX} ns")
    unit = _since_1970(values)
    broken = values % 1 != 0
    if broken.any() and unit and name != field:
        return Times(_of_unit(columns, field, unit), True, f"{name}: {unit} since 1970")
    rows.refuse(broken, name, values, "is not a whole number", f"whole ns; of seconds: --map t_s={name}")
    values = values.astype(np.int64)
    gaps = np.diff(np.unique(values))
    apart = float(np.median(gaps)) if len(gaps) else 0.0
    may_be_ns = not apart or apart >= _APART_NS_MIN
    may_be_unit = bool(unit) and (not apart or apart * _NS[unit] <= _APART_S_MAX * 1e9)
    told = name == field  # its name is its unit
    if may_be_ns and (told or not may_be_unit):
        return Times(values, False)
    if may_be_unit and not (told or may_be_ns):
        return Times(_of_unit(columns, field, unit), True, f"{name}: {unit} since 1970")
    if told and not may_be_unit:
        return Times(values, False)
    first = f"{shown(values[0])} is a time of unknown unit"
    reason = f"{unit} since 1970, or ns" if unit else f"as ns, rows are {apart:g} ns apart"
    raise rows.error(0, name, f"{first}: {reason}", f"--map {field}={name}:UNIT, with s, ms, us or ns")


def _of_dates(columns: Columns, field: str, first: str) -> Ints:
    column, name, rows = columns.values[field], columns.names[field], columns.rows
    kind = decoded_type(column.type)
    if first:
        target = pa.timestamp("ns", "UTC" if _ZONE.search(first) else None)
        column = pc.utf8_trim_whitespace(column.cast(kind).cast(pa.string()))
        column = pc.replace_substring_regex(column, r",(\d+)", r".\1")
        for form in _DATES:
            column = pc.replace_substring_regex(column, form, r"\1-\2-\3 \4:\5:\6\7\8")
    else:
        target = pa.timestamp("ns", kind.tz)
    hint = TEXT_FORMS.removeprefix("date and time")
    t_ns = cast(column, target, name, rows, "date and time", hint).view(np.int64)
    _refuse_year(t_ns, columns, field)
    return t_ns


def _refuse_year(t_ns: Ints, columns: Columns, field: str) -> None:
    bad = (t_ns < 0) | (t_ns > TIME_NS_MAX)
    if bad.any():
        index = int(bad.argmax())
        value = shown(str(columns.values[field][index].as_py()))
        raise columns.rows.error(index, columns.names[field], f"{value} is out of range", "years 1970 to 2096")


def _of_clock(columns: Columns, field: str) -> Ints:
    """Return clocks, h:m:s or d:h:m:s, as SUMO writes them with --human-readable-time."""
    name, rows = columns.names[field], columns.rows
    found = pc.extract_regex(columns.texts(field), _CLOCK)
    parts = {
        key: np.asarray(pc.fill_null(pc.if_else(pc.equal(texts, ""), "0", texts), "99").cast(pa.int64()))
        for key, texts in ((key, pc.struct_field(found, key)) for key in "dhms")
    }
    fraction = pc.fill_null(pc.utf8_rpad(pc.struct_field(found, "f"), 9, "0"), "0")
    is_none = np.asarray(found.is_null()) | (parts["m"] > 59) | (parts["s"] > 59)
    total_s = ((parts["d"] * 24 + parts["h"]) * 60 + parts["m"]) * 60 + parts["s"]
    is_none |= total_s > TIME_S_MAX
    rows.refuse(is_none, name, columns.texts(field).to_pylist(), "is not a clock", "h:m:s or d:h:m:s")
    nanoseconds: Ints = total_s * 1_000_000_000 + np.asarray(fraction.cast(pa.int64()))
    return nanoseconds


def _of_format(columns: Columns, field: str, time_format: str) -> Times:
    """Return texts that `datetime.strptime` reads, in UTC unless they name a zone."""
    _check_format(time_format)
    name, rows = columns.names[field], columns.rows
    encoded = columns.texts(field).dictionary_encode()
    begin = datetime(1970, 1, 1, tzinfo=UTC)
    found: list[int] = []
    is_yearless = not re.search(r"%[YyGcxDF]", time_format.replace("%%", ""))
    if is_yearless:
        begin = datetime(1900, 1, 1, tzinfo=UTC)  # where strptime begins
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            moment = datetime.strptime(text, time_format)  # noqa: DTZ007 - the zone follows
        except ValueError:
            index = encoded.indices.index(code).as_py()
            raise rows.error(index, name, f"{shown(text)} is of another form", time_format) from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        found.append((aware - begin) // timedelta(microseconds=1))
    micro = np.array(found, dtype=np.int64)[encoded.indices.to_numpy()]
    t_ns = np.clip(micro, -1, TIME_NS_MAX // 1000 + 1) * 1000
    _refuse_year(t_ns, columns, field)
    return Times(t_ns, not is_yearless)


def _check_format(time_format: str) -> None:
    try:
        datetime.strptime("", time_format)  # noqa: DTZ007 - only the format is looked at
    except ValueError as error:
        if "does not match format" not in str(error):
            accepted = "a format of strptime, such as %Y.%m.%d_%H.%M.%S"
            raise InputError(str(error), where="--time-format", accepted=accepted) from None
