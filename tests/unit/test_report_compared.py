"""Pages about comparisons and sweeps: the numbers are those of `twin compare`, and a large one stays small."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from policies.baselines import LocalOnly
from sim import Scenario, compare, run, sweep
from sim.record.delays import shares
from sim.show.report import digits, ranking, swept, write_report
from sim.show.report.beside import Shown, beside
from sim.show.report.study import on_the_map, open_study, ranked
from sim.show.report.tile import html as tile_html
from sim.studies.comparison import HEADLINE, Comparison
from sim.studies.statistics import Interval
from sim.studies.sweep import to_dict
from tests.support.command import twin
from tests.support.reports import EVIL, Page, stored

pytestmark = pytest.mark.full  # the quick loop is for what changes every day

POLICIES = ("greedy-cost", "edge-equal", "local-only")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    folder = tmp_path_factory.mktemp("compared")
    scenario = Scenario.load("rush-hour", ["time.num_slot=120"])
    return folder, compare(scenario, POLICIES, range(3), folder, warmup=20)


def report(folder: Path, maps: int = 0) -> Page:
    write_report([folder], folder / "report.html", maps)
    return Page((folder / "report.html").read_text("utf-8"))


def rows_of(folder: Path, table: str) -> list[list[str]]:
    """Return the cells of a table's rows, without markup."""
    text = (folder / "report.html").read_text("utf-8")
    body = text[text.index(f'id="{table}"') :].partition("<tbody>")[2].partition("</tbody>")[0]
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("</tr>") if row)
    return [[re.sub("<[^>]*>", "", cell).strip() for cell in row] for row in cells]


def test_statistics_are_those_of_the_comparison(compared: tuple[Path, Comparison]) -> None:
    folder, comparison = compared
    (point,) = open_study(folder).points
    assert point.comparison.to_dict() == comparison.to_dict()
    assert point.scenario.title.startswith("Rush hour")


def test_policies_are_ranked_with_intervals(compared: tuple[Path, Comparison]) -> None:
    folder, comparison = compared
    report(folder)
    rows = rows_of(folder, "ranking")
    order = ranked(comparison)
    assert [row[1].split()[0] for row in rows] == order
    means = [comparison.means[policy][HEADLINE].mean for policy in order]
    steady = [mean for policy, mean in zip(order, means, strict=True) if not comparison.is_unstable(policy)]
    assert steady == sorted(steady)
    for policy, row in zip(order, rows, strict=True):
        found = comparison.means[policy][HEADLINE]
        unstable = comparison.is_unstable(policy)
        assert row[2] == digits.measured(Interval(found.mean, np.nan) if unstable else found)
        assert ("±" in row[2]) is not unstable
        assert ("unstable" in row[1]) is unstable
        if policy != comparison.baseline and not comparison.is_unstable(policy, with_baseline=True):
            assert row[4] == digits.measured(comparison.differences[policy][HEADLINE], signed=True)
    assert "baseline" in rows[order.index("greedy-cost")][1]


def test_unstable_policies_come_last_and_have_no_interval(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    comparison = stored(folder, {"greedy-cost": -0.5, "edge-equal": 50.0, "random": -0.7}, 6, 100)
    found = report(folder)
    rows = rows_of(folder, "ranking")
    assert [row[1].split()[0] for row in rows] == ["random", "greedy-cost", "edge-equal"]
    assert "unstable" in rows[2][1]
    assert not any("±" in cell or "[" in cell for cell in rows[2])
    assert rows[2][6] == ""  # and no p-value
    verdict = next(text for text in found.texts if "has the lowest penalty" in text)
    less = comparison.differences["random"][HEADLINE]
    assert f"{digits.measured(Interval(-less.mean, less.half_width))} below that of greedy-cost" in verdict
    hidden = {curve["label"] for chart in found.data["charts"] for curve in chart["curves"] if curve.get("off")}
    assert hidden == {"edge-equal"}


@pytest.mark.parametrize("num_seed", [1, 6])
def test_a_difference_within_chance_is_no_victory(tmp_path: Path, num_seed: int) -> None:
    folder = tmp_path / "c"
    stored(folder, {"greedy-cost": -0.5, "edge-equal": -0.5}, num_seed, 100)
    verdict = next(text for text in report(folder).texts if "has the lowest penalty" in text)
    assert ("one seed does not tell" if num_seed == 1 else "6 seeds do not tell it from") in verdict


def test_charts_are_the_stored_runs(compared: tuple[Path, Comparison]) -> None:
    folder, comparison = compared
    charts = {chart["key"]: chart for chart in report(folder).data["charts"]}
    order = ranked(comparison)
    assert list(charts) == ["delay-0", "delay-1", "delay-2", "seeds", "penalty"]
    for key, index in (("delay-0", 0), ("delay-2", 2)):
        assert charts[key]["xLines"] == [[1, -1, "deadline"]]
        for policy, curve in zip(order, charts[key]["curves"], strict=True):
            expected = shares([run.delays for run in comparison.runs[policy]], index)[1]
            np.testing.assert_allclose(curve["y"], expected, rtol=1e-5)
    base = comparison.penalties("greedy-cost")
    for curve in charts["seeds"]["curves"]:
        np.testing.assert_allclose(curve["y"], comparison.penalties(curve["label"]) - base, rtol=1e-5)
    first = charts["penalty"]["curves"][0]
    means = np.mean([run.slot_penalty for run in comparison.runs[first["label"]]], axis=0)
    np.testing.assert_allclose(first["y"], means, rtol=1e-5)
    assert charts["penalty"]["xLines"][0][0] == pytest.approx(2.0)  # 20 slots of 0.1 s


def test_energy_is_split_by_who_spends_it(compared: tuple[Path, Comparison]) -> None:
    folder, comparison = compared
    report(folder)
    text = (folder / "report.html").read_text("utf-8")
    card = re.sub("<[^>]*>", " ", text[text.index('id="figure-energy"') :].partition("</figure>")[0])
    for policy in POLICIES:
        row = comparison.means[policy]
        per_slot = [row[f"energy_{kind}_j"].mean / 120 for kind in ("local", "edge")]
        for joule, name in zip(per_slot, ("vehicles", "servers"), strict=True):
            if joule:
                assert f"{digits.plain(joule)} {name}" in card


def test_maps_of_a_comparison_are_its_first_seed(compared: tuple[Path, Comparison]) -> None:
    folder, comparison = compared
    data = report(folder, maps=2).data
    assert [one["name"] for one in data["runs"]] == on_the_map(open_study(folder).points[0], 2)
    for shown, live in zip(data["runs"], data["live"], strict=True):
        told = comparison.runs[shown["name"]][0].summary
        assert live["energy"][-1] == pytest.approx(told["energy_j_mean"], rel=1e-5)
    assert data["players"][0]["x"] == data["players"][1]["x"]  # one motion
    assert on_the_map(open_study(folder).points[0], 0) == []


def test_a_policy_by_path_does_not_keep_the_others_from_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is not imported, and the page says how it comes to a map; what it says works."""
    monkeypatch.chdir(tmp_path)
    code = "from policies.baselines import LocalOnly\n\n\nclass Mine(LocalOnly):\n    pass\n"
    (tmp_path / "mine.py").write_text(code, "utf-8")
    scenario, own = Scenario.load("rush-hour", ["time.num_slot=20"]), "./mine.py:Mine"
    compare(scenario, ["local-only", own], [3, 4], tmp_path / "c")
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')\n", "utf-8")
    found = report(tmp_path / "c", maps=4)
    assert [one["name"] for one in found.data["runs"]] == ["local-only"]
    (line,) = (text for text in found.texts if text.startswith("No map of"))
    assert line.startswith(f"No map of {own}: pages import nobody's code. To have one: ")
    assert f"twin run SCENARIO --policy {own} --seed 3 --out DIR, then twin report FOLDER DIR" in line
    assert any("a click shows that time on the map" in text for text in found.texts)
    (tmp_path / "mine.py").write_text(code, "utf-8")
    assert twin("run", "rush-hour", "--slots", 20, "--policy", own, "--seed", 3, "--out", "d", "--quiet").code == 0
    write_report([tmp_path / "c", tmp_path / "d"], tmp_path / "page.html")
    (beside,) = Page((tmp_path / "page.html").read_text("utf-8")).data["runs"]
    assert own in beside["name"]
    assert beside["colour"] == ranked(open_study(tmp_path / "c").points[0].comparison).index(own)


def test_a_page_without_a_map_does_not_speak_of_one(tmp_path: Path) -> None:
    class Mine(LocalOnly):
        pass

    compare(Scenario.load("rush-hour", ["time.num_slot=20"]), [Mine], range(2), tmp_path)
    for maps, expected in ((4, ["No map of Mine: it was given as an object. To have one: run("]), (0, [])):
        assert report(tmp_path, maps=maps).data["runs"] == []
        text = (tmp_path / "report.html").read_text("utf-8").partition("<body>")[2].partition("<script")[0]
        told = [words.strip() for words in re.findall(r"[^<>]*\bmaps?\b[^<>]*(?=<)", text, re.IGNORECASE)]
        assert [line[: len(start)] for line, start in zip(told, expected, strict=True)] == expected


def test_runs_beside_a_comparison_are_on_its_map(compared: tuple[Path, Comparison], tmp_path: Path) -> None:
    folder, comparison = compared
    for policy in ("local-only", "random"):
        run(Scenario.load("rush-hour", ["time.num_slot=20"]), policy=policy, seed=7, out=tmp_path / policy)
    write_report([tmp_path / "local-only", folder, tmp_path / "random"], tmp_path / "page.html")
    runs = Page((tmp_path / "page.html").read_text("utf-8")).data["runs"]
    assert [(one["name"], one["colour"]) for one in runs] == [
        ("local-only", ranked(comparison).index("local-only")),
        ("random", 1),  # it is not compared
    ]
    with pytest.raises(InputError, match="one comparison or sweep per page"):
        write_report([folder, folder], tmp_path / "page.html")


def test_the_baseline_is_on_the_map(tmp_path: Path) -> None:
    stored(tmp_path / "c", {"edge-equal": 0.9, "random": -0.7, "local-only": 0.1}, 2, 100)
    assert on_the_map(open_study(tmp_path / "c").points[0], 2) == ["random", "edge-equal"]


def test_runs_that_take_long_are_not_simulated_again(tmp_path: Path) -> None:
    stored(tmp_path / "c", {"edge-equal": 0.9, "random": -0.7}, 2, 100, wall_s=500.0)
    found = report(tmp_path / "c", maps=2)
    assert found.data["players"] == []
    assert any("simulating these runs again takes 1000 s" in text for text in found.texts)


def test_five_policies_and_twenty_seeds_stay_small(tmp_path: Path) -> None:
    names = ("greedy-cost", "greedy-latency", "edge-equal", "random", "local-only")
    stored(tmp_path / "c", {name: -0.1 * place for place, name in enumerate(names)}, 20, 400)
    assert write_report([tmp_path / "c"], tmp_path / "page.html", maps=4) < 5e6
    assert '"players":[{' in (tmp_path / "page.html").read_text("utf-8")


def test_a_sweep(tmp_path: Path) -> None:
    def at(settings: list[str] | Any) -> Scenario:
        return Scenario.load("dtecn-congested", [f"title={json.dumps(EVIL)}", "time.num_slot=20", *settings])

    grid: dict[str, tuple[str, ...]] = {"vehicles.num_vehicle": ("3", "6"), "twin.estimator": ("hold", "predict")}
    points = sweep(at, ("edge-equal", "greedy-latency"), grid, range(2), tmp_path)
    study = open_study(tmp_path)
    again = [{"values": point.values, **point.comparison.to_dict()} for point in study.points]
    assert again == to_dict(points)
    found = report(tmp_path)
    assert EVIL in found.texts
    rows = rows_of(tmp_path, "best")
    assert [row[:2] for row in rows] == [list(point.values.values()) for point in points]
    assert [row[2] for row in rows] == [ranked(point.comparison)[0] for point in points]
    charts = found.data["charts"]
    titles = [f"Penalty, twin.estimator = {value}" for value in grid["twin.estimator"]]
    assert [chart["title"] for chart in charts][:2] == titles
    for chart, place in zip(charts[:2], (0, 1), strict=True):
        for curve in chart["curves"]:
            assert curve["x"] == [3, 6]
            of_point = [points[place].comparison, points[place + 2].comparison]
            means = [one.means[curve["label"]][HEADLINE] for one in of_point]
            np.testing.assert_allclose(curve["y"], [mean.mean for mean in means], rtol=1e-5)
    with pytest.raises(InputError, match="sweep, which has no maps"):
        write_report([tmp_path, tmp_path / "run"], tmp_path / "x.html")


def test_values_that_are_no_numbers_are_names_on_the_axis() -> None:
    assert swept.numbers_of(["20 GHz", "45 GHz"]) == ([20.0, 45.0], "GHz")
    assert swept.numbers_of(["20 GHz", "45 MHz"]) == ([], "")
    assert swept.numbers_of(["hold", ""]) == ([], "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.pop("scenario"), "compare.json: scenario: is missing"),
        (lambda told: told["seeds"].append(99), "compare.json: results.greedy-cost: does not fit the seeds"),
        (lambda told: told["results"]["greedy-cost"].__setitem__(0, "0"), "lacks 1 run of greedy-cost"),
        (lambda told: told["results"]["greedy-cost"].__setitem__(0, "0"), "the same command completes it"),
        (lambda told: told.update(policies=[]), "compare.json: policies: is empty (accepted: at least one)"),
        (lambda told: told["scenario"].update(x=1), "compare.json: scenario.x: unknown key (accepted:"),
    ],
)
def test_a_folder_that_is_not_whole(tmp_path: Path, change: Any, words: str) -> None:
    stored(tmp_path / "c", {"greedy-cost": -0.5, "edge-equal": -0.4}, 2, 100)
    file = tmp_path / "c" / "compare.json"
    told = json.loads(file.read_text("utf-8"))
    change(told)
    file.write_text(json.dumps(told), "utf-8")
    assert words in twin("report", tmp_path / "c").complaint()


def test_a_file_that_no_comparison_wrote(tmp_path: Path) -> None:
    stored(tmp_path / "c", {"greedy-cost": -0.5, "edge-equal": -0.4}, 2, 100)
    file = tmp_path / "c" / "compare.json"
    told = json.loads(file.read_text("utf-8"))
    for text in ("[]", json.dumps([told, told]), json.dumps({**told, "scenario": "[" * 9}), "[" * 100_000, "{", "3"):
        file.write_text(text, "utf-8")
        with pytest.raises(InputError) as caught:
            open_study(tmp_path / "c")
        assert caught.value.where == str(file)


def test_of_a_folder_with_both_the_later_is_read(tmp_path: Path) -> None:
    stored(tmp_path, {"greedy-cost": -0.5, "edge-equal": -0.4}, 2, 100)
    told = json.loads((tmp_path / "compare.json").read_text("utf-8"))
    (tmp_path / "sweep.json").write_text(json.dumps([{**told, "values": {"time.num_slot": "100"}}]), "utf-8")
    for later in ("compare.json", "sweep.json"):
        os.utime(tmp_path / later)
        assert open_study(tmp_path).is_sweep == (later == "sweep.json")


def test_a_comparison_that_did_not_end(tmp_path: Path) -> None:
    stored(tmp_path / "c", {"greedy-cost": -0.5, "edge-equal": -0.4}, 2, 100)
    (tmp_path / "c" / "compare.json").unlink()
    words = "c: holds a comparison that did not end (accepted: a whole one: the same command completes it)"
    assert words in twin("report", tmp_path / "c").complaint()
    assert not (tmp_path / "c" / "report.html").exists()


def test_bars_of_tiles_are_to_scale_and_cut_ones_have_a_broken_end() -> None:
    means = {"a": 0.022, "b": 0.107, "c": 0.361}
    shown = [
        Shown(
            name, colour, {"deadline_miss_ratio": Interval(mean, 0.001)}, unstable=name != "a", is_baseline=name == "c"
        )
        for colour, (name, mean) in enumerate(means.items())
    ]
    (tile,) = (one for one in beside(shown) if one.key == "missed")
    bars = re.findall(r'<span class="(bar[^>]*)><i class="c\d" style="width:([\d.]+)%"></i>', tile_html([tile]))
    assert [round(float(width), 1) for _, width in bars] == [20.0, 97.3, 100.0]  # room for 5 times who is stable
    assert ["title=" in kind for kind, _ in bars] == [False, False, True]
    assert "cut off: 3.3 times as long as its room" in bars[2][0]
    assert [row.note for row in tile.rows] == ["", "unstable", "baseline, unstable"]
    assert tile.rows[2].tone == "bad"


def test_an_unstable_baseline_leaves_no_empty_chart(tmp_path: Path) -> None:
    comparison = stored(tmp_path / "c", {"edge-equal": 50.0, "random": -0.7}, 3, 100)
    assert comparison.baseline == "edge-equal"
    charts = [chart["key"] for chart in report(tmp_path / "c").data["charts"]]
    assert "seeds" not in charts
    flat = (tmp_path / "c" / "report.html").read_text("utf-8").partition('id="figure-seeds"')[2].partition("</li>")[0]
    assert "seed by seed" in flat
    assert "since the baseline edge-equal is unstable" in flat
    stored(tmp_path / "d", {"edge-equal": 50.0, "random": 60.0}, 3, 100)
    (penalty,) = (one for one in report(tmp_path / "d").data["charts"] if one["key"] == "penalty")
    assert not any(curve.get("off") for curve in penalty["curves"])  # all are unstable: hiding them leaves nothing


def test_scales_keep_who_is_far_off_at_their_end() -> None:
    near, far = Interval(-0.6, 0.02), Interval(40.0, 1.0)
    scale = ranking.Reach([near, Interval(-0.5, 0.1)], [near, far])
    assert 0 < scale.at(near.low) < scale.at(near.high) < 0.5
    assert scale.at(far.mean) == 1.0
    assert scale.html(far, 0).count('title="goes on beyond the scale"') == 2  # interval and mean
    wide = scale.html(Interval(-0.5, 40.0), 0)
    assert ("cut-right" in wide, "cut-left" in wide) == (True, True)
    assert "cut" not in scale.html(near, 0)
    assert "\N{RIGHTWARDS ARROW}" in scale.html(far, 0)
    assert "width:" in scale.html(near, 0)
    assert "width:" not in scale.html(near, 0, bare=True)
