"""Draws a figure as PNG and SVG: one IEEE column per panel, legible in grayscale, the same bytes for the same numbers.

The colours are those of Okabe and Ito without yellow, which is hard to see on paper. Every method also has its own
marker and line. The certified optimum is a broad grey line behind all others. Nothing here changes pyplot's global
state.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from physical.arrays import Floats
from physical.extras import needs
from sim.show.figures.measure import Measured, intervals
from sim.show.figures.plan import FigurePlan, Method, Panel, Series, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_INCH = 3.5
"""Width of an IEEE column."""
_PANEL_INCH, _LEGEND_ROW_INCH, _HEADER_INCH = 1.75, 0.17, 0.35
DPI = 200
_OPTIMUM_GREY = "#a0a0a0"
STYLE: Any = {  # matplotlib has its own type for the keys
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same text widths everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "grid.linewidth": 0.4,
    "grid.color": "#d8d8d8",
    "svg.fonttype": "none",
    "svg.hashsalt": "vectwin",
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    colour: str
    marker: str
    line: Any


LOOKS = (
    Look("#d55e00", "o", "-"),
    Look("#0072b2", "s", (0, (5, 1.5))),
    Look("#009e73", "^", (0, (1, 1))),
    Look("#cc79a7", "D", (0, (4, 1, 1, 1))),
    Look("#56b4e9", "v", (0, (3, 1, 1, 1, 1, 1))),
    Look("#e69f00", "P", (0, (7, 2))),
)
_WORLD_LINES = ("-", (0, (4, 1.5)))


def require(where: str) -> None:
    """Check before any run whether figures can be drawn; `where` is the command that errors name.

    Raises
    ------
    InputError : matplotlib is not installed
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise needs("report", "No module named 'matplotlib'", where=where)


def draw(figure: FigurePlan, measured: Measured, mode: str, stem: Path) -> tuple[Path, Path]:
    """Draw a figure; return the paths of its PNG and its SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    num_row = -(-len(figure.panels) // figure.num_column)
    legend_rows = -(-len(measured.plan.methods) // (2 * figure.num_column))
    height = num_row * _PANEL_INCH + legend_rows * _LEGEND_ROW_INCH + _HEADER_INCH
    with mpl.rc_context(rc=STYLE):
        page = Figure(figsize=(COLUMN_INCH * figure.num_column, height), layout="constrained")
        axes = page.subplots(num_row, figure.num_column, squeeze=False).ravel()
        for panel, one in zip(figure.panels, axes, strict=False):
            _draw_panel(panel, measured, mode, one)
        for unused in axes[len(figure.panels) :]:
            unused.set_axis_off()
        _head(figure, measured, mode, page)
        page.draw_without_rendering()
        page.set_layout_engine("none")  # the layout is done; without this, saving would repeat it for each format
        paths = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
        page.savefig(paths[0], dpi=DPI, metadata={"Software": None})
        page.savefig(paths[1], metadata={"Date": None, "Title": f"{figure.title}, mode {mode}"})
    return paths


def _head(figure: FigurePlan, measured: Measured, mode: str, page: Figure) -> None:
    """Write the title and the meaning of the bands above the panels, and the legend of the methods below them."""
    plan = measured.plan
    count = f"{'quick look, ' if plan.quick else ''}{len(measured.seeds)} seeds, 95 % bands"
    certified = f"gap of {plan.optimum.policy} ≤ {_rounded_up(measured.gap_max(mode, figure.worlds))}"
    text = f"{figure.title} (mode {mode})\n{count}; {certified}"
    page.suptitle(text, fontsize=7.5, color="#b00000" if plan.quick else "black")
    found: dict[str, Any] = {}
    for one in page.axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = {method.label for method in plan.methods}
    known = {label: handle for label, handle in found.items() if label in labels}
    if not known:
        return
    page.legend(
        known.values(), known.keys(), loc="outside lower center", ncols=2 * figure.num_column, frameon=False,
        handlelength=2.6, columnspacing=1.0, labelspacing=0.25, borderpad=0.1,
    )  # fmt: skip


def _rounded_up(gap: float) -> str:
    """Return a bound with one digit, rounded up.

    >>> _rounded_up(2.3e-10), _rounded_up(9.7e-10), _rounded_up(0.0)
    ('3e-10', '1e-9', '0')
    """
    if not gap > 0:
        return f"{gap:.0f}"
    exponent = math.floor(math.log10(gap))
    digit = math.ceil(gap / 10.0**exponent)
    return f"{digit}e{exponent}" if digit < 10 else f"1e{exponent + 1}"


def _draw_panel(panel: Panel, measured: Measured, mode: str, axes: Axes) -> None:
    series = [one for one in panel.series if measured.has(one)]
    axes.set_title(panel.title, loc="left", pad=3)
    axes.set_ylabel(panel.metric.axis_label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.by_method:
        _draw_methods(panel, series, measured, mode, axes)
    else:
        _draw_curves(panel, series, measured, mode, axes)
    _widen(axes, 0.02 if panel.metric.unit == "%" else 1e-3)
    for artist in [*axes.get_children(), *axes.get_xgridlines(), *axes.get_ygridlines()]:
        artist.set_clip_on(False)  # limits hold everything, and an SVG without clipping paths is easier to edit


def values_of(panel: Panel, one: Series, measured: Measured, mode: str) -> Floats:
    """Return the values of a series that a panel shows, [point, seed]."""
    if panel.against is None:
        return measured.values(mode, one, panel.metric)
    return 100.0 * measured.relative(mode, one, Series(panel.against, one.world), panel.metric)


def _draw_curves(panel: Panel, series: Sequence[Series], measured: Measured, mode: str, axes: Axes) -> None:
    several = len(panel.worlds) > 1
    for one in series:
        world, method = measured.plan.world(one.world), measured.plan.method(one.method)
        assert method is not None  # series of missing methods are left out above
        found = intervals(values_of(panel, one, measured, mode))
        middle = np.array([entry.mean for entry in found])
        half = np.nan_to_num(np.array([entry.half_width for entry in found]))
        index = panel.worlds.index(one.world)
        label = f"{method.policy}, {world.label}" if several else method.label
        colour = _OPTIMUM_GREY if method.style is None else LOOKS[method.style % len(LOOKS)].colour
        dodge = 0.0 if several else measured.plan.axis.dodge
        x = np.array(world.points) + dodge * _places_from_middle(method, measured)
        axes.fill_between(x, middle - half, middle + half, color=colour, alpha=0.2, lw=0, zorder=2)
        if method.style is None:
            line = _WORLD_LINES[index % 2]
            axes.plot(x, middle, color=colour, lw=4, ls=line, label=label, zorder=1)
            continue
        look = LOOKS[method.style % len(LOOKS)]
        filled = several and index == 0
        axes.plot(
            x, middle, color=look.colour, lw=1.1, ls=_WORLD_LINES[index % 2] if several else look.line,
            marker=look.marker, ms=4.2, mfc=look.colour if filled else "white", mew=0.9, label=label, zorder=3,
        )  # fmt: skip
    axes.set_xlabel(measured.plan.axis.label)
    axes.set_xticks(measured.plan.world(panel.worlds[0]).points)
    axes.set_xticklabels([number(value) for value in measured.plan.world(panel.worlds[0]).points])
    if several:
        axes.legend(frameon=False, fontsize=7, handlelength=3, labelspacing=0.2, loc="best")


def _places_from_middle(method: Method, measured: Measured) -> float:
    """Return the distance of a method, in places, from the middle of the methods that have a style."""
    if method.style is None:
        return 0.0
    return method.style - (sum(other.style is not None for other in measured.plan.methods) - 1) / 2


def _draw_methods(panel: Panel, series: Sequence[Series], measured: Measured, mode: str, axes: Axes) -> None:
    """Draw one bar with an interval per method, side by side, and one group of bars per world, hatched in turn."""
    methods = list(dict.fromkeys(one.method for one in series))
    width = 0.8 / len(panel.worlds)
    for one in series:
        method = measured.plan.method(one.method)
        assert method is not None  # as above
        index = panel.worlds.index(one.world)
        found = intervals(values_of(panel, one, measured, mode)[-1:])[0]
        place = methods.index(one.method) + (index - (len(panel.worlds) - 1) / 2) * width
        colour = _OPTIMUM_GREY if method.style is None else LOOKS[method.style % len(LOOKS)].colour
        face = colour if index == 0 else "white"
        axes.bar(
            place, found.mean, width * 0.9, yerr=np.nan_to_num(found.half_width), facecolor=face, edgecolor=colour,
            lw=1.0, error_kw={"lw": 0.8, "capsize": 2},
        )  # fmt: skip
    axes.axhline(0.0, color="black", lw=0.6)
    axes.set_xticks(range(len(methods)))
    axes.set_xticklabels(methods, rotation=20)
    labels = [measured.plan.world(world).label.rpartition(", ")[2] for world in panel.worlds]
    axes.set_xlabel("filled: " + ", hollow: ".join(labels) if len(labels) > 1 else labels[0])


def _widen(axes: Axes, least: float) -> None:
    """Give an axis with almost equal values a range that does not magnify rounding errors."""
    low, high = axes.get_ylim()
    middle, least = (low + high) / 2, max(0.02 * abs(low + high) / 2, least)
    if high - low < least:
        axes.set_ylim(middle - least / 2, middle + least / 2)
