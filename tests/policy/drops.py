"""Random instances of P1 of the llm6g paper, vehicles and roadside units dropped in a square; checks of a point."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.model import transformer
from physical.model.units import dbm_to_w
from policies.optimal.layers.problem import LayersProblem, LayersSolution, cost_of

NUM_LAYER, HIDDEN_SIZE, BATCH_SIZE, BITS_PER_VALUE = 32, 4096.0, 1.0, 16.0
VEHICLE_FLOP_PER_CYCLE, NODE_FLOP_PER_CYCLE = 2048 * 16 * 0.45, 6912 * 32 * 0.45
LOCAL_HZ_MAX, NODE_HZ, BANDWIDTH_HZ = 1.3e9, 1.41e9, 20e6
KAPPA_VEHICLE, KAPPA_NODE = 40.0 / LOCAL_HZ_MAX**3, 400.0 / NODE_HZ**3


def make_drop(
    seed: int,
    num_vehicle: int,
    num_node: int,
    time_weight: float = 0.5,
    normalise: bool = True,
    literal: bool = False,
) -> LayersProblem:
    """Return a random instance.

    Parameters
    ----------
    seed : of positions, shadowing and prompts
    num_vehicle, num_node : N and M, uniform in a square of 1 km; every vehicle belongs to the nearest node
    time_weight : omega_t
    normalise : count time and energy in units of the mean task that runs locally at full speed
    literal : mode "paper"
    """
    rng = np.random.default_rng(seed)
    vehicle_m, node_m = rng.uniform(0.0, 1e3, (num_vehicle, 2)), rng.uniform(0.0, 1e3, (num_node, 2))
    node = np.zeros(num_vehicle, dtype=np.int64)
    distance_m = np.full(num_vehicle, np.inf)
    for index in range(num_node):
        other_m = np.hypot(*(vehicle_m - node_m[index]).T)
        node[other_m < distance_m] = index
        distance_m = np.minimum(distance_m, other_m)
    path_loss_db = 128.1 + 37.6 * np.log10(np.maximum(distance_m, 10.0) / 1e3) + rng.normal(0.0, 8.0, num_vehicle)
    num_token = rng.integers(64, 1025, num_vehicle).astype(np.float64)
    return make_problem(num_token, 10.0 ** (-path_loss_db / 10.0), node, num_node, time_weight, normalise, literal)


def make_problem(
    num_token: Floats,
    channel_gain: Floats,
    node: NDArray[np.int64],
    num_node: int,
    time_weight: float = 0.5,
    normalise: bool = True,
    literal: bool = False,
) -> LayersProblem:
    """Return P1 for given prompts, channels, linear, and serving nodes, [N]."""
    local_cycles = transformer.layer_cycles(num_token, HIDDEN_SIZE, BATCH_SIZE, VEHICLE_FLOP_PER_CYCLE)
    time_s = NUM_LAYER * float(local_cycles.mean()) / LOCAL_HZ_MAX if normalise else 1.0
    energy_j = NUM_LAYER * float(local_cycles.mean()) * KAPPA_VEHICLE * LOCAL_HZ_MAX**2 if normalise else 1.0
    payload_bits = BITS_PER_VALUE * BATCH_SIZE * HIDDEN_SIZE * num_token
    num_vehicle = len(num_token)
    return LayersProblem(
        time_weight=time_weight / time_s,
        energy_weight=(1.0 - time_weight) / energy_j,
        num_layer=NUM_LAYER,
        local_cycles=local_cycles,
        edge_cycles=transformer.layer_cycles(num_token, HIDDEN_SIZE, BATCH_SIZE, NODE_FLOP_PER_CYCLE),
        payload_bits=payload_bits,
        charged_bits=num_token if literal else payload_bits,
        local_hz_max=np.full(num_vehicle, LOCAL_HZ_MAX),
        kappa_vehicle=np.full(num_vehicle, KAPPA_VEHICLE),
        gamma=channel_gain / dbm_to_w(-134.0 if literal else -165.0),
        power_min_w=np.full(num_vehicle, 0.01),
        power_max_w=np.full(num_vehicle, 20.0),
        node=node,
        node_hz=np.full(num_node, NODE_HZ),
        node_kappa=np.full(num_node, KAPPA_NODE),
        node_bandwidth_hz=np.full(num_node, BANDWIDTH_HZ),
        literal=literal,
    )


def gap(solution: LayersSolution) -> float:
    """Return the certified gap, relative."""
    return (solution.objective - solution.lower_bound) / max(solution.objective, 1e-300)


def check_point(problem: LayersProblem, solution: LayersSolution) -> None:
    """Demand that a point satisfies 10a to 10e, and has the cost and the bound it claims."""
    for share_hz, capacity_hz in (
        (solution.edge_hz, problem.node_hz),
        (solution.bandwidth_hz, problem.node_bandwidth_hz),
    ):
        reached = problem.in_range
        used_hz = np.bincount(problem.node[reached], weights=share_hz[reached], minlength=problem.num_node)
        count = np.bincount(problem.node[reached], minlength=problem.num_node)
        assert np.all(used_hz <= capacity_hz * (1 + 1e-12))
        assert np.all(share_hz >= 0)
        assert not share_hz[~reached].any()
        if problem.literal:
            np.testing.assert_allclose(used_hz[count > 0], capacity_hz[count > 0], rtol=1e-12)
    assert np.all((solution.num_local >= 1) & (solution.num_local <= problem.num_layer))
    assert np.all(solution.num_local[~problem.in_range] == problem.num_layer)
    assert np.all((solution.power_w >= problem.power_min_w) & (solution.power_w <= problem.power_max_w))
    assert np.all((solution.local_hz > 0) & (solution.local_hz <= problem.local_hz_max))
    cost = cost_of(
        problem,
        solution.num_local,
        solution.local_hz,
        solution.edge_hz,
        solution.power_w,
        solution.bandwidth_hz,
    )
    assert solution.objective == pytest.approx(float(cost.sum()), rel=1e-13)
    assert solution.lower_bound <= solution.objective
