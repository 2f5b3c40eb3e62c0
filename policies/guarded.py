"""The guard between a policy and the twin: a failing policy costs one slot its decision, never the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from physical.system import System
from policies.api import Policy
from policies.baselines import simple_radio
from policies.feasible import reserve
from policies.foreign.contained import Contained
from policies.foreign.mistakes import told, wrong_signature
from policies.foreign.strangers import class_name
from policies.foreign.surroundings import comes_from_a_signal
from policies.scoring import command
from twin.decision import Decision, Ruling
from twin.snapshot import TwinSnapshot


class GuardedPolicy:
    """Runs a policy, makes what it returns feasible beside old work, and lets the fallback decide where it fails.

    Both get copies of what the twin knows (see `policies.foreign.contained`): only what they return has an effect.

    Parameters
    ----------
    policy : the policy
    fallback : a simple policy. One that fails, too, ends the run after the slot, in which nothing is offloaded
    """

    def __init__(self, policy: Policy, fallback: Policy) -> None:
        self._policy = Contained(policy)
        self._fallback = Contained(fallback)
        self._learns = self._policy.learns
        self._decided: set[int] = set()
        self._not_learnt = ""

    def reset(self, system: System, seed: int) -> None:
        """Get both policies ready for a run.

        Raises
        ------
        InputError : a policy refuses the system; somebody else's policy raises whatever it may be
        """
        self._decided.clear()
        self._not_learnt = ""
        for policy in (self._policy, self._fallback):
            policy.reset(system, seed)

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return a feasible decision."""
        if self._not_learnt:
            reason, self._not_learnt = self._not_learnt, ""
            return self.rule_by_fallback(snapshot, reason, 0.0)
        reserve(snapshot)
        begin = time.perf_counter()
        try:
            decision = self._policy.decide(snapshot)
            wall_s = time.perf_counter() - begin
            feasible, repaired = command(snapshot, decision)
            diagnostics = self._policy.diagnostics()
        except BaseException as error:  # whatever a policy raises must not end the run
            if comes_from_a_signal(error):
                raise
            wall_s = time.perf_counter() - begin
            policy = self._policy.policy
            reason = wrong_signature(error, policy, "decide", ("snapshot",)) or told(error, policy)
            return self.rule_by_fallback(snapshot, reason, wall_s)
        if self._learns:
            self._decided.add(snapshot.slot)
        return Ruling(feasible, repaired=repaired, wall_s=wall_s, diagnostics=diagnostics)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        self._decided.discard(snapshot.slot)
        try:
            decision, _ = command(snapshot, self._fallback.decide(snapshot))
        except BaseException as error:
            if comes_from_a_signal(error):
                raise
            policy = self._fallback.policy
            failed = f"{class_name(policy)} fails, too: {told(error, policy)}"
            decision, _ = command(snapshot, _nothing_offloaded(snapshot))
            return Ruling(decision, fallback=reason, wall_s=wall_s, failure=failed)
        return Ruling(decision, fallback=reason, wall_s=wall_s)

    def describe(self) -> dict[str, Any]:
        """Return what the policy says about itself, if it does.

        Raises
        ------
        InputError : somebody else's policy fails to, or says what is no plain data
        """
        found = self._policy.describe()
        return {} if found is None else {"policy_details": found}

    def close(self) -> str:
        """Let both policies go of what they hold; return what went wrong, if anything did."""
        return "; ".join(filter(None, [self._policy.close(), self._fallback.close()]))

    @property
    def wants_outcomes(self) -> bool:
        """Whether the policy learns from what slots realise."""
        return self._learns

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Tell the policy what the slots that it decided have realised, (slot, objective).

        A policy that fails to learn has its next decision taken by the fallback, with the error as the reason: so the
        failure is in the trace, and a replay has it, too, although it teaches nobody.
        """
        own = [(slot, objective) for slot, objective in outcomes if slot in self._decided]
        self._decided.difference_update(slot for slot, _ in own)
        if not self._learns or not own:
            return
        try:
            self._policy.learn(own)
        except BaseException as error:  # as in `rule`
            if comes_from_a_signal(error):
                raise
            self._not_learnt = f"learn: {told(error, self._policy.policy)}"


def _nothing_offloaded(snapshot: TwinSnapshot) -> Decision:
    """Return what needs nobody: every vehicle runs all its tasks itself."""
    zeros = np.zeros(snapshot.size_bytes.shape)
    return Decision(zeros, zeros, **simple_radio(snapshot, np.zeros(len(zeros), dtype=np.bool_)))
