"""Curves of a report; if there are more points than a screen shows, a curve shows means over bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physical.arrays import Floats

POINTS_MAX = 1000
"""Largest number of points of a curve; more points become bins with mean, least and largest value."""
_DIGITS = 6
_ALIKE = 1e-9
"""Values that differ by at most this part of the largest one are constant, because round-off is no curve."""
_SCALES = {
    "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "J": ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")),
    "Hz": ((1e9, "GHz"), (1e6, "MHz"), (1.0, "Hz")),
}


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    label : in the legend
    x, y : [n]; NaN breaks the line
    colour : index into the palette
    run : index of the run
    faint : whether the line is thin, because it only accompanies another one
    low, high : [n], ends of an interval about each point
    off : whether it is hidden until the reader clicks on its label
    """

    label: str
    x: Floats
    y: Floats
    colour: int
    run: int = 0
    faint: bool = False
    low: Floats | None = None
    high: Floats | None = None
    off: bool = False

    @property
    def constant(self) -> float | None:
        """The only value of the curve, if it has one."""
        known = self.y[np.isfinite(self.y)]
        if not known.size or np.ptp(known) > _ALIKE * np.abs(known).max():
            return None
        return float(known[0])


@dataclass(frozen=True)
class Chart:
    """One chart.

    key : of the HTML element
    note : one or two sentences about what it shows
    unit : of the y values; the page may show a multiple of it
    kind : "time", "delay" (a distribution), "events", or "grid" (points of a sweep, or seeds)
    level : a horizontal line, with its name
    x_lines : vertical lines: (x, colour, label)
    log : whether the y axis is logarithmic
    x_end : end of the x axis when the page opens, if that is not the end of the runs
    x_title : title of the x axis; by default seconds, for delays in a suitable unit
    x_ticks : (x, label), if x is only a number of a place
    smooth : whether a distribution has lines from point to point instead of steps
    instead : text in its place, if there is nothing to draw
    """

    key: str
    title: str
    note: str
    unit: str
    curves: Sequence[Curve]
    kind: str = "time"
    level: tuple[float, str] | None = None
    x_lines: Sequence[tuple[float, int, str]] = ()
    log: bool = False
    x_end: float | None = None
    x_title: str = ""
    x_ticks: Sequence[tuple[float, str]] = ()
    smooth: bool = False
    instead: str = ""

    @property
    def constant(self) -> str:
        """Sentence in place of a chart whose curves are all constant; empty if there is something to draw."""
        if self.instead:
            return self.instead
        curves = [curve for curve in self.curves if np.isfinite(curve.y).any()]
        values = [curve.constant for curve in curves]
        if self.kind != "time" or not values or None in values:
            return ""
        known = [value for value in values if value is not None]
        unit = f" {self.unit}" if self.unit else ""
        if len(set(known)) == 1:
            return f"always {known[0]:.5g}{unit}"
        told = (f"{curve.label} {value:.5g}{unit}" for curve, value in zip(curves, known, strict=True))
        return f"always the same: {', '.join(told)}"

    def data(self) -> dict[str, Any]:
        """Return the data that the page's script draws; delays have their own scale along x."""
        x_scale, x_title = 1.0, self.x_title or "time / s"
        if self.kind == "delay" and not self.x_title:
            x_scale, x_unit = scale_of(self.x_end or 1.0, "s")
            x_title = f"delay / {x_unit}"
        values = [np.abs(curve.y[np.isfinite(curve.y)]).max(initial=0.0) for curve in self.curves]
        level = 0.0 if self.level is None else self.level[0]
        scale, unit = scale_of(max([*values, level, 0.0]), self.unit)
        return {
            "key": self.key,
            "kind": self.kind,
            "title": self.title,
            "unit": unit,
            "xTitle": x_title,
            "xEnd": None if self.x_end is None else rounded(self.x_end / x_scale),
            "log": self.log,
            "stepped": self.kind == "delay" and not self.smooth,
            "xTicks": [[rounded(x), label] for x, label in self.x_ticks],
            "level": None if self.level is None else [rounded(self.level[0] / scale), self.level[1]],
            "xLines": [[rounded(x / x_scale), colour, label] for x, colour, label in self.x_lines],
            "curves": [_curve(curve, x_scale, scale, binned=self.kind == "time") for curve in self.curves],
        }

    @property
    def bin_size(self) -> int:
        """Values per point of the curve with the most of them."""
        return max((_bin_size(len(curve.x)) for curve in self.curves), default=1) if self.kind == "time" else 1


def rounded(value: float) -> float | None:
    """Round to six digits; None where JSON has no number.

    >>> rounded(0.12345678), rounded(float("nan"))
    (0.123457, None)
    """
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def bins(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats | None, Floats | None]:
    """Return x, mean, least and largest y of bins of equally many points; few points are returned as they are.

    >>> x, mean, low, high = bins(np.arange(4000.0), np.arange(4000.0))
    >>> len(x), float(mean[0]), float(low[0]), float(high[0])
    (1000, 1.5, 0.0, 3.0)
    """
    size = _bin_size(len(x))
    if size == 1:
        return x, y, None, None
    padding = -len(x) % size
    xs = np.pad(x, (0, padding), constant_values=np.nan).reshape(-1, size)
    ys = np.pad(y, (0, padding), constant_values=np.nan).reshape(-1, size)
    known = np.isfinite(ys)
    count = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a bin without values is a gap
        mean = np.where(known, ys, 0.0).sum(axis=1) / count
    low = np.where(count > 0, np.where(known, ys, np.inf).min(axis=1), np.nan)
    high = np.where(count > 0, np.where(known, ys, -np.inf).max(axis=1), np.nan)
    return np.nanmean(xs, axis=1), mean, low, high


def _bin_size(num: int) -> int:
    return max(1, -(-num // POINTS_MAX))


def scale_of(largest: float, unit: str) -> tuple[float, str]:
    """Return a unit in which the largest value is easy to read: its size in given units, and its name."""
    scales = _SCALES.get(unit, ((1.0, unit),))
    if largest <= 0:
        return 1.0, unit
    return next((found for found in scales if largest >= found[0]), scales[-1])


def _curve(curve: Curve, x_scale: float, scale: float, *, binned: bool) -> dict[str, Any]:
    x, y, low, high = bins(curve.x, curve.y) if binned else (curve.x, curve.y, curve.low, curve.high)
    found: dict[str, Any] = {"label": curve.label, "colour": curve.colour, "run": curve.run, "faint": curve.faint}
    if curve.off:
        found["off"] = True
    for name, values, unit in (("x", x, x_scale), ("y", y, scale), ("low", low, scale), ("high", high, scale)):
        if values is not None:
            found[name] = [rounded(value) for value in (values / unit).tolist()]
    return found
