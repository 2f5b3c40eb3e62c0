"""Rates of links over time, as drive tests measure them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Ints
from traces.exogenous.canonical import is_canonical, read_canonical
from traces.exogenous.clock import times
from traces.exogenous.columns import Columns, Names, read_columns
from traces.exogenous.schema import LINK, LinkTrace, sorted_texts
from traces.exogenous.tablefile import TableFile
from traces.exogenous.timed import provenance_of

RATE_BPS_MAX = 1e13
ONE_LINK = "link"

NAMES: Names = {
    "t_ns": ("t_ns",),
    "t_s": ("t_s",),
    "link_id": ("link_id", "trace"),
    "uplink_rate_bps": ("uplink_rate_bps", "ul_bps"),
    "downlink_rate_bps": ("downlink_rate_bps", "dl_bps"),
}
ALTERNATIVES = (("t_ns", "t_s"), ("link_id",), ("uplink_rate_bps",), ("downlink_rate_bps",))


def read_link(
    path: str | Path, column_map: Mapping[str, str] | None = None, *, licence: str = "", time_format: str = ""
) -> LinkTrace:
    """Read rates of links from a canonical file, or from columns in CSV or Parquet.

    Times are as in `clock.times`; they are counted from the earliest row of all links. Clocks of phones stand still and
    step back, so rows may be in any order; of several rows of a link at one time the last one counts.

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
        return read_canonical(file, LinkTrace, licence)
    columns = read_columns(file, NAMES, ALTERNATIVES, {"link_id", "downlink_rate_bps"}, column_map)
    t_ns, _, note = times(columns, time_format)
    epoch_ns = int(t_ns.min())
    uplink, downlink = (_rate(columns, field) for field in ("uplink_rate_bps", "downlink_rate_bps"))
    named = "link_id" in columns.values
    link = sorted_texts(columns.texts("link_id") if named else pa.repeat(ONE_LINK, len(t_ns)))
    order = _last_of_each(link.indices.to_numpy(), t_ns)
    kept_ns = t_ns[order] - epoch_ns
    arrays = [pa.array(kept_ns), *(values.take(pa.array(order)) for values in (link, uplink, downlink))]
    provenance = provenance_of(file, licence, "hold", kept_ns, epoch_ns, note, len(t_ns) - len(order))
    return LinkTrace.of(pa.Table.from_arrays(arrays, schema=LINK.schema()), provenance)


def _rate(columns: Columns, field: str) -> pa.Array:
    """Return rates [bit/s], null where the source has no such column."""
    if field not in columns.values:
        return pa.nulls(columns.num_row, pa.float64())
    values = columns.numbers(field)
    bad = (values < 0) | (values > RATE_BPS_MAX)
    columns.rows.refuse(bad, columns.names[field], values, "is out of range", f"0 bit/s to {RATE_BPS_MAX:g} bit/s")
    return pa.array(values + 0.0)


def _last_of_each(codes: NDArray[np.int32], t_ns: Ints) -> Ints:
    """Return rows in the order of link and time, of equal ones the last in the file."""
    order = np.lexsort((t_ns, codes))
    superseded = (np.diff(codes[order]) == 0) & (np.diff(t_ns[order]) == 0)
    last: Ints = order[~np.append(superseded, False)]
    return last
