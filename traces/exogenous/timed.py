"""The part that imports of requests and of link rates share."""

from __future__ import annotations

from physical.arrays import Ints
from traces.exogenous.schema import AT_INSTANT, Provenance, step_of
from traces.exogenous.source import sha256_of
from traces.exogenous.tablefile import TableFile


def provenance_of(
    file: TableFile,
    licence: str,
    interpolation: str,
    t_ns: Ints,
    epoch_ns: int,
    note: str,
    num_left_out: int = 0,
) -> Provenance:
    """Return the provenance of the rows of a file of timed columns; `note` is about its times."""
    return Provenance(
        origin=file.format,
        source=file.path.name,
        sha256=sha256_of(file.path),
        licence=licence,
        time_label=AT_INSTANT,
        interpolation=interpolation,
        step_ns=step_of(t_ns),
        epoch_ns=epoch_ns,
        num_left_out=num_left_out,
        notes=(note,) if note else (),
    )
