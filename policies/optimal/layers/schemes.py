"""`rlor` and `rrlo`: the two schemes that the llm6g paper compares itself with (section IV-B)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats
from physical.system import System
from policies.optimal.layers.problem import (
    LayersProblem,
    LayersSolution,
    check_system,
    cost_of,
    decision_of,
    read_problem,
)
from policies.optimal.layers.search import allocate_layers
from policies.scoring import split_outcome
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot


@dataclass
class Rlor:
    """Random LLM offloading, optimised resources: layers uniform in 1 to Upsilon, the rest optimal for them.

    Layers are drawn for every vehicle and slot. A vehicle that is out of range keeps all layers.
    """

    def reset(self, system: System, seed: int) -> None:
        """Refuse systems without layers, and start the random stream."""
        check_system(system, "rlor")
        self._generator = np.random.default_rng(seed)
        self._diagnostics = Diagnostics()

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Draw layers and allocate resources for them."""
        begin_s = time.perf_counter()
        problem = read_problem(snapshot)
        decision = decision_of(problem, random_layers(problem, self._generator))
        self._diagnostics = _told(snapshot, decision, begin_s)
        return decision

    def diagnostics(self) -> Diagnostics:
        """Return objective and time of the last decision; nothing is known about the gap."""
        return self._diagnostics


@dataclass
class Rrlo:
    """Random resources, optimised LLM offloading: the layers are the best for resources drawn in every slot.

    f_n is uniform in (0, f_max], and p_n in [p_min, p_max]. The frequency and the bandwidth of each node are divided at
    random, independently, among the vehicles in its range. In mode "corrected", the share of a vehicle that stays local
    is left unused.
    """

    def reset(self, system: System, seed: int) -> None:
        """Refuse systems without layers, and start the random stream."""
        check_system(system, "rrlo")
        self._generator = np.random.default_rng(seed)
        self._diagnostics = Diagnostics()

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Draw resources and choose the layers for them."""
        begin_s = time.perf_counter()
        problem = read_problem(snapshot)
        decision = decision_of(problem, random_resources(problem, self._generator))
        self._diagnostics = _told(snapshot, decision, begin_s)
        return decision

    def diagnostics(self) -> Diagnostics:
        """Return objective and time of the last decision; nothing is known about the gap."""
        return self._diagnostics


def random_layers(problem: LayersProblem, generator: np.random.Generator) -> LayersSolution:
    """Return random layers with the best resources for them."""
    drawn = generator.integers(1, problem.num_layer, size=problem.num_vehicle, endpoint=True)
    return allocate_layers(problem, np.where(problem.in_range, drawn, problem.num_layer))


def random_resources(problem: LayersProblem, generator: np.random.Generator) -> LayersSolution:
    """Return random resources with the best layers for them.

    The cost of a vehicle is linear in alpha, plus a fixed charge below Upsilon: the best is 1 or Upsilon.
    """
    count = problem.num_vehicle
    local_hz = problem.local_hz_max * (1.0 - generator.random(count))
    power_w = problem.power_min_w + (problem.power_max_w - problem.power_min_w) * generator.random(count)
    edge_hz = _random_parts(problem, generator) * problem.node_hz[problem.node]
    bandwidth_hz = _random_parts(problem, generator) * problem.node_bandwidth_hz[problem.node]
    all_local = np.full(count, problem.num_layer)
    split, kept = (
        cost_of(problem, layers, local_hz, edge_hz, power_w, bandwidth_hz)
        for layers in (np.where(problem.in_range, 1, all_local), all_local)
    )
    offloads = split < kept
    if not problem.literal:
        edge_hz, bandwidth_hz = np.where(offloads, edge_hz, 0.0), np.where(offloads, bandwidth_hz, 0.0)
    return LayersSolution(
        num_local=np.where(offloads, 1, all_local),
        local_hz=local_hz,
        edge_hz=edge_hz,
        power_w=power_w,
        bandwidth_hz=bandwidth_hz,
        objective=float(np.where(offloads, split, kept).sum()),
    )


def _random_parts(problem: LayersProblem, generator: np.random.Generator) -> Floats:
    """Return random parts of a node that sum to 1 over the vehicles in its range, [N]; 0 out of range."""
    in_range = problem.in_range
    weight = np.where(in_range, generator.exponential(size=problem.num_vehicle), 0.0)
    total = np.bincount(problem.node[in_range], weights=weight[in_range], minlength=problem.num_node)
    part: Floats = weight / np.where(in_range, total[problem.node], 1.0)
    return part


def _told(snapshot: TwinSnapshot, decision: Decision, begin_s: float) -> Diagnostics:
    solve_s = time.perf_counter() - begin_s
    return Diagnostics(objective=float(split_outcome(snapshot, decision).objective), solve_s=solve_s)
