"""Turns columns of mobility from any source into canonical rows, checked and quantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.errors import InputError
from traces.exogenous import fcd
from traces.exogenous.canonical import is_canonical, read_canonical
from traces.exogenous.clock import time_name, times
from traces.exogenous.columns import Columns, Names, read_columns
from traces.exogenous.geo import Origin, projected
from traces.exogenous.paths import SPEED_MPS_MAX, Paths, in_degrees
from traces.exogenous.schema import (
    AT_INSTANT,
    AT_STEP_BEGIN,
    MOBILITY,
    MobilityTrace,
    Provenance,
    sorted_texts,
    step_of,
)
from traces.exogenous.source import Rows, format_of, sha256_of, shown
from traces.exogenous.tablefile import TableFile

POSITION_M_MAX = 1e7
_MOVES_MPS, _DOUBTFUL = 1.0, 1.5
_TURN = 62832  # 1e-4 rad: what 2 pi rounds to


# With a prefix in Parquet, and in CSV where SUMO needs it to tell elements apart.
FCD_NAMES: Names = {
    "t_s": ("timestep_time", "time"),
    "entity_id": ("vehicle_id", "id"),
    "x_m": ("vehicle_x", "x"),
    "lon_deg": ("vehicle_lon", "lon"),
    "y_m": ("vehicle_y", "y"),
    "lat_deg": ("vehicle_lat", "lat"),
    "speed_mps": ("vehicle_speed", "speed"),
    "angle_deg": ("vehicle_angle", "angle"),
    "kind": ("vehicle_type", "type"),
}
FCD_ALTERNATIVES = (
    ("t_s",),
    ("entity_id",),
    ("x_m", "lon_deg"),
    ("y_m", "lat_deg"),
    ("speed_mps",),
    ("angle_deg",),
    ("kind",),
)
NAMES: Names = {
    **{field: (field,) for field in ("t_ns", "t_s", "entity_id", "x_m")},
    "lon_deg": ("lon_deg", "lon", "longitude", "Longitude"),
    "y_m": ("y_m",),
    "lat_deg": ("lat_deg", "lat", "latitude", "Latitude"),
    **{field: (field,) for field in ("speed_mps", "heading_rad", "angle_deg", "kind")},
}
ALTERNATIVES = (
    ("t_ns", "t_s"),
    ("entity_id",),
    ("x_m", "lon_deg"),
    ("y_m", "lat_deg"),
    ("speed_mps",),
    ("heading_rad", "angle_deg"),
    ("kind",),
)
OPTIONAL = {"speed_mps", "heading_rad", "angle_deg", "kind"}


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
class SourceNotes:
    """Information from the user about a file of mobility.

    licence : of the source, which is kept with the rows
    geo : whether x and y are longitudes and latitudes; None: it is recognised
    origin : of the plane on which they are projected; None: the median position
    time_format : of texts of times, as for `datetime.strptime`
    """

    licence: str = ""
    geo: bool | None = None
    origin: Origin | None = None
    time_format: str = ""


@dataclass(frozen=True)
class _Source:
    """The kind of a file; `name` is its format, and `is_fcd` says that its rows are in order of time, as from SUMO."""

    path: Path
    name: str
    is_fcd: bool
    num_left_out: int = 0


def read_mobility(
    path: str | Path,
    column_map: Mapping[str, str] | None = None,
    *,
    licence: str = "",
    geo: bool | None = None,
    origin: tuple[float, float] | None = None,
    time_format: str = "",
) -> MobilityTrace:
    """Read mobility of any known format: canonical Parquet, or SUMO FCD or other columns as XML, CSV or Parquet.

    Longitudes and latitudes, also in columns x and y, are projected to metres; see `geo.to_plane`. If the file has no
    speeds, they are derived from positions. `provenance.notes` says what was done.

    Parameters
    ----------
    path : the file
    column_map : canonical column: column of the file, or column:unit; only for files neither canonical nor of SUMO
    licence, geo, time_format : see `SourceNotes`
    origin : latitude and longitude, degrees; see `SourceNotes`

    Raises
    ------
    InputError : what is wrong in which row and column
    """
    path, told = Path(path), SourceNotes(licence, geo, origin and Origin(*origin), time_format)
    if format_of(path, ("csv", "parquet", "xml")) == "xml":
        if column_map:
            raise InputError("has no columns to map", where=str(path), accepted="CSV or Parquet")
        return _read_fcd(path, told)
    file = TableFile.open(path)
    if not column_map and is_canonical(file):
        if geo or origin:
            raise InputError("holds metres already", where=str(path), accepted="no --geo and no --origin")
        return read_canonical(file, MobilityTrace, licence)
    if not column_map and not time_format and _is_fcd(file):
        return _read_fcd(path, told)
    columns = read_columns(file, NAMES, ALTERNATIVES, OPTIONAL, column_map)
    return _build(_Source(path, file.format, False), columns, told)


def read_fcd(
    path: str | Path, *, licence: str = "", geo: bool | None = None, origin: tuple[float, float] | None = None
) -> MobilityTrace:
    """Read floating car data of SUMO: XML, CSV or Parquet, the first two also compressed.

    Parameters
    ----------
    path : the file
    licence, geo : see `SourceNotes`
    origin : latitude and longitude, degrees; see `SourceNotes`

    Raises
    ------
    InputError : what is wrong in which row and column
    """
    return _read_fcd(Path(path), SourceNotes(licence, geo, origin and Origin(*origin)))


def _read_fcd(path: Path, told: SourceNotes) -> MobilityTrace:
    if told.time_format:
        raise InputError("is for CSV and Parquet", where="--time-format", accepted="none with XML")
    kind = format_of(path, ("xml", "csv", "parquet"))
    if kind == "xml":
        found = fcd.read_xml(path)
        names = {**fcd.ATTRIBUTES, "t_s": "time"}
        columns = Columns(found.columns, names, Rows(str(path), "vehicle element"))
        told = replace(told, geo=found.geo if told.geo is None else told.geo)
        return _build(_Source(path, "sumo-fcd-xml", True, found.num_left_out), columns, told)
    file = TableFile.open(path)
    columns = read_columns(file, FCD_NAMES, FCD_ALTERNATIVES, OPTIONAL, hint="twin import csv --map {}=NAME")
    # A row without a vehicle belongs to a person or a container, or to an empty time step.
    kept = _is_told(columns.values["entity_id"])
    if not kept.any():
        raise InputError("has no vehicles", where=str(path))
    num_left_out = int(len(kept) - kept.sum())
    if num_left_out:
        values = {field: column.filter(pa.array(kept)) for field, column in columns.values.items()}
        columns = replace(columns, values=values, rows=columns.rows.take(kept))
    return _build(_Source(path, f"sumo-fcd-{kind}", True, num_left_out), columns, told)


def _other_unit(told_mps: Floats, derived_mps: Floats) -> str:
    """Say how much speeds differ from those that positions imply, if noise and bends cannot explain the difference."""
    moves = (told_mps > 0) & (derived_mps > _MOVES_MPS)
    ratio = float(np.median(told_mps[moves] / derived_mps[moves])) if moves.any() else 1.0
    if 1 / _DOUBTFUL < ratio < _DOUBTFUL:
        return ""
    unit = " (as km/h are: speed_mps=NAME:km/h)" if abs(ratio / 3.6 - 1) < 0.1 else ""
    return f"speeds: {ratio:.3g} times those that the positions imply, in the median; is it another unit?{unit}"


def _is_fcd(file: TableFile) -> bool:
    needed = [group for group in FCD_ALTERNATIVES if group[0] not in OPTIONAL]
    return all({name for field in group for name in FCD_NAMES[field]} & set(file.names) for group in needed)


def _is_told(column: pa.ChunkedArray) -> Mask:
    told = column.is_valid()
    if pa.types.is_string(column.type):
        told = pc.and_(told, pc.not_equal(pc.fill_null(column, ""), ""))
    return np.asarray(told)


def _build(source: _Source, columns: Columns, told: SourceNotes) -> MobilityTrace:
    """Check, quantise and sort."""
    rows = columns.rows
    t_ns, dated, *notes = times(columns, told.time_format, mappable=not source.is_fcd)
    epoch_ns = int(t_ns.min()) if dated else 0
    t_ns = t_ns - epoch_ns
    entity = sorted_texts(columns.texts("entity_id"))
    codes = entity.indices.to_numpy()
    if source.is_fcd:
        rows.refuse_return(t_ns, time_name(columns))
    _refuse_repetition(t_ns, codes, entity.dictionary, columns)
    paths = Paths.of(t_ns, codes)
    speed_mps = _told_speed(columns) if columns.has("speed_mps") else None
    x_m, y_m, note = _positions(columns, paths, speed_mps, told)
    notes.append(note)
    derived_mps = paths.speeds(x_m, y_m, backward=source.is_fcd)
    if speed_mps is None:
        speed_mps = derived_mps
        notes.append("speeds: derived from positions")
    elif doubt := _other_unit(speed_mps, derived_mps):
        notes.append(doubt)
    order = np.lexsort((codes, t_ns))
    table = pa.Table.from_arrays(
        [
            pa.array(t_ns[order]),
            entity.take(pa.array(order)),
            pa.array(quantise_mm(x_m)[order]),
            pa.array(quantise_mm(y_m)[order]),
            pa.array(_quantised_speed(speed_mps)[order]),
            _heading(columns).take(pa.array(order)),
            _kind(columns).take(pa.array(order)),
        ],
        schema=MOBILITY.schema(),
    )
    provenance = Provenance(
        origin=source.name,
        source=source.path.name,
        sha256=sha256_of(source.path),
        licence=told.licence,
        time_label=AT_STEP_BEGIN if source.is_fcd else AT_INSTANT,
        interpolation="linear",
        step_ns=step_of(t_ns),
        epoch_ns=epoch_ns,
        num_left_out=source.num_left_out,
        notes=tuple(note for note in notes if note),
    )
    return MobilityTrace.of(table, provenance)


def _positions(
    columns: Columns, paths: Paths, speed_mps: Floats | None, told: SourceNotes
) -> tuple[Floats, Floats, str]:
    """Return positions [m], and a note about the conversion of longitudes and latitudes."""
    rows = columns.rows
    fields = ("x_m" if "x_m" in columns.values else "lon_deg", "y_m" if "y_m" in columns.values else "lat_deg")
    names = (columns.names[fields[0]], columns.names[fields[1]])
    x, y = (columns.numbers(field) for field in fields)
    geo, note = told.geo, ""
    if fields != ("x_m", "y_m"):
        if "x_m" in fields or "y_m" in fields or geo is False:
            problem = "metres with degrees" if geo is not False else "degrees that are none"
            raise InputError(
                f"are {problem}", where=rows.where, key=", ".join(names), accepted="both metres or both degrees"
            )
        geo = True
    elif geo is None:
        try:
            geo = in_degrees(paths, x, y, speed_mps)
        except ValueError as error:
            accepted = "twin import with --geo for degrees, --no-geo for metres"
            raise InputError(str(error), where=rows.where, key=", ".join(names), accepted=accepted) from None
        if geo is None:
            note = "positions: taken for metres; degrees would look alike, as nobody moves (--geo)"
    if geo:
        x_m, y_m, origin = projected(x, y, names, rows, told.origin)
        return x_m, y_m, f"longitudes and latitudes: metres east and north of {origin}"
    if told.origin:
        raise InputError("is for longitudes and latitudes", where="--origin", accepted="none with metres, or --geo")
    for values, name in zip((x, y), names, strict=True):
        accepted = f"{-POSITION_M_MAX:g} m to {POSITION_M_MAX:g} m"
        rows.refuse(np.abs(values) > POSITION_M_MAX, name, values, "is out of range", accepted)
    return x, y, note


def _told_speed(columns: Columns) -> Floats:
    values = columns.numbers("speed_mps")
    bad = (values < 0) | (values > SPEED_MPS_MAX)
    columns.rows.refuse(bad, columns.names["speed_mps"], values, "is out of range", f"0 m/s to {SPEED_MPS_MAX:g} m/s")
    return values


def _quantised_speed(values: Floats) -> NDArray[np.float32]:
    # First to single precision, in which SUMO keeps speeds, although its text formats may show more digits.
    single = values.astype(np.float32).astype(np.float64)
    return quantise_mm(single).astype(np.float32)


def _heading(columns: Columns) -> pa.Array:
    field = "heading_rad" if "heading_rad" in columns.values else "angle_deg"
    if not columns.has(field):
        return pa.nulls(columns.num_row, pa.float32())
    values = columns.numbers(field)
    return pa.array(quantise_heading(heading_from_angle(values) if field == "angle_deg" else values))


def _kind(columns: Columns) -> pa.DictionaryArray:
    if not columns.has("kind"):
        return pa.nulls(columns.num_row, pa.string()).dictionary_encode()
    return sorted_texts(columns.texts("kind", optional=True))


def _refuse_repetition(t_ns: Ints, codes: NDArray[np.int32], ids: pa.Array, columns: Columns) -> None:
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
        raise columns.rows.error(index, columns.names["entity_id"], problem, "one row per entity and time")
    problem = f"time of {entity} goes back from {before_ns / 1e9:.9f} s to {t_ns[index] / 1e9:.9f} s"
    raise columns.rows.error(index, time_name(columns), problem, "rows in the order of time")
