"""What people are told of an import: how much it holds, from when to when, and whether its rates can be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from physical.arrays import Floats
from physical.digits import counted, seconds, span
from traces.exogenous import ExogenousTrace, LinkTrace

_ENTITIES = {"entity_id": ("entity", "entities"), "link_id": ("link", "links")}
_LEFT_OUT = {"link": "same link and time; the last counts", "mobility": "no vehicles"}
_RATES = {"uplink_rate_bps": "uplink", "downlink_rate_bps": "downlink"}
_UNITS = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"))
_USUAL_BPS = 1e5
"""No access network of today is as slow: rates below it are likely kbit/s or Mbit/s."""


def line(trace: ExogenousTrace) -> str:
    """Return in a line what an import holds."""
    told = [counted(trace.num_row, "row")]
    if trace.group:
        told.append(counted(len(trace.names(trace.group)), *_ENTITIES[trace.group]))
    told.append(span(trace.begin_ns, trace.end_ns))
    step_ns, left_out = trace.provenance.step_ns, trace.provenance.num_left_out
    told.append("no common step" if step_ns is None else f"step {seconds(step_ns)} s")
    if left_out:
        told.append(f"{counted(left_out, 'row')} left out ({_LEFT_OUT[trace.spec.name]})")
    told += _rates(trace)
    return f"{', '.join(told)}, digest {trace.digest}"


def _rates(trace: ExogenousTrace) -> list[str]:
    return [_rate(name, values) for field, name in _RATES.items() if (values := _known(trace, field)).size]


def _rate(name: str, values: Floats) -> str:
    """Spell the range and the median, in the unit that suits the largest."""
    least, median, most = float(values.min()), float(np.median(values)), float(values.max())
    scale, unit = _unit(most)
    return f"{name} {least / scale:.3g} to {most / scale:.3g} {unit}, median {median / scale:.3g} {unit}"


def _unit(rate_bps: float) -> tuple[float, str]:
    return next(((scale, unit) for scale, unit in _UNITS if rate_bps >= scale), (1.0, "bit/s"))


def _known(trace: ExogenousTrace, field: str) -> Floats:
    if not isinstance(trace, LinkTrace):
        return np.zeros(0)
    values: Floats = trace.column(field)
    return values[np.isfinite(values)]


def doubts(trace: ExogenousTrace, column_map: Mapping[str, str]) -> list[str]:
    """Return a sentence for rates so low that their unit may be missing; of those with a unit nobody doubts.

    column_map : as it was given: canonical column -> column, or column:unit
    """
    found = []
    for field, name in _RATES.items():
        values, column = _known(trace, field), column_map.get(field, "NAME")
        median = float(np.median(values[values > 0])) if (values > 0).any() else 0.0
        if 0 < median < _USUAL_BPS and ":" not in column:
            scale, unit = _unit(median)
            told = f"the median of the {name} rates above 0 is {median / scale:.3g} {unit}"
            found.append(f"{told}: the unit may be missing (--map {field}={column}:kbit/s)")
    return found
