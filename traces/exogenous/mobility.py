"""Mobility: from columns of any source to the canonical rows, checked and quantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from physical.errors import InputError
from traces.exogenous import fcd
from traces.exogenous.canonical import is_canonical, read_canonical
from traces.exogenous.columns import SUFFIXES, Names, TableFile, numbers, resolve, texts, time_name, times
from traces.exogenous.schema import (
    AT_INSTANT,
    AT_STEP_BEGIN,
    MOBILITY,
    MobilityTrace,
    Provenance,
    sorted_texts,
    step_of,
)
from traces.exogenous.source import Rows, check_file, sha256_of, shown, suffix

POSITION_M_MAX = 1e7
SPEED_MPS_MAX = 150.0
_TURN = 62832  # 1e-4 rad: what 2 pi rounds to

Floats = NDArray[np.float64]

# With a prefix in Parquet, and in CSV where SUMO needs it to tell elements apart.
FCD_NAMES: Names = {
    "t_s": ("timestep_time", "time"),
    "entity_id": ("vehicle_id", "id"),
    "x_m": ("vehicle_x", "x"),
    "y_m": ("vehicle_y", "y"),
    "speed_mps": ("vehicle_speed", "speed"),
    "angle_deg": ("vehicle_angle", "angle"),
    "kind": ("vehicle_type", "type"),
}
FCD_ALTERNATIVES = tuple((field,) for field in FCD_NAMES)
NAMES: Names = {
    field: (field,)
    for field in ("t_ns", "t_s", "entity_id", "x_m", "y_m", "speed_mps", "heading_rad", "angle_deg", "kind")
}
ALTERNATIVES = (
    ("t_ns", "t_s"),
    ("entity_id",),
    ("x_m",),
    ("y_m",),
    ("speed_mps",),
    ("heading_rad", "angle_deg"),
    ("kind",),
)
OPTIONAL = {"heading_rad", "angle_deg", "kind"}


def quantise_mm(values: Floats) -> Floats:
    """Round to 1/1000: positions [m] to 1 mm, speeds [m/s] to 1 mm/s.

    >>> quantise_mm(np.array([1231.6746349292923, -0.0001])).tolist()
    [1231.675, 0.0]
    """
    # Zero is added because -0.0 has other bits than 0.0.
    rounded: Floats = np.rint(values * 1000.0) / 1000.0 + 0.0
    return rounded


def quantise_heading(heading_rad: Floats) -> NDArray[np.float32]:
    """Round headings [rad] to 1e-4 rad in [0, 2 pi).

    >>> quantise_heading(np.array([-np.pi / 2, 2 * np.pi - 1e-6])).tolist() == [np.float32(4.7124), 0.0]
    True
    """
    units = np.rint(np.mod(heading_rad, 2 * np.pi) * 1e4)
    units[units >= _TURN] = 0.0
    return (units / 1e4).astype(np.float32)


def heading_from_angle(angle_deg: Floats) -> Floats:
    """Convert SUMO's angle [deg], clockwise from north, to a heading [rad], counter-clockwise from east.

    >>> np.rad2deg(heading_from_angle(np.array([0.0, 90.0, 180.0]))).round(9).tolist()
    [90.0, 0.0, 270.0]
    """
    # SUMO keeps single precision; its text formats may show more digits, or fewer.
    single = angle_deg.astype(np.float32).astype(np.float64)
    heading: Floats = np.mod(90.0 - single, 360.0) * (np.pi / 180.0)
    return heading


@dataclass(frozen=True)
class _Origin:
    """What a format means by its rows; `ordered`: the rows of its files are in the order of time."""

    name: str
    time_label: str
    ordered: bool


def read_mobility(path: str | Path, column_map: Mapping[str, str] | None = None, *, licence: str = "") -> MobilityTrace:
    """Read mobility of any known format: canonical Parquet, or SUMO FCD or other columns as XML, CSV or Parquet.

    Parameters
    ----------
    path : the file
    column_map : canonical column: column of the file; only for files that are neither canonical nor of SUMO
    licence : of the source, to be kept with the rows

    Raises
    ------
    InputError : what is wrong in which row and column
    """
    path = Path(path)
    check_file(path, (*SUFFIXES, ".xml"))
    if suffix(path) == ".xml":
        if column_map:
            raise InputError("has no columns to map", where=str(path), accepted="CSV or Parquet")
        return read_fcd(path, licence=licence)
    file = TableFile.open(path)
    if not column_map and is_canonical(file):
        return read_canonical(file, MobilityTrace, licence)
    if not column_map and _is_fcd(file):
        return read_fcd(path, licence=licence)
    names = resolve(file, NAMES, ALTERNATIVES, OPTIONAL, column_map or {})
    table = file.read(list(dict.fromkeys(names.values())))
    columns = {field: table.column(name) for field, name in names.items()}
    origin = _Origin(suffix(path).removeprefix("."), AT_INSTANT, ordered=False)
    return _build(path, columns, names, Rows(str(path)), origin, licence, 0)


def read_fcd(path: str | Path, *, licence: str = "") -> MobilityTrace:
    """Read floating car data of SUMO: XML, also compressed, CSV or Parquet.

    Raises
    ------
    InputError : what is wrong in which row and column
    """
    path = Path(path)
    check_file(path, (".xml", ".csv", ".parquet"))
    kind = suffix(path).removeprefix(".")
    origin = _Origin(f"sumo-fcd-{kind}", AT_STEP_BEGIN, ordered=True)
    if kind == "xml":
        columns, num_left_out = fcd.read_xml(path)
        names = {**fcd.ATTRIBUTES, "t_s": "time"}
        return _build(path, columns, names, Rows(str(path), "vehicle element"), origin, licence, num_left_out)
    file = TableFile.open(path)
    names = resolve(file, FCD_NAMES, FCD_ALTERNATIVES, OPTIONAL, {}, "twin import csv --map {}=NAME")
    table = file.read(list(names.values()))
    rows = Rows(str(path))
    # A row without vehicle is one of a person or a container, or of a time step in which there is nothing.
    kept = _is_told(table.column(names["entity_id"]))
    if not kept.any():
        raise InputError("has no vehicles", where=str(path))
    num_left_out = int(len(kept) - kept.sum())
    if num_left_out:
        table, rows = table.filter(pa.array(kept)), rows.take(kept)
    columns = {field: table.column(name) for field, name in names.items()}
    return _build(path, columns, names, rows, origin, licence, num_left_out)


def _is_fcd(file: TableFile) -> bool:
    return all(set(names) & set(file.names) for field, names in FCD_NAMES.items() if field not in OPTIONAL)


def _is_told(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    told = column.is_valid()
    if pa.types.is_string(column.type):
        told = pc.and_(told, pc.not_equal(pc.fill_null(column, ""), ""))
    return np.asarray(told)


def _build(
    path: Path,
    columns: dict[str, pa.ChunkedArray],
    names: Mapping[str, str],
    rows: Rows,
    origin: _Origin,
    licence: str,
    num_left_out: int,
) -> MobilityTrace:
    """Check, quantise and sort."""
    t_ns, dated = times(columns, names, rows)
    epoch_ns = int(t_ns.min()) if dated else 0
    t_ns = t_ns - epoch_ns
    x_m, y_m = (_position(columns[field], names[field], rows) for field in ("x_m", "y_m"))
    speed_mps = _speed(columns["speed_mps"], names["speed_mps"], rows)
    heading_rad = _heading(columns, names, rows)
    entity = sorted_texts(texts(columns["entity_id"], names["entity_id"], rows))
    kind = _kind(columns, names, rows)
    codes = entity.indices.to_numpy()
    if origin.ordered:
        rows.refuse_return(t_ns, time_name(names))
    _refuse_repetition(t_ns, codes, entity.dictionary, rows, names)
    order = np.lexsort((codes, t_ns))
    table = pa.Table.from_arrays(
        [
            pa.array(t_ns[order]),
            entity.take(pa.array(order)),
            pa.array(x_m[order]),
            pa.array(y_m[order]),
            pa.array(speed_mps[order]),
            heading_rad.take(pa.array(order)),
            kind.take(pa.array(order)),
        ],
        schema=MOBILITY.schema(),
    )
    provenance = Provenance(
        origin=origin.name,
        source=path.name,
        sha256=sha256_of(path),
        licence=licence,
        time_label=origin.time_label,
        interpolation="linear",
        step_ns=step_of(t_ns),
        epoch_ns=epoch_ns,
        num_left_out=num_left_out,
    )
    return MobilityTrace.of(table, provenance)


def _position(column: pa.ChunkedArray, name: str, rows: Rows) -> Floats:
    values = numbers(column, name, rows)
    accepted = f"{-POSITION_M_MAX:g} m to {POSITION_M_MAX:g} m"
    rows.refuse(np.abs(values) > POSITION_M_MAX, name, values, "is out of range", accepted)
    return quantise_mm(values)


def _speed(column: pa.ChunkedArray, name: str, rows: Rows) -> NDArray[np.float32]:
    values = numbers(column, name, rows)
    bad = (values < 0) | (values > SPEED_MPS_MAX)
    rows.refuse(bad, name, values, "is out of range", f"0 m/s to {SPEED_MPS_MAX:g} m/s")
    # Single precision first: so SUMO keeps speeds, whatever its text formats show.
    single = values.astype(np.float32).astype(np.float64)
    return quantise_mm(single).astype(np.float32)


def _heading(columns: Mapping[str, pa.ChunkedArray], names: Mapping[str, str], rows: Rows) -> pa.Array:
    field = "heading_rad" if "heading_rad" in columns else "angle_deg"
    column = columns.get(field)
    if column is None or column.null_count == len(column):
        return pa.nulls(len(columns["x_m"]), pa.float32())
    values = numbers(column, names[field], rows)
    return pa.array(quantise_heading(heading_from_angle(values) if field == "angle_deg" else values))


def _kind(columns: Mapping[str, pa.ChunkedArray], names: Mapping[str, str], rows: Rows) -> pa.DictionaryArray:
    column = columns.get("kind")
    if column is None or column.null_count == len(column):
        return pa.nulls(len(columns["x_m"]), pa.string()).dictionary_encode()
    return sorted_texts(texts(column, names["kind"], rows, optional=True))


def _refuse_repetition(
    t_ns: NDArray[np.int64], codes: NDArray[np.int32], ids: pa.Array, rows: Rows, names: Mapping[str, str]
) -> None:
    """Refuse an entity whose times do not increase from row to row."""
    by_entity = np.argsort(codes, kind="stable")
    gap = np.diff(t_ns[by_entity])
    bad = by_entity[1:][(gap <= 0) & (np.diff(codes[by_entity]) == 0)]
    if not len(bad):
        return
    index = int(bad.min())
    before_ns = t_ns[np.flatnonzero(codes[:index] == codes[index])[-1]]
    entity = shown(ids[int(codes[index])].as_py())
    if before_ns == t_ns[index]:
        problem = f"{entity} has a second row at {t_ns[index] / 1e9:.9f} s"
        raise rows.error(index, names["entity_id"], problem, "one row per entity and time")
    problem = f"time of {entity} goes back from {before_ns / 1e9:.9f} s to {t_ns[index] / 1e9:.9f} s"
    raise rows.error(index, time_name(names), problem, "rows in the order of time")
