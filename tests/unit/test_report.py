"""Reports: the page holds what the run holds, nothing in a name is markup, and a killed run has a page, too."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sim import Scenario, run
from sim.show import terminal
from sim.show.report import charts, motion, page, write_report
from sim.show.report.runs import ReportedRun, open_runs
from sim.show.report.series import Chart, Curve, bins
from tests.support.command import twin
from tests.support.reports import EVIL, RUNS, Page, killed, make_runs, page_of
from traces.schema import TABLES

pytestmark = pytest.mark.full  # the quick loop is for what changes every day


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_runs(tmp_path_factory.mktemp("runs"))


def test_summary_is_on_the_page(directories: dict[str, Path]) -> None:
    found = page_of(directories["blackout"])
    reported = ReportedRun(directories["blackout"], 0)
    for key, value in reported.summary().items():
        assert terminal.spell(key, value) in found.texts, key
    for text in ("deadlines missed", "ratio", "greedy-cost", "2", "70 slots of 0.1 s: 7 s", "complete", "blackout"):
        assert text in found.texts, text


def test_charts_of_everything_that_there_is(directories: dict[str, Path]) -> None:
    """What never changes is a line of text, everything else a chart."""
    keys = {name: [chart["key"] for chart in page_of(directories[name]).data["charts"]] for name in RUNS}
    always = ["penalty", "missed", "delay", "backlog", "waiting", "energy", "objective"]
    assert keys["equal"] == [*(key for key in always if key != "energy"), "latency"]  # equal shares, whatever happens
    assert keys["blackout"] == ["events", *always, "position", "gain", "size", "age", "latency"]
    assert keys["layers"] == ["penalty", "delay", "energy", "objective", "latency"]  # all is done within a slot
    found = page_of(directories["blackout"])
    figures = [str(attributes["id"]) for tag, attributes in found.elements if tag == "figure" and "id" in attributes]
    assert figures == [f"figure-{key}" for key in keys["blackout"]]
    assert all(attributes.get("aria-label") for _, attributes in found.elements if attributes.get("role") == "img")


def test_a_flat_chart_is_a_line_of_text(directories: dict[str, Path]) -> None:
    found = page_of(directories["equal"])
    lines = [attributes["id"] for tag, attributes in found.elements if tag == "li" and "id" in attributes]
    assert lines == ["figure-energy", "figure-position", "figure-gain", "figure-age"]
    assert ": always 0 m." in found.texts
    x = np.arange(3.0)
    same, other = Curve("a", x, np.array([0.1 + 0.2, 0.3, 0.3]), 0), Curve("b", x, np.full(3, 2.0), 1)
    assert Chart("k", "T", "note", "J", [same]).constant == "always 0.3 J"
    assert Chart("k", "T", "note", "J", [same, other]).constant == "always the same: a 0.3 J, b 2 J"
    moving = Curve("c", x, np.array([1.0, 1.0, 1.0 + 1e-6]), 0)
    assert Chart("k", "T", "note", "J", [same, moving]).constant == ""
    assert Chart("k", "T", "note", "J", [same], kind="delay").constant == ""  # a distribution of one value has a place


def test_curves_are_the_columns(directories: dict[str, Path]) -> None:
    data = page_of(directories["blackout"]).data
    reported = ReportedRun(directories["blackout"], 0)
    curves = {(chart["key"], curve["label"]): curve for chart in data["charts"] for curve in chart["curves"]}
    units = {chart["key"]: chart["unit"] for chart in data["charts"]}
    backlog = reported.lists("slots", "backlog_bytes")[:, 1] / {"kB": 1e3, "MB": 1e6}[units["backlog"]]
    np.testing.assert_allclose(curves["backlog", "perception"]["y"], backlog, rtol=1e-5)
    np.testing.assert_allclose(curves["backlog", "perception"]["x"], np.arange(70) * 0.1, rtol=1e-5)
    latency = next(chart for chart in data["charts"] if chart["key"] == "latency")
    assert (latency["unit"], latency["level"]) == ("ms", [100, "slot, 0.1 s"])
    assert len(curves["latency", "latency, simulated"]["x"]) == reported.table("decisions").num_rows
    shares = curves["delay", "control"]["y"]
    assert shares == sorted(shares)
    outcome = reported.outcome[reported.table("tasks").column("task_class").to_numpy() == 0]
    assert shares[-1] == pytest.approx(np.isin(outcome, (1, 2)).sum() / (outcome > 0).sum(), rel=1e-5)
    assert [mark["kind"] for mark in data["marks"]] == ["node-down"]


def test_size_errors_against_a_plain_loop(directories: dict[str, Path]) -> None:
    reported = ReportedRun(directories["blackout"], 0)
    _, mean, worst = reported.size_errors()
    true = {
        (row["slot"], row["vehicle"], row["task_class"]): row["size_bytes"]
        for row in reported.table("tasks").to_pylist()
    }
    for index, row in enumerate(reported.table("decisions").to_pylist()):
        errors = [
            abs(row["estimated_size_bytes"][2 * vehicle + kind] / size - 1)
            for (slot, vehicle, kind), size in true.items()
            if slot == row["slot"]
        ]
        assert (mean[index], worst[index]) == pytest.approx((np.mean(errors), max(errors)))


def positions(data: dict[str, Any], player: dict[str, Any], axis: int) -> np.ndarray[Any, Any]:
    """Decode positions as the page does, [frames, seats]; NaN where nobody is."""
    raw = np.frombuffer(base64.b64decode(data["blobs"][player["xy"[axis]]]), "<i2")
    low, step, _ = player["axes"][axis]
    values = np.where(raw == -32768, np.nan, low + (raw.astype(float) + 32767) * step)
    return values.reshape(player["frames"], player["seats"])


def test_positions_are_right_to_a_step(directories: dict[str, Path]) -> None:
    data = page_of(directories["blackout"]).data
    player, reported = data["players"][0], ReportedRun(directories["blackout"], 0)
    x_m, y_m = (positions(data, player, axis) for axis in (0, 1))
    nodes = np.frombuffer(base64.b64decode(data["blobs"][player["node"]]), "u1").reshape(x_m.shape)
    seat_of = {(first, vehicle): seat for seat, first, _, vehicle in player["visits"]}
    for row in reported.table("vehicles").to_pylist():
        place = row["slot"], seat_of[0, row["vehicle"]]
        assert x_m[place] == pytest.approx(row["x_m"], abs=player["axes"][0][1])
        assert y_m[place] == pytest.approx(row["y_m"], abs=player["axes"][1][1])
        served = nodes[place]
        assert (player["nodes"][served - 1]["name"] if served else None) == row["serving_node"]
    assert np.isfinite(x_m).sum() == reported.table("vehicles").num_rows


def test_vehicles_that_come_and_go_share_seats(directories: dict[str, Path]) -> None:
    reported = ReportedRun(directories["equal"], 0)
    rows = reported.table("vehicles")
    slot = rows.column("slot").to_numpy()
    vehicle = rows.column("vehicle").to_numpy()
    here = pa.array(np.where(vehicle < 5, slot < 10, slot > 12))
    reported.recorded.tables["vehicles"] = rows.filter(here)
    found = motion.motion_of(reported, motion.Blobs())
    assert found is not None
    assert found["seats"] == 5
    assert sorted(visit[3] for visit in found["visits"]) == list(range(10))


def test_a_large_run_is_decimated_and_says_so(directories: dict[str, Path]) -> None:
    found = Page(page.page(open_runs([directories["equal"]]), player_bytes=900))
    player = found.data["players"][0]
    assert player["frames"] * player["seats"] * 8 <= 900
    assert player["step"] > 1
    note = next(text for text in found.texts if text.startswith("Between slots"))
    assert f"one of {player['step']} slots is shown" in note
    assert "the twin believed" in note
    assert "belief" not in player


def test_binned_curves_keep_extremes() -> None:
    y = np.zeros(5_000)
    y[1234], y[4999] = 7.0, np.nan
    x, mean, low, high = bins(np.arange(5_000.0), y)
    assert len(x) == 1_000
    assert high is not None
    assert low is not None
    assert (np.nanmax(high), np.nanmax(mean), np.nanmin(low)) == (7.0, 1.4, 0.0)
    chart = Chart("a", "A", "note", "s", [Curve("b", np.arange(5_000.0), y * 1e-3, 0)])
    assert chart.bin_size == 5
    assert chart.data()["unit"] == "ms"
    json.dumps(chart.data(), allow_nan=False)


def test_frequent_events_are_no_lines(directories: dict[str, Path]) -> None:
    reported = ReportedRun(directories["equal"], 0)
    times = [10**6 * n for n in range(3_000)]
    rows = {"time_ns": times, "kind": ["fallback"] * 3_000, "slot": [0] * 3_000, "detail": ["why"] * 3_000}
    reported.recorded.tables["events"] = pa.table(rows, schema=TABLES["events"].schema())
    assert charts.marks([reported]) == []
    points = charts.event_points([reported])
    assert points[0]["label"] == "fallback: 3000 (every 3. shown)"


def test_runs_side_by_side(directories: dict[str, Path]) -> None:
    first, second = (ReportedRun(directories[name], 0).summary() for name in ("equal", "random"))
    found = page_of(directories["equal"], directories["random"])
    difference = second["tasks_late"] - first["tasks_late"]
    part = 100 * difference / first["tasks_late"]
    assert f"({'+' if difference > 0 else ''}{terminal.spell('', difference)}, {part:+.1f} %)" in found.texts
    backlog = next(chart for chart in found.data["charts"] if chart["key"] == "backlog")
    assert [curve["label"] for curve in backlog["curves"]] == ["edge-equal", "random"]
    total = ReportedRun(directories["random"], 0).lists("slots", "backlog_bytes").sum(axis=1)
    np.testing.assert_allclose(backlog["curves"][1]["y"], total / {"kB": 1e3, "MB": 1e6}[backlog["unit"]], rtol=1e-5)
    delays = [chart for chart in found.data["charts"] if chart["kind"] == "delay"]
    names = [task.name for task in ReportedRun(directories["equal"], 0).scenario.tasks]
    assert [chart["title"] for chart in delays] == [f"Delay of {name}" for name in names]
    one, other = found.data["players"]
    assert (one["x"], one["y"]) == (other["x"], other["y"])  # one motion, held once
    assert len([1 for tag, _ in found.elements if tag == "canvas"]) == 2  # one map each
    assert len([1 for tag, _ in found.elements if tag == "input"]) == 3  # and one clock: links, belief, time


def test_names_of_runs_differ(directories: dict[str, Path], tmp_path: Path) -> None:
    twice = page_of(directories["equal"], directories["equal"])
    assert [entry["name"] for entry in twice.data["runs"]] == ["edge-equal (1: equal)", "edge-equal (2: equal)"]
    scenario = Scenario.load("dtecn-congested", ["time.num_slot=5"])
    run(scenario, policy="edge-equal", seed=3, out=tmp_path / "other")
    seeds = page_of(directories["equal"], tmp_path / "other")
    assert [entry["name"] for entry in seeds.data["runs"]] == ["edge-equal, seed 2", "edge-equal, seed 3"]


def test_language_model(directories: dict[str, Path]) -> None:
    reported = ReportedRun(directories["equal"], 0)
    row = {"digest": "d", "num_case": 2, "num_token": 400, "num_reused_token": 100, "num_answer_token": 30}
    times = {"prefill_wall_s": 0.05, "decode_wall_s": 0.4}
    rows = [{"slot": slot, "guarded": slot == 3, **row, **times, "num_token": 400 + slot} for slot in range(30)]
    rows[7]["prefill_wall_s"] = 0.06
    reported.recorded.tables["prompts"] = pa.Table.from_pylist(rows, schema=TABLES["prompts"].schema())
    found = {chart["key"]: chart for chart in Page(page.page([reported])).data["charts"]}
    assert [curve["label"] for curve in found["tokens"]["curves"]] == ["prompt", "of it reused", "answer"]
    assert found["prompt-times"]["unit"] == "ms"
    assert found["prompt-times"]["curves"][1]["y"] == [400.0] * 30
    assert [kind for _, kind, _ in reported.events()] == ["guard"]


@pytest.mark.parametrize("without", [(), ("tasks", "slots", "events"), ("decisions", "twin")])
def test_killed_run(directories: dict[str, Path], tmp_path: Path, without: tuple[str, ...]) -> None:
    directory = killed(directories["blackout"], tmp_path / "killed")
    reported = ReportedRun(directory, 0)
    for name in without:
        reported.recorded.tables[name] = TABLES[name].schema().empty_table()
    found = Page(page.page([reported]))
    assert any(text.startswith("incomplete: the run was killed") for text in found.texts)
    assert "none: the run did not end" in found.texts
    assert found.data["players"][0]["frames"] == 70


def test_summary_of_a_killed_run_is_that_of_its_slots(tmp_path: Path) -> None:
    settings = ["time.num_slot=110", "vehicles.num_vehicle=3", "server.frequency_hz=2 GHz", "tasks.0.size_bytes=9e6"]
    run(Scenario.load("dtecn-congested", settings), policy="edge-equal", seed=2, out=tmp_path / "run")
    reported = ReportedRun(tmp_path / "run", 0)
    told = reported.summary()
    assert told["stable"] is False
    del reported.recorded.trace.manifest["summary"]
    for key, value in reported.summary().items():
        assert value == pytest.approx(told[key], rel=1e-9), key


def test_readings_of_the_paper_are_on_the_page(directories: dict[str, Path]) -> None:
    """Where the papers' scenarios have more hardware than there is, and that others have not."""
    (row,) = [text for text in page_of(directories["equal"]).texts if text.startswith("eq. 7: every task has a CPU")]
    assert "eq. 9: every upload has the whole rate" in row
    assert "nothing: no more hardware than there is" in page_of(directories["blackout"]).texts


def test_names_are_no_markup(tmp_path: Path) -> None:
    directory = tmp_path / "<b>&amp;run"
    settings = [f"title={json.dumps(EVIL)}", f"tasks.0.name={json.dumps(EVIL)}", "time.num_slot=3"]
    run(Scenario.load("dtecn", settings), seed=1, out=directory)
    harmless = tmp_path / "harmless"
    run(Scenario.load("dtecn", ["time.num_slot=3"]), seed=1, out=harmless)
    found, expected = page_of(directory), page_of(harmless)
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in expected.elements]
    assert EVIL in found.texts
    delay = next(chart for chart in found.data["charts"] if chart["key"] == "delay")
    assert delay["curves"][0]["label"] == EVIL


def test_nothing_is_loaded_from_elsewhere(directories: dict[str, Path]) -> None:
    found = page_of(directories["equal"], directories["random"])
    for tag, attributes in found.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    ours = (page._ASSETS / name for name in ("style.css", "page.html", "map.html", *page._SCRIPTS))
    for asset in ours:
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)", asset.read_text("utf-8"))


def test_equal_runs_give_equal_pages(directories: dict[str, Path], tmp_path: Path) -> None:
    names = [directories[name] for name in ("equal", "random")]
    assert write_report(names, tmp_path / "a.html") == (tmp_path / "a.html").stat().st_size
    write_report(names, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_command_line(directories: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = twin("report", directories["equal"], "--out", "a.html")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"a\.html: 0\.\d MB\n", done.out)
    told = twin("report", directories["equal"], directories["random"], "--out", "sub/b.html", "--json").json()
    assert told["bytes"] == Path("sub/b.html").stat().st_size
    assert twin("report", directories["equal"], directories["random"], "--json").json()["report"] == "report.html"
    wrong = {
        (directories["equal"], "--out", "a.pdf"): "--out: 'a.pdf' is no name for a page (accepted: FILE.html)",
        (tmp_path, "--out", "a.html"): "is not a run: it has no manifest.json",
        ("--out", "a.html"): "RUN...: is missing",
    }
    for arguments, words in wrong.items():
        assert words in twin("report", *arguments).complaint()


def test_a_page_in_the_folder_of_its_run_does_no_harm(directories: dict[str, Path]) -> None:
    assert twin("report", directories["layers"], "--json").json()["report"] == str(
        directories["layers"] / "report.html"
    )
    assert twin("check", directories["layers"]).code == 0
    assert twin("replay", directories["layers"]).code == 0


def test_without_extras(directories: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plotly", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert twin("report", directories["equal"], "--out", tmp_path / "a.html").code == 0
