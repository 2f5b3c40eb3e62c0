"""Both engines give the same trace of every built-in scenario, whoever decides, and verify each other's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from physical.registry import EngineName
from sim import RunResult, Scenario, run
from sim.runs.replay import verify
from sim.scenario.sources import names
from tests.support.both_engines import ENGINES, assert_equal_runs

NUM_SLOT, SEED = 12, 23
DECIDERS = {
    "dtecn": ("p2-exact", "greedy-cost", "random"),
    "dtecn-congested": ("p2-exact", "greedy-latency", "random"),
    "rush-hour": ("p2-exact", "greedy-latency", "random"),
    "corridor": ("greedy-cost", "edge-equal", "random"),
    "blackout": ("greedy-latency", "edge-equal", "random"),
    "llm6g": ("layers-exact", "edge-equal", "random"),
}
"""The exact optimum where it applies, a simple rule, and chance; P2 has one server."""
SLOTS = {"layers-exact": 4}
"""Slots of policies that take long."""
EVENTFUL = ["timeline.0.at_s=0.23", "timeline.1.at_s=0.7", "timeline.2.at_s=0.4", "timeline.3.at_s=0.8"]
EVENTFUL += ["timeline.4.at_s=0.5", "timeline.5.at_s=0.6", "timeline.5.every_s=0.5", "timeline.6.at_s=0.9"]
"""All that happens to `blackout` happens in the first second."""


@cache
def recorded(name: str, policy: str, engine: EngineName) -> RunResult:
    """Return a run in memory."""
    scenario = Scenario.load(name, ["trace.messages=true"])
    return run(scenario, policy, seed=SEED, num_slot=SLOTS.get(policy, NUM_SLOT), engine=engine)


@pytest.mark.parametrize(("name", "policy"), [(name, policy) for name in DECIDERS for policy in DECIDERS[name]])
def test_both_engines_agree(name: str, policy: str) -> None:
    assert_equal_runs(*(recorded(name, policy, engine) for engine in ENGINES))


def test_no_scenario_is_left_out() -> None:
    assert set(DECIDERS) == set(names())


@pytest.mark.parametrize("handover", ["forward", "finish", "drop"])
def test_both_engines_agree_about_a_blackout(handover: str) -> None:
    settings = [*EVENTFUL, "trace.messages=true", f"model.handover={handover}", "server.frequency_hz=2e9"]
    scenario = Scenario.load("blackout", settings)
    runs = [run(scenario, "edge-equal", seed=SEED, num_slot=15, engine=engine) for engine in ENGINES]
    kinds = set(runs[0].table("events")["kind"].to_pylist())
    assert kinds == {"node-down", "node-up", "link", "bias", "burst", "vehicle-leaves"}
    outcomes = set(runs[0].table("tasks")["outcome"].to_pylist())
    assert ("dropped: handover" in outcomes) == (handover == "drop")
    assert_equal_runs(*runs)


@pytest.mark.parametrize(("name", "policy"), [(name, "random") for name in DECIDERS] + [("llm6g", "edge-equal")])
def test_each_engine_verifies_the_run_of_the_other(name: str, policy: str, tmp_path: Path) -> None:
    for engine, other in (ENGINES, ENGINES[::-1]):
        out = tmp_path / engine
        run(Scenario.load(name, ["trace.messages=true"]), policy, seed=SEED, num_slot=6, engine=engine, out=out)
        difference = verify(out, engine=other).difference
        assert difference is None, f"{engine} recorded, {other} replayed: {difference}"


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_verifies_decisions_that_take_the_time_that_they_take(engine: EngineName, tmp_path: Path) -> None:
    settings = ["twin.decision.latency=measured", "twin.decision.deadline_s=0.05", "trace.messages=true"]
    result = run(
        Scenario.load("rush-hour", settings), "p2-exact", seed=SEED, num_slot=6, engine=engine, out=tmp_path / "run"
    )
    assert min(result.table("decisions")["latency_ns"].to_pylist()) > 0
    other = ENGINES[1 - ENGINES.index(engine)]
    assert verify(tmp_path / "run", engine=other).difference is None
