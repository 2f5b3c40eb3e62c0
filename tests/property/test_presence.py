"""Vehicles that come, go and change their node: nothing of theirs vanishes, and nobody gets what is not there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.registry import EngineName
from physical.system import System
from policies import make
from sim import Scenario, run
from sim.engine.simulation import Simulation
from sim.runs.replay import verify
from tests.property.towns import town_case_of
from tests.support.engine_runs import columns_of, run_engine
from tests.support.town import NEVER_NS, SLOT_NS, TOWN, check_books, columns
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


@dataclass
class Watched:
    """A policy, and what it saw and decided."""

    name: str
    seen: list[TwinSnapshot] = field(default_factory=list)
    decided: list[Decision] = field(default_factory=list)

    def reset(self, system: System, seed: int) -> None:
        self._policy = make(self.name)
        self._policy.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        self.seen.append(snapshot)
        self.decided.append(self._policy.decide(snapshot))
        return self.decided[-1]


def of_town(*events: dict[str, Any], more: tuple[str, ...] = ()) -> Scenario:
    return Scenario.from_dict(TOWN | {"timeline": list(events)}, settings=more)


LEAVES = {"kind": "vehicle-leaves", "at_s": 0.35, "vehicle": 2}
ENTERS = {"kind": "vehicle-enters", "at_s": 0.65, "vehicle": 2}


@pytest.mark.parametrize("handover", ["forward", "finish", "drop"])
@pytest.mark.parametrize("cpu", ["per-task", "in-turn", "sharing"])
@pytest.mark.parametrize("uplink", ["each", "in-turn", "sharing"])
def test_vehicle_that_leaves_takes_its_tasks_along(handover: str, uplink: str, cpu: str, engine: EngineName) -> None:
    more = (f"model.handover={handover}", f"radio.uplink={uplink}", f"vehicles.cpu={cpu}", "server.frequency_hz=1e9")
    scenario = of_town(LEAVES, ENTERS, more=more)
    policy = Watched("edge-equal")
    result = run(scenario, policy=policy, seed=3, engine=engine)
    check_books(result, scenario)
    tasks = columns(result, "tasks")
    mine, gone = tasks["vehicle"] == 2, tasks["outcome"] == "dropped: vehicle left"
    assert sorted(set(tasks["slot"][mine].tolist())) == [0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13]
    assert gone.sum() >= 2
    assert (mine[gone]).all()
    assert set(tasks["done_ns"][gone]) == {4 * SLOT_NS}
    # Of its first stay, nothing ends after it has left, and nothing is in flight.
    assert (tasks["done_ns"][mine & (tasks["slot"] < 4)] <= 4 * SLOT_NS).all()
    for snapshot, decision in zip(policy.seen, policy.decided, strict=True):
        away = 4 <= snapshot.slot < 7
        assert (snapshot.serving_node[2] == -2) == away
        assert (decision.compute_allocation_hz[2] == 0).all() == away
        assert (np.delete(snapshot.serving_node, 2) >= 0).all()
        assert (snapshot.size_bytes[2] == 0).all() == away
    twin = columns(result, "twin")
    believed = sorted(set(twin["slot"][twin["vehicle"] == 2].tolist()))
    assert believed == [0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13]


def test_others_do_not_notice_that_somebody_leaves(engine: EngineName) -> None:
    """With a server of plenty, tasks of others are the same to the nanosecond: all random streams are their own."""
    more = ("radio.fading=rayleigh", "radio.shadowing_std_db=6", "network.access.jitter_s=0.002")
    usual = run(of_town(more=more), policy="local-only", seed=3, engine=engine)
    result = run(of_town(LEAVES, ENTERS, more=more), policy="local-only", seed=3, engine=engine)
    for name in ("vehicles", "tasks"):
        rows, expected = columns(result, name), columns(usual, name)
        keys = [1000 * table["slot"] + 10 * table["vehicle"] + table.get("task_class", 0) for table in (rows, expected)]
        common = np.isin(keys[1], keys[0])
        assert (~common).sum() == 3 * (2 if name == "tasks" else 1)
        others = rows["vehicle"] != 2  # which comes back to an empty CPU
        assert others.mean() > 0.5
        for column, values in rows.items():
            assert (values == expected[column][common])[others].all(), (name, column)


def test_late_news_of_a_vehicle_that_has_left(engine: EngineName) -> None:
    """Reports take 130 ms: the twin goes on allocating to somebody who is not there, and no harm is done."""
    more = ("network.backhaul.latency_s=0.13", "twin.sync_window_s=0.05")
    scenario = of_town(LEAVES, ENTERS, more=more)
    policy = Watched("edge-equal")
    result = run(scenario, policy=policy, seed=3, engine=engine)
    check_books(result, scenario)
    believed_away = [snapshot.slot for snapshot in policy.seen if snapshot.serving_node[2] == -2]
    assert believed_away == [5, 6, 7]


def test_layers_of_a_vehicle_that_leaves(tmp_path: Path, engine: EngineName) -> None:
    """With joint allocation power and bandwidth of who has left are free for others."""
    events = [
        {"kind": "vehicle-leaves", "at_s": 13.0, "vehicle": 1},
        {"kind": "vehicle-leaves", "at_s": 20.0, "vehicle": 4},
        {"kind": "vehicle-enters", "at_s": 41.0, "vehicle": 1},
        {"kind": "node-down", "at_s": 33.3, "node": "rsu-3"},
    ]
    data = Scenario.load("llm6g", ["time.num_slot=7"]).model_dump(mode="json") | {"timeline": events}
    scenario = Scenario.from_dict(
        data, settings=["server.frequency_hz=0.02e9", "vehicles.cpu_hz=0.02e9", "trace.messages=true"]
    )
    policy = Watched("random")
    result = run(scenario, policy=policy, seed=3, out=tmp_path / "run", engine=engine)
    check_books(result, scenario)
    assert verify(tmp_path / "run").difference is None
    outcomes = Counter(result.table("tasks")["outcome"].to_pylist())
    assert outcomes["dropped: vehicle left"] >= 1
    for snapshot, decision in zip(policy.seen, policy.decided, strict=True):
        assert decision.bandwidth_hz is not None
        for vehicle, away in ((1, 2 <= snapshot.slot < 5), (4, snapshot.slot >= 2)):
            assert (snapshot.serving_node[vehicle] == -2) == away
            assert (decision.bandwidth_hz[vehicle] == 0) == away
        assert (snapshot.serving_node != 2).all() == (snapshot.slot >= 4)


class Road:
    """One vehicle that drives from the base station to an RSU half as fast; its tasks take a slot."""

    def __init__(self, rule: str, engine: EngineName) -> None:
        data = TOWN | {
            "time": {"slot_duration_s": 0.1, "num_slot": 60},
            "vehicles": {"num_vehicle": 1, "cpu_hz": 1e9, "kappa": 1e-27, "transmit_power_w": 0.2},
            "mobility": {"kind": "straight", "length_m": 100.0, "speed_mps": 40.0, "num_lane": 1},
            "base_station": {"position_m": [-120, 0]},
            "server": {"frequency_hz": 1e9, "num_core": 20, "kappa": 1e-30},
            "rsus": [
                {
                    "name": "east",
                    "position_m": [280, 0],
                    "server": {"frequency_hz": 0.5e9, "num_core": 20, "kappa": 1e-30},
                }
            ],
            "tasks": [{"name": "a", "size_bytes": 30_000, "cycles_per_byte": 3300, "deadline_s": 0.1}],
            "model": {"handover": rule},
        }
        self.scenario = Scenario.from_dict(data)
        self.result = run(self.scenario, policy="edge-equal", seed=1, engine=engine)
        self.tasks = columns(self.result, "tasks")
        node = columns(self.result, "vehicles")["serving_node"]
        changes = np.flatnonzero(node[1:] != node[:-1]) + 1
        assert len(changes) == 1
        self.at_ns = int(changes[0]) * SLOT_NS
        begin, end = self.tasks["service_begin_ns"], self.tasks["service_end_ns"]
        (self.row,) = np.flatnonzero((begin < self.at_ns) & ((end > self.at_ns) | (end == NEVER_NS)) & (begin > 0))


def test_work_at_the_old_node_goes_on_at_its_speed(engine: EngineName) -> None:
    """99 million cycles: at 1 GHz to the end; or what is left at 0.5 GHz; or not at all."""
    road = {rule: Road(rule, engine) for rule in ("finish", "forward", "drop")}
    for rule, there in road.items():
        check_books(there.result, there.scenario)
        outcomes = Counter(there.tasks["outcome"].tolist())
        assert outcomes["dropped: handover"] == (rule == "drop")
    begin_ns = {there.tasks["service_begin_ns"][there.row] for there in road.values()}
    assert len(begin_ns) == 1
    begin = int(begin_ns.pop())
    at_ns = road["drop"].at_ns
    ends = {rule: int(there.tasks["service_end_ns"][there.row]) for rule, there in road.items()}
    assert abs(ends["finish"] - (begin + 99_000_000)) <= 1
    assert abs(ends["forward"] - (at_ns + 2 * (begin + 99_000_000 - at_ns))) <= 1
    assert ends["drop"] == NEVER_NS
    assert road["drop"].tasks["done_ns"][road["drop"].row] == at_ns


@pytest.mark.parametrize("rule", ["forward", "finish", "drop"])
@pytest.mark.parametrize("policy", ["edge-equal", "random"])
def test_handover_on_the_corridor(rule: str, policy: str) -> None:
    """Servers are scarce, so that there is work to leave behind."""
    used: list[float] = []

    def watch(engine: Simulation) -> None:
        """Note how much of each node is in use, whenever somebody has changed it."""
        plane = columns_of(engine).plane
        advance = plane.advance

        def advance_and_note(now: int) -> None:
            advance(now)
            for node, hz in enumerate(plane.system.node_hz):
                in_use_hz = plane.service_hz[plane.serving_node == node].sum() + plane.leaving.rate_at_hz(node)
                used.append(float(in_use_hz / hz))

        vars(plane).update(advance=advance_and_note)

    more = ("time.num_slot=60", f"model.handover={rule}", "server.frequency_hz=2e9", "radio.hysteresis_db=1")
    scenario = Scenario.load("corridor", more)
    result = run_engine(scenario, policy, 1, watch=watch)
    check_books(result, scenario)
    outcomes = Counter(result.table("tasks")["outcome"].to_pylist())
    assert set(outcomes) <= {"completed", "late", "in flight", "dropped: handover", "dropped: vehicle left"}
    assert (outcomes["dropped: handover"] > 0) == (rule == "drop")
    assert outcomes["late"] > 100
    assert 0.5 < max(used) <= 1 + 1e-9


@pytest.mark.full
@given(seed=st.integers(0, 2**64 - 1))
@settings(max_examples=60)
def test_books_balance_whatever_happens(seed: int) -> None:
    scenario, policy = town_case_of(seed)
    check_books(run(scenario, policy=policy, seed=seed % 1000), scenario)


@pytest.mark.full
def test_runs_in_which_everything_happens_replay(tmp_path: Path) -> None:
    for seed in range(15):
        scenario, policy = town_case_of(seed)
        run(scenario, policy=policy, seed=seed, out=tmp_path / str(seed))
        difference = verify(tmp_path / str(seed)).difference
        assert difference is None, (seed, str(difference))


@pytest.mark.parametrize("seed", range(5))
def test_books_balance(seed: int, engine: EngineName) -> None:
    scenario, policy = town_case_of(seed)
    check_books(run(scenario, policy=policy, seed=seed, engine=engine), scenario)
