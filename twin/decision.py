"""What a policy returns, and what is known about how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from physical.arrays import Floats


@dataclass(frozen=True)
class Decision:
    """One slot's decision for N vehicles and K task classes.

    Parameters
    ----------
    offloading_ratio : [N, K], omega in [0, 1], the part of each task that the edge server computes; of a transformer
        with Upsilon layers, alpha of them local, ``(Upsilon - alpha) / Upsilon``
    compute_allocation_hz : [N, K], alpha f_E or f_nm, the frequency that the serving node's server sets aside for each
        flow
    local_frequency_hz : [N], f_n of the vehicle; None leaves it as the system has it
    transmit_power_w : [N], p_n; None likewise
    bandwidth_hz : [N], b_n, the vehicle's part of its serving node's pool; None likewise

    The last three are decided only where the system has joint allocation; there they must be given.
    """

    offloading_ratio: Floats
    compute_allocation_hz: Floats
    local_frequency_hz: Floats | None = None
    transmit_power_w: Floats | None = None
    bandwidth_hz: Floats | None = None


@dataclass(frozen=True)
class Prompt:
    """What a language model was asked, and what the answer took.

    Parameters
    ----------
    digest : of all tokens of the prompt, hexadecimal
    num_case : cases in the prompt
    num_token : tokens of the prompt
    num_reused_token : those of them that were in the model's cache from the decision before
    num_answer_token : tokens of the answer
    guarded : a simple decision took the place of the model's
    prefill_s : s, wall time to read the prompt
    decode_s : s, wall time to answer
    """

    digest: str
    num_case: int
    num_token: int
    num_reused_token: int
    num_answer_token: int
    guarded: bool
    prefill_s: float
    decode_s: float


@dataclass(frozen=True)
class Diagnostics:
    """What a policy can tell about its last decision; NaN and 0 where it has nothing to tell.

    An infinite number tells nothing, either, and is recorded as NaN.

    Parameters
    ----------
    feasible : the policy found a decision that satisfies its own constraints
    objective : P2 or the weighted cost as the policy computed it
    lower_bound : certified bound below every feasible objective
    gap : certified relative gap (objective - lower_bound) / max(|objective|, 1)
    solve_s : s, wall time of the solver
    num_token : tokens read and written by a language model
    num_binding : tasks that just meet their deadline, by design
    capacity_price : no unit, price of the whole server at which tasks ask for what there is of it: its energy at the
        margin, and the multiplier of eq. 24c
    prompt : of a language model
    model : the model for which bound and gap hold, in words: ``eqs. 7-9, no waiting``
    """

    feasible: bool = True
    objective: float = np.nan
    lower_bound: float = np.nan
    gap: float = np.nan
    solve_s: float = np.nan
    num_token: int = 0
    num_binding: int = 0
    capacity_price: float = np.nan
    prompt: Prompt | None = None
    model: str = ""


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
    latency_ns : ns, simulated time that the decision takes; None: as the scenario has it. A replay gives the recorded
        one.
    failure : why the run ends once this is sent, or "": the fallback has failed, too
    """

    decision: Decision
    repaired: bool = False
    fallback: str = ""
    wall_s: float = 0.0
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    latency_ns: int | None = None
    failure: str = ""
