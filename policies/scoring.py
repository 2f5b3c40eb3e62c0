"""A decision is projected once and scored once: what fits a snapshot, what is sent for it, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from physical.closed_form.slot import SlotOutcome
from physical.closed_form.split import SplitOutcome
from physical.goals import DriftPlusPenalty, Known, TimeAndEnergy, goal_of
from physical.model import rate
from physical.model.arrays import every
from policies.feasible import JOINT_FIELDS, beside_hz, project, reserved_hz, rest_hz
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


@dataclass(frozen=True, eq=False)  # one is another if it is another object: arrays have no truth value
class Scored(Decision):
    """A decision that fits beside what one snapshot reserves; whoever gets it need not project or score it again.

    Policies of this distribution return it from `decide`, and the guard takes it as it is. A policy of somebody else
    gets a copy of the snapshot, so that what it returns is projected in any case.

    Parameters
    ----------
    snapshot : the twin's belief that the decision fits
    repaired : the decision that it was made of did not fit
    """

    snapshot: TwinSnapshot = field(kw_only=True, repr=False)
    repaired: bool = field(default=False, kw_only=True)

    @cached_property
    def objective(self) -> float:
        """What the closed form expects of the decision, no unit; it is computed when it is first asked for."""
        return _objective(self.snapshot, self)


def fit(snapshot: TwinSnapshot, decision: Any) -> Scored:
    """Return a decision as far as it fits beside what is reserved: one from elsewhere may overfill the server.

    Raises
    ------
    InvalidDecisionError : it cannot be read as a decision for this system
    """
    if _fits(snapshot, decision):
        return decision  # type: ignore[no-any-return]  # seen just now
    bias_hz, node = snapshot.estimation_bias_hz, snapshot.serving_node
    fitted, repaired = project(snapshot.system, decision, bias_hz, node, rest_hz(snapshot))
    return Scored(**vars(fitted), snapshot=snapshot, repaired=repaired)


def _fits(snapshot: TwinSnapshot, decision: object) -> bool:
    return type(decision) is Scored and decision.snapshot is snapshot


def command(snapshot: TwinSnapshot, decision: Any) -> tuple[Decision, bool]:
    """Return what will be sent: the decision as far as it fits beside what is reserved for leftovers, and that.

    A flow runs as fast as it is decided, plus what is reserved for its old work (`policies.feasible.reserved_hz`).

    Returns
    -------
    The decision, and whether the policy's own part of it had to be changed. What the policy has fitted itself is its
    own part.

    Raises
    ------
    InvalidDecisionError : it cannot be read as a decision for this system
    """
    if not snapshot.flows_wait:
        if _fits(snapshot, decision):
            return decision, False
        return project(snapshot.system, decision, snapshot.estimation_bias_hz, snapshot.serving_node)
    fitted = fit(snapshot, decision)
    repaired = fitted.repaired and fitted is not decision
    reserved = reserved_hz(snapshot)
    own_hz = fitted.compute_allocation_hz
    offset_hz = beside_hz(snapshot.system, snapshot.estimation_bias_hz)
    runs = (own_hz > 0) & (own_hz + offset_hz > 0)
    raised_hz = own_hz + reserved
    if not every(runs):
        raised_hz = np.where(runs, raised_hz, np.where(reserved > 0, reserved - offset_hz, own_hz))
    return Decision(fitted.offloading_ratio, raised_hz, *(getattr(fitted, name) for name in JOINT_FIELDS)), repaired


def predicted_objective(snapshot: TwinSnapshot, decision: Decision) -> float:
    """Return what a decision leads to by the closed form on the twin's belief: P2, or the weighted cost."""
    if _fits(snapshot, decision):
        return decision.objective  # type: ignore[attr-defined,no-any-return]  # seen just now
    return _objective(snapshot, decision)


def _objective(snapshot: TwinSnapshot, decision: Decision) -> float:
    goal = goal_of(snapshot.system)
    return float(goal.outcome(snapshot.system, _known(snapshot, decision), decision).objective)


def slot_outcome(snapshot: TwinSnapshot, decision: Decision) -> SlotOutcome:
    """Return what `slot_step` makes of a decision on the twin's belief."""
    return DriftPlusPenalty.outcome(snapshot.system, _known(snapshot, decision), decision)


def split_outcome(snapshot: TwinSnapshot, decision: Decision) -> SplitOutcome:
    """Return what `split_step` makes of a decision on the twin's belief."""
    return TimeAndEnergy.outcome(snapshot.system, _known(snapshot, decision), decision)


def _known(snapshot: TwinSnapshot, decision: Decision) -> Known:
    """Return what is known of the slot; rates that follow from a decision are not rounded here."""
    rate_bps, spectrum = snapshot.uplink_rate_bps, snapshot.system.spectrum
    if spectrum is not None:
        rate_bps = rate.fdma_rate_bps(
            decision.bandwidth_hz, decision.transmit_power_w, snapshot.channel_gain, spectrum.noise_density_w_hz
        )
    return Known(
        snapshot.size_bytes, rate_bps, snapshot.serving_node, snapshot.backlog_bytes, snapshot.estimation_bias_hz
    )
