"""What imports of timed columns share: requests and link rates."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from traces.exogenous.columns import Names, TableFile, resolve, times
from traces.exogenous.schema import AT_INSTANT, Provenance, step_of
from traces.exogenous.source import Rows, sha256_of, suffix


class TimedColumns(NamedTuple):
    """Columns of a file by canonical field.

    columns : canonical field -> values
    names : canonical field -> column of the file
    rows : to complain about a row
    t_ns : [num_row], ns
    """

    columns: dict[str, pa.ChunkedArray]
    names: Mapping[str, str]
    rows: Rows
    t_ns: NDArray[np.int64]


def read_timed(
    file: TableFile,
    known: Names,
    alternatives: tuple[tuple[str, ...], ...],
    optional: Set[str],
    column_map: Mapping[str, str] | None,
) -> TimedColumns:
    """Read the columns of a file that a kind of import knows.

    Raises
    ------
    InputError : a missing or unknown column, a time that is none
    """
    names = resolve(file, known, alternatives, set(optional), column_map or {})
    table = file.read(list(dict.fromkeys(names.values())))
    columns = {field: table.column(name) for field, name in names.items()}
    rows = Rows(str(file.path))
    t_ns, _ = times(columns, names, rows)
    return TimedColumns(columns, names, rows, t_ns)


def provenance_of(
    path: Path, licence: str, interpolation: str, t_ns: NDArray[np.int64], epoch_ns: int, num_left_out: int = 0
) -> Provenance:
    """Return where the rows of a file of timed columns come from."""
    return Provenance(
        origin=suffix(path).removeprefix("."),
        source=path.name,
        sha256=sha256_of(path),
        licence=licence,
        time_label=AT_INSTANT,
        interpolation=interpolation,
        step_ns=step_of(t_ns),
        epoch_ns=epoch_ns,
        num_left_out=num_left_out,
    )
