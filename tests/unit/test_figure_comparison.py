"""The figure of a comparison: who is in it, in which order, and with which intervals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from physical.errors import InputError
from sim.show.figures.comparison import check_plot, draw_comparison
from sim.studies.comparison import HEADLINE, Comparison
from sim.studies.evaluation import evaluate
from sim.studies.jobs import Finished

pytestmark = pytest.mark.full

POLICIES = ("worse", "best", "growing")
METRICS = ("deadline_miss_ratio", "delay_s_mean", "energy_j_mean")


def compared(num_seed: int = 6) -> Comparison:
    generator = np.random.default_rng(3)
    runs = {}
    for policy, level in zip(POLICIES, (2.0, 1.0, 3.0), strict=True):
        rows = []
        for _ in range(num_seed):
            value = level + generator.normal() / 10
            summary = dict.fromkeys(METRICS, value) | {"stable": policy != "growing"}
            rows.append(Finished(summary, np.full(100, value)))
        runs[policy] = rows
    return evaluate(runs, tuple(range(num_seed)), "worse")


def test_policies_stand_in_the_order_of_their_penalty(tmp_path: Path) -> None:
    comparison = compared()
    draw_comparison(comparison, "rush-hour", tmp_path / "new" / "penalty.svg")
    text = (tmp_path / "new" / "penalty.svg").read_text("utf-8")
    places = [text.index(f">{policy}<") for policy in ("best", "worse", "growing")]
    assert places == sorted(places)
    assert "6 seeds, 95 % intervals; hollow: unstable" in text
    assert all(
        label in text for label in ("penalty per slot", "deadlines missed, %", "delay, ms", "energy, J per slot")
    )


def test_stable_policies_have_intervals_and_unstable_ones_have_none(tmp_path: Path) -> None:
    draw_comparison(compared(), "rush-hour", tmp_path / "a.svg")
    lines = re.findall(r'<g id="LineCollection_\d+">', (tmp_path / "a.svg").read_text("utf-8"))
    assert len(lines) == 4 * 2
    draw_comparison(compared(num_seed=1), "rush-hour", tmp_path / "b.svg")
    text = (tmp_path / "b.svg").read_text("utf-8")
    assert "LineCollection" not in text  # one seed has no interval
    assert "1 seed, no intervals" in text


def test_names_are_no_formulas(tmp_path: Path) -> None:
    draw_comparison(compared(), r"costs-$\frac$-<b>", tmp_path / "a.svg")
    assert r"costs-$\frac$-&lt;b&gt;: 6 seeds" in (tmp_path / "a.svg").read_text("utf-8")


def test_intervals_are_where_the_numbers_are() -> None:
    """Read from what matplotlib is told: the ends of a line are those of the interval, in the panel's unit."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    from sim.show.figures.comparison import _draw_panel

    comparison = compared()
    axes = Figure().subplots()
    _draw_panel(comparison, list(POLICIES), "delay_s_mean", 1e3, axes)
    ends = [lines.get_segments()[0][:, 0].tolist() for lines in axes.collections if isinstance(lines, LineCollection)]
    for policy, (low, high) in zip(("worse", "best"), ends, strict=True):
        values = 1e3 * np.array([run.summary["delay_s_mean"] for run in comparison.runs[policy]])
        half = 2.5706 * values.std(ddof=1) / np.sqrt(len(values))  # Student's t with five degrees of freedom
        assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-4)
    assert comparison.means["best"][HEADLINE].mean < comparison.means["worse"][HEADLINE].mean


def test_the_same_numbers_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw_comparison(compared(), "rush-hour", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_names_of_other_formats_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"'penalty.docx' is no figure \(accepted: a name ending in .svg, .png, .pdf\)"
    ):
        check_plot(Path("penalty.docx"))
