"""Tiles of a report: each number is that of the tables, with what tells whether it is good."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sim import Scenario, run
from sim.show.report import digits, page
from sim.show.report.runs import ReportedRun, open_runs
from tests.support.reports import make_runs, page_of

__all__ = ["directories"]  # the fixture
pytestmark = pytest.mark.full  # the quick loop is for what changes every day

SIGNED = ("penalty", "drift", "objective", "QoS")


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_runs(tmp_path_factory.mktemp("runs"))


def test_no_percentage_of_a_number_that_changes_sign(directories: dict[str, Path]) -> None:
    text = page.page(open_runs([directories["equal"], directories["random"]]))
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th>(.*?)</tr>', text)
    signed = [cells for label, cells in rows if label.startswith(SIGNED)]
    assert len(signed) >= len(SIGNED)
    assert not any("%" in cells for cells in signed)
    assert any("%" in cells for label, cells in rows if label == "energy per slot")
    penalty = text[text.index('id="tile-penalty"') :].partition("</article>")[0]
    told = [ReportedRun(directories[name], 0).summary()["penalty_mean"] for name in ("equal", "random")]
    assert digits.plain(told[0]) in penalty
    assert re.search(r'class="note (good|bad)">([^<]*)<', penalty)
    assert "%" not in re.sub(r'style="[^"]*"', "", penalty)


def tile(text: str, key: str) -> str:
    """Return a tile without markup."""
    found = text[text.index(f'id="tile-{key}"') :].partition("</article>")[0].partition(">")[2]
    return re.sub("[ \n]+", " ", re.sub("<[^>]*>", " ", found))


def test_tiles_against_the_tables(directories: dict[str, Path]) -> None:
    reported = ReportedRun(directories["blackout"], 0)
    text = page.page([reported])
    tasks = reported.table("tasks").to_pylist()
    ended = [row for row in tasks if row["outcome"] != "in flight"]
    missed = [row for row in ended if row["outcome"] != "completed"]
    assert digits.percent(reported.summary()["deadline_miss_ratio"]) in tile(text, "missed")
    assert f"{digits.count(len(missed))} of {digits.count(len(ended))} tasks" in tile(text, "missed")
    done = [row for row in tasks if row["outcome"] in ("completed", "late") and row["task_class"] == 0]
    delay_ms = np.mean([row["done_ns"] - row["generated_ns"] for row in done]) / 1e6
    assert f"control {digits.plain(float(delay_ms))} of 50 ms" in tile(text, "delay")
    slots = reported.table("slots").to_pylist()
    joule = np.mean([row["energy_local_j"] + row["energy_transmit_j"] + row["energy_edge_j"] for row in slots])
    assert f"{digits.plain(float(joule))} {digits.plain(float(joule) / 0.1)} W" in tile(text, "energy")
    parts = [
        float(part.replace("\N{MINUS SIGN}", "-"))
        for part in re.findall(r"[\u2212\d]\d*\.\d{3}\b", tile(text, "penalty"))
    ]
    total = float(np.mean([row["penalty"] for row in slots]))
    assert sum(parts[-3:]) == pytest.approx(total, abs=2e-3)
    assert "Age of information" in tile(text, "age")  # reports come late here
    assert 'id="tile-decide"' in page.page(open_runs([directories["equal"]]))  # and at once here


def test_an_unstable_run_says_so(tmp_path: Path) -> None:
    settings = ["time.num_slot=110", "vehicles.num_vehicle=3", "server.frequency_hz=2 GHz", "tasks.0.size_bytes=9e6"]
    for policy in ("edge-equal", "local-only"):
        run(Scenario.load("dtecn-congested", settings), policy=policy, seed=2, out=tmp_path / policy)
    alone = page.page(open_runs([tmp_path / "edge-equal"]))
    assert "unstable: what waits keeps growing" in tile(alone, "penalty")
    both = page.page(open_runs([tmp_path / "local-only", tmp_path / "edge-equal"]))
    assert re.search(r"edge-equal \S+ unstable", tile(both, "penalty"))


def test_live_numbers_end_at_those_of_the_run(directories: dict[str, Path]) -> None:
    data = page_of(directories["blackout"]).data
    told = ReportedRun(directories["blackout"], 0).summary()
    live = data["live"][0]
    assert live["penalty"][-1] == pytest.approx(told["penalty_mean"], rel=1e-5)
    assert live["energy"][-1] == pytest.approx(told["energy_j_mean"], rel=1e-5)
    late_dropped, ended = told["tasks_late"] + told["tasks_dropped"], told["tasks_generated"] - told["tasks_in_flight"]
    assert live["missed"][-1] == pytest.approx(late_dropped / ended, rel=1e-5)
