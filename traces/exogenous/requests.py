"""Requests to language models: when they arrive and how many tokens go in and come out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from traces.exogenous.canonical import is_canonical, read_canonical
from traces.exogenous.clock import time_name, times
from traces.exogenous.columns import Columns, Names, read_columns
from traces.exogenous.schema import REQUESTS, RequestTrace
from traces.exogenous.tablefile import TableFile
from traces.exogenous.timed import provenance_of

NUM_TOKEN_MAX = 2**31 - 1

# Beside ours, those of the Azure traces of 2023 and 2024.
NAMES: Names = {
    "t_ns": ("t_ns", "TIMESTAMP"),
    "t_s": ("t_s",),
    "num_input_token": ("num_input_token", "input_tokens", "ContextTokens"),
    "num_output_token": ("num_output_token", "output_tokens", "GeneratedTokens"),
}
ALTERNATIVES = (("t_ns", "t_s"), ("num_input_token",), ("num_output_token",))


def read_requests(
    path: str | Path, column_map: Mapping[str, str] | None = None, *, licence: str = "", time_format: str = ""
) -> RequestTrace:
    """Read requests from a canonical file, or from columns in CSV or Parquet.

    Times are as in `clock.times`; they are counted from the first request.

    Parameters
    ----------
    path : the file
    column_map : canonical column, or ``t_s``: column of the file, or column:unit
    licence : of the source, to be kept with the rows
    time_format : of texts of times, as of `datetime.strptime`

    Raises
    ------
    InputError : what is wrong in which row and column
    """
    file = TableFile.open(Path(path))
    if not column_map and is_canonical(file):
        return read_canonical(file, RequestTrace, licence)
    columns = read_columns(file, NAMES, ALTERNATIVES, set(), column_map)
    t_ns, _, note = times(columns, time_format)
    columns.rows.refuse_return(t_ns, time_name(columns))
    epoch_ns = int(t_ns[0])
    arrays = [
        pa.array(t_ns - epoch_ns),
        pa.array(_tokens(columns, "num_input_token", 1)),
        pa.array(_tokens(columns, "num_output_token", 0)),
    ]
    provenance = provenance_of(file, licence, "none", t_ns, epoch_ns, note)
    return RequestTrace.of(pa.Table.from_arrays(arrays, schema=REQUESTS.schema()), provenance)


def _tokens(columns: Columns, field: str, least: int) -> NDArray[np.int32]:
    values = columns.integers(field)
    bad = (values < least) | (values > NUM_TOKEN_MAX)
    columns.rows.refuse(bad, columns.names[field], values, "is out of range", f"{least} to {NUM_TOKEN_MAX}")
    return values.astype(np.int32)
