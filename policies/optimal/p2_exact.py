"""`p2-exact`: the per-slot optimum of P2 (eq. 24), with a certificate."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from physical.system import System
from policies.optimal.branch import root_bracket, solve
from policies.optimal.options import list_options
from policies.optimal.realise import realise
from policies.optimal.tasks import Tasks, check_p2, read_tasks
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

_ROUNDING = 1e-14
MODEL = "eqs. 7-9, no waiting, no QoS floor"
"""How P2 reads a slot: tasks do not wait for each other, and the cost of a late task grows with its delay."""


@dataclass
class P2Exact:
    """Solves P2 on the twin's belief by a price on capacity, then branch and bound (see `policies.optimal`).

    Deadlines are a price P_m, never a constraint. The objective is that of `slot_step` for the returned decision. The
    lower bound holds for every decision that keeps the ratios in [0, 1], the floors and the capacity. With `slices`,
    the capacity is the rest that leftovers do not need (`policies.feasible.reserved_hz`), for all three of them.

    Parameters
    ----------
    margin : part of every deadline kept back for a bias that the twin does not know; the bound stays that of P2 without
    tolerance : relative gap at which the search stops
    max_node : nodes of the search tree after which it gives up and reports the gap that is left
    """

    margin: float = 0.0
    tolerance: float = 1e-9
    max_node: int = 400

    def __post_init__(self) -> None:
        """Check the options."""
        check_margin(self.margin)
        if not self.tolerance > 0:
            raise ValueError(f"tolerance {self.tolerance} is not positive")
        if self.max_node < 0:
            raise ValueError(f"max_node {self.max_node} is negative")

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature; nothing is random
        """Forget the last run."""
        check_p2(system, "p2-exact")
        self._diagnostics = Diagnostics()
        self.num_node = 0
        self.num_binding = 0

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Return the optimum for the slot of `snapshot`."""
        begin_s = time.perf_counter()
        tasks = read_tasks(snapshot, self.margin)
        options = list_options(tasks)
        solution = solve(tasks, options, self.tolerance, self.max_node)
        decision, outcome, self.num_binding = realise(snapshot, tasks, options, solution.candidate)
        bound = solution.bound if not self.margin else lower_bound(read_tasks(snapshot), self.tolerance)
        self.num_node = solution.num_node
        certified = certificate(float(outcome.objective), bound + tasks.constant, time.perf_counter() - begin_s)
        self._diagnostics = replace(
            certified,
            num_binding=self.num_binding,
            capacity_price=solution.price * snapshot.system.server.frequency_hz,
        )
        return decision

    def diagnostics(self) -> Diagnostics:
        """Return objective, lower bound, gap and price of capacity of the last decision."""
        return self._diagnostics


def check_margin(margin: float) -> None:
    """Raise ValueError unless a part of the deadlines is kept back, and a part is left."""
    if not 0 <= margin < 1:
        raise ValueError(f"margin {margin} is not in [0, 1)")


def lower_bound(tasks: Tasks, tolerance: float = 1e-9) -> float:
    """Return a certified lower bound of P2 less its constant, without a decision."""
    return root_bracket(tasks, list_options(tasks), tolerance).bound


def certificate(objective: float, bound: float, solve_s: float) -> Diagnostics:
    """Return the diagnostics of a decision.

    The gap is ``(objective - bound) / max(|objective|, 1)``, because P2 may be 0. The bound is lowered by 1e-14, which
    rounding may have added. If it is still above the objective, it becomes the objective, so that no gap is negative.
    """
    bound = min(bound - _ROUNDING * max(abs(bound), 1.0), objective)
    gap = (objective - bound) / max(abs(objective), 1.0)
    return Diagnostics(objective=objective, lower_bound=bound, gap=gap, solve_s=solve_s, model=MODEL)
