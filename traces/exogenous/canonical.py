"""Canonical files: Parquet with the schema of this package, provenance and digest in its metadata."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from physical.errors import InputError
from traces.atomic import write_whole
from traces.exogenous.schema import ExogenousTrace, Provenance, digest_of, sorted_texts
from traces.exogenous.tablefile import TableFile
from traces.schema import READABLE_VERSIONS

_VERSION, _TABLE, _PROVENANCE, _DIGEST = b"vectwin_schema", b"table", b"provenance", b"digest"

Kind = TypeVar("Kind", bound=ExogenousTrace)


class DigestError(InputError):
    """The rows of a canonical file are not those that were written."""


def _text(data: bytes) -> str:
    return data.decode("ascii", "replace")


def table_of(file: TableFile) -> str:
    """Return which canonical table a file says that it holds."""
    return _text(file.metadata[_TABLE])


def is_canonical(file: TableFile) -> bool:
    """Return whether a file says that it is one of ours."""
    return _PROVENANCE in file.metadata and _TABLE in file.metadata


def read_canonical(file: TableFile, kind: type[Kind], licence: str = "") -> Kind:
    """Read a canonical file and verify its digest; a licence, if given, takes the place of the one it has.

    Raises
    ------
    InputError : of another version or table, or the rows are not those that were written
    """
    where, metadata, spec = str(file.path), file.metadata, kind.spec
    version, table = metadata.get(_VERSION, b""), metadata[_TABLE]
    readable = [str(known) for known in READABLE_VERSIONS]
    if version not in [known.encode() for known in readable]:
        problem = f"{_text(version)!r} is another version"
        raise InputError(problem, where=where, key="version", accepted=", ".join(readable))
    if table != spec.name.encode():
        raise InputError(f"{_text(table)!r} is another table", where=where, key="table", accepted=spec.name)
    try:
        provenance = Provenance(**json.loads(metadata[_PROVENANCE]))
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"has broken provenance: {str(error)[:100]}"
        raise InputError(problem, where=where, accepted="the output of twin import") from error
    names = [column.name for column in spec.columns]
    if file.names != names:
        raise InputError("has other columns", where=where, accepted=", ".join(names))
    rows = file.read(names)
    arrays = []
    for column in spec.columns:
        values = rows.column(column.name).combine_chunks()
        if values.type != column.type:
            problem = f"has type {values.type}"
            raise InputError(problem, where=where, key=column.name, accepted=str(column.type))
        arrays.append(sorted_texts(values) if pa.types.is_dictionary(column.type) else values)
    rows = pa.Table.from_arrays(arrays, schema=spec.schema())
    digest = digest_of(rows, spec)
    written = _text(metadata.get(_DIGEST, b""))
    if digest != written:
        raise DigestError("its rows do not have the digest that was written with them", where=where, accepted=digest)
    return kind(rows, replace(provenance, licence=licence) if licence else provenance, digest)


def write_canonical(trace: ExogenousTrace, path: Path) -> None:
    """Write a canonical file, whole or not at all.

    Raises
    ------
    InputError : it cannot be written there
    """
    metadata = {
        **trace.spec.schema().metadata,
        _PROVENANCE: json.dumps(trace.provenance.to_dict()),
        _DIGEST: trace.digest,
    }
    noisy = {column.name for column in trace.spec.columns if column.noisy}
    write_whole(
        trace.rows.replace_schema_metadata(metadata),
        path,
        use_dictionary=[column.name for column in trace.spec.columns if column.name not in noisy],
    )
