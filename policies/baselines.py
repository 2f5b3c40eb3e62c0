"""Simple policies that need no solver: what any better one has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.errors import InputError
from physical.model import computing, energy, qos, rate
from physical.model.arrays import every
from physical.nodes import at_node
from physical.system import System
from policies.feasible import least_allocation_hz, rest_hz
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


def share_equally(snapshot: TwinSnapshot, offloaded: Mask) -> Floats:
    """Give all offloaded tasks of a node the same part of its capacity, as the capacity rule counts it; [N, K], Hz.

    What leftovers need is not shared.
    """
    bias_hz, capacity_hz = snapshot.estimation_bias_hz, rest_hz(snapshot)
    if len(capacity_hz) == 1:  # twice as fast, which every slot of such a run gains
        return _share_of_node(snapshot.system, offloaded, bias_hz, None, float(capacity_hz[0]))
    share_hz = np.zeros(offloaded.shape)
    for node, here in enumerate(_at_nodes(snapshot)):
        serving, capacity = snapshot.serving_node[here], float(capacity_hz[node])
        share_hz[here] = _share_of_node(snapshot.system, offloaded[here], bias_hz[here], serving, capacity)
    return share_hz


def _at_nodes(snapshot: TwinSnapshot) -> list[slice | Mask]:
    """Return who shares each node's server, [M]: whom it serves, or everybody if there is one node."""
    num_node = snapshot.system.num_node
    return [slice(None)] if num_node == 1 else [snapshot.serving_node == node for node in range(num_node)]


def _share_of_node(system: System, offloaded: Mask, bias_hz: Floats, node: Ints | None, capacity_hz: float) -> Floats:
    num_offloaded = int(np.count_nonzero(offloaded))
    if not num_offloaded:
        return np.zeros(offloaded.shape)
    share_hz = capacity_hz / num_offloaded
    if system.model.capacity_rule == "alloc":
        return np.where(offloaded, share_hz, 0.0)
    least_hz = least_allocation_hz(system, bias_hz, node)
    return np.where(offloaded, np.maximum(share_hz - bias_hz, least_hz), 0.0)


def simple_radio(snapshot: TwinSnapshot, sends: Mask) -> dict[str, Floats]:
    """Return the rest of a decision with joint allocation: full speed, full power, equal shares of the bandwidth.

    sends : [N], who uploads; in mode "paper" all attached vehicles get a share, as eq. 10c has it
    """
    system, node, spectrum = snapshot.system, snapshot.serving_node, snapshot.system.spectrum
    if spectrum is None:
        return {}
    holds = spectrum.holders(node, sends)
    num_share = np.bincount(node[holds], minlength=system.num_node)
    share_hz = spectrum.pool_hz / np.maximum(num_share, 1)
    return {
        "local_frequency_hz": system.cpu_hz,
        "transmit_power_w": spectrum.power_w_max,
        "bandwidth_hz": np.where(holds, share_hz[np.maximum(node, 0)], 0.0),
    }


def most_offloaded(system: System) -> Floats:
    """Return the greatest ratios, [K]: 1, but a transformer keeps its first layer."""
    whole = np.maximum(system.num_layer, 1.0)
    return np.where(system.num_layer > 0, (whole - 1.0) / whole, 1.0)


def refuse_joint(system: System, policy: str) -> None:
    """Refuse a system where policies decide power and bandwidth.

    Raises
    ------
    InputError : names the policy
    """
    if system.spectrum is not None:
        accepted = "a scenario without [cost], such as dtecn"
        raise InputError("does not decide power and bandwidth", where="--policy", key=policy, accepted=accepted)


@dataclass
class LocalOnly:
    """Every vehicle runs all its tasks itself."""

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature
        """Nothing to prepare."""
        shape = (system.num_vehicle, system.num_class)
        self._zeros = np.zeros(shape)
        self._nobody = np.zeros(system.num_vehicle, dtype=np.bool_)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Offload nothing."""
        return Decision(self._zeros, self._zeros, **simple_radio(snapshot, self._nobody))


@dataclass
class EdgeEqual:
    """Everything is offloaded (of a transformer all but the first layer), and all tasks of a node get equal shares."""

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature
        """Nothing random here."""
        self._ratio = np.tile(most_offloaded(system), (system.num_vehicle, 1))
        self._all = self._ratio > 0

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Offload everything that there is."""
        if snapshot.system.spectrum is None and snapshot.all_attached and every(snapshot.size_bytes > 0):
            return Decision(self._ratio, share_equally(snapshot, self._all))
        tasks: Mask = (snapshot.size_bytes > 0) & (snapshot.serving_node >= 0)[:, np.newaxis]
        radio = simple_radio(snapshot, np.any(tasks, axis=1))
        return Decision(tasks * self._ratio, share_equally(snapshot, tasks), **radio)


@dataclass
class Random:
    """Ratios uniform in [0, 1]; the capacity of each node is cut at random between its tasks."""

    def reset(self, system: System, seed: int) -> None:
        """Start the random stream."""
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)
        self._layers = np.maximum(system.num_layer, 1.0)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Draw a decision."""
        system = snapshot.system
        ratio = self._generator.random(self._shape)
        whole = np.minimum(np.floor(ratio * self._layers), self._layers - 1.0) / self._layers
        ratio = np.where(system.num_layer > 0, whole, ratio)
        part = self._generator.exponential(size=self._shape)
        equal_hz = share_equally(snapshot, np.ones(self._shape, dtype=np.bool_))
        least_hz = least_allocation_hz(system, snapshot.estimation_bias_hz, snapshot.serving_node)
        cut_hz = np.zeros(self._shape)
        for here in _at_nodes(snapshot):
            spare_hz = float((equal_hz[here] - least_hz[here]).sum())
            if part[here].size:
                cut_hz[here] = least_hz[here] + spare_hz * part[here] / part[here].sum()
        return Decision(ratio, cut_hz, **self._radio(snapshot))

    def _radio(self, snapshot: TwinSnapshot) -> dict[str, Floats]:
        """Draw frequencies and powers in their ranges, and random parts of each node's bandwidth."""
        system, node, spectrum = snapshot.system, snapshot.serving_node, snapshot.system.spectrum
        if spectrum is None:
            return {}
        uniform = 1.0 - self._generator.random((2, system.num_vehicle))
        span_w = spectrum.power_w_max - spectrum.power_w_min
        part = self._generator.exponential(size=system.num_vehicle)
        total = np.bincount(node[node >= 0], weights=part[node >= 0], minlength=system.num_node)
        here = np.maximum(node, 0)
        return {
            "local_frequency_hz": uniform[0] * system.cpu_hz,
            "transmit_power_w": spectrum.power_w_min + uniform[1] * span_w,
            "bandwidth_hz": np.where(
                node < 0,
                0.0,
                0.999 * spectrum.pool_hz[here] * part / np.where(total > 0, total, 1.0)[here],
            ),
        }


@dataclass
class GreedyLatency:
    """A task is offloaded if, with an equal share of the server for all tasks, that ends sooner than local work.

    The offloaded tasks then share the whole server equally.
    """

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature
        """Nothing to prepare."""
        refuse_joint(system, "greedy-latency")

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Compare both delays task by task."""
        local_s, edge_s = whole_task_delays_s(snapshot)
        return _offload(snapshot, edge_s < local_s)


@dataclass
class GreedyCost:
    """As `greedy-latency`, but comparing each task's part of the penalty: QoS, energy and deadline misses.

    Blind to the queues, and to what its choices do to the shares of others.
    """

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature
        """Nothing to prepare."""
        refuse_joint(system, "greedy-cost")

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Compare both costs task by task."""
        system = snapshot.system
        weights = system.objective
        local_s, edge_s = whole_task_delays_s(snapshot)
        num_task = max(int(np.count_nonzero(snapshot.size_bytes)), 1)
        cycles = system.work_cycles(snapshot.size_bytes, snapshot.serving_node)[0]
        local_j = energy.local_energy_j(cycles, system.cpu_hz[:, np.newaxis], system.kappa_vehicle[:, np.newaxis])
        if system.model.edge_energy_rule == "job":
            edge_j = _whole_job_energy_j(snapshot)
        else:
            power_w = energy.edge_power_w(system.node_hz, system.node_num_core, system.node_kappa)
            node_j = energy.edge_energy(power_w, system.slot_duration_s, system.model.edge_energy_rule)
            edge_j = at_node(node_j, snapshot.serving_node) / num_task

        def cost(delay_s: Floats, energy_j: Floats) -> Floats:
            penalty: Floats = weights.deadline_price * qos.deadline_missed(delay_s, system.deadline_s)
            if weights.qos_weight > 0.0:  # delays may be infinite, and nothing of that is nothing
                penalty = penalty - weights.qos_weight * qos.qos(delay_s, system.deadline_s)
            return penalty / num_task + weights.energy_weight * energy_j

        return _offload(snapshot, cost(edge_s, edge_j) < cost(local_s, local_j))


def _whole_job_energy_j(snapshot: TwinSnapshot) -> Floats:
    """Return what each task takes at its server if it is offloaded at an equal share, [N, K], J."""
    system, node = snapshot.system, snapshot.serving_node
    cycles = computing.edge_part(system.work_cycles(snapshot.size_bytes, node)[1], most_offloaded(system))
    share_hz = share_equally(snapshot, snapshot.size_bytes > 0)
    speed_hz = computing.edge_frequency_hz(share_hz, snapshot.estimation_bias_hz)
    energy_j: Floats = system.edge_job_energy_j(cycles, speed_hz, node)
    return energy_j


def _offload(snapshot: TwinSnapshot, offloaded: Mask) -> Decision:
    """Offload some tasks as far as they can be, to vehicles' nodes at equal shares."""
    reachable = offloaded & (snapshot.size_bytes > 0) & (snapshot.serving_node >= 0)[:, np.newaxis]
    return Decision(reachable * most_offloaded(snapshot.system), share_equally(snapshot, reachable))


def whole_task_delays_s(snapshot: TwinSnapshot) -> tuple[Floats, Floats]:
    """Return the delays of each task if it is run locally, and if it is offloaded at an equal share; [N, K], s."""
    system = snapshot.system
    size_bytes = snapshot.size_bytes
    ratio = np.broadcast_to(most_offloaded(system), size_bytes.shape)
    rate_bps = snapshot.uplink_rate_bps[:, np.newaxis]
    local_work, edge_work = system.work_cycles(size_bytes, snapshot.serving_node)
    cpu_hz = system.cpu_hz[:, np.newaxis]
    local_s = computing.execution_delay_s(local_work, cpu_hz)
    local_upload_s = rate.upload_delay_s(system.upload_bytes(size_bytes, 0.0 * ratio), rate_bps)
    local_s = computing.task_delay_s(local_s, local_upload_s, 0.0, system.model.order)
    share_hz = share_equally(snapshot, size_bytes > 0)
    speed_hz = computing.edge_frequency_hz(share_hz, snapshot.estimation_bias_hz)
    upload_s = rate.upload_delay_s(system.upload_bytes(size_bytes, ratio), rate_bps)
    first_s = computing.execution_delay_s(computing.local_part(local_work, ratio), cpu_hz)
    return local_s, first_s + upload_s + computing.execution_delay_s(computing.edge_part(edge_work, ratio), speed_hz)
