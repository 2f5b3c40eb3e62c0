"""Numbers beyond the clock are refused where they are read; times that are reached by computing become "never"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from physical.errors import InputError
from physical.ticks import HORIZON_NS, HORIZON_S, NEVER, ticks_from_ns, ticks_from_s
from policies.registry import make
from sim.cli.app import load
from sim.record.delays import DelayCounts
from sim.runs.run import run
from sim.scenario.explain import models_of
from sim.scenario.scenario import Scenario
from tests.support.command import twin

pytestmark = pytest.mark.full

_BEYOND_S = 1e10
_AT_MOST = f"at most {int(HORIZON_S)} s, the range of the clock"
_TIME = f"0 to {int(HORIZON_S)} s, the range of the clock"
_PERIOD = f"1e-09 to {int(HORIZON_S)} s, the step and the range of the clock"


def _times(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key of a scenario's tables that is a time."""
    seen.add(model)
    for name, field in model.model_fields.items():
        if name.endswith(("_s", "seconds")) or (model.__name__, name) == ("DecisionTime", "latency"):
            yield f"{model.__name__}.{name}", field
        for inner in models_of(field) - seen:
            yield from _times(inner, seen)


_TIMES = dict(_times(Scenario, set()))


def test_all_tables_with_times_are_found() -> None:
    tables = {name.partition(".")[0] for name in _TIMES}
    assert {"Time", "TaskClass", "Link", "Command", "Twin", "DecisionTime", "TaskBurst", "UniformDelay"} <= tables
    assert {"LinkChange", "TrafficTrace", "Requests", "TraceParams", "ConstantDelay", "NodeDown"} <= tables


@pytest.mark.parametrize("name", sorted(_TIMES))
@pytest.mark.parametrize("value", [_BEYOND_S, 9.3e9, "9.3e9 s", 10_000_000_000])
def test_a_key_with_a_time_refuses_what_is_beyond_the_clock(name: str, value: Any) -> None:
    field = _TIMES[name]
    annotated: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    with pytest.raises(ValidationError, match=r"out of range; .* to "):
        TypeAdapter(annotated).validate_python(value)


@pytest.mark.parametrize(
    ("setting", "key", "accepted"),
    [
        ("tasks.0.deadline_s=9.3e9", "tasks.0.deadline_s", _PERIOD),
        ("tasks.0.deadline_s=100000", "tasks.0.deadline_s", "at most 70368 s with so many vehicles"),
        ("objective.qos_floor=-1e9", "objective.qos_floor", ">= -1.40737e+06"),
        ("time.num_slot=1407375", "time.num_slot", "at most 1407374 of 0.1 s: 39 hours, the clock's range"),
        (
            "twin.bias.cpu_frequency_hz={kind='timed', points=[[1e10, 1]]}",
            "twin.bias.cpu_frequency_hz.points",
            _TIME,
        ),
        ("network.access.latency_s={kind='exponential', mean_s=1e10}", "network.access.latency_s.mean_s", _TIME),
        ("timeline=[{kind='burst', at_s=0, duration_s=1e10, size_factor=2}]", "timeline.0.duration_s", _PERIOD),
        (
            "timeline=[{kind='node-down', at_s=0, every_s=1e-9, node='base-station'}]",
            "timeline.0.every_s",
            "at least 0.001 s: 100000 events in a run",
        ),
        ("tasks.0.size_bytes=[1, 1e16]", "tasks.0.size_bytes", "1 to 1e+15 B"),
        (
            "timeline=[{kind='burst', at_s=0, duration_s=9, every_s=1, size_factor=100}]",
            "timeline.0.size_factor",
            "all bursts together at most 6.66667e+11",
        ),
    ],
)
def test_the_error_names_place_key_and_limit(setting: str, key: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        Scenario.load("dtecn", [setting])
    assert (caught.value.where, caught.value.accepted) == ("--set", accepted)
    assert caught.value.key.startswith(key)


def test_the_longest_run_and_deadline_are_accepted() -> None:
    scenario = Scenario.load(
        "dtecn", ["time.num_slot=1407374", "tasks.0.deadline_s=70368", "twin.sync_window_s=140737"]
    )
    assert scenario.time.num_slot * 100_000_000 <= HORIZON_NS


@pytest.mark.parametrize("duration", ["1e10", "1e300", "40 s", "140738 s"])
def test_a_duration_beyond_the_clock_is_refused(duration: str) -> None:
    if duration == "40 s":
        assert load("dtecn", (), None, duration).time.num_slot == 400
        return
    said = twin("run", "dtecn", "--duration", duration).complaint()
    assert said == f"twin: --duration: {duration!r} is out of range (accepted: {_AT_MOST})"


def test_a_time_and_three_endless_stages_add_up() -> None:
    endless = ticks_from_s(np.array([np.inf]))
    assert endless.tolist() == [NEVER]
    assert ticks_from_ns(HORIZON_NS) < NEVER
    assert (endless + endless + endless + NEVER).tolist() == [4 * NEVER]


_SLOW = ["vehicles.cpu_hz=1", "radio.bandwidth_hz=1", "server.frequency_hz=1"]
_LATE = ["network.access.latency_s={kind='lognormal', median_s=1, sigma=100}"]


@pytest.mark.parametrize("scenario", ["dtecn", "dtecn-congested", "llm6g"])
@pytest.mark.parametrize("policy", ["local-only", "edge-equal", "random"])
@pytest.mark.parametrize(
    "settings",
    [
        _SLOW,
        _LATE,
        [*_SLOW, *_LATE, "vehicles.cpu=per-task", "radio.uplink=each"],
        ["network.access.latency_s=140000", "network.lan.latency_s=140000", "network.backhaul.latency_s=140000"],
        ["twin.decision.latency={kind='lognormal', median_s=1, sigma=100}"],
    ],
)
def test_what_takes_longer_than_the_clock_does_not_happen(scenario: str, policy: str, settings: list[str]) -> None:
    chosen = Scenario.load(scenario, ["time.num_slot=6", "vehicles.num_vehicle=3", *settings])
    tasks = run(chosen, policy=policy, seed=1).table("tasks")
    generated_ns = tasks.column("generated_ns").to_numpy()
    end_ns = round(6 * chosen.time.slot_duration_s * 1e9)
    for name in ("started_ns", "local_end_ns", "upload_end_ns", "arrived_ns", "service_end_ns", "done_ns"):
        took_place = tasks.column(name).is_valid().to_numpy()
        at_ns = tasks.column(name).fill_null(0).to_numpy()[took_place]
        assert (at_ns >= generated_ns[took_place]).all(), name
        assert (at_ns <= end_ns).all(), name


@pytest.mark.parametrize("settings", [[], ["model.edge_energy=job"]])
def test_a_task_that_would_run_for_ever_has_spent_what_has_run(settings: list[str]) -> None:
    slow = ["vehicles.cpu=per-task", "vehicles.cpu_hz=10", "vehicles.kappa=1", "tasks.0.cycles_per_byte=1e8"]
    scenario = Scenario.load("dtecn", ["time.num_slot=4", "vehicles.num_vehicle=2", *slow, *settings])
    spent_j = run(scenario, policy="local-only", seed=1).summary["energy_local_j"]
    # Tasks of slot s run until the end, 4 - s slots of 0.1 s; each second costs kappa f^2 f = 1000 J.
    seconds = 2 * len(scenario.tasks) * 0.1 * (4 + 3 + 2 + 1)
    assert spent_j == pytest.approx(1000.0 * seconds, rel=1e-9)


def test_a_task_that_is_lost_counts_with_the_floor_however_long_its_deadline() -> None:
    longest = [f"tasks.{index}.deadline_s=70368" for index in range(3)]
    scenario = Scenario.load("dtecn", ["time.num_slot=3", "network.access.loss=0.3", *longest])
    summary = run(scenario, policy="edge-equal", seed=1).summary
    # Uploads and results are lost; what ends takes a time that is as good as none of the deadline.
    floor = Scenario.load("dtecn").objective.qos_floor
    share = summary["tasks_dropped"] / summary["tasks_generated"]
    assert 0.1 < share < 0.9
    assert summary["qos_mean"] == pytest.approx(floor * share + (1.0 - share), abs=1e-4)


def test_delays_are_counted_up_to_the_end_of_the_clock() -> None:
    counts = DelayCounts(np.array([HORIZON_NS, 100]))
    counts.add(0, np.array([HORIZON_NS // 100, HORIZON_NS]), num_ended=2)
    counts.add(1, np.array([HORIZON_NS]), num_ended=1)
    first, second = counts.to_dict()["counts"]
    assert [index for index, count in enumerate(first) if count] == [0, 49]
    assert second == []


def test_a_deadline_of_a_language_model() -> None:
    pytest.importorskip("llama_cpp", reason="needs the extra llm")
    with pytest.raises(InputError, match=r"llm: deadline_ms 1e\+14 is out of range; at most 140737000"):
        make("llm:deadline_ms=1e14")


@pytest.mark.parametrize("at_s", ["1e10", "inf", "nan", "-1"])
def test_times_of_a_record(at_s: str, tmp_path: Path) -> None:
    run(Scenario.load("dtecn", ["time.num_slot=2"]), out=tmp_path / "run")
    assert twin("branch", tmp_path / "run", "--at", at_s, "--policy", "random").complaint().startswith("twin: --at: ")
    out = tmp_path / "a.json"
    said = twin("export", tmp_path / "run", "--to", "perfetto", "--out", out, "--from", at_s).complaint()
    assert said.startswith("twin: --from")
    assert not out.exists()


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(InputError, match=r"run: speed: .* is no speed \(accepted: > 0; 1 is real time\)"):
        run(Scenario.load("dtecn", ["time.num_slot=2"]), speed=speed)
