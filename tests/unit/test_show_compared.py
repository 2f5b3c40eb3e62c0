"""Comparisons on a terminal: no number is cut however narrow it is, and what is not known is not a number."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from physical import digits
from sim.show import compared as comparison_table
from sim.studies.comparison import HEADLINE, Comparison
from sim.studies.evaluation import evaluate
from sim.studies.jobs import Finished
from sim.studies.sweep import Point
from tests.support.screen import as_terminal, plain

pytestmark = pytest.mark.full

POLICIES = ("p2-exact:margin=0.1,max_node=90000,rounds=12", "greedy-cost", "local-only")
METRICS = (
    *("objective_mean", "deadline_miss_ratio", "qos_mean", "delay_s_mean", "energy_j_mean", "backlog_bytes_mean"),
    *("completion_s_mean", "completion_compute_s_mean", "layers_local_mean"),
)


SHARED = {"deadline_miss_ratio": ("missed", 1.0), "energy_j_mean": ("energy / J", 1.0)}
HEADINGS = {
    **SHARED,
    "objective_mean": ("objective", 1.0),
    "qos_mean": ("QoS", 1.0),
    "delay_s_mean": ("delay / ms", 1e-3),
    "backlog_bytes_mean": ("backlog / MB", 1e6),
}
OF_LAYERS = {
    **SHARED,
    "completion_s_mean": ("completion / s", 1.0),
    "completion_compute_s_mean": ("without upload / s", 1.0),
    "layers_local_mean": ("local layers", 1.0),
}


def names(num: int) -> tuple[str, ...]:
    """Return names without digits, with a long option each."""
    letters = "abcdef"
    return tuple(f"greedy-cost:name={one}{other},mode=corrected" for one in letters for other in letters)[:num]


@cache
def compared(
    num_seed: int = 20, *, of_layers: bool = False, skewed: bool = True, policies: tuple[str, ...] = POLICIES
) -> Comparison:
    """Numbers with all their digits; the third policy is unstable."""
    generator = np.random.default_rng(1)
    runs = {}
    for index, policy in enumerate(policies):
        rows = []
        for seed in range(num_seed):
            level = -1234.5678 * (index + 1) + generator.normal() + (500.0 if skewed and seed == 3 and index else 0.0)
            metrics = METRICS if of_layers else METRICS[:6]
            summary = {key: level * 1.2345e-3 + generator.normal() for key in metrics}
            rows.append(Finished({**summary, "stable": index != 2}, np.full(100, level)))
        runs[policy] = rows
    return evaluate(runs, tuple(range(num_seed)), policies[0])


def printed(monkeypatch: pytest.MonkeyPatch, width: int, show_it: object, *arguments: object) -> str:
    assert callable(show_it)
    as_terminal(monkeypatch, width)
    with redirect_stdout(io.StringIO()) as out:
        show_it(*arguments)
    return plain(out.getvalue())


def cells(text: str) -> list[str]:
    return [cell for line in text.splitlines() for cell in re.split("  +", line.strip())]


def expected(found: Comparison, *, of_layers: bool) -> list[dict[str, list[str]]]:
    """Return the numbers that each of the three tables holds, by heading."""

    def column(metric: str, unit: float = 1.0, *, differences: bool) -> list[str]:
        texts = []
        for policy, row in (found.differences if differences else found.means).items():
            one, scale = row[metric], abs(found.means[found.baseline][metric].mean) if differences else 0.0
            if found.stable[policy]:
                texts.append(digits.with_interval(one.mean, one.half_width, one.bounds, unit=unit, scale=scale))
            else:
                texts.append(digits.alone(one.mean, one.half_width, unit=unit) + " unstable" * (metric == HEADLINE))
        return texts

    headline = {"penalty": column(HEADLINE, differences=False)}
    if found.differences:
        headline["difference"] = ["baseline", *column(HEADLINE, differences=True)]
        headline["p (Holm)"] = ["< 0.001" if p < 0.001 else f"{p:.3f}" for p in found.p_values.values() if p >= 0]
    others = [
        {label: column(metric, unit, differences=of) for metric, (label, unit) in headings.items()}
        for headings in (OF_LAYERS if of_layers else HEADINGS,)
        for of in ((False, True) if found.differences else (False,))
    ]
    return [headline, *others]


@pytest.mark.parametrize("num_policy", [1, 3, 30])
@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("of_layers", [False, True])
def test_no_number_is_cut(monkeypatch: pytest.MonkeyPatch, of_layers: bool, width: int, num_policy: int) -> None:
    """Every number is there, but for the columns that are said to be left out; nothing else looks like a number."""
    num_seed = 8 if num_policy == 30 else 20  # bootstrap intervals from 20 on take time
    found = compared(num_seed, of_layers=of_layers, policies=names(num_policy))
    text = printed(monkeypatch, width, comparison_table.comparison, found, "rush-hour, 20 seeds", Path("runs/x"))
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    *tables, _ = text.split("\n\n")
    for table, columns in zip(tables, expected(found, of_layers=of_layers), strict=True):
        left_out = re.search(r"left out: (.*?) \(a terminal of", " ".join(table.split()))
        missing = left_out.group(1).split(", ") if left_out else []
        shown = [one for label, texts in columns.items() if label not in missing for one in texts]
        seen = [cell for cell in cells(table) if re.match(r"\(?-?\d|< \d", cell) or cell == "baseline"]
        assert len(shown) >= num_policy - 1
        assert sorted(seen) == sorted(shown)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_names_stay_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Names that differ in one option only can be told apart, and no option's number takes two lines."""
    policies = tuple(f"p2-exact:margin=0.{index:02},max_node=90000,rounds=12" for index in range(1, 31))
    found = compared(8, policies=policies)
    text = printed(monkeypatch, width, comparison_table.comparison, found, "rush-hour, 20 seeds", Path("runs/x"))
    table = text.split("\n\n")[0].splitlines()
    rule = next(index for index, line in enumerate(table) if line.startswith("──"))
    room = len(table[rule].split("  ")[0])
    column = [line[:room].rstrip() for line in table[rule + 1 :] if not line.startswith("left out")]
    assert "".join(column).startswith("".join(policies))
    assert {"90000," in line for line in column if "9000" in line} == {True}


def test_left_out_columns_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of the width that is told shows all columns; one column less does not."""
    found = compared(8, policies=names(30))
    narrow = printed(monkeypatch, 60, comparison_table.comparison, found, "x", Path("runs/x")).split("\n\n")[1]
    told = re.search(
        r"left out: (.+) \(a terminal of (\d+) columns shows all, and so does --json\)", " ".join(narrow.split())
    )
    assert told is not None
    assert told.group(1).endswith("backlog / MB")  # the least important goes first
    needed = int(told.group(2))
    for width, is_whole in ((needed, True), (needed - 1, False)):
        table = printed(monkeypatch, width, comparison_table.comparison, found, "x", Path("runs/x")).split("\n\n")[1]
        assert ("left out" not in table) is is_whole


def test_round_off_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies of 6 J that differ by 1e-15 J, and backlogs that do by 1e-18 B."""
    runs = {
        policy: [
            Finished({"energy_j_mean": 6.0 + error * seed, "backlog_bytes_mean": 1e-3 * error}, np.full(100, seed))
            for seed in range(8)
        ]
        for policy, error in (("first", 0.0), ("second", 1e-15))
    }
    found = evaluate(runs, tuple(range(8)), "first")
    text = printed(monkeypatch, 80, comparison_table.comparison, found, "x", Path("runs/x"))
    assert [line.split() for line in text.splitlines() if line.startswith("second")][-1] == ["second", "0", "0"]


def test_first_columns_are_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 100, comparison_table.comparison, compared(), "dtecn, 20 seeds", Path("runs/x"))
    headings = [line for line in text.splitlines() if line.startswith("policy")]
    assert cells(headings[0]) == ["policy", "penalty", "difference", "p (Holm)", "stable"]
    words = "dtecn, 20 seeds. Penalty per slot, no warm-up cut (MSER-5): mean and 95 % interval"
    assert " ".join(text.split()).startswith(words)


def test_one_seed_prints_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(1)
    text = printed(monkeypatch, 80, comparison_table.comparison, found, "dtecn, 1 seed", Path("runs/x"))
    assert "nan" not in text
    assert "±" not in text
    assert f"{found.means['greedy-cost']['penalty_mean'].mean:.4g}" in cells(text)
    assert "note: 1 seed: fewer than 5" in text


@pytest.mark.parametrize("width", [60, 80, 140, 200])
def test_sweep(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """The penalty is there at every point, however narrow the terminal is; a wide one shows all columns."""
    points = [Point({"vehicles.num_vehicle": str(num)}, compared(num)) for num in (6, 7)]
    text = printed(monkeypatch, width, comparison_table.sweep, points, "dtecn, 6 seeds", Path("runs/x"))
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    seen = cells(text)
    for point in points:
        penalties = expected(point.comparison, of_layers=False)[0]["penalty"]
        assert set(penalties) <= set(seen)
    assert ("left out: " in text) == (width < 140)
    if width == 200:
        columns = ("num_vehicle", "policy", "penalty", "difference", "p (Holm)", "stable", "missed", "cut", "6", "7")
        assert set(columns) <= set(seen)


def test_sweep_with_a_metric_that_a_point_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [Point({"model.allocation": name}, compared(6, of_layers=name == "joint")) for name in ("joint", "shares")]
    text = printed(monkeypatch, 250, comparison_table.sweep, points, "x", Path("runs/x"))
    first, second = (line for line in text.splitlines() if "p2-exact:" in line and "note" not in line)
    heading = next(line for line in text.splitlines() if line.startswith("allocation"))
    for label, there, not_there in (("completion / s", first, second), ("backlog / MB", second, first)):
        end = heading.index(label) + len(label)
        assert there[end - 1] != " "
        assert not not_there[end - len(label) : end].strip()


def test_sweep_over_keys_that_end_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("tasks.0.deadline_s", "tasks.1.deadline_s", "vehicles.num_vehicle")
    points = [Point(dict(zip(keys, (first, "0.2", "5"), strict=True)), compared(6)) for first in ("0.1", "0.3")]
    text = printed(monkeypatch, 250, comparison_table.sweep, points, "x", Path("runs/x"))
    heading = next(line for line in text.splitlines() if line.startswith("tasks"))
    assert cells(heading)[:4] == [*keys[:2], "num_vehicle", "policy"]


def test_differences_of_unstable_policies_that_the_interval_swallows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference is 0.5 J, its interval some 400 J: it is shown, with one digit."""
    spread = np.array([0.0, 300.0, -300.0])
    runs = {
        policy: [Finished({"energy_j_mean": 900.0 + more, "stable": False}, np.full(100, 1.0)) for more in energies]
        for policy, energies in {"first": np.zeros(3), "second": 0.5 + spread}.items()
    }
    found = evaluate(runs, (0, 1, 2), "first")
    text = printed(monkeypatch, 80, comparison_table.comparison, found, "x", Path("runs/x"))
    assert [line.split() for line in text.splitlines() if line.startswith("second")][-1] == ["second", "0.5"]
