"""What counts: drift plus penalty of 'dtecn' (P2), or the weighted cost of 'llm6g' (P1); expected and realised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from physical.closed_form.slot import SlotOutcome, slot_step
from physical.closed_form.split import SplitOutcome, split_step
from physical.model import objective
from physical.model.arrays import Array
from physical.params import Objective
from physical.system import System


class Known(NamedTuple):
    """What is known of a slot before it begins; leading batch axes.

    size_bytes : [..., N, K], bytes
    rate_bps : [..., N], bit/s
    serving_node : [..., N], index of the node, -1 without one
    backlog_bytes : [..., K], bytes
    estimation_bias_hz : [..., N, K], Hz
    """

    size_bytes: Array
    rate_bps: Array
    serving_node: Array
    backlog_bytes: Array
    estimation_bias_hz: Array


class DecidedSlot(Protocol):
    """What is decided for a slot, such as a `twin.decision.Decision`; leading batch axes."""

    @property
    def offloading_ratio(self) -> Array:
        """[..., N, K], no unit."""

    @property
    def compute_allocation_hz(self) -> Array:
        """[..., N, K], Hz."""

    @property
    def local_frequency_hz(self) -> Array:
        """[..., N], Hz; None where the system fixes it."""

    @property
    def transmit_power_w(self) -> Array:
        """[..., N], W; None likewise."""


class Brought(NamedTuple):
    """What slots have brought, [slots] each.

    drift : no unit, of the true growth of the backlog
    qos : no unit, mean of tasks
    energy_j : J, of vehicles, radios and servers
    miss_ratio : no unit, share of late tasks
    time_s : s, sum over tasks of the time that counts
    """

    drift: Array
    qos: Array
    energy_j: Array
    miss_ratio: Array
    time_s: Array


@dataclass(frozen=True)
class DriftPlusPenalty:
    """P2 (eq. 24 of 'dtecn'): drift of the queues, QoS, energy and misses; `weights` have V folded in."""

    weights: Objective

    @property
    def penalty_min(self) -> float:
        """No penalty is less: that of tasks that take no time and no energy."""
        return -self.weights.qos_weight

    @staticmethod
    def outcome(system: System, known: Known, decided: DecidedSlot) -> SlotOutcome:
        """Return what a decision leads to if nothing waits."""
        return slot_step(
            system,
            known.size_bytes,
            known.rate_bps,
            decided.offloading_ratio,
            decided.compute_allocation_hz,
            known.backlog_bytes,
            known.estimation_bias_hz,
            known.serving_node if system.num_node > 1 else None,
        )

    def realised(self, brought: Brought) -> tuple[Array, Array]:
        """Return the objectives of slots, and their penalties: the same without the drift."""
        drift, qos, energy_j, miss_ratio, _ = brought
        return (
            objective.p2(drift, qos, energy_j, miss_ratio, self.weights),
            objective.penalty(qos, energy_j, miss_ratio, self.weights),
        )


@dataclass(frozen=True)
class TimeAndEnergy:
    """P1 (eq. 10 of 'llm6g'): the weighted cost of time and energy, in their units.

    time_weight_per_s, energy_weight_per_j : omega_t / T0, omega_e / E0
    """

    time_weight_per_s: float
    energy_weight_per_j: float

    @property
    def penalty_min(self) -> float:
        """No penalty is less."""
        return 0.0

    @staticmethod
    def outcome(system: System, known: Known, decided: DecidedSlot) -> SplitOutcome:
        """Return what a decision leads to if nothing waits."""
        return split_step(
            system,
            known.size_bytes,
            known.rate_bps,
            known.serving_node,
            decided.offloading_ratio,
            decided.compute_allocation_hz,
            decided.transmit_power_w,
            decided.local_frequency_hz,
        )

    def realised(self, brought: Brought) -> tuple[Array, Array]:
        """Return the costs of slots twice: objective and penalty are the same."""
        cost = objective.weighted_cost(
            brought.time_s, brought.energy_j, self.time_weight_per_s, self.energy_weight_per_j
        )
        return cost, cost


def goal_of(system: System) -> DriftPlusPenalty | TimeAndEnergy:
    """Return what counts in a system: its weighted cost if it has one, else P2."""
    if system.cost is None:
        return DriftPlusPenalty(system.objective)
    return TimeAndEnergy(*system.cost_weights)
