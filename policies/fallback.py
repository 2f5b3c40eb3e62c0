"""The guard between a policy and the twin: a failing policy costs one slot its decision, never the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from physical.errors import InputError
from physical.system import System
from policies.api import Closes, Describes, Explains, Learns, Policy
from policies.closure import is_own_code
from policies.feasible import command
from policies.mistakes import told, wrong_signature
from twin.decision import Diagnostics, Ruling
from twin.snapshot import TwinSnapshot


class GuardedPolicy:
    """Runs a policy, makes what it returns feasible beside old work, and lets the fallback decide where it fails.

    Parameters
    ----------
    policy : the policy
    fallback : a simple policy that does not fail
    """

    def __init__(self, policy: Policy, fallback: Policy) -> None:
        self._policy = policy
        self._fallback = fallback
        self._explain: Callable[[], Diagnostics] = policy.diagnostics if isinstance(policy, Explains) else Diagnostics
        self._learns = policy if isinstance(policy, Learns) else None
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
            if isinstance(policy, type):
                accepted = f"an object: {policy.__name__}()"
                raise InputError("is a class", where="--policy", key=policy.__name__, accepted=accepted)
            try:
                policy.reset(system, seed)
            except InputError:
                raise
            except Exception as error:
                if is_own_code(policy) or isinstance(error, OSError):  # its file is named by whoever runs
                    raise
                problem = wrong_signature(error, policy, "reset", ("system", "seed")) or told(error, policy)
                raise InputError(problem, where="--policy", key=f"{type(policy).__name__}.reset") from error

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return a feasible decision."""
        if self._not_learnt:
            reason, self._not_learnt = self._not_learnt, ""
            return self.rule_by_fallback(snapshot, reason, 0.0)
        begin = time.perf_counter()
        try:
            decision = self._policy.decide(snapshot)
            wall_s = time.perf_counter() - begin
            feasible, repaired = command(snapshot, decision)
            diagnostics = self._explain()
            if not isinstance(diagnostics, Diagnostics):
                raise TypeError(f"diagnostics() returned {type(diagnostics).__name__}, not Diagnostics")
        except Exception as error:  # whatever a policy raises must not end the run
            wall_s = time.perf_counter() - begin
            reason = wrong_signature(error, self._policy, "decide", ("snapshot",)) or told(error, self._policy)
            return self.rule_by_fallback(snapshot, reason, wall_s)
        if self._learns is not None:
            self._decided.add(snapshot.slot)
        return Ruling(feasible, repaired=repaired, wall_s=wall_s, diagnostics=diagnostics)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        self._decided.discard(snapshot.slot)
        decision, _ = command(snapshot, self._fallback.decide(snapshot))
        return Ruling(decision, fallback=reason, wall_s=wall_s)

    def describe(self) -> dict[str, Any]:
        """Return what the policy says about itself, if it does."""
        return {"policy_details": self._policy.describe()} if isinstance(self._policy, Describes) else {}

    def close(self) -> None:
        """Let both policies go of what they hold."""
        for policy in (self._policy, self._fallback):
            if isinstance(policy, Closes):
                policy.close()

    @property
    def wants_outcomes(self) -> bool:
        """Whether the policy learns from what slots realise."""
        return self._learns is not None

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Tell the policy what the slots that it decided have realised, (slot, objective).

        A policy that fails to learn has its next decision taken by the fallback, with the error as the reason: so the
        failure is in the trace, and a replay has it, too, although it teaches nobody.
        """
        own = [(slot, objective) for slot, objective in outcomes if slot in self._decided]
        self._decided.difference_update(slot for slot, _ in own)
        if self._learns is None or not own:
            return
        try:
            self._learns.learn(own)
        except Exception as error:  # as in `rule`
            self._not_learnt = f"learn: {told(error, self._policy)}"
