"""Simple policies that need no solver: what any better one has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physical.model import computing, energy, qos, rate
from physical.system import System
from policies.feasible import capacity_hz, least_allocation_hz
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

Floats = NDArray[np.float64]


def share_equally(snapshot: TwinSnapshot, offloaded: NDArray[np.bool_]) -> Floats:
    """Give all offloaded tasks the same part of the capacity, as the capacity rule counts it; [N, K], Hz."""
    system, bias_hz = snapshot.system, snapshot.estimation_bias_hz
    num_offloaded = int(np.count_nonzero(offloaded))
    if not num_offloaded:
        return np.zeros(offloaded.shape)
    share_hz = capacity_hz(system, bias_hz) / num_offloaded
    if system.model.capacity_rule == "alloc":
        return np.where(offloaded, share_hz, 0.0)
    return np.where(offloaded, np.maximum(share_hz - bias_hz, least_allocation_hz(system, bias_hz)), 0.0)


@dataclass
class LocalOnly:
    """Every vehicle runs all its tasks itself."""

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature
        """Nothing to prepare."""
        shape = (system.num_vehicle, system.num_class)
        self._decision = Decision(np.zeros(shape), np.zeros(shape))

    def decide(self, snapshot: TwinSnapshot) -> Decision:  # noqa: ARG002 - the contract's signature
        """Offload nothing."""
        return self._decision


@dataclass
class EdgeEqual:
    """Everything is offloaded, and all tasks get the same share of the server."""

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature
        """Nothing random here."""
        self._all = np.ones((system.num_vehicle, system.num_class), dtype=np.bool_)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Offload everything."""
        return Decision(self._all.astype(np.float64), share_equally(snapshot, self._all))


@dataclass
class Random:
    """Ratios uniform in [0, 1]; the capacity is cut at random between the tasks."""

    def reset(self, system: System, seed: int) -> None:
        """Start the random stream."""
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Draw a decision."""
        ratio = self._generator.random(self._shape)
        part = self._generator.exponential(size=self._shape)
        equal_hz = share_equally(snapshot, np.ones(self._shape, dtype=np.bool_))
        least_hz = least_allocation_hz(snapshot.system, snapshot.estimation_bias_hz)
        spare_hz = float((equal_hz - least_hz).sum())
        return Decision(ratio, least_hz + spare_hz * part / part.sum())


@dataclass
class GreedyLatency:
    """A task is offloaded if, with an equal share of the server for all tasks, that ends sooner than local work.

    The offloaded tasks then share the whole server equally.
    """

    def reset(self, system: System, seed: int) -> None:
        """Nothing to prepare."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Compare both delays task by task."""
        local_s, edge_s = whole_task_delays_s(snapshot)
        offloaded = edge_s < local_s
        return Decision(offloaded.astype(np.float64), share_equally(snapshot, offloaded))


@dataclass
class GreedyCost:
    """As `greedy-latency`, but comparing each task's part of the penalty: QoS, energy and deadline misses.

    Blind to the queues, and to what its choices do to the shares of others.
    """

    def reset(self, system: System, seed: int) -> None:
        """Nothing to prepare."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Compare both costs task by task."""
        system = snapshot.system
        weights, server = system.objective, system.server
        local_s, edge_s = whole_task_delays_s(snapshot)
        num_task = local_s.size
        cycles = computing.local_cycles(snapshot.size_bytes, system.cycles_per_byte, 0.0)
        local_j = energy.local_energy_j(cycles, system.cpu_hz[:, np.newaxis], system.kappa_vehicle[:, np.newaxis])
        power_w = energy.edge_power_w(server.frequency_hz, server.num_core, server.kappa)
        edge_j = energy.edge_energy(power_w, system.slot_duration_s, system.model.edge_energy_rule) / num_task

        def cost(delay_s: Floats, energy_j: Floats | float) -> Floats:
            missed = weights.deadline_price * qos.deadline_missed(delay_s, system.deadline_s)
            penalty: Floats = (missed - weights.qos_weight * qos.qos(delay_s, system.deadline_s)) / num_task
            return penalty + weights.energy_weight * energy_j

        offloaded = cost(edge_s, edge_j) < cost(local_s, local_j)
        return Decision(offloaded.astype(np.float64), share_equally(snapshot, offloaded))


def whole_task_delays_s(snapshot: TwinSnapshot) -> tuple[Floats, Floats]:
    """Return the delays of each task if it is run locally, and if it is offloaded at an equal share; [N, K], s."""
    system = snapshot.system
    size_bytes, cycles_per_byte = snapshot.size_bytes, system.cycles_per_byte
    everything = np.ones(size_bytes.shape)
    rule = system.model.upload_rule
    rate_bps = snapshot.uplink_rate_bps[:, np.newaxis]
    cycles = computing.local_cycles(size_bytes, cycles_per_byte, 0.0)
    local_s = computing.execution_delay_s(cycles, system.cpu_hz[:, np.newaxis])
    local_upload_s = rate.upload_delay_s(rate.upload_bytes(size_bytes, 0.0 * everything, rule), rate_bps)
    local_s = computing.task_delay_s(local_s, local_upload_s, 0.0, system.model.order)
    share_hz = share_equally(snapshot, everything > 0)
    speed_hz = computing.edge_frequency_hz(share_hz, snapshot.estimation_bias_hz)
    upload_s = rate.upload_delay_s(rate.upload_bytes(size_bytes, everything, rule), rate_bps)
    return local_s, upload_s + computing.execution_delay_s(cycles, speed_hz)
