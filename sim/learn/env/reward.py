"""Every vehicle's own part of the slot's objective; the parts sum to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.closed_form import slot
from physical.goals import Known, TimeAndEnergy
from physical.model import objective, qos
from physical.system import System
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class Present(NamedTuple):
    """What a decision rests on; N vehicles, K classes.

    size_bytes : [N, K], bytes
    rate_bps : [N], bit/s; with joint allocation that of full power on the whole bandwidth
    backlog_bytes : [K], bytes
    estimation_bias_hz : [N, K], Hz
    age_s : [N], s
    serving_node : [N], index of the node, negative without one
    channel_gain : [N], linear power ratio; None where only the rate is known
    cpu_backlog_cycles : [N], cycles, local work of earlier slots; None where nothing ever waits
    uplink_backlog_bytes : [N], bytes, what waits to be sent or is being sent; None likewise
    flow_backlog_cycles : [N, K], cycles, work of each flow at its server; None where flows are not told apart
    """

    size_bytes: Floats
    rate_bps: Floats
    backlog_bytes: Floats
    estimation_bias_hz: Floats
    age_s: Floats
    serving_node: Ints
    channel_gain: Floats | None = None
    cpu_backlog_cycles: Floats | None = None
    uplink_backlog_bytes: Floats | None = None
    flow_backlog_cycles: Floats | None = None

    @classmethod
    def of(cls, snapshot: TwinSnapshot) -> Present:
        """Return what the twin believes."""
        return cls(
            snapshot.size_bytes,
            snapshot.uplink_rate_bps,
            snapshot.backlog_bytes,
            snapshot.estimation_bias_hz,
            snapshot.age_of_information_s,
            snapshot.serving_node,
            snapshot.channel_gain,
            snapshot.cpu_backlog_cycles,
            snapshot.uplink_backlog_bytes,
            snapshot.flow_backlog_cycles,
        )


def own_parts(system: System, present: Present, decision: Decision) -> Floats:
    """Return the vehicles' parts [N] of the objective that the closed form predicts.

    Of P2: a vehicle's own QoS, misses and local energy, and what its offloading brings into and its allocations take
    out of the queues; the servers' energy is shared in proportion to the allocations. Of the weighted cost: that of a
    vehicle's own tasks.

    This is the objective as policies see it: its QoS has no floor, and its drift is that of what the servers offer.
    What a run realises has the floor, and the drift that has happened (see `sim.record.slots`).
    """
    if system.spectrum is None:
        return _parts_of_p2(system, present, decision)
    rate_bps = system.spectrum.rate_bps(decision.bandwidth_hz, decision.transmit_power_w, present.channel_gain)
    known = Known(present.size_bytes, rate_bps, present.serving_node, present.backlog_bytes, present.estimation_bias_hz)
    parts: Floats = TimeAndEnergy.outcome(system, known, decision).cost.sum(axis=-1)
    return parts


def _parts_of_p2(system: System, present: Present, decision: Decision) -> Floats:
    count = system.num_vehicle
    everybody = _outcome(system, present, decision, np.ones((count, 1)))
    # What is a sum over vehicles is what each would bring alone: N outcomes, [N, ...].
    alone = _outcome(system, present, decision, np.eye(count)[..., np.newaxis])
    own_qos = _own_part_of_mean(qos.qos(everybody.delay_s, system.deadline_s), present.size_bytes > 0)
    own_energy_j = alone.energy_local_j + _edge_shares(everybody.energy_edge_j, decision.compute_allocation_hz)
    own_misses = _own_part_of_mean(everybody.missed, present.size_bytes > 0)
    parts: Floats = objective.p2(alone.drift, own_qos, own_energy_j, own_misses, system.objective)
    return parts


def _own_part_of_mean(values: Floats, is_task: Mask) -> Floats:
    """Return what the tasks of each vehicle, [N, K], bring into the mean over all tasks that there are, [N]."""
    parts: Floats = np.where(is_task, values, 0.0).sum(axis=-1) / max(np.count_nonzero(is_task), 1)
    return parts


def _outcome(system: System, present: Present, decision: Decision, counts: Floats) -> slot.SlotOutcome:
    """Return the outcome with the tasks and allocations of those vehicles that `counts` [..., N, 1] selects."""
    return slot.slot_step(
        system,
        present.size_bytes * counts,
        np.where(present.rate_bps > 0, present.rate_bps, 1.0),  # who is out of range sends nothing
        decision.offloading_ratio * np.ones_like(counts),
        decision.compute_allocation_hz * counts,
        present.backlog_bytes,
        present.estimation_bias_hz,
        present.serving_node * np.ones(counts.shape[:-1], dtype=np.int64) if system.num_node > 1 else None,
    )


def _edge_shares(energy_edge_j: float, allocation_hz: Floats) -> Floats:
    """Return the vehicles' parts [N] of the servers' energy, in proportion to what is allocated to them."""
    own_hz: Floats = allocation_hz.sum(axis=-1)
    total_hz = own_hz.sum()
    return energy_edge_j * own_hz / total_hz if total_hz > 0 else np.zeros_like(own_hz)
