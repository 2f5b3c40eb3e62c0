"""The event simulator as a PettingZoo environment: it stops before every decision of the twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from physical.arrays import Floats
from physical.errors import InputError
from physical.system import System
from policies.guarded import GuardedPolicy
from policies.registry import make
from sim.engine.choice import choose
from sim.engine.start import begin
from sim.inputs.streams import Streams
from sim.learn.env.base import Infos, Numbers, Step, VehicleEnvironment
from sim.learn.env.reward import Present, own_parts
from sim.scenario.scenario import Scenario
from twin.decision import Decision, Ruling
from twin.snapshot import TwinSnapshot


class EventEnvironment(VehicleEnvironment):
    """One run after the other; made by `sim.env.parallel_env`."""

    def __init__(self, scenario: Scenario, reward: str, num_slot: int | None, seed: int, *, show_waiting: bool) -> None:
        super().__init__(scenario.system(), seed, show_waiting=show_waiting)
        self._scenario = scenario
        self._reward = reward
        self._num_slot = num_slot

    def reset(
        self,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002 - PettingZoo's interface
    ) -> tuple[dict[str, Numbers], Infos]:
        """Begin a run and go on to its first decision."""
        self._run = SteppedRun(self._scenario, self._begin_episode(seed), self._num_slot)
        snapshot = self._run.advance()
        assert snapshot is not None  # the first slot is always decided
        self._present = Present.of(snapshot)
        return self._observations(self._present), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Numbers]) -> Step:
        """Decide, and go on to the next decision; after the last one, what was seen last is returned again.

        Raises
        ------
        InputError : no episode, or actions that are not those of the living agents
        """
        asked = self._asked(actions)
        present = self._present
        decision = self._run.decide(self._decision(asked, present.serving_node))
        snapshot = self._run.advance()
        if snapshot is not None:
            self._present = Present.of(snapshot)
        if self._reward == "realised":
            rewards: Floats = np.full(self.system.num_vehicle, -self._run.take_objective())
        else:
            rewards = -own_parts(self.system, present, decision)
            if self._reward == "predicted":
                rewards = np.full_like(rewards, rewards.sum())
        return self._step(self._present, rewards, ended=snapshot is None)


class SteppedRun:
    """A run that is driven from outside, from one decision to the next.

    Parameters
    ----------
    scenario : what to simulate; its policy and its timed changes of policy do not decide
    seed : of all random numbers
    num_slot : slots after which to end; None: the scenario's
    """

    def __init__(self, scenario: Scenario, seed: int, num_slot: int | None) -> None:
        self._told = _Told()
        self._decider = _Timeless(self._told, scenario)
        self._objectives = _Objectives()
        engine = choose(scenario).name
        self._engine = begin(scenario, self._decider, Streams(seed), self._objectives, engine=engine, num_slot=num_slot)
        self._engine.clock.start()

    def advance(self) -> TwinSnapshot | None:
        """Simulate up to the next decision and return what the twin knows then; None at the end of the run."""
        engine = self._engine
        asked = engine.cloud.asked
        engine.clock.env.run(until=asked | engine.end)
        if not asked.triggered:
            engine.close()
            return None
        assert isinstance(asked.value, TwinSnapshot)
        return asked.value

    def decide(self, decision: Decision) -> Decision:
        """Let the twin decide; return what it sends, which is feasible."""
        self._told.decision = decision
        cloud = self._engine.cloud
        cloud.answer()
        self._engine.clock.env.run(until=cloud.answered)
        if failure := self._decider.ruling.failure:
            raise InputError(failure, where="policy.fallback", accepted="a policy that does not fail: local-only")
        return self._decider.ruling.decision

    def take_objective(self) -> float:
        """Return the sum of the objectives of the slots that have become final since the last call."""
        if not self._engine.end.triggered:
            self._engine.settle_before_slot()
        return self._objectives.take()


class _Told:
    """A policy that decides what it has been told."""

    decision: Decision

    def reset(self, system: System, seed: int) -> None:
        """Need nothing."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:  # noqa: ARG002 - others look at it
        """Return the decision."""
        return self.decision


class _Timeless(GuardedPolicy):
    """Guards the decisions as in any run, but being told takes no time: an agent thinks between two steps.

    ruling : the last one
    """

    ruling: Ruling

    def __init__(self, told: _Told, scenario: Scenario) -> None:
        super().__init__(told, make(scenario.policy.fallback))

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return a feasible decision."""
        self.ruling = replace(super().rule(snapshot), wall_s=0.0)
        return self.ruling

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        self.ruling = super().rule_by_fallback(snapshot, reason, wall_s)
        return self.ruling


class _Objectives:
    """Takes the place of a trace, and keeps of it only the objectives of slots that are final."""

    overdue = False

    def __init__(self) -> None:
        self._sum = 0.0

    def add(self, name: str, columns: Mapping[str, Any]) -> None:
        """Add up objectives; a slot without tasks has none."""
        if name == "slots":
            self._sum += float(np.nansum(columns["objective"]))

    def close_part_if_due(self) -> None:
        """Have no part."""

    def take(self) -> float:
        """Return the sum since the last call."""
        taken, self._sum = self._sum, 0.0
        return taken
