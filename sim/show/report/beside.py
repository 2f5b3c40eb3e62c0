"""Tiles of several runs or policies: one row for each, with its difference from the first or from the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.show.report.digits import measured, plain
from sim.show.report.series import scale_of
from sim.show.report.tile import COLOURS, Tile, TileRow
from sim.studies.statistics import Interval

ROWS_MAX = 8
"""Largest number of rows of a tile; the table shows the others."""
ENERGIES = {"energy_local_j": "vehicles", "energy_transmit_j": "radio", "energy_edge_j": "servers"}
_TIMES_MIN = 3.0
"""Above this ratio, a difference is spelled as a factor ("3 times"), not in per cent."""
_BAR_TIMES = 5.0
"""A bar is cut at this multiple of the longest bar of a stable policy, because unstable policies may be far off."""
_NOTHING = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class Shown:
    """A run, or a policy of a comparison.

    colour : index of its colour
    means : metric -> mean; one run, or an unstable policy, has no interval
    differences : metric -> paired difference from the baseline; None: it is the baseline, or the differences are
        those of the means
    unstable : whether means depend on the length of the runs
    """

    name: str
    colour: int
    means: Mapping[str, Interval]
    differences: Mapping[str, Interval] | None = None
    unstable: bool = False
    is_baseline: bool = field(default=False)


@dataclass(frozen=True)
class _Number:
    """One of the numbers: its key in the summary, its label and unit, and how a difference is spelled."""

    key: str
    metric: str
    title: str
    unit: str
    factor: float = 1.0
    relative: bool = True


_NUMBERS = (
    _Number("penalty", "penalty_mean", "Penalty", "per slot", relative=False),
    _Number("missed", "deadline_miss_ratio", "Deadlines missed", "%", 100, relative=False),
    _Number("delay", "delay_s_mean", "Delay of a task", "s"),
    _Number("energy", "energy_j_mean", "Energy per slot", "J"),
    _Number("age", "twin_age_s_mean", "Age of information", "s"),
    _Number("decide", "decision_ms_p50", "Time to decide", "s", 1e-3),
)


def beside(shown: Sequence[Shown], without: Sequence[str] = ()) -> list[Tile]:
    """Return the five tiles of some runs; the fifth is the age of the information, or the time to decide if it is 0.

    without : keys of tiles to leave out
    """
    reference = next((one for one in shown if one.is_baseline), shown[0])
    old = any(one.means.get("twin_age_s_mean", _NOTHING).mean > 0 for one in shown)
    left_out = {*without, "decide" if old else "age"}
    return [_tile(number, shown, reference) for number in _NUMBERS if number.key not in left_out]


def _tile(number: _Number, shown: Sequence[Shown], reference: Shown) -> Tile:
    means = {one.name: _scaled(one.means.get(number.metric, _NOTHING), number.factor) for one in shown}
    steady = [one for one in shown if not one.unstable] or shown  # an unstable policy may be very far off
    known = [abs(means[one.name].mean) for one in steady if math.isfinite(means[one.name].mean)]
    longest = min(
        max((abs(means[one.name].mean) for one in shown if math.isfinite(means[one.name].mean)), default=0.0),
        _BAR_TIMES * max(known, default=0.0),
    )
    scale, unit = scale_of(sorted(known)[len(known) // 2] if known else 0.0, number.unit)
    rows = []
    for one in shown[:ROWS_MAX]:
        found = means[one.name]
        if one.unstable:
            found = Interval(found.mean, math.nan)
        note, tone = _difference(number, one, reference)
        rows.append(
            TileRow(one.name, measured(found, scale), _parts(number, one, found.mean, longest), note, tone, one.colour)
        )
    hidden = f"; {len(shown) - ROWS_MAX} more in the tables" if len(shown) > ROWS_MAX else ""
    legend: list[tuple[int, str]] = []
    if number.key == "energy":
        spent = [key for key in ENERGIES if any(one.means.get(key, _NOTHING).mean > 0 for one in shown)]
        legend = [(index, name) for index, (key, name) in enumerate(ENERGIES.items()) if key in spent]
    return Tile(number.key, number.title, unit, "", f"less is better{hidden}", rows, legend)


def _scaled(found: Interval, factor: float) -> Interval:
    bounds = None if found.bounds is None else (found.bounds[0] * factor, found.bounds[1] * factor)
    return Interval(found.mean * factor, found.half_width * factor, bounds)


def _parts(number: _Number, one: Shown, mean: float, longest: float) -> list[tuple[float, int]]:
    """Return a bar from 0; for energy, in pieces for those who spent it. Numbers that may be negative have no bar.

    longest : value whose bar has the full length
    """
    if number.key == "penalty" or not longest or not math.isfinite(mean):
        return []
    if number.key != "energy":
        return [(mean / longest, one.colour % COLOURS)]
    spent = [max(one.means.get(key, _NOTHING).mean, 0.0) for key in ENERGIES]
    total = sum(part for part in spent if math.isfinite(part))
    return [(mean / longest * part / total, index) for index, part in enumerate(spent) if total and part > 0]


def _difference(number: _Number, one: Shown, reference: Shown) -> tuple[str, str]:
    """Return the difference from the reference in words, and whether it is good; less is better for all numbers."""
    if one is reference:
        told = [*(["baseline"] if one.is_baseline else []), *(["unstable"] if one.unstable else [])]
        return ", ".join(told), "bad" if one.unstable else ""
    if one.unstable or reference.unstable:
        return "unstable" if one.unstable else "", "bad" if one.unstable else ""
    before = reference.means.get(number.metric, _NOTHING).mean
    if one.differences is None:
        found = Interval(one.means.get(number.metric, _NOTHING).mean - before, math.nan)
    else:
        found = one.differences.get(number.metric, _NOTHING)
    if not math.isfinite(found.mean):
        return "", ""
    if abs(found.mean) <= 1e-9 * abs(before) or found.low <= 0 <= found.high:
        return "no difference", ""
    tone = "good" if found.mean < 0 else "bad"
    sign = "+" if found.mean > 0 else ""
    if number.relative and found.mean + before > _TIMES_MIN * before > 0:
        return f"{plain(1 + found.mean / before, 2)} times", tone
    if number.relative and before > 0:
        return f"{sign}{plain(100 * found.mean / before, 2)} %", tone
    if number.unit == "%":
        return f"{sign}{plain(number.factor * found.mean, 2)} points", tone
    return f"{sign}{plain(found.mean)}", tone
