"""Which engine simulates: what a scenario, a call and kinds say, and where it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from physical.kind_field import KindParams
from sim import Scenario, compare, run, sweep
from sim.engine.choice import choose, with_engine
from sim.runs.check import check
from sim.runs.replay import branch, counterfactual, verify
from sim.scenario.kinds import engines_of, group_of, kind_of, register
from sim.scenario.mobility import MOBILITY, Course, Mobility, Motion, RandomStreams, RunSize
from sim.studies.compare import default_directory
from sim.studies.entrants import entrants
from sim.studies.jobs import Jobs
from tests.support.command import twin
from tests.support.process import as_before
from traces.manifest import read_manifest
from twin.estimators import ESTIMATORS, Hold

BUILT_IN = Path(__file__).parents[2] / "sim/scenario/builtin"
SHORT = ("time.num_slot=3", "vehicles.num_vehicle=3")


class Parked(Mobility):
    """Everybody stands at the origin; only the engine of events knows that."""

    engines: ClassVar[tuple[str, ...]] = ("events",)

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        return Standstill(run.num_vehicle)


class Standstill(Motion):
    def __init__(self, num_vehicle: int) -> None:
        self.typical_speed_mps = np.zeros(num_vehicle)

    def course(self, first_slot: int, num_slot: int) -> Course:
        shape = (num_slot, len(self.typical_speed_mps))
        return Course(np.zeros((*shape, 2)), np.zeros(shape), np.zeros(shape))


class Columnar(Hold):
    """Holds, in columns only."""

    kind: Any = "columnar"
    engines = ("columns",)


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with as_before():
        register("mobility", "parked", Parked, "at the origin")
        register("estimator", "columnar", Columnar)
        yield


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def scenario_of(*settings: str) -> Scenario:
    return Scenario.load("dtecn", [*SHORT, *settings])


@pytest.mark.parametrize(
    ("settings", "name", "why"),
    [
        ((), "columns", "auto: every kind has columns"),
        (("engine=auto",), "columns", "auto: every kind has columns"),
        (("engine=columns",), "columns", "asked for"),
        (("engine=events",), "events", "asked for"),
        (("mobility={kind='parked'}",), "events", "auto: without columns: mobility parked"),
        (("twin.estimator=columnar",), "columns", "auto: every kind has columns"),
    ],
)
def test_an_engine_is_chosen(settings: tuple[str, ...], name: str, why: str) -> None:
    assert choose(scenario_of(*settings)) == (name, why)


def test_an_engine_that_does_not_know_a_kind_is_refused() -> None:
    parked, columnar = "mobility={kind='parked'}", "twin.estimator=columnar"
    lines = {
        complaint(lambda: run(scenario_of(parked, "engine=columns"), policy="edge-equal")),
        complaint(lambda: choose(scenario_of(parked, "engine=columns"))),
    }
    assert lines == {"engine: 'columns' does not know mobility parked (accepted: events, auto)"}
    assert complaint(lambda: run(scenario_of(parked), policy="edge-equal", engine="columns")) == (
        "--engine: 'columns' does not know mobility parked (accepted: events, auto)"
    )
    assert complaint(lambda: with_engine(scenario_of(columnar), "events")) == (
        "--engine: 'events' does not know estimator columnar (accepted: columns, auto)"
    )
    assert complaint(lambda: choose(scenario_of(parked, columnar))) == (
        "engine: no engine knows all kinds: columns lacks mobility parked, events lacks estimator columnar"
        " (accepted: kinds that have an engine in common)"
    )


def test_names_of_engines_are_checked() -> None:
    assert complaint(lambda: scenario_of("engine=event")) == (
        "--set: engine: 'event' is not one of the choices; did you mean events? (accepted: auto, columns, events)"
    )
    assert complaint(lambda: with_engine(scenario_of(), "column")) == (
        "--engine: there is no engine 'column'; did you mean columns? (accepted: columns, events, auto)"
    )
    odd: Any = 3
    assert "there is no engine 3" in complaint(lambda: run(scenario_of(), engine=odd))


@pytest.mark.parametrize("engines", ["events", (), ("rows",), ["events"], None, ("events", 3), (["events"],)])
def test_what_names_no_engines_is_one_line(engines: Any) -> None:
    register("mobility", "odd", type("Odd", (Parked,), {"engines": engines, "__module__": __name__}))
    line = complaint(lambda: scenario_of("mobility={kind='odd'}"))
    assert line.startswith("--set: mobility.kind: odd: engines = ")
    assert line.endswith("names no engines (accepted: a tuple of 'columns' and 'events', or of one of them)")
    assert engines_of(group_of("mobility"), kind_of(group_of("mobility"), "odd")) is None


def test_a_key_of_that_name_is_no_list_of_engines() -> None:
    with pytest.warns(UserWarning, match="shadows an attribute"):
        hiding = type("Hiding", (Parked,), {"engines": 3, "__annotations__": {"engines": int}, "__module__": __name__})
    register("mobility", "hiding", hiding)
    assert choose(scenario_of("mobility={kind='hiding', engines=4}")).name == "events"


def test_a_run_says_which_engine_and_why(tmp_path: Path) -> None:
    for engine, told in ((None, ("columns", "auto: every kind has columns")), ("events", ("events", "asked for"))):
        result = run(scenario_of(), policy="edge-equal", out=tmp_path / str(engine), engine=engine)
        assert (result.summary["engine"], result.summary["engine_reason"]) == told
        manifest = read_manifest(tmp_path / str(engine))
        assert manifest["engine"] == {"name": told[0], "why": told[1]}
        assert manifest["scenario"]["engine"] == (engine or "auto")
    assert run(scenario_of("engine=events"), engine="auto").summary["engine"] == "columns"


def test_each_engine_replays_the_other(tmp_path: Path) -> None:
    for made, again in (("columns", "events"), ("events", "columns")):
        folder = tmp_path / made
        recorded = run(scenario_of("twin.decision.latency=measured"), policy="edge-equal", out=folder, engine=made)
        for engine, name in ((None, made), (again, again), ("auto", "columns")):
            found = verify(folder, engine=engine)
            assert found.difference is None
            assert found.result.summary["engine"] == name
            assert found.result.summary["digest"] == recorded.summary["digest"]
        _, other = counterfactual(folder, "local-only", engine=again)
        _, later = branch(folder, 0.1, "local-only", engine=again)
        assert other.summary["engine"] == later.summary["engine"] == again
        assert counterfactual(folder, "local-only")[1].summary["engine"] == made
        assert branch(folder, 0.1, "local-only")[1].summary["engine"] == made
    assert complaint(lambda: verify(folder, engine="slow")).startswith("--engine: there is no engine 'slow'")


def test_runs_of_older_versions_open(tmp_path: Path) -> None:
    run(scenario_of(), policy="edge-equal", out=tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    for table, key in ((manifest, "engine"), (manifest["scenario"], "engine"), (manifest["summary"], "engine")):
        del table[key]
    path.write_text(json.dumps(manifest), "utf-8")
    assert verify(tmp_path / "run").difference is None
    assert "engine" not in twin("replay", tmp_path / "run", "--policy", "random").out


@pytest.mark.parametrize("engine", ["columns", {"name": 3}, {"why": "asked for"}])
def test_a_manifest_whose_engine_is_wrong_is_refused(engine: Any, tmp_path: Path) -> None:
    run(scenario_of(), policy="edge-equal", out=tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"engine": engine}), "utf-8")
    assert "manifest.json: engine" in complaint(lambda: read_manifest(tmp_path / "run"))


def test_a_study_counts_runs_of_both_engines(tmp_path: Path) -> None:
    one, other = scenario_of("engine=columns"), scenario_of("engine=events")
    who = entrants(["edge-equal"])
    assert Jobs(one, who)([1])["edge-equal"][0].key == Jobs(other, who)([1])["edge-equal"][0].key
    assert default_directory("dtecn", one) == default_directory("dtecn", other)
    made = compare(other, ["edge-equal", "random"], [0, 1], tmp_path)
    assert {row.summary["engine"] for rows in made.runs.values() for row in rows} == {"events"}
    again = compare(one, ["edge-equal", "random"], [0, 1, 2], tmp_path)
    assert again.num_reused == 4
    assert [row.summary["engine"] for row in again.runs["random"]] == ["events", "events", "columns"]
    fresh = compare(one, ["edge-equal", "random"], [0, 1], tmp_path, fresh=True)
    assert {row.summary["engine"] for rows in fresh.runs.values() for row in rows} == {"columns"}
    digests = [[row.summary["digest"] for row in found.runs["random"]] for found in (made, fresh)]
    assert digests[0] == digests[1]


def test_an_engine_can_be_a_point_of_a_sweep() -> None:
    points = sweep(scenario_of(), ["random"], {"engine": ["columns", "events"]}, [1])
    ran = [point.comparison.runs["random"][0].summary for point in points]
    assert [summary["engine"] for summary in ran] == ["columns", "events"]
    assert ran[0]["digest"] == ran[1]["digest"]


@pytest.mark.full
def test_workers_are_told(tmp_path: Path) -> None:
    words = ("dtecn", "--policies", "edge-equal,random", "--seeds", "0,1", "--slots", 3, "--workers", 2, "--json")
    assert twin("compare", *words, "--engine", "events", "--out", tmp_path / "c").code == 0
    grid = ("--grid", "vehicles.num_vehicle=2,3", "--engine", "events", "--out", tmp_path / "s")
    assert twin("sweep", *words, *grid).code == 0
    for name in ("c", "s"):
        assert set(pq.read_table(tmp_path / name / "runs.parquet").column("engine").to_pylist()) == {"events"}


def test_the_command_line_names_an_engine(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    usual = twin("run", "dtecn", "--slots", 3, "--out", tmp_path / "usual").out
    assert "engine" not in usual
    assert "columns" not in usual
    told = twin("run", "dtecn", "--slots", 3, "--engine", "events", "--out", folder).out
    lines = [line.split() for line in told.splitlines()]
    assert ["engine", "events"] in lines
    assert ["the", "reason", "asked", "for"] in lines
    assert twin("replay", folder, "--json").json()["engine"] == "events"
    assert twin("replay", folder, "--engine", "columns", "--json").json()["engine"] == "columns"
    what_if = twin("replay", folder, "--policy", "random", "--engine", "columns", "--json").json()
    assert (what_if["engine"], what_if["original"]["engine"]) == ("columns", "events")
    after = twin("branch", folder, "--at", 0.1, "--policy", "random", "--json").json()
    assert after["engine"] == "events"
    for words in (("run", "dtecn"), ("replay", folder), ("branch", folder, "--at", 0.1, "--policy", "random")):
        assert twin(*words, "--engine", "row").complaint().startswith("twin: --engine: there is no engine 'row'")
    study = ("dtecn", "--policies", "random", "--seeds", "0")
    assert twin("compare", *study, "--engine", "row").complaint().startswith("twin: --engine: ")
    both = ("--grid", "engine=columns,events", "--engine", "events")
    assert twin("sweep", *study, *both).complaint().startswith("twin: --engine, --grid engine: are given both")


def test_a_scenario_file_is_named_and_checked(tmp_path: Path) -> None:
    head, rest = (BUILT_IN / "dtecn.toml").read_text("utf-8").split("[mobility]")
    file = tmp_path / "mine.toml"
    file.write_text(
        f'engine = "columns"\n{head}[mobility]\nkind = "parked"\n\n[radio]{rest.split("[radio]")[1]}', "utf-8"
    )
    line = f"{file}: engine: 'columns' does not know mobility parked (accepted: events, auto)"
    assert complaint(lambda: check(str(file))) == line
    assert twin("run", file, "--out", tmp_path / "run").complaint() == f"twin: {line}"
    assert twin("run", file, "--slots", 2, "--engine", "auto", "--out", tmp_path / "run").code == 0
    file.write_text(file.read_text("utf-8").replace('"columns"', '"auto"', 1), "utf-8")
    assert f"{file}: runs on the engine of events (auto: without columns: mobility parked)" in check(str(file)).notes


def test_kinds_are_told_with_their_engines() -> None:
    assert "parked      at the origin [events only]" in twin("kinds", "mobility").out
    assert "highway     lanes along x, half of them each way, closed or open\n" in twin("kinds", "mobility").out
    assert "simulated by  events\n" in twin("kinds", "mobility", "parked").out
    assert twin("kinds", "mobility", "parked", "--json").json()["engines"] == ["events"]
    groups = {group["name"]: group for group in twin("kinds", "--json").json()["groups"]}
    engines = {kind["name"]: kind["engines"] for kind in groups["mobility"]["kinds"]}
    assert (engines["parked"], engines["trace"]) == (["events"], ["columns", "events"])
    assert {kind["engines"] for kind in groups["policies"]["kinds"]} == {None}


def test_kinds_that_say_nothing_have_both() -> None:
    for registry in (MOBILITY, ESTIMATORS):
        for spec in registry.built_in():
            loaded: type[KindParams] = registry.load(spec)
            assert loaded.engines == ("columns", "events")
