"""`layers-exact`: the per-slot optimum of P1 of the llm6g paper (eq. 10), with a certificate."""

from __future__ import annotations

import time
from dataclasses import dataclass

from physical.system import System
from policies.optimal.layers.problem import check_system, decision_of, read_problem
from policies.optimal.layers.search import solve
from policies.scoring import split_outcome
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

_ROUNDING = 1e-14
MODEL = "eqs. 1-10, no waiting"
"""How P1 reads a slot: no job waits for another."""


@dataclass
class LayersExact:
    """Solves P1 on the twin's belief by prices on frequency and spectrum, then branch and bound, cell by cell.

    The objective is that of `split_step` for the returned decision, whose numbers are rounded down to a grid. The lower
    bound holds for every decision with whole layers that keeps the limits of eqs. 10a to 10e. If a server has
    leftovers, the limit of eq. 10e is the rest of its capacity (`policies.feasible.reserved_hz`).

    Parameters
    ----------
    tolerance : relative gap at which the search stops
    max_node : nodes of the search tree after which it gives up and reports the gap that is left
    """

    tolerance: float = 1e-9
    max_node: int = 2000

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.tolerance > 0:
            raise ValueError(f"tolerance {self.tolerance} is not positive")
        if self.max_node < 0:
            raise ValueError(f"max_node {self.max_node} is negative")

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature; nothing is random
        """Forget the last run."""
        check_system(system, "layers-exact")
        self._diagnostics = Diagnostics()

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Return the optimum for the slot of `snapshot`."""
        begin_s = time.perf_counter()
        problem = read_problem(snapshot)
        solution = solve(problem, self.tolerance, self.max_node)
        decision = decision_of(problem, solution)
        objective = float(split_outcome(snapshot, decision).objective)
        self._diagnostics = certificate(objective, solution.lower_bound, time.perf_counter() - begin_s)
        return decision

    def diagnostics(self) -> Diagnostics:
        """Return objective, lower bound and gap of the last decision."""
        return self._diagnostics


def certificate(objective: float, bound: float, solve_s: float) -> Diagnostics:
    """Return the diagnostics of a decision.

    The gap is ``(objective - bound) / objective``, because P1 is positive and may be small. The bound is lowered by
    1e-14 of it, which rounding may have added. If it is still above the objective, it becomes the objective, so that no
    gap is negative.
    """
    bound = min(bound * (1.0 - _ROUNDING), objective)
    gap = (objective - bound) / objective if objective > 0.0 else 0.0
    return Diagnostics(objective=objective, lower_bound=bound, gap=gap, solve_s=solve_s, model=MODEL)
