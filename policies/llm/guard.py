"""The guard against a model's rare bad decisions: a simple decision that promises more takes their place."""

from __future__ import annotations

from collections.abc import Sequence

from physical.system import System
from policies.baselines import GreedyCost, LocalOnly
from policies.cases.case import Case
from policies.scoring import Scored, fit
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class Guard:
    """Compares what decisions promise by the closed form, P2 on the twin's belief, and counts how often it steps in.

    The simple decisions are those of `local-only` and `greedy-cost`, and that of the nearest case. Unlike the model,
    the guard knows the environment; what it changes is counted, so that nobody takes its work for the model's.

    Parameters
    ----------
    margin : by how much, in P2, a simple decision has to be better; P2 of a slot is about 1
    """

    def __init__(self, margin: float = 0.02) -> None:
        self._margin = margin
        self._simple = (LocalOnly(), GreedyCost())

    def reset(self, system: System, seed: int) -> None:
        """Get ready for a run."""
        self.num_replaced = 0
        for policy in self._simple:
            policy.reset(system, seed)

    def check(self, snapshot: TwinSnapshot, decision: Decision, cases: Sequence[Case]) -> tuple[Scored, bool]:
        """Return the decision, or the best simple one if that is better, and whether it has been replaced.

        snapshot : the slot
        decision : the model's
        cases : whose decisions may be copied
        """
        fitted = fit(snapshot, decision)
        others = [policy.decide(snapshot) for policy in self._simple] + [case.decision for case in cases]
        best = min((fit(snapshot, other) for other in others), key=lambda simple: simple.objective)
        if fitted.objective <= best.objective + self._margin:
            return fitted, False
        self.num_replaced += 1
        return best, True
