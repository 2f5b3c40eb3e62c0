"""Problem P1 of the llm6g paper for one slot, as arrays, and the decision that belongs to a solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.closed_form.split import literal_upload_s
from physical.errors import InputError
from physical.model import computing, energy, rate, transformer
from physical.model.objective import weighted_cost
from physical.model.units import BITS_PER_BYTE
from physical.system import System
from policies.feasible import FLOOR, rest_hz
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_GRID, _GRID_HZ = 2.0**20, 2.0**5
"""Steps per W and Hz (squared for bandwidths) of rounded decisions, because logarithms differ between processors."""


@dataclass(frozen=True)
class LayersProblem:
    """P1 (eq. 10) for N vehicles with one prompt each, at M nodes.

    Parameters
    ----------
    time_weight : w, per s: omega_t / T0
    energy_weight : v, per J: omega_e / E0
    num_layer : Upsilon; at least one layer is local, so at most K = Upsilon - 1 are offloaded
    local_cycles : [N], cycles of one layer on the vehicle, psi / (C_V D_V)
    edge_cycles : [N], cycles of one layer on the server of its node, psi / (C_R D_R)
    payload_bits : [N], s, activations that are sent if anything is offloaded
    charged_bits : [N], what eq. 4 charges: the payload, or (literal) the number of tokens
    local_hz_max : [N], Hz
    kappa_vehicle : [N], W/Hz^3, kappa_1
    gamma : [N], Hz/W, channel gain over noise density; 0 for a vehicle that cannot offload
    power_min_w, power_max_w : [N], W
    node : [N], index of the node; -1 for a vehicle without one
    node_hz : [M], Hz, F, less what leftovers need
    node_kappa : [M], W/Hz^3, kappa_2 of a server as a whole: kappa / N_E^2
    node_bandwidth_hz : [M], Hz, Bw
    literal : mode "paper": no communication time, eq. 4 is charged to every vehicle, capacities are used up exactly
    """

    time_weight: float
    energy_weight: float
    num_layer: int
    local_cycles: Floats
    edge_cycles: Floats
    payload_bits: Floats
    charged_bits: Floats
    local_hz_max: Floats
    kappa_vehicle: Floats
    gamma: Floats
    power_min_w: Floats
    power_max_w: Floats
    node: Ints
    node_hz: Floats
    node_kappa: Floats
    node_bandwidth_hz: Floats
    literal: bool

    @property
    def num_vehicle(self) -> int:
        """N."""
        return len(self.local_cycles)

    @property
    def num_node(self) -> int:
        """M."""
        return len(self.node_hz)

    @property
    def in_range(self) -> Mask:
        """Vehicles that can offload at all, [N]."""
        reachable: Mask = (self.node >= 0) & (self.gamma > 0.0)
        return reachable


@dataclass(frozen=True)
class LayersSolution:
    """A point of P1, all [N]: layers alpha that stay local, frequencies f_n and f_nm, powers and bandwidths.

    objective, lower_bound : of eq. 10; the bound holds for every feasible point
    """

    num_local: Ints
    local_hz: Floats
    edge_hz: Floats
    power_w: Floats
    bandwidth_hz: Floats
    objective: float
    lower_bound: float = -np.inf


def check_system(system: System, policy: str) -> None:
    """Refuse a system that has no problem P1.

    Raises
    ------
    InputError : no weighted cost, no joint allocation, or not exactly one task class, a transformer
    """
    if system.cost is None or not system.joint:
        problem = "decides layers, power and bandwidth"
        accepted = 'a scenario with [cost] and model.allocation = "joint", such as llm6g'
    elif system.num_class != 1 or not system.has_transformer:
        problem, accepted = "solves one transformer task per vehicle and slot", "a scenario with one transformer task"
    else:
        return
    raise InputError(problem, where="--policy", key=policy, accepted=accepted)


def read_problem(snapshot: TwinSnapshot) -> LayersProblem:
    """Write the slot of a snapshot as P1."""
    system = snapshot.system
    size_bytes, node = snapshot.size_bytes[:, 0], snapshot.serving_node
    num_token = size_bytes / system.bytes_per_token[0]
    shape = (float(system.hidden_size[0]), float(system.batch_size[0]))
    flop_per_cycle = system.node_flop_per_cycle[np.maximum(node, 0)]
    time_weight, energy_weight = system.cost_weights
    payload_bits = BITS_PER_BYTE * size_bytes
    literal = system.model.mode == "paper"
    return LayersProblem(
        time_weight=time_weight,
        energy_weight=energy_weight,
        num_layer=int(system.num_layer[0]),
        local_cycles=transformer.layer_cycles(num_token, *shape, system.vehicle_flop_per_cycle),
        edge_cycles=transformer.layer_cycles(num_token, *shape, flop_per_cycle),
        payload_bits=payload_bits,
        charged_bits=num_token if literal else payload_bits,
        local_hz_max=system.cpu_hz,
        kappa_vehicle=system.kappa_vehicle,
        gamma=np.where(node >= 0, snapshot.channel_gain, 0.0) / system.noise_density_w_hz,
        power_min_w=np.full(system.num_vehicle, system.transmit_power_w_min),
        power_max_w=system.transmit_power_w,
        node=node,
        node_hz=np.maximum(
            rest_hz(snapshot), FLOOR * system.node_hz
        ),  # the biases alone could exceed a server's capacity
        node_kappa=energy.edge_job_energy_j(1.0, 1.0, system.node_num_core, system.node_kappa),  # per cycle at 1 Hz
        node_bandwidth_hz=system.node_bandwidth_hz,
        literal=literal,
    )


def decision_of(problem: LayersProblem, solution: LayersSolution) -> Decision:
    """Return the decision of a solution, with its numbers rounded down to a fine grid."""
    ratio = (problem.num_layer - solution.num_local) / problem.num_layer
    return Decision(
        offloading_ratio=ratio[:, np.newaxis],
        compute_allocation_hz=(np.floor(solution.edge_hz * _GRID_HZ) / _GRID_HZ)[:, np.newaxis],
        local_frequency_hz=np.floor(solution.local_hz * _GRID_HZ) / _GRID_HZ,
        transmit_power_w=np.maximum(np.floor(solution.power_w * _GRID) / _GRID, problem.power_min_w),
        bandwidth_hz=np.floor(solution.bandwidth_hz * _GRID_HZ**2) / _GRID_HZ**2,
    )


def cost_of(
    problem: LayersProblem, num_local: Ints, local_hz: Floats, edge_hz: Floats, power_w: Floats, bandwidth_hz: Floats
) -> Floats:
    """Return eq. 10 for each vehicle, [N]; it is infinite if offloaded layers lack a share of a resource."""
    num_edge = problem.num_layer - num_local
    local_cycles, edge_cycles = num_local * problem.local_cycles, num_edge * problem.edge_cycles
    kappa_edge = problem.node_kappa[np.maximum(problem.node, 0)]
    computing_s = computing.execution_delay_s(local_cycles, local_hz) + computing.execution_delay_s(
        edge_cycles, edge_hz
    )
    energy_j = energy.local_energy_j(local_cycles, local_hz, problem.kappa_vehicle)
    energy_j = energy_j + energy.edge_job_energy_j(edge_cycles, edge_hz, 1, kappa_edge)
    rate_bps = rate.fdma_rate_bps(bandwidth_hz, power_w, problem.gamma, 1.0)
    if problem.literal:
        upload_s, charged_s = 0.0, literal_upload_s(problem.charged_bits, rate_bps)
    else:
        upload_s = charged_s = computing.execution_delay_s((num_edge > 0) * problem.payload_bits, rate_bps)
    energy_j = energy_j + energy.transmit_energy_j(power_w, charged_s)
    cost: Floats = weighted_cost(computing_s + upload_s, energy_j, problem.time_weight, problem.energy_weight)
    return cost
