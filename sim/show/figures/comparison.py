"""Draws a comparison: penalty, missed deadlines, delay and energy of every policy, with their intervals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from physical.errors import InputError
from physical.printable import printable
from sim.show.figures.drawing import COLUMN_INCH, DPI, LOOKS, STYLE, require
from sim.studies.comparison import HEADLINE, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = (
    (HEADLINE, "penalty per slot", 1.0),
    ("deadline_miss_ratio", "deadlines missed, %", 100.0),
    ("delay_s_mean", "delay, ms", 1e3),
    ("energy_j_mean", "energy, J per slot", 1.0),
)
_ROW_INCH, _FRAME_INCH = 0.17, 0.75
_RANGE_MAX = 20.0
_UNSTABLE_GREY = "#808080"
FORMATS = (".svg", ".png", ".pdf")


def check_plot(path: Path) -> None:
    """Check before any run whether a comparison can be drawn.

    Raises
    ------
    InputError : matplotlib is not installed, or the name has an ending that is not in `FORMATS`
    """
    require("--plot")
    if path.suffix not in FORMATS:
        accepted = f"a name ending in {', '.join(FORMATS)}"
        raise InputError(f"{path.name!r} is no figure", where="--plot", accepted=accepted)


def draw_comparison(comparison: Comparison, title: str, path: Path) -> None:
    """Draw one panel for each of penalty, deadlines missed, delay and energy, one row for each policy, the best on top.

    Policies are ordered by penalty. An unstable policy is a hollow circle without an interval, because its means depend
    on the length of the runs.

    Raises
    ------
    InputError : the file cannot be written
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    order = sorted(comparison.policies, key=lambda policy: comparison.means[policy][HEADLINE].mean)
    height = 2 * (_ROW_INCH * len(order) + _FRAME_INCH)
    with mpl.rc_context(rc=STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in another script, which the font shows as boxes
        page = Figure(figsize=(2 * COLUMN_INCH, height), layout="constrained")
        axes = page.subplots(2, 2, sharey=True)
        for (metric, label, factor), one in zip(_PANELS, axes.ravel(), strict=True):
            _draw_panel(comparison, order, metric, factor, one)
            one.set_xlabel(label)
        for one in axes[:, 0]:
            one.set_yticks(range(len(order)), [printable(name) for name in order], parse_math=False)
        axes[0, 0].set_ylim(len(order) - 0.5, -0.5)
        num = len(comparison.seeds)
        seeds = f"{num} seeds, 95 % intervals" if num > 1 else "1 seed, no intervals"
        hollow = "; hollow: unstable" if any(map(comparison.is_unstable, order)) else ""
        page.suptitle(printable(f"{title}: {seeds}{hollow}; the best on top"), fontsize=7.5, parse_math=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            page.savefig(path, dpi=DPI, metadata={".svg": {"Date": None}, ".png": {"Software": None}}.get(path.suffix))
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None


def _draw_panel(comparison: Comparison, order: list[str], metric: str, factor: float, axes: Axes) -> None:
    """Draw the means of a metric one below the other; if unstable ones are far larger, the axis is logarithmic."""
    colour = LOOKS[1].colour
    means = [comparison.means[policy][metric] for policy in order]
    for row, (policy, entry) in enumerate(zip(order, means, strict=True)):
        if comparison.is_unstable(policy):
            axes.plot(factor * entry.mean, row, "o", markersize=4, color=_UNSTABLE_GREY, markerfacecolor="none")
            continue
        axes.plot(factor * entry.mean, row, "o", markersize=4, color=colour)
        if entry.method is not None:
            axes.hlines(row, factor * entry.low, factor * entry.high, color=colour, linewidth=1.2)
    low = min(entry.mean if entry.method is None else entry.low for entry in means)
    if 0 < low < max(entry.mean for entry in means) / _RANGE_MAX:
        axes.set_xscale("log")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
