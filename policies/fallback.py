"""The guard between a policy and the twin: a failing policy costs one slot its decision, never the run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from physical.system import System
from policies.api import Explains, Policy
from policies.feasible import project
from twin.decision import Decision, Diagnostics, Ruling
from twin.snapshot import TwinSnapshot


class GuardedPolicy:
    """Runs a policy, projects what it returns, and lets the fallback decide where it fails.

    Parameters
    ----------
    policy : the policy
    fallback : a simple policy that does not fail
    """

    def __init__(self, policy: Policy, fallback: Policy) -> None:
        self._policy = policy
        self._fallback = fallback
        self._explain: Callable[[], Diagnostics] = policy.diagnostics if isinstance(policy, Explains) else Diagnostics
        self._system: System

    def reset(self, system: System, seed: int) -> None:
        """Get both policies ready for a run."""
        self._system = system
        self._policy.reset(system, seed)
        self._fallback.reset(system, seed)

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return a feasible decision."""
        begin = time.perf_counter()
        try:
            decision = self._policy.decide(snapshot)
            wall_s = time.perf_counter() - begin
            feasible, repaired = self._project(snapshot, decision)
            diagnostics = self._explain()
            if not isinstance(diagnostics, Diagnostics):
                raise TypeError(f"diagnostics() returned {type(diagnostics).__name__}, not Diagnostics")
        except Exception as error:  # whatever a policy raises must not end the run
            return self.rule_by_fallback(snapshot, _describe(error), time.perf_counter() - begin)
        return Ruling(feasible, repaired=repaired, wall_s=wall_s, diagnostics=diagnostics)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        decision, _ = self._project(snapshot, self._fallback.decide(snapshot))
        return Ruling(decision, fallback=reason, wall_s=wall_s)

    def _project(self, snapshot: TwinSnapshot, decision: object) -> tuple[Decision, bool]:
        return project(self._system, decision, snapshot.estimation_bias_hz, snapshot.serving_node)


def _describe(error: Exception) -> str:
    """Name the error and the line of the policy that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"[:300]
