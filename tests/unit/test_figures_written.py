"""`twin figures`: what is drawn and written, and the whole command on a tiny plan."""

from __future__ import annotations

import csv
import dataclasses
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from sim import Scenario, run
from sim.show import figures
from sim.show.figures import drawing, dtecn, llm6g, page
from sim.show.figures.measure import measure, scenario_at
from sim.show.figures.plan import PENALTY, PaperPlan, Series
from tests.support.command import twin
from tests.support.figures import NOISE, SMALL, synthetic
from tests.support.process import at_work

pytestmark = pytest.mark.full  # the quick loop is for what changes every day


@pytest.mark.parametrize(
    ("paper", "names"),
    [
        ("llm6g", ("fig1",)),
        pytest.param("llm6g", ("fig2",), marks=pytest.mark.full),
        pytest.param("dtecn", ("fig3", "congested"), marks=pytest.mark.full),
        pytest.param("dtecn", ("fig4", "fig5", "fig6"), marks=pytest.mark.slow),
    ],
)
def test_figures_are_valid_and_deterministic(paper: str, names: tuple[str, ...], tmp_path: Path) -> None:
    """PNG and SVG of a figure: text is text, no clipping paths, nothing of the day or the machine in them."""
    plan = figures.load(paper, quick=True)
    measured = synthetic(plan, {})
    drawn = [figure for figure in plan.figures if figure.name in names]
    assert len(drawn) == len(names)
    for figure in drawn:
        png, svg = drawing.draw(figure, measured, "paper", tmp_path / "one")
        assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        width, height = (int.from_bytes(png.read_bytes()[start : start + 4]) for start in (16, 20))
        assert width == pytest.approx(figure.num_column * 3.5 * 200, abs=1)
        assert height > 300
        text = svg.read_text("utf-8")
        words = {
            "".join(element.itertext()).strip()
            for element in ElementTree.fromstring(text).iter()
            if element.tag.endswith("}text")
        }
        for panel in figure.panels:
            assert {panel.metric.axis_label, panel.title} <= words
        if not figure.panels[0].by_method:
            assert plan.axis.label in words
            assert {method.label for method in plan.methods} <= words
        assert any("quick look, 5 seeds" in word for word in words)
        assert "clip" not in text
        assert not re.search(r"\d{4}-\d\d-\d\dT", text)
        again = drawing.draw(figure, measured, "paper", tmp_path / "two")
        assert [path.read_bytes() for path in again] == [png.read_bytes(), svg.read_bytes()]


def test_without_matplotlib_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if there were none
    assert 'pip install "vectwin[report]"' in twin("figures", "llm6g", "--out", "out").complaint()


def test_drawing_leaves_no_state() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    drawing.draw(SMALL.figures[0], synthetic(SMALL, {}), "paper", Path("figure"))
    assert dict(mpl.rcParams) == before


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_data_beside_a_figure(tmp_path: Path) -> None:
    """All drawn values, and their paired differences from the optimum."""
    measured = synthetic(SMALL, {("square", "rlor"): (20.0, 21.0, 22.0), ("square", "layers-exact"): (4.0, 4.0, 4.0)})
    page.write_figure_data(SMALL.figures[0], measured, "paper", tmp_path / "data.csv")
    with (tmp_path / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 4  # metrics, points, policies
    row = next(row for row in rows if row["policy"] == "rlor" and row["cost.time_weight"] == "0.2")
    assert (row["metric"], row["unit"], row["num_seed"]) == ("completion_s_mean", "s", "5")
    assert float(row["mean"]) == pytest.approx(21.0)
    assert float(row["half_width_95"]) == pytest.approx(stats.t.ppf(0.975, 4) * stats.sem(NOISE))
    assert float(row["difference_from_optimum"]) == pytest.approx(17.0)
    assert float(row["difference_half_width_95"]) == pytest.approx(0.0, abs=1e-9)


# -------------------------------------------------------------------------------------------------------------- command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dtecm",), "PAPER: there are no figures of 'dtecm' (accepted: dtecn, llm6g)"),
        (("llm6g", "--mode", "correct"), "--mode: 'correct' does not name modes (accepted: corrected,paper)"),
        (("llm6g", "--mode", "paper,paper"), "--mode: 'paper,paper' does not name modes"),
        (("llm6g", "--seeds", "x"), "--seeds: 'x' is not a seed"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    assert words in twin("figures", *arguments, "--out", "figures").complaint()


def tiny(paper: str) -> PaperPlan:
    """Two cheap methods beside the optimum, two points, few slots."""
    plan = dtecn.plan(quick=True) if paper == "dtecn" else llm6g.plan(quick=True)
    cheap = {"dtecn": ("p2-exact", "edge-equal", "llm"), "llm6g": ("layers-exact", "rlor", "rrlo")}[paper]
    worlds = [dataclasses.replace(world, settings=(*world.settings, "time.num_slot=2")) for world in plan.worlds]
    kept = [dataclasses.replace(world, points=world.points[:2]) for world in worlds]
    methods = tuple(method for method in plan.methods if method.policy in cheap)
    return dataclasses.replace(plan, worlds=tuple(kept), methods=methods)


@pytest.mark.full
def test_quick_command_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files, numbers that a plain run gives, too, and a second start that runs nothing and writes equal bytes."""
    plan = tiny("llm6g")
    with at_work("sim.show.figures:load", lambda: plan):
        done = twin("figures", "llm6g", "--out", "out", "--quick", "--json")
    assert (done.code, done.err) == (0, "")
    answer = done.json()
    assert (answer["quick"], answer["seeds"], answer["missing"]) == (True, [0, 1, 2], {})
    names = {Path(name).name for name in answer["files"]}
    expected = {
        f"fig{n}-{mode}.{kind}" for n in (1, 2) for mode in ("corrected", "paper") for kind in ("png", "svg", "csv")
    }
    assert names == expected | {"claims.md", "claims.csv", "runs.parquet"}
    claims = Path("out/claims.md").read_text("utf-8")
    assert "A quick look: 3 seeds" in claims
    assert "$ twin figures llm6g --out out --seeds 0..2 --mode corrected,paper --quick" in claims
    verdicts = re.findall(
        r"\*\*(reproduces|in part|does not reproduce|cannot be told|not testable there)\*\* \|$", claims, re.MULTILINE
    )
    assert len(verdicts) == 2 * len(tiny("llm6g").claims)
    scenario = scenario_at(plan, "paper", plan.worlds[0], plan.worlds[0].points[1])
    summary = run(Scenario.model_validate_json(scenario.model_dump_json()), policy="rrlo", seed=2).summary
    measured = measure(plan, ("paper",), (2,), Path("out"))
    own = measured.values("paper", Series("rrlo", "square"), llm6g.COMPLETION)
    assert own[1, 0] == summary["completion_s_mean"]
    told = {(row["mode"], row["x"], row["policy"]): row for row in answer["penalty"]}
    assert len(told) == 2 * 2 * 3  # modes, points, methods
    penalties = measured.values("paper", Series("rrlo", "square"), PENALTY)
    entry = told["paper", plan.worlds[0].points[1], "rrlo"]
    assert entry["low"] < entry["mean"] < entry["high"]
    assert penalties[1, 0] == summary["penalty_mean"] == summary["objective_mean"]  # by [cost]
    before = {path: path.read_bytes() for path in Path("out").glob("*.*")}
    stored = {path: path.stat().st_mtime_ns for path in Path("out/runs").iterdir()}
    with at_work("sim.show.figures:load", lambda: plan):
        assert twin("figures", "llm6g", "--out", "out", "--quick", "--json").json() == answer
    assert {path: path.stat().st_mtime_ns for path in Path("out/runs").iterdir()} == stored
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.full
def test_additional_numbers_come_from_the_trace() -> None:
    """Resource ratio, edge energy per slot and gap of a job against the tables of the same run."""
    plan = dataclasses.replace(tiny("dtecn"), methods=tiny("dtecn").methods[:1])
    measured = measure(plan, ("corrected",), (0,), Path("out"))
    world = plan.world("-")
    result = run(scenario_at(plan, "corrected", world, 4), policy="p2-exact", seed=0)
    allocated = np.array(result.table("decisions")["compute_allocation_hz"].to_pylist()).sum(axis=1)
    series = Series("p2-exact", "-")
    assert measured.values("corrected", series, dtecn.RESOURCES)[0, 0] == pytest.approx(allocated.mean() / 400e9)
    energy_mj = 1e3 * np.mean(result.table("slots")["energy_edge_j"].to_pylist())
    assert measured.values("corrected", series, dtecn.EDGE_ENERGY)[0, 0] == pytest.approx(energy_mj)
    assert 0 <= measured.gap_max("corrected", ("+", "-")) < 1e-9
    assert pq.read_table(next(Path("out/runs").iterdir()))["policy"].to_pylist() == ["p2-exact"]
