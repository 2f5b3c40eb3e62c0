"""Imports: read a file of others, write the canonical one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from physical.errors import InputError
from traces.exogenous.canonical import write_canonical
from traces.exogenous.link import read_link
from traces.exogenous.mobility import read_fcd, read_mobility
from traces.exogenous.requests import read_requests
from traces.exogenous.schema import ExogenousTrace

KINDS = ("fcd", "csv", "requests", "link")


def import_file(
    kind: str,
    path: str | Path,
    out: str | Path,
    column_map: Mapping[str, str] | None = None,
    *,
    licence: str = "",
    geo: bool | None = None,
    origin: tuple[float, float] | None = None,
    time_format: str = "",
) -> ExogenousTrace:
    """Read a file, write the canonical Parquet file, and return the rows.

    Parameters
    ----------
    kind : one of `KINDS`
    path : the file
    out : where the canonical file goes; one that stands there is replaced
    column_map : canonical column: column of the file, or column:unit; not for "fcd", whose columns are known
    licence : of the source, to be kept with the rows
    geo, origin : for "fcd" and "csv", see `mobility.read_mobility`
    time_format : of texts of times, as of `datetime.strptime`; not for "fcd"

    Raises
    ------
    InputError : what is wrong with the file, or with `out`
    """
    path, out = Path(path), Path(out)
    if out.suffix != ".parquet":
        raise InputError("has another suffix", where=str(out), accepted=".parquet")
    if out.is_dir():
        raise InputError("is a directory", where=str(out), accepted="a file")
    if out.exists() and path.exists() and out.samefile(path):
        raise InputError("is the file to be imported", where=str(out), accepted="another file")
    trace: ExogenousTrace
    if kind == "fcd":
        if column_map:
            raise InputError("is not for fcd, whose columns are known", where="--map", accepted="twin import csv")
        trace = read_fcd(path, licence=licence, geo=geo, origin=origin)
    elif kind == "csv":
        trace = read_mobility(path, column_map, licence=licence, geo=geo, origin=origin, time_format=time_format)
    elif kind in _READERS:
        trace = _READERS[kind](path, column_map, licence=licence, time_format=time_format)
    else:
        raise InputError(f"{kind!r} is no kind of import", accepted=", ".join(KINDS))
    write_canonical(trace, out)
    return trace


_READERS = {"requests": read_requests, "link": read_link}
