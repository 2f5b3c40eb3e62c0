"""What a policy returns, and what is known about how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """One slot's decision for N vehicles and K task classes.

    Parameters
    ----------
    offloading_ratio : [N, K], omega in [0, 1], the part of each task that the edge server computes
    compute_allocation_hz : [N, K], alpha f_E, the server frequency set aside for each flow
    """

    offloading_ratio: Floats
    compute_allocation_hz: Floats


@dataclass(frozen=True)
class Diagnostics:
    """What a policy can tell about its last decision; NaN and 0 where it has nothing to tell.

    Parameters
    ----------
    feasible : the policy found a decision that satisfies its own constraints
    objective : P2 as the policy computed it
    lower_bound : certified bound below every feasible objective
    gap : certified relative gap (objective - lower_bound) / max(|objective|, 1)
    solve_s : s, wall time of the solver
    num_token : tokens read and written by a language model
    num_binding : tasks that just meet their deadline, by design
    """

    feasible: bool = True
    objective: float = np.nan
    lower_bound: float = np.nan
    gap: float = np.nan
    solve_s: float = np.nan
    num_token: int = 0
    num_binding: int = 0


@dataclass(frozen=True)
class Ruling:
    """A decision that may be sent: projected on the feasible set, or the fallback's.

    Parameters
    ----------
    decision : what will be commanded
    repaired : the policy's own decision was not feasible and has been projected
    fallback : why the fallback decided instead, or ""
    wall_s : s, wall time that the policy took
    diagnostics : the policy's
    """

    decision: Decision
    repaired: bool = False
    fallback: str = ""
    wall_s: float = 0.0
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
