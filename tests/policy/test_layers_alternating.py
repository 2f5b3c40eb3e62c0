"""`ao-sqp-fp`, `rlor` and `rrlo`: sound sub-problems, feasible points, and never better than the optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from physical.arrays import Floats
from physical.errors import InputError
from physical.model.rate import fdma_rate_bps
from physical.system import System
from policies.api import Policy
from policies.optimal.layers.alternating import (
    AoSqpFp,
    alternate,
    equal_share,
    layers_cell,
    minimise_ratios,
    start_point,
)
from policies.optimal.layers.problem import LayersProblem, LayersSolution, cost_of, read_problem
from policies.optimal.layers.schemes import Rlor, Rrlo, random_layers, random_resources
from policies.optimal.layers.search import allocate_layers, solve
from policies.scoring import split_outcome
from sim.scenario.scenario import Scenario
from tests.policy.drops import BANDWIDTH_HZ, NODE_HZ, NUM_LAYER, make_drop, make_problem
from tests.support.p2 import make_system
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full


MODES = pytest.mark.parametrize("literal", [False, True], ids=["corrected", "paper"])


def make_llm6g(mode: str, *settings: str) -> System:
    return Scenario.load("llm6g", [f'model.mode="{mode}"', "vehicles.num_vehicle=6", *settings]).system()


def make_snapshot(system: System, seed: int, slot: int = 0) -> TwinSnapshot:
    """Draw a slot; the last vehicle is out of range."""
    rng = np.random.default_rng(seed)
    count = system.num_vehicle
    zero = np.zeros(count)
    return TwinSnapshot(
        slot=slot,
        time_ns=0,
        system=system,
        size_bytes=rng.integers(64, 1025, (count, 1)) * system.bytes_per_token,
        x_m=zero,
        y_m=zero,
        speed_mps=zero,
        heading_rad=zero,
        serving_node=np.append(rng.integers(0, system.num_node, count - 1), -1),
        channel_gain=np.append(10.0 ** rng.uniform(-11.0, -9.0, count - 1), 0.0),
        age_of_information_s=zero,
        backlog_bytes=np.zeros(1),
        estimation_bias_hz=np.zeros((count, 1)),
    )


def check_feasible(problem: LayersProblem, point: LayersSolution) -> None:
    """Check eqs. 10a to 10e, and that the objective is that of the point."""
    alpha, in_range = point.num_local, problem.in_range
    assert alpha.dtype.kind == "i"
    assert np.all((alpha >= 1) & (alpha <= problem.num_layer))
    assert np.all(alpha[~in_range] == problem.num_layer)
    assert np.all((point.power_w >= problem.power_min_w) & (point.power_w <= problem.power_max_w))
    assert np.all((point.local_hz > 0.0) & (point.local_hz <= problem.local_hz_max))
    offloads = alpha < problem.num_layer
    for share, capacity in ((point.edge_hz, problem.node_hz), (point.bandwidth_hz, problem.node_bandwidth_hz)):
        assert np.all(share >= 0.0)
        assert not share[~in_range].any()
        used = np.bincount(problem.node[in_range], weights=share[in_range], minlength=problem.num_node)
        assert np.all(used <= capacity * (1.0 + 1e-9))
        if problem.literal:
            busy = np.bincount(problem.node[in_range], minlength=problem.num_node) > 0
            assert used[busy] == pytest.approx(capacity[busy], rel=1e-9)
    assert np.all(point.edge_hz[offloads & (problem.edge_cycles > 0.0)] > 0.0)
    assert np.all(point.bandwidth_hz[offloads & (problem.payload_bits > 0.0)] > 0.0)
    cost = cost_of(problem, alpha, point.local_hz, point.edge_hz, point.power_w, point.bandwidth_hz)
    assert np.isfinite(point.objective)
    assert point.objective == pytest.approx(float(cost.sum()), rel=1e-12)


@MODES
def test_gradient_of_subproblem_i(literal: bool) -> None:
    rng = np.random.default_rng(1)
    problem = make_drop(1, 5, 1, literal=literal)
    cell = layers_cell(problem, 0, np.arange(5))
    z = np.concatenate([rng.uniform(0.1, 0.9, 5), rng.uniform(0.3, 0.9, 5), rng.uniform(0.5, 1.5, 5)])
    value, slope = cell.value(z)
    for index in range(15):
        step = np.zeros(15)
        step[index] = 1e-6
        difference = (cell.value(z + step)[0] - cell.value(z - step)[0]) / 2e-6
        assert slope[index] == pytest.approx(difference, rel=1e-6, abs=1e-8 * value)


@MODES
def test_subproblem_i_is_the_cost_less_communication(literal: bool) -> None:
    problem = make_drop(2, 5, 1, literal=literal)
    free = replace(problem, payload_bits=np.zeros(5), charged_bits=np.zeros(5))
    rng = np.random.default_rng(2)
    alpha = rng.integers(1, NUM_LAYER + 1, 5)
    z = np.concatenate([alpha / NUM_LAYER, rng.uniform(0.3, 0.9, 5), rng.uniform(0.5, 1.5, 5)])
    cell = layers_cell(problem, 0, np.arange(5))
    _, local_hz, edge_hz = cell.unscaled(z)
    cost = cost_of(free, alpha, local_hz, edge_hz, problem.power_min_w, np.full(5, BANDWIDTH_HZ / 5))
    assert cell.value(z)[0] == pytest.approx(float(cost.sum()), rel=1e-12)


@MODES
@pytest.mark.parametrize("normalise", [False, True], ids=["plain", "normalised"])
def test_alternation_is_feasible_and_between_optimum_and_start(literal: bool, normalise: bool) -> None:
    ratios = []
    for seed in range(20):
        problem = make_drop(seed, 8, 2, (0.1, 0.5, 0.9)[seed % 3], normalise, literal)
        start = start_point(problem)
        check_feasible(problem, start)
        found = alternate(problem, start)
        check_feasible(problem, found)
        bound = solve(problem).lower_bound
        assert bound * (1.0 - 1e-9) <= found.objective <= start.objective
        ratios.append(found.objective / bound)
    assert np.mean(ratios) < 1.2


@MODES
def test_alternation_from_its_end_does_not_go_up(literal: bool) -> None:
    problem = make_drop(4, 8, 2, literal=literal)
    end = alternate(problem, start_point(problem))
    assert alternate(problem, end).objective <= end.objective
    optimum = solve(problem)
    assert alternate(problem, optimum).objective == pytest.approx(optimum.objective, rel=1e-9)


@pytest.mark.parametrize("gain_factor", [1e-6, 1.0, 1e3], ids=["noisy", "as-is", "clear"])
def test_fractional_programming_reaches_the_optimum_of_subproblem_ii(gain_factor: float) -> None:
    """Also where SNRs are so high that full steps of the loop alone would swing."""
    for seed in range(20):
        drop = make_drop(seed, 12, 3, literal=True)
        problem = replace(drop, gamma=gain_factor * drop.gamma)
        best = allocate_layers(problem, np.full(12, NUM_LAYER))
        power_w, bandwidth_hz = minimise_ratios(problem, start_point(problem).bandwidth_hz)
        found, expected = (
            problem.energy_weight * p * problem.charged_bits / fdma_rate_bps(b, p, problem.gamma, 1.0)
            for p, b in ((power_w, bandwidth_hz), (best.power_w, best.bandwidth_hz))
        )
        assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=1e-9)
        assert np.array_equal(power_w, problem.power_min_w)


def test_fractional_programming_ends_where_theorem_1_says() -> None:
    """No p and b of their neighbourhood has a smaller value of problem 46: checked at random, p free again."""
    problem = make_drop(3, 6, 1, literal=True)
    power_w, bandwidth_hz = minimise_ratios(problem, np.full(6, BANDWIDTH_HZ / 6))
    rate_bps = fdma_rate_bps(bandwidth_hz, power_w, problem.gamma, 1.0)
    nu, beta = 1.0 / rate_bps, power_w * problem.charged_bits / rate_bps
    rng = np.random.default_rng(0)
    for _ in range(200):
        other_w = power_w * (1.0 + 0.1 * rng.random(6) * rng.integers(0, 2, 6))
        other_hz = bandwidth_hz * np.exp(0.1 * rng.normal(size=6))
        other_hz *= BANDWIDTH_HZ / other_hz.sum()
        subtracted = other_w * problem.charged_bits - beta * fdma_rate_bps(other_hz, other_w, problem.gamma, 1.0)
        assert float((nu * subtracted).sum()) >= -1e-12


def test_inner_minimum_is_not_unique_with_communication_time() -> None:
    """Why mode "corrected" has no such loop: at the optimum, problem 46 is flat along p and b scaled together."""
    problem = make_drop(5, 8, 1)
    best = allocate_layers(problem, np.full(8, 1))
    power_w, bandwidth_hz = best.power_w, best.bandwidth_hz
    inner = (power_w > 1.01 * problem.power_min_w) & (power_w < 0.99 * problem.power_max_w)
    assert inner.sum() >= 2
    rate_bps = fdma_rate_bps(bandwidth_hz, power_w, problem.gamma, 1.0)
    beta = problem.payload_bits * (problem.time_weight + problem.energy_weight * power_w) / rate_bps

    def subtracted(scale: Floats) -> Floats:
        rate_of = fdma_rate_bps(scale * bandwidth_hz, scale * power_w, problem.gamma, 1.0)
        cost = problem.payload_bits * (problem.time_weight + problem.energy_weight * scale * power_w)
        value: Floats = (cost - beta * rate_of) / rate_bps
        return value

    first, second = np.flatnonzero(inner)[:2]
    scale = np.ones(8)
    scale[first] = 0.9  # its bandwidth goes to the second one
    scale[second] = 1.0 + 0.1 * bandwidth_hz[first] / bandwidth_hz[second]
    assert float(subtracted(np.ones(8)).sum()) == pytest.approx(0.0, abs=1e-12)
    assert float(subtracted(scale).sum()) == pytest.approx(0.0, abs=1e-9)


@MODES
def test_random_layers_get_the_best_resources(literal: bool) -> None:
    problem = make_drop(6, 10, 3, literal=literal)
    point = random_layers(problem, np.random.default_rng(0))
    check_feasible(problem, point)
    best = allocate_layers(problem, point.num_local)
    assert point.objective == best.objective
    assert np.array_equal(point.edge_hz, best.edge_hz)
    assert np.array_equal(point.bandwidth_hz, best.bandwidth_hz)


def test_random_layers_are_uniform() -> None:
    problem, generator = make_drop(7, 100, 2), np.random.default_rng(0)
    drawn = np.concatenate([random_layers(problem, generator).num_local for _ in range(100)])
    assert chisquare(np.bincount(drawn, minlength=NUM_LAYER + 1)[1:]).pvalue > 0.01


@MODES
def test_layers_are_the_best_for_random_resources(literal: bool) -> None:
    for seed in range(10):
        problem = make_drop(seed, 10, 3, (0.1, 0.5, 0.9)[seed % 3], literal=literal)
        point = random_resources(problem, np.random.default_rng(seed))
        check_feasible(problem, point)
        given = random_resources(replace(problem, literal=True), np.random.default_rng(seed))
        every = np.array(
            [
                cost_of(problem, np.full(10, alpha), point.local_hz, given.edge_hz, point.power_w, given.bandwidth_hz)
                for alpha in range(1, NUM_LAYER + 1)
            ]
        )
        assert point.objective == pytest.approx(float(every.min(axis=0).sum()), rel=1e-12)


def test_random_shares_use_up_nodes() -> None:
    """Their mean is the equal share; in mode "corrected" those that stay local leave theirs unused."""
    problem = make_drop(8, 12, 2, literal=True)
    generator = np.random.default_rng(0)
    points = [random_resources(problem, generator) for _ in range(400)]
    mean_hz = np.mean([point.edge_hz for point in points], axis=0)
    assert mean_hz == pytest.approx(equal_share(problem) * NODE_HZ, rel=0.2)
    kept = random_resources(replace(problem, literal=False), np.random.default_rng(0))
    offloads = kept.num_local < NUM_LAYER
    assert np.array_equal(offloads, kept.edge_hz > 0.0)
    assert np.array_equal(offloads, kept.bandwidth_hz > 0.0)


def make_odd_problems(literal: bool) -> dict[str, LayersProblem]:
    """Return problems at the edge of what there is."""
    gain, node = np.full(4, 1e-11), np.zeros(4, dtype=np.int64)
    token = np.array([100.0, 500.0, 500.0, 900.0])
    same = make_problem(np.full(4, 300.0), gain, node, 1, literal=literal)
    return {
        "one vehicle": make_problem(token[:1], gain[:1], node[:1], 1, literal=literal),
        "empty node": make_problem(token, gain, 2 * node + 2, 4, literal=literal),
        "identical": same,
        "out of range": make_problem(token, gain, np.array([0, 0, -1, 0]), 1, literal=literal),
        "nobody in range": make_problem(token, np.zeros(4), node - 1, 1, literal=literal),
        "no prompt": make_problem(np.array([0.0, 500.0, 0.0, 900.0]), gain, node, 1, literal=literal),
        "one layer": replace(same, num_layer=1),
    }


@MODES
@pytest.mark.parametrize("name", list(make_odd_problems(True)))
def test_odd_problems(name: str, literal: bool) -> None:
    problem = make_odd_problems(literal)[name]
    generator = np.random.default_rng(0)
    found = alternate(problem, start_point(problem))
    optimum = solve(problem).objective
    for point in (found, random_layers(problem, generator), random_resources(problem, generator)):
        check_feasible(problem, point)
        assert point.objective >= optimum * (1.0 - 1e-9)


@MODES
def test_nobody_has_a_prompt(literal: bool) -> None:
    problem = make_drop(0, 3, 1, normalise=False, literal=literal)
    nothing = replace(problem, local_cycles=np.zeros(3), edge_cycles=np.zeros(3))
    empty = replace(nothing, payload_bits=np.zeros(3), charged_bits=np.zeros(3))
    found = alternate(empty, start_point(empty))
    check_feasible(empty, found)
    assert found.objective == 0.0


@pytest.mark.parametrize("mode", ["corrected", "paper"])
@pytest.mark.parametrize("policy", [AoSqpFp(), Rlor(), Rrlo()], ids=lambda policy: type(policy).__name__)
def test_policies_decide(policy: AoSqpFp | Rlor | Rrlo, mode: str) -> None:
    system = make_llm6g(mode)
    contract: Policy = policy
    contract.reset(system, 3)
    decisions = []
    for slot in range(2):
        snapshot = make_snapshot(system, slot, slot)
        decision = policy.decide(snapshot)
        decisions.append(decision)
        told = policy.diagnostics()
        assert told.objective == float(split_outcome(snapshot, decision).objective)
        # The slot counts whole bit/s, of which the least power in mode "paper" may reach only thousands.
        assert told.objective >= solve(read_problem(snapshot)).lower_bound * (1.0 - 1e-4)
        assert np.isnan(told.gap)
        assert told.solve_s > 0.0
        assert decision.offloading_ratio[-1, 0] == 0.0
    policy.reset(system, 3)
    again = policy.decide(make_snapshot(system, 0))
    assert np.array_equal(again.offloading_ratio, decisions[0].offloading_ratio)
    assert np.array_equal(again.compute_allocation_hz, decisions[0].compute_allocation_hz)


@pytest.mark.parametrize("policy", [AoSqpFp(), Rlor(), Rrlo()], ids=lambda policy: type(policy).__name__)
def test_systems_without_layers_are_refused(policy: AoSqpFp | Rlor | Rrlo) -> None:
    with pytest.raises(InputError, match="decides layers"):
        policy.reset(make_system(2), 0)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="max_iteration 0 is not positive"):
        AoSqpFp(max_iteration=0)
    with pytest.raises(ValueError, match="max_sqp_iteration -1 is not positive"):
        AoSqpFp(max_sqp_iteration=-1)
