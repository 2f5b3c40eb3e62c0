"""Timed events spelled out: which occur, from which slot on they hold, and what is wrong with those that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from sim import Scenario
from sim.scenario.timeline import BiasJump, Event, LinkChange, NodeDown, PolicySwap, Timeline
from tests.support.command import twin

pytestmark = pytest.mark.full  # whole runs; the quick loop has some in tests/smoke

MS = 1_000_000
SLOT_NS = 100 * MS
NUM_SLOT = 20


def timeline(*events: dict[str, Any], num_slot: int = NUM_SLOT) -> Timeline:
    adapter: TypeAdapter[Any] = TypeAdapter(Event)
    return Timeline.of([adapter.validate_python(event) for event in events], SLOT_NS, num_slot)


def down(at_s: float, node: str = "a", **more: Any) -> dict[str, Any]:
    return {"kind": "node-down", "at_s": at_s, "node": node, **more}


def up(at_s: float, node: str = "a", **more: Any) -> dict[str, Any]:
    return {"kind": "node-up", "at_s": at_s, "node": node, **more}


OCCURRENCES = [
    (down(0.25), [250]),
    (down(0.0), [0]),
    (down(1.999999999), [1999.999999]),
    (down(2.0), []),
    (down(0.3, every_s=0.5), [300, 800, 1300, 1800]),
    (down(0.5, every_s=0.5), [500, 1000, 1500]),
    (down(0.3, every_s=0.5, until_s=1.3), [300, 800, 1300]),
    (down(0.3, every_s=0.5, until_s=1.2999), [300, 800]),
    (down(0.3, every_s=0.5, until_s=50.0), [300, 800, 1300, 1800]),
    (down(0.3, every_s=0.5, until_s=0.1), []),
    (down(1.9, every_s=0.07), [1900, 1970]),
]


@pytest.mark.parametrize(("event", "times_ms"), OCCURRENCES)
def test_periods_are_spelled_out(event: dict[str, Any], times_ms: list[float]) -> None:
    assert [happening.time_ns for happening in timeline(event).happenings] == [round(at * MS) for at in times_ms]


def test_order_is_that_of_time_then_of_the_scenario() -> None:
    found = timeline(up(0.5, "b"), down(0.2, every_s=0.3), down(0.5, "c"), up(0.1)).happenings
    assert [(h.time_ns // MS, h.event.kind, h.event.node) for h in found[:5]] == [
        (100, "node-up", "a"),
        (200, "node-down", "a"),
        (500, "node-up", "b"),
        (500, "node-down", "a"),
        (500, "node-down", "c"),
    ]


def test_selection_and_words() -> None:
    made = timeline(
        down(0.1),
        {"kind": "policy", "at_s": 0.2, "name": "random"},
        {"kind": "link", "at_s": "300 ms", "link": "access", "latency_s": "2 ms", "loss": 0.5},
    )
    assert [happening.time_ns // MS for happening in made.select(NodeDown, PolicySwap)] == [100, 200]
    assert made.happenings[0].describe() == "node a"
    assert made.happenings[1].describe() == "name random"
    words = made.happenings[2].describe()
    assert words.startswith("link access, latency_s ")
    assert words.endswith(", loss 0.5")
    assert "jitter" not in words


def test_nodes_are_down_between_the_slots_after_their_events() -> None:
    made = timeline(down(0.25), up(0.6), down(1.0, "b"), up(1.0000001, "b"), down(1.95))
    found = made.down(["a", "b"], 0, NUM_SLOT)
    assert found is not None
    # At the start of slot 2 it is up, of slot 3 down; an event at a slot start holds from this very slot on.
    assert np.flatnonzero(found[:, 0]).tolist() == [3, 4, 5]
    assert np.flatnonzero(found[:, 1]).tolist() == [10]
    assert timeline().down(["a"], 0, 5) is None


def test_vehicles_are_away_between_the_slots_after_their_events() -> None:
    made = timeline(
        {"kind": "vehicle-leaves", "at_s": 0.25, "vehicle": 0},
        {"kind": "vehicle-enters", "at_s": 0.7, "vehicle": 0},
        {"kind": "vehicle-enters", "at_s": 0.5, "vehicle": 1},
        {"kind": "vehicle-leaves", "at_s": 1.75, "vehicle": 1},
        {"kind": "vehicle-leaves", "at_s": 0.0, "vehicle": 2},
    )
    away = made.away(4, 0, NUM_SLOT)
    assert away is not None
    there = [np.flatnonzero(~away[:, vehicle]).tolist() for vehicle in range(4)]
    assert there == [[0, 1, 2, *range(7, 20)], list(range(5, 18)), [], list(range(20))]
    assert timeline(down(0.1)).away(4, 0, 5) is None


def test_bursts_multiply_in_their_windows() -> None:
    made = timeline(
        {"kind": "burst", "at_s": 0.25, "duration_s": 0.3, "size_factor": 2.0, "task": "b"},
        {"kind": "burst", "at_s": 0.4, "every_s": 1.0, "duration_s": 0.2, "size_factor": 3.0},
        {"kind": "burst", "at_s": 1.9, "duration_s": 9.0, "size_factor": 0.5, "task": "a"},
    )
    found = made.size_factor(["a", "b"], 0, NUM_SLOT)
    assert found is not None
    expected = np.ones((NUM_SLOT, 2))
    expected[3:6, 1] *= 2.0  # 0.25 s to 0.55 s: slots that begin there
    expected[4:6] *= 3.0
    expected[14:16] *= 3.0
    expected[19:, 0] *= 0.5
    assert found.tolist() == expected.tolist()
    assert timeline().size_factor(["a"], 0, 5) is None


def test_bias_jumps_add_up() -> None:
    made = timeline(
        {"kind": "bias", "at_s": 0.25, "cpu_frequency_hz": "-1 GHz"},
        {"kind": "bias", "at_s": 0.5, "cpu_frequency_hz": "300 MHz"},
    )
    assert [made.bias_jump_hz(slot) for slot in (0, 2, 3, 4, 5, 19)] == [0, 0, -1e9, -1e9, -0.7e9, -0.7e9]
    assert isinstance(made.happenings[0].event, BiasJump)


def test_links_change_in_order_and_end_a_block() -> None:
    first = {"kind": "link", "at_s": 0.25, "link": "access", "loss": 0.5}
    later = {"kind": "link", "at_s": 0.8, "link": "access", "loss": 0.0, "jitter_s": 0.1}
    made = timeline(later, first)
    assert [made.next_link_change(slot) for slot in (0, 2, 3, 7, 8)] == [3, 3, 8, 8, None]
    links = [Scenario.load("dtecn").network.changed(made.link_changes(slot)).access for slot in (2, 3, 8)]
    assert [(link.loss, link.jitter_s) for link in links] == [(0.0, 0.0), (0.5, 0.0), (0.0, 0.1)]
    assert all(isinstance(event, LinkChange) for event in made.link_changes(19))


@pytest.mark.parametrize("length", [1, 3, 7])
def test_any_block_gives_what_the_whole_gives(length: int) -> None:
    made = timeline(
        down(0.25, every_s=0.9),
        up(0.6, every_s=0.9),
        {"kind": "vehicle-leaves", "at_s": 0.35, "vehicle": 1},
        {"kind": "vehicle-enters", "at_s": 1.2, "vehicle": 1},
        {"kind": "vehicle-enters", "at_s": 0.7, "vehicle": 0},
        {"kind": "burst", "at_s": 0.45, "every_s": 0.5, "duration_s": 0.31, "size_factor": 2.0},
    )
    makers: list[Any] = [
        lambda first, num: made.down(["a"], first, num),
        lambda first, num: made.away(3, first, num),
        lambda first, num: made.size_factor(["k"], first, num),
    ]
    for make in makers:
        blocks = [make(first, min(length, NUM_SLOT - first)) for first in range(0, NUM_SLOT, length)]
        assert np.concatenate(blocks).tolist() == make(0, NUM_SLOT).tolist()


BAD = [
    ("kind='node-down', at_s=1, node='rsu-est'", "timeline.0.node: there is no node 'rsu-est'"),
    ("kind='node-up', at_s=1, node='cloud'", "(accepted: base-station, rsu-west, rsu-east)"),
    ("kind='node-down', at_s=1", "timeline.0.node: is missing"),
    ("kind='burst', at_s=1, size_factor=2, duration_s=1, task='steer'", "timeline.0.task: there is no task 'steer'"),
    (
        "kind='burst', at_s=1, size_factor=0, duration_s=1",
        "timeline.0.size_factor: 0 is out of range (accepted: 1e-09 to 1000000000)",
    ),
    ("kind='burst', at_s=1, size_factor=2", "timeline.0.duration_s: is missing"),
    ("kind='vehicle-leaves', at_s=1, vehicle=16", "timeline.0.vehicle: 16 is no vehicle (accepted: 0 to 15)"),
    ("kind='vehicle-enters', at_s=1, vehicle=-1", "timeline.0.vehicle: -1 is out of range"),
    ("kind='vehicle-enters', at_s=1, vehicle=1.5", "timeline.0.vehicle: 1.5 is not an integer"),
    ("kind='link', at_s=1, link='lane', loss=0.1", "timeline.0.link: 'lane' is not one of the choices"),
    ("kind='link', at_s=1, link='lan', loss=1.5", "timeline.0.loss: 1.5 is out of range (accepted: 0 to 1)"),
    ("kind='link', at_s=1, link='lan', latency_s='5 kg'", "timeline.0.latency_s"),
    ("kind='bias', at_s=1, cpu_frequency_hz='1 s'", "timeline.0.cpu_frequency_hz: '1 s'"),
    ("kind='bias', at_s=1", "timeline.0.cpu_frequency_hz: is missing"),
    ("kind='policy', at_s=1, name='edge-eqaul'", "timeline.0.name: there is no policy 'edge-eqaul'"),
    ("kind='policy', at_s=1, name='random:x=1'", "timeline.0.name"),
    ("kind='policy', at_s=1, name=''", "timeline.0.name: "),
    (
        "kind='node-down', at_s=-1, node='rsu-east'",
        "timeline.0.at_s: -1 is out of range (accepted: 0 to 140737 s",
    ),
    ("kind='node-down', at_s='soon', node='rsu-east'", "timeline.0.at_s: 'soon'"),
    ("kind='node-down', at_s='5 MHz', node='rsu-east'", "timeline.0.at_s: '5 MHz' is not in s"),
    ("kind='node-down', at_s=nan, node='rsu-east'", "timeline.0.at_s: nan is not finite"),
    ("kind='node-down', node='rsu-east'", "timeline.0.at_s: is missing"),
    ("kind='node-down', at_s=1, every_s=0, node='rsu-east'", "timeline.0.every_s: 0 is out of range"),
    ("kind='node-down', at_s=1, until_s=3, node='rsu-east'", "timeline.0.until_s: needs every_s"),
    ("kind='earthquake', at_s=1", "timeline.0.kind: 'earthquake' is not one of the kinds"),
    ("at_s=1, node='rsu-east'", "timeline.0.kind: is missing"),
    ("kind='node-down', at_s=1, node='rsu-east', colour='red'", "timeline.0"),
    ("kind='policy', at_s=1, name='random'}, {kind='node-down', at_s=1, node='x'", "timeline.1.node: there is no node"),
]


@pytest.mark.parametrize(("event", "words"), BAD)
def test_bad_event_is_one_line(tmp_path: Path, event: str, words: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "sim" / "scenario" / "builtin" / "blackout.toml").read_text("utf-8")
    before, after = text.split("[[timeline]]", 1)
    rest = after[after.index("[policy]") :]
    path = tmp_path / "bad.toml"
    path.write_text(f"timeline = [{{{event}}}]\n{before}{rest}", "utf-8")
    for command in (("run", path, "--slots", 20, "--out", tmp_path / "run"), ("check", path)):
        line = twin(*command).complaint()
        assert line.startswith(f"twin: {path}: timeline."), line
        assert words in line, line
    assert not (tmp_path / "run").exists()


def test_policy_that_refuses_the_scenario_is_one_line(tmp_path: Path) -> None:
    swaps = "timeline=[{kind='node-down', at_s=1, node='rsu-east'}, {kind='policy', at_s=1, name='p2-exact'}]"
    line = twin("run", "blackout", "--slots", 20, "--set", swaps, "--out", tmp_path / "run").complaint()
    assert line.startswith("twin: blackout: timeline.1.name: p2-exact: solves P2 of one server (accepted: ")
    assert not (tmp_path / "run").exists()


def test_vehicles_of_a_trace_come_and_go_as_it_says(tmp_path: Path) -> None:
    line = twin(
        *(
            "run",
            "blackout",
            "--set",
            "mobility.kind=trace",
            "--set",
            "mobility.ends=wrap",
            "--set",
            "mobility.file=town.xml",
        ),
        *("--set", "vehicles={cpu_hz=1e9, kappa=1e-27, transmit_power_w=0.2}", "--out", tmp_path / "run"),
    ).complaint()
    assert "timeline.6.vehicle: 3 is no vehicle (accepted: vehicles come and go as the mobility trace says)" in line
