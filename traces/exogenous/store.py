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
    kind: str, path: str | Path, out: str | Path, column_map: Mapping[str, str] | None = None, *, licence: str = ""
) -> ExogenousTrace:
    """Read a file, write the canonical Parquet file, and return the rows.

    Parameters
    ----------
    kind : one of `KINDS`
    path : the file
    out : where the canonical file goes; one that stands there is replaced
    column_map : canonical column: column of the file; not for "fcd", whose columns are known
    licence : of the source, to be kept with the rows

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
    if kind == "fcd":
        if column_map:
            raise InputError("is not for fcd, whose columns are known", where="--map", accepted="twin import csv")
        trace: ExogenousTrace = read_fcd(path, licence=licence)
    elif kind in _READERS:
        trace = _READERS[kind](path, column_map, licence=licence)
    else:
        raise InputError(f"{kind!r} is no kind of import", accepted=", ".join(KINDS))
    write_canonical(trace, out)
    return trace


_READERS = {"csv": read_mobility, "requests": read_requests, "link": read_link}
