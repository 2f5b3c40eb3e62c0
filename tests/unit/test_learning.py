"""Policies that learn in a run: what they are told is what the trace says, at times that nothing else changes."""

from __future__ import annotations

import math
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from physical.system import System
from policies.baselines import EdgeEqual
from policies.cases.policies import NearestCase
from policies.guarded import GuardedPolicy
from sim import RunResult, Scenario, run
from sim.engine.simulation import LEARNING_SLOTS
from sim.runs.replay import branch, verify
from tests.support.observers import Returns, Watched
from tests.support.scenarios import make_scenario
from tests.support.snapshots import SNAPSHOT, feasible
from tests.support.tables import column
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full  # the quick loop is for what changes every day

Outcomes = list[tuple[int, float]]

# Large tasks of the second class end in the next slot, or wait for one another and end later.
BUSY = ("time.num_slot=60", "server.frequency_hz=8e9")
TROUBLE = (
    "twin.decision.latency={kind='lognormal', median_s=0.03, sigma=1.0}",
    "twin.decision.deadline_s=0.09",
    "network.access.loss=0.1",
)


class Listening(EdgeEqual):
    """Offloads everything, and keeps what it is told and when: after the decision on which slot."""

    def reset(self, system: System, seed: int) -> None:
        super().reset(system, seed)
        self.told: list[tuple[int, Outcomes]] = []
        self.last = -1

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        self.last = snapshot.slot
        return super().decide(snapshot)

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        self.told.append((self.last, list(outcomes)))

    @property
    def all_told(self) -> Outcomes:
        return [outcome for _, outcomes in self.told for outcome in outcomes]


class Adapting(Listening):
    """Decides by what it was told: a difference of one bit would show in the digest."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decision = super().decide(snapshot)
        ratio = abs(math.sin(sum(objective for _, objective in self.all_told) * 1e6))
        return Decision(decision.offloading_ratio * ratio, decision.compute_allocation_hz)


class Failing(Listening):
    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        super().learn(outcomes)
        raise RuntimeError("no memory left")


def told_by(scenario: Scenario) -> tuple[list[tuple[int, Outcomes]], RunResult]:
    policy = Listening()
    result = run(scenario, policy=policy, seed=1)
    return policy.told, result


@pytest.mark.parametrize("trouble", [(), TROUBLE])
def test_what_is_told_is_what_the_trace_says(trouble: tuple[str, ...]) -> None:
    told, result = told_by(make_scenario(*BUSY, *trouble))
    outcomes = dict(outcome for _, part in told for outcome in part)
    objective = dict(zip(column(result, "slots", "slot"), column(result, "slots", "objective"), strict=True))
    fallback = dict(zip(column(result, "decisions", "slot"), column(result, "decisions", "fallback"), strict=True))
    assert len(outcomes) > 20
    assert all(value == objective[slot] for slot, value in outcomes.items())
    # Slots are told once, in order, and only those that the policy decided itself.
    slots = [slot for _, part in told for slot, _ in part]
    assert slots == sorted(set(slots))
    assert slots == [slot for slot in range(slots[-1] + 1) if not fallback.get(slot, True)]
    assert bool(trouble) == any(fallback.values())


def test_slots_are_told_at_certain_times_and_as_soon_as_they_are_complete() -> None:
    """Complete is a slot when its tasks have ended and the next one has begun: its drift reaches until then."""
    told, result = told_by(make_scenario(*BUSY))
    done_ns = column(result, "tasks", "done_ns").reshape(60, -1)
    complete_ns = np.maximum.accumulate(np.where(done_ns < 0, 10**18, done_ns).max(axis=1))  # told in order
    known: set[int] = set()
    for last, part in told:
        slot = last + 1  # what was told at its beginning, it is to decide next
        assert slot % LEARNING_SLOTS == 0
        known |= {done for done, _ in part}
        assert known == {done for done in range(slot - 1) if complete_ns[done] <= slot * 100_000_000}
    assert [last + 1 for last, _ in told] == list(range(LEARNING_SLOTS, 60, LEARNING_SLOTS))
    assert any(len(part) != LEARNING_SLOTS for _, part in told)


@pytest.mark.parametrize("trouble", [(), TROUBLE])
@pytest.mark.parametrize("parts", ["trace.part_rows=1", "trace.part_rows=50", "trace.part_seconds=1e-9"])
def test_the_size_of_parts_changes_nothing(tmp_path: Path, parts: str, trouble: tuple[str, ...]) -> None:
    runs = []
    for settings in ((), (parts,)):
        policy = Adapting()
        out = tmp_path / f"run{len(settings)}"
        result = run(make_scenario(*BUSY, *trouble, *settings), policy=policy, seed=1, out=out)
        runs.append((policy.told, result.summary["digest"]))
    assert runs[0] == runs[1]
    assert runs[0][0]


def test_learning_leaves_the_trace_of_equal_decisions_alone() -> None:
    """Who listens and decides as if he did not has the trace of one who does not listen."""
    scenario = make_scenario(*BUSY, *TROUBLE)
    assert told_by(scenario)[1].summary["digest"] == run(scenario, policy=EdgeEqual(), seed=1).summary["digest"]


def test_a_failure_to_learn_costs_the_next_decision_and_is_recorded(tmp_path: Path) -> None:
    result = run(make_scenario("time.num_slot=30"), policy=Failing(), seed=1, out=tmp_path / "run")
    assert (result.status, result.summary["decisions"]) == ("complete", 30)
    fallback = np.flatnonzero(column(result, "decisions", "fallback")).tolist()
    assert fallback == [8, 16, 24]
    events = result.table("events").to_pylist()
    assert [event["slot"] for event in events] == fallback
    assert {event["kind"] for event in events} == {"fallback"}
    begin = "learn: RuntimeError: no memory left at test_learning.py:"
    assert all(event["detail"].startswith(begin) for event in events)
    assert verify(tmp_path / "run").difference is None


def test_a_user_who_wants_to_stop_is_not_overruled() -> None:
    class Stopping(Returns):
        def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
            raise KeyboardInterrupt

    guarded = GuardedPolicy(Stopping(feasible()), EdgeEqual())
    guarded.reset(SNAPSHOT.system, 1)
    guarded.rule(SNAPSHOT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            guarded.learn([(SNAPSHOT.slot, 1.0)])
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_guard_tells_of_own_decisions_only() -> None:
    policy = Listening()
    guarded = GuardedPolicy(policy, EdgeEqual())
    guarded.reset(SNAPSHOT.system, 1)
    assert guarded.wants_outcomes
    assert not GuardedPolicy(EdgeEqual(), EdgeEqual()).wants_outcomes
    guarded.rule(SNAPSHOT)
    guarded.rule_by_fallback(SNAPSHOT, "too slow", 0.0)
    guarded.learn([(SNAPSHOT.slot, 1.0)])
    assert policy.told == []
    guarded.rule(SNAPSHOT)
    guarded.learn([(SNAPSHOT.slot - 1, 3.0), (SNAPSHOT.slot, 2.0)])
    guarded.learn([(SNAPSHOT.slot, 2.0)])
    assert policy.told == [(SNAPSHOT.slot, [(SNAPSHOT.slot, 2.0)])]
    guarded.rule(SNAPSHOT)
    guarded.reset(SNAPSHOT.system, 1)
    guarded.learn([(SNAPSHOT.slot, 2.0)])
    assert policy.told == []


def test_each_of_several_policies_learns_from_its_own_slots() -> None:
    """A timed change of the policy, to one that learns."""
    scenario = make_scenario(*BUSY)
    data = scenario.model_dump(mode="json")
    data["timeline"] = [{"kind": "policy", "at_s": 2.0, "name": "nearest-case:start=2"}]
    policy = Listening()
    result = run(Scenario.from_dict(data), policy=policy, seed=1)
    assert {slot for slot, _ in policy.all_told} == set(range(20))
    assert result.summary["fallbacks"] == 0


def test_a_branch_learns_as_a_change_of_policy_by_the_timeline_does(tmp_path: Path) -> None:
    """What is recorded teaches nobody: the policy of the branch begins with its own slots in both cases."""
    scenario = Scenario.load("dtecn-congested", ["time.num_slot=60"])
    run(scenario, policy="greedy-cost", seed=1, out=tmp_path / "run")
    _, branched = branch(tmp_path / "run", 2.0, "nearest-case:start=3", tmp_path / "branch")
    data = scenario.model_dump(mode="json")
    data["timeline"] = [{"kind": "policy", "at_s": 2.0, "name": "nearest-case:start=3"}]
    swapped = run(Scenario.from_dict(data), policy="greedy-cost", seed=1)
    assert branched.summary["digest"] == swapped.summary["digest"]
    assert verify(tmp_path / "branch").difference is None


def test_cases_grow_in_a_run() -> None:
    """The memory's cases carry the objectives of the trace."""
    policy = NearestCase(start=4, teacher="greedy-cost")
    result = run(Scenario.load("dtecn-congested", ["time.num_slot=120"]), policy=policy, seed=1)
    objective = column(result, "slots", "objective")
    memory = policy.memory
    assert len(memory.cases) == 64
    assert memory.num_taught == 4
    assert memory.num_grown == 60
    assert memory.num_displaced > 0 < memory.num_refused
    for case in memory.cases:
        assert case.realised == objective[case.snapshot.slot]
    # Whatever does not learn, here because it is wrapped, stays with what it was taught.
    still = NearestCase(start=4, teacher="greedy-cost")
    run(Scenario.load("dtecn-congested", ["time.num_slot=120"]), policy=Watched(still), seed=1)
    assert len(still.memory.cases) == 4
