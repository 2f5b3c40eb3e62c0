"""The vehicles of P1 that may offload, cell by cell, and sets of them that are worked on at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.model import computing, energy
from physical.model.objective import weighted_cost
from policies.optimal.layers.bandwidth import Links
from policies.optimal.layers.frequency import free_hz
from policies.optimal.layers.problem import LayersProblem


@dataclass(frozen=True)
class Cells:
    """The L vehicles in range, sorted by node, and the C nodes that have any.

    P1 is concave in alpha_n for fixed resources (a fixed charge for the upload, then a straight line), so an optimum
    has alpha_n = Upsilon or, for the vehicles that offload, alpha_n = 1: they send K = Upsilon - 1 layers.

    Parameters
    ----------
    vehicle : [L], index in the problem
    cell : [L], index of the cell, ascending
    gain : [L], cost of the layers that would be offloaded, run locally
    cycles : [L], cycles on the server if offloaded, W_n
    links : [L], uplinks; without any bits where the upload does not depend on who offloads (mode "paper")
    node : [C], index in the problem
    free_hz : [C], Hz, f0, the share that a vehicle takes if frequency costs nothing but energy
    node_hz, bandwidth_hz : [C], Hz, capacities
    time_weight, energy_weight : w, per s, and v, per J
    kappa : [C], W/Hz^3
    """

    vehicle: Ints
    cell: Ints
    gain: Floats
    cycles: Floats
    links: Links
    node: Ints
    free_hz: Floats
    node_hz: Floats
    bandwidth_hz: Floats
    kappa: Floats
    time_weight: float
    energy_weight: float

    @property
    def num_cell(self) -> int:
        """C."""
        return len(self.node)

    def compute_cost(self, member: Ints, edge_hz: Floats) -> Floats:
        """Return eq. 9 of some vehicles that offload, [J], for shares of the server, [J], Hz."""
        cycles = self.cycles[member]
        edge_s = computing.execution_delay_s(cycles, edge_hz)
        edge_j = energy.edge_job_energy_j(cycles, edge_hz, 1, self.kappa[self.cell[member]])
        cost: Floats = weighted_cost(edge_s, edge_j, self.time_weight, self.energy_weight)
        return cost


@dataclass(frozen=True)
class Sets:
    """G sets of vehicles, each of one cell.

    Parameters
    ----------
    member : [J], index of a vehicle in its `Cells`
    owner : [J], the set it is in, ascending
    cell : [G], the cell of each set
    """

    member: Ints
    owner: Ints
    cell: Ints

    @property
    def num_set(self) -> int:
        """G."""
        return len(self.cell)

    def total(self, values: Floats) -> Floats:
        """Return the sums of [J] values over each set, [G]."""
        total: Floats = np.bincount(self.owner, weights=values, minlength=self.num_set).astype(np.float64)
        return total

    def where(self, mask: Mask) -> Sets:
        """Keep only the members in a [J] mask."""
        return Sets(self.member[mask], self.owner[mask], self.cell)

    def pick(self, mask: Mask) -> Sets:
        """Keep only the sets in a [G] mask."""
        number = np.cumsum(mask) - 1
        inside = mask[self.owner]
        return Sets(self.member[inside], number[self.owner[inside]], self.cell[mask])


def local_frequency_hz(problem: LayersProblem) -> Floats:
    """Return f_n, [N], Hz: the minimiser ``(w / (2 v kappa_1))^(1/3)`` of eqs. 1 and 2, at most f_n^max."""
    return free_hz(problem.time_weight, problem.energy_weight * problem.kappa_vehicle, problem.local_hz_max)


def read_cells(problem: LayersProblem) -> Cells:
    """Return the vehicles of a problem that may offload, sorted by node."""
    vehicle = np.flatnonzero(problem.in_range)
    vehicle = vehicle[np.argsort(problem.node[vehicle], kind="stable")]
    node, cell = np.unique(problem.node[vehicle], return_inverse=True)
    num_edge = problem.num_layer - 1
    local_hz = local_frequency_hz(problem)
    local_s = computing.execution_delay_s(num_edge * problem.local_cycles, local_hz)
    local_j = energy.local_energy_j(num_edge * problem.local_cycles, local_hz, problem.kappa_vehicle)
    gain: Floats = weighted_cost(local_s, local_j, problem.time_weight, problem.energy_weight)
    links = upload_links(problem, vehicle)
    return Cells(
        vehicle=vehicle,
        cell=cell.astype(np.int64),
        gain=gain[vehicle],
        cycles=num_edge * problem.edge_cycles[vehicle],
        links=links.silent() if problem.literal else links,
        node=node,
        free_hz=free_hz(
            problem.time_weight, problem.energy_weight * problem.node_kappa[node], 1e6 * problem.node_hz[node]
        ),
        node_hz=problem.node_hz[node],
        bandwidth_hz=problem.node_bandwidth_hz[node],
        kappa=problem.node_kappa[node],
        time_weight=problem.time_weight,
        energy_weight=problem.energy_weight,
    )


def upload_links(problem: LayersProblem, vehicle: Ints) -> Links:
    """Return the uplinks of some vehicles as eq. 4 charges them: in mode "paper" energy only, so the least power."""
    least_w = problem.power_min_w[vehicle]
    return Links(
        bits=problem.charged_bits[vehicle] if problem.literal else problem.payload_bits[vehicle],
        gamma=problem.gamma[vehicle],
        power_min_w=least_w,
        power_max_w=least_w if problem.literal else problem.power_max_w[vehicle],
        time_weight=0.0 if problem.literal else problem.time_weight,
        energy_weight=problem.energy_weight,
    )
