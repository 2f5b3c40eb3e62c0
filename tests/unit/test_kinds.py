"""Kinds of motion and of estimators: registered by hand, told, checked, and refused in one line that names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from physical.quantity import Metres
from physical.system import Crowd
from sim import Scenario, compare, run
from sim.inputs.streams import Streams
from sim.learn.batch import BatchEnvironment
from sim.scenario.kinds import group_of, kind_of, register, told
from sim.scenario.mobility import MOBILITY, Course, Mobility, Motion, RandomStreams, RunSize
from tests.support.command import twin
from tests.support.process import as_before
from traces.reader import Trace
from twin.estimators import ESTIMATORS, Estimates, Estimator, EstimatorKind, Heard, Knowledge

SLOTS = ("time.num_slot=4", "vehicles.num_vehicle=3")


class Line(Mobility):
    """Everybody stands on a line.

    gap_m : from one to the next
    """

    gap_m: Metres = 10.0
    wrong: str = ""

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        if self.wrong == "motion":
            raise RuntimeError("no road")
        return Standing(self, run, streams)


class Standing(Motion):
    def __init__(self, kind: Line, run: RunSize, streams: RandomStreams) -> None:
        self._kind, self._generator = kind, streams.generator("mobility", "line")
        self._x_m = kind.gap_m * np.arange(run.num_vehicle)
        self.typical_speed_mps = np.zeros(run.num_vehicle)

    def course(self, first_slot: int, num_slot: int) -> Course:
        shape = (num_slot, len(self._x_m))
        position_m = np.zeros((*shape, 2))
        position_m[..., 0] = self._x_m
        found = Course(position_m, np.zeros(shape), np.zeros(shape))
        return WRONG[self._kind.wrong](found, self) if self._kind.wrong else found

    def drawn(self) -> float:
        return float(self._generator.random())


WRONG: dict[str, Callable[[Course, Standing], Any]] = {
    "raises": lambda course, motion: 1 / 0,
    "nothing": lambda course, motion: None,
    "text": lambda course, motion: replace(course, position_m="here"),  # type: ignore[arg-type]  # the fault
    "shape": lambda course, motion: replace(course, position_m=course.position_m[..., :1]),
    "infinite": lambda course, motion: replace(course, position_m=course.position_m + np.inf),
    "far": lambda course, motion: replace(course, position_m=course.position_m + 1e9),
    "back": lambda course, motion: replace(course, speed_mps=course.speed_mps - 1.0),
    "away": lambda course, motion: replace(course, present=np.zeros(course.speed_mps.shape, dtype=np.bool_)),
    "number": lambda course, motion: replace(course, present=np.ones(course.speed_mps.shape)),  # type: ignore[arg-type]  # the fault
    "restless": lambda course, motion: replace(course, position_m=course.position_m + motion.drawn()),
}
WORDS = {
    "motion": "motion failed: RuntimeError: no road",
    "raises": "course failed: ZeroDivisionError: division by zero",
    "nothing": "course() gives NoneType (accepted: a sim.scenario.mobility.Course)",
    "text": "position_m is no array: ValueError",
    "shape": "position_m has the shape [1, 3, 1] (accepted: [1, 3, 2])",
    "infinite": "position_m has a number that is not finite (accepted: finite numbers)",
    "far": "position_m is 1e+09 to 1e+09 (accepted: -1e+08 to 1e+08)",
    "back": "speed_mps is -1 to -1 (accepted: 0 to 2.99792e+08)",
    "away": "somebody is away (accepted: everybody is there, unless everybody_stays is False)",
    "number": "present is float64 [1, 3] (accepted: truth values [1, 3], or None)",
    "restless": "course() gives other positions when it is asked again",
}


class Mean(EstimatorKind):
    """Everybody is where the mean of all is.

    far_m : added to it
    """

    far_m: Metres = 1.0
    wrong: str = ""

    def estimator(self, known: Knowledge) -> Estimator:
        return MeanEstimator(self)


class MeanEstimator:
    def __init__(self, kind: Mean) -> None:
        self._kind = kind
        self._num_asked = 0

    def estimate(self, heard: Heard) -> Estimates:
        states = heard.states
        if self._kind.wrong == "raises":
            raise KeyError("where")
        self._num_asked += 1
        if self._kind.wrong == "late" and self._num_asked > 2:
            raise RuntimeError("tired")
        if self._kind.wrong == "exits":
            raise SystemExit(0)
        x_m = np.full(states.x_m.shape, states.x_m.mean() + self._kind.far_m)
        if self._kind.wrong == "shape":
            x_m = x_m[:1]
        return Estimates(states.size_bytes, x_m, states.y_m, states.channel_gain)


class Leaving(Line):
    """Everybody is away in the second half of the run."""

    @property
    def everybody_stays(self) -> bool:
        return False

    def crowd(self, run: RunSize) -> Crowd:
        return Crowd(run.num_vehicle, 0.5 * run.num_vehicle, run.num_vehicle)

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        return Departing(self, run, streams)


class Departing(Standing):
    def course(self, first_slot: int, num_slot: int) -> Course:
        found = super().course(first_slot, num_slot)
        here = np.arange(first_slot, first_slot + num_slot) < 2
        return replace(found, present=np.broadcast_to(here[:, np.newaxis], found.speed_mps.shape))


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    with as_before():
        register("mobility", "line", Line)
        register("mobility", "leaving", Leaving)
        register("mobility", "no-motion", Mean)
        register("estimator", "mean", Mean, "the mean of all")
        yield


def scenario_of(mobility: dict[str, Any], *settings: str) -> Scenario:
    data = Scenario.load("dtecn").model_dump(mode="json") | {"mobility": mobility}
    return Scenario.from_dict(data, settings=[*SLOTS, *settings])


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_kind_that_a_script_registers_is_simulated() -> None:
    scenario = scenario_of({"kind": "line", "gap_m": "20 m"}, "twin.estimator={kind='mean', far_m=2}")
    assert scenario.mobility == Line(kind="line", gap_m=20.0)
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario
    first, second = (run(scenario, policy="edge-equal", seed=3).summary["digest"] for _ in range(2))
    assert first == second
    assert run(scenario_of({"kind": "leaving"}), policy="edge-equal").summary["slots"] == 4


def test_vehicles_are_where_the_kind_says() -> None:
    from sim.inputs.blocks import Inputs

    inputs = Inputs(scenario_of({"kind": "line", "gap_m": 7}).resolve(), Streams(0))
    assert inputs.block(0, 4).x_m.tolist() == [[0.0, 7.0, 14.0]] * 4


@pytest.mark.parametrize("wrong", WORDS)
def test_what_is_no_motion_is_one_line_that_names_the_kind(wrong: str) -> None:
    line = complaint(lambda: run(scenario_of({"kind": "line", "wrong": wrong}), policy="edge-equal"))
    assert line.startswith("run: mobility.kind: line: ")
    assert WORDS[wrong] in line


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("raises", "mean: estimate failed: KeyError: 'where'"),
        ("exits", "mean: estimate failed: "),
        ("shape", "x_m has the shape [1] (accepted: [3])"),
    ],
)
def test_what_are_no_estimates_is_one_line_that_names_the_kind(wrong: str, words: str) -> None:
    scenario = scenario_of({"kind": "highway"}, f"twin.estimator={{kind='mean', wrong='{wrong}'}}")
    line = complaint(lambda: run(scenario, policy="edge-equal"))
    assert line.startswith("run: twin.estimator: mean: ")
    assert words in line


@pytest.mark.parametrize(
    ("mobility", "words"),
    [
        ({"kind": "line", "gap_m": "3 kg"}, "mobility.gap_m: '3 kg' is not in m"),
        ({"kind": "line", "gap_m": 0}, "mobility.gap_m: 0 is out of range (accepted: 0.001 to 100000000 m)"),
        ({"kind": "line", "gap": 1}, "mobility.gap: unknown key; did you mean gap_m? (accepted: gap_m, kind, wrong)"),
        ({"kind": "lime"}, "mobility.kind: 'lime' is not one of the choices; did you mean line? (accepted: highway, "),
        ({"kind": "no-motion"}, "is not a kind of mobility (accepted: a subclass of sim.scenario.mobility:Mobility)"),
    ],
)
def test_wrong_keys_are_refused(mobility: dict[str, Any], words: str) -> None:
    assert words in complaint(lambda: scenario_of(mobility))


def test_a_broken_package_shows_only_when_its_kind_is_used() -> None:
    MOBILITY.register("broken", "no_such_module:Road")
    assert "broken" in twin("kinds", "mobility").out
    words = "broken: no_such_module cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
    assert f"mobility.kind: {words}" in complaint(lambda: scenario_of({"kind": "broken"}))
    assert words in twin("kinds", "mobility", "broken").complaint()
    assert run(scenario_of({"kind": "line"}), policy="edge-equal").summary["slots"] == 4


def test_what_had_happened_before_a_kind_failed_is_kept(tmp_path: Path) -> None:
    scenario = scenario_of({"kind": "highway"}, "twin.estimator={kind='mean', wrong='late'}")
    assert "estimate failed" in complaint(lambda: run(scenario, policy="edge-equal", out=tmp_path / "run"))
    trace = Trace(tmp_path / "run")
    assert trace.table("decisions")["slot"].to_pylist() == [0, 1]
    assert set(trace.table("vehicles")["slot"].to_pylist()) == {0, 1, 2}


class Exiting(Line):
    """Ends the process, where it can."""

    def model_post_init(self, _: object) -> None:
        raise SystemExit(3)


class Table(Line):
    """Takes what no kind of ours does.

    depths : by name
    """

    depths: tuple[tuple[str, float], ...] | dict[str, float] = ()


def test_a_kind_that_ends_the_process_is_one_line() -> None:
    register("mobility", "exiting", Exiting)
    assert "exiting: cannot be made: " in complaint(lambda: scenario_of({"kind": "exiting"}))


def test_keys_of_any_type_are_told() -> None:
    register("mobility", "table", Table)
    assert "depths" in twin("kinds", "mobility", "table").out


@pytest.mark.parametrize("name", [3, ["a"], "", "Capital"])
def test_what_is_no_name_is_refused(name: Any) -> None:
    assert "is not a kind of mobility name" in complaint(lambda: register("mobility", name, Line))


def test_names_are_unique_and_plain() -> None:
    assert complaint(lambda: register("mobility", "area", Line)) == (
        "register: there is a kind of mobility 'area' already"
    )
    assert "'A road' is not a kind of mobility name" in complaint(lambda: register("mobility", "A road", Line))
    assert "GROUP: there is no group 'mobilities'" in complaint(lambda: register("mobilities", "x", Line))
    ESTIMATORS.register("mean", Mean)  # the same again


def test_the_batch_engine_refuses_what_has_no_columns() -> None:
    line = complaint(lambda: BatchEnvironment(scenario_of({"kind": "line"}), num_environment=2))
    assert line == (
        "batch: mobility.kind: is 'line', which has no columns (accepted: highway, straight, stationary, area)"
    )


def test_kinds_are_told() -> None:
    group = group_of("mobility")
    found = told(group, kind_of(group, "line"))
    assert found.about == "Everybody stands on a line."
    assert next((key.name, key.unit, key.default) for key in found.keys) == ("mobility.gap_m", "m", 10.0)
    assert found.engines == ("columns", "events")
    listed = twin("kinds").out
    assert "highway, straight, stationary, area, trace, line, leaving, no-motion" in listed
    (told_json,) = twin("kinds", "estimator", "--json").json()["groups"]
    assert told_json["kinds"][-1] == {
        "name": "mean",
        "summary": "the mean of all",
        "extra": "",
        "package": "",
        "engines": ["columns", "events"],
    }
    keys = twin("kinds", "mobility", "highway", "--json").json()
    assert [key["name"] for key in keys["keys"]][-1] == "mobility.ends"
    assert keys["engines"] == ["columns", "events", "batches"]
    assert twin("kinds", "policies", "random").out == twin("policies", "random").out
    words = "KIND: there is no kind of mobility 'higway'; did you mean highway?"
    assert words in twin("kinds", "mobility", "higway").complaint()


@pytest.mark.full
def test_workers_know_what_a_script_has_registered() -> None:
    scenario = scenario_of({"kind": "line"}, "twin.estimator={kind='mean'}")
    found = compare(scenario, ["edge-equal", "local-only"], [0, 1, 2], num_worker=2)
    assert set(found.means) == {"edge-equal", "local-only"}
