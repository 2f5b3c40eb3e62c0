"""Comparisons on a terminal: nothing is cut at 80 columns, and what is not known is not a number."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sim import show, show_compared
from sim.evaluation import Comparison, evaluate
from sim.jobs import Finished
from sim.sweep import Point

POLICIES = ("p2-exact:margin=0.1,max_node=90000,rounds=12", "greedy-cost", "local-only")
METRICS = (
    *("objective_mean", "deadline_miss_ratio", "qos_mean", "delay_s_mean", "energy_j_mean", "backlog_bytes_mean"),
    *("completion_s_mean", "completion_compute_s_mean", "layers_local_mean"),
)


def compared(num_seed: int = 20, *, of_layers: bool = False, skewed: bool = True) -> Comparison:
    """Numbers with all their digits; the last policy is unstable."""
    generator = np.random.default_rng(1)
    runs = {}
    for index, policy in enumerate(POLICIES):
        rows = []
        for seed in range(num_seed):
            level = -1234.5678 * (index + 1) + generator.normal() + (500.0 if skewed and seed == 3 and index else 0.0)
            metrics = METRICS if of_layers else METRICS[:6]
            summary = {key: level * 1.2345e-3 + generator.normal() for key in metrics}
            rows.append(Finished({**summary, "stable": index < 2}, np.full(100, level)))
        runs[policy] = rows
    return evaluate(runs, tuple(range(num_seed)), POLICIES[0])


def printed(monkeypatch: pytest.MonkeyPatch, width: int, show_it: object, *arguments: object) -> str:
    out = io.StringIO()
    monkeypatch.setattr(show, "console", lambda: Console(file=out, width=width, highlight=False))
    assert callable(show_it)
    show_it(*arguments)
    return out.getvalue()


def cells(text: str) -> set[str]:
    return {cell.strip() for line in text.splitlines() for cell in re.split("[│┃|]", line)}


@pytest.mark.parametrize("of_layers", [False, True])
@pytest.mark.parametrize("width", [80, 140])
def test_no_number_is_cut(monkeypatch: pytest.MonkeyPatch, width: int, of_layers: bool) -> None:
    found = compared(of_layers=of_layers)
    text = printed(monkeypatch, width, show_compared.comparison, found, "rush-hour, 20 seeds", Path("runs/x"))
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    seen = cells(text)
    for policy in POLICIES:
        mean = f"{found.means[policy]['penalty_mean'].mean:.4g}"
        assert any(cell.startswith(mean) for cell in seen), policy
    difference = found.differences["greedy-cost"]["penalty_mean"]
    assert difference.method == "bca"
    assert f"{difference.mean:.0f} [{difference.low:.0f}, {difference.high:.0f}]" in seen
    assert f"{found.means['local-only']['penalty_mean'].mean:.4g} unstable" in seen
    assert {"penalty", "difference", "p (Holm)", "stable", "yes", "no", "< 0.001", "baseline"} <= seen
    metric = "layers_local_mean" if of_layers else "delay_s_mean"
    scale = 1.0 if of_layers else 1e-3
    one = found.means["greedy-cost"][metric]
    half_width = one.half_width / scale
    assert f"{one.mean / scale:.4g} ± {half_width:{'.0f' if half_width >= 99.5 else '.2g'}}" in seen


def test_first_columns_are_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 80, show_compared.comparison, compared(), "dtecn, 20 seeds", Path("runs/x"))
    headings = [line for line in text.splitlines() if "policy" in line and "┃" in line]
    assert [cell.strip() for cell in headings[0].strip("┃").split("┃")] == [
        *("policy", "penalty", "difference", "p (Holm)", "stable"),
    ]
    words = "dtecn, 20 seeds. Penalty per slot, no warm-up cut (MSER-5): mean and 95 % interval"
    assert " ".join(text.split()).startswith(words)


def test_one_seed_prints_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(1)
    text = printed(monkeypatch, 80, show_compared.comparison, found, "dtecn, 1 seed", Path("runs/x"))
    assert "nan" not in text
    assert "±" not in text
    assert f"{found.means['greedy-cost']['penalty_mean'].mean:.4g}" in cells(text)
    assert "note: 1 seed: fewer than 5" in text


@pytest.mark.parametrize("width", [80, 140])
def test_sweep(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    points = [Point({"vehicles.num_vehicle": value}, compared(6)) for value in ("5", "10")]
    text = printed(monkeypatch, width, show_compared.sweep, points, "dtecn, 6 seeds", Path("runs/x"))
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    assert {"num_vehicle", "policy", "penalty", "difference", "stable", "cut", "5", "10"} <= cells(text)
