"""The exact solver of P1 of the llm6g paper, against brute force, general solvers, and its own certificate."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from physical.arrays import Floats
from policies.optimal.layers.bound import Pricing
from policies.optimal.layers.cells import Sets, local_frequency_hz, read_cells
from policies.optimal.layers.exact import LayersExact, certificate
from policies.optimal.layers.problem import LayersProblem, cost_of, read_problem
from policies.optimal.layers.search import allocate, allocate_layers, solve
from policies.scoring import split_outcome
from sim.scenario.scenario import Scenario
from tests.policy.drops import check_point, gap, make_drop, make_problem
from twin.snapshot import TwinSnapshot

MODES = pytest.mark.parametrize("literal", [False, True], ids=["corrected", "paper"])


class Reference:
    """P1 by bisection and golden section, written from the equations alone; one cell, slow."""

    def __init__(self, problem: LayersProblem) -> None:
        self.problem = problem
        self.time_weight, self.energy_weight = problem.time_weight, problem.energy_weight
        speed = np.cbrt(self.time_weight / (2 * self.energy_weight * problem.kappa_vehicle))
        local_hz = np.minimum(problem.local_hz_max, speed)
        price = self.time_weight / local_hz + self.energy_weight * problem.kappa_vehicle * local_hz**2
        self.layer_cost = problem.local_cycles * price

    def edge_cost(self, cycles: Floats, exactly: bool) -> float:
        """Return V_f: the price at which the shares, each found by bisection, fit."""
        kappa = self.energy_weight * self.problem.node_kappa[0]
        capacity_hz = self.problem.node_hz[0]

        def slope(hz: float, price: float, work: float) -> float:
            return float(work * (2 * kappa * hz - self.time_weight / hz**2) + price)

        def shares(price: float) -> Floats:
            return np.array([brentq(slope, 1e-3, 1e12, args=(price, work), xtol=1e-6, rtol=1e-15) for work in cycles])

        if not cycles.size:
            return 0.0
        hz = shares(0.0)
        if hz.sum() > capacity_hz or exactly:
            steepest = float(self.time_weight * cycles.max() / (capacity_hz / len(cycles) / 1e3) ** 2)
            least = -2 * kappa * cycles.min() * capacity_hz * 2
            price = brentq(lambda p: shares(p).sum() - capacity_hz, least, steepest, xtol=1e-40, rtol=1e-15)
            hz = shares(float(price))
        return float((cycles * (self.time_weight / hz + kappa * hz**2)).sum())

    def upload_cost(self, members: list[int]) -> float:
        """Return V_b: a bisection on the price, and for each a search over the share and over the power."""
        if not members:
            return 0.0
        problem, capacity_hz = self.problem, float(self.problem.node_bandwidth_hz[0])
        literal = problem.literal
        bits = problem.charged_bits if literal else problem.payload_bits
        time_weight = 0.0 if literal else self.time_weight

        def cost(n: int, share_hz: float) -> float:
            def at(log_power: float) -> float:
                power_w = np.exp(log_power)
                rate_bps = share_hz * np.log1p(problem.gamma[n] * power_w / share_hz) / np.log(2)
                return float(bits[n] / rate_bps * (time_weight + self.energy_weight * power_w))

            low, high = np.log(problem.power_min_w[n]), np.log(problem.power_max_w[n])
            if literal or low == high:
                return at(low)
            inner = minimize_scalar(at, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
            return min(float(inner.fun), at(low), at(high))

        def share(n: int, price: float) -> float:
            def at(log_share: float) -> float:
                return cost(n, float(np.exp(log_share))) + price * float(np.exp(log_share))

            limits = (np.log(capacity_hz) - 25, np.log(capacity_hz))
            return float(np.exp(minimize_scalar(at, bounds=limits, method="bounded", options={"xatol": 1e-10}).x))

        if len(members) == 1:
            return cost(members[0], capacity_hz)

        def excess(log_price: float) -> float:
            return sum(share(n, float(np.exp(log_price))) for n in members) / capacity_hz - 1

        price = float(np.exp(brentq(excess, -60, 40, xtol=1e-9)))
        share_hz = np.array([share(n, price) for n in members])
        share_hz *= capacity_hz / share_hz.sum()
        return sum(cost(n, hz) for n, hz in zip(members, share_hz.tolist(), strict=True))

    def best(self) -> float:
        """Return the least cost over all sets of vehicles that offload all but one layer."""
        problem, num_vehicle = self.problem, self.problem.num_vehicle
        everyone = list(range(num_vehicle))
        num_edge = problem.num_layer - 1
        fixed = self.upload_cost(everyone) if problem.literal else 0.0
        least = np.inf
        for size in range(num_vehicle + 1):
            for members in map(list, itertools.combinations(everyone, size)):
                num_local = np.full(num_vehicle, problem.num_layer)
                num_local[members] = 1
                cost = float((num_local * self.layer_cost).sum()) + fixed
                if not problem.literal:
                    cost += self.upload_cost(members)
                if cost < least:
                    exactly = problem.literal and size == num_vehicle
                    cost += self.edge_cost(num_edge * problem.edge_cycles[members], exactly)
                least = min(least, cost)
        return least


@MODES
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=pytest.mark.full)])
def test_solve_equals_brute_force(literal: bool, seed: int) -> None:
    num_vehicle = (2, 4, 6)[seed]
    for time_weight in ((0.1, 0.5, 0.9), (0.1, 0.9), (0.5,))[seed]:
        problem = make_drop(seed, num_vehicle, 1, time_weight, normalise=seed != 1, literal=literal)
        best = Reference(problem).best()
        solution = solve(problem)
        check_point(problem, solution)
        assert solution.objective == pytest.approx(best, rel=1e-7)
        assert solution.objective <= best * (1 + 1e-9)
        assert solution.lower_bound <= best * (1 + 1e-12)


@MODES
@pytest.mark.full
def test_no_subset_is_better(literal: bool) -> None:
    """Every subset of up to 8 vehicles, with the solver's own resources."""
    for seed in range(6):
        problem = make_drop(seed, 4 + seed % 5, 1, (0.1, 0.5, 0.9)[seed % 3], literal=literal)
        subsets = itertools.product([False, True], repeat=problem.num_vehicle)
        best = min(allocate(problem, np.array(subset)).objective for subset in subsets)
        assert solve(problem).objective == pytest.approx(best, rel=1e-9)


@MODES
@pytest.mark.full
def test_no_subset_of_unequal_vehicles_is_better(literal: bool) -> None:
    """Dominance must look at everything in which vehicles differ."""
    rng = np.random.default_rng(13)
    for seed in range(12):
        problem = make_drop(seed, 7, 1, (0.1, 0.5, 0.9)[seed % 3], literal=literal)
        power_min_w = rng.choice([0.01, 1.0], 7)
        problem = replace(
            problem,
            local_cycles=problem.local_cycles * rng.choice([0.5, 1.0, 4.0], 7),
            payload_bits=problem.payload_bits * rng.choice([0.1, 1.0], 7),
            local_hz_max=problem.local_hz_max * rng.choice([0.3, 1.0], 7),
            kappa_vehicle=problem.kappa_vehicle * rng.choice([1.0, 3.0], 7),
            power_min_w=power_min_w,
            power_max_w=power_min_w * rng.choice([1.0, 20.0], 7),
            gamma=problem.gamma * rng.choice([1.0, 1e4], 7),
        )
        subsets = itertools.product([False, True], repeat=7)
        best = min(allocate(problem, np.array(subset)).objective for subset in subsets)
        solution = solve(problem)
        check_point(problem, solution)
        assert solution.objective == pytest.approx(best, rel=1e-9)


@MODES
@pytest.mark.full
def test_no_layers_between_are_better(literal: bool) -> None:
    for seed, layers in ((0, range(1, 33)), (1, range(1, 33)), (2, (1, 2, 8, 16, 31, 32))):
        problem = make_drop(seed, 3 if seed == 2 else 2, 1, (0.1, 0.5, 0.9)[seed], literal=literal)
        solution = solve(problem)
        for num_local in itertools.product(layers, repeat=problem.num_vehicle):
            other = allocate_layers(problem, np.array(num_local))
            check_point(problem, other)
            assert other.objective >= solution.lower_bound * (1 - 1e-12)


@MODES
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("first", [0, pytest.param(5, marks=pytest.mark.full)])
def test_the_gap_is_certified(literal: bool, normalise: bool, first: int) -> None:
    rng = np.random.default_rng(first)
    for seed in range(first, first + (5 if first == 0 else 95)):
        num_vehicle, num_node = int(rng.integers(1, 40)), int(rng.integers(1, 6))
        time_weight = float(rng.choice([0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999]))
        problem = make_drop(seed, num_vehicle, num_node, time_weight, normalise, literal)
        solution = solve(problem)
        check_point(problem, solution)
        assert 0 <= gap(solution) <= 1e-9


@MODES
def test_the_bound_is_below_random_points(literal: bool) -> None:
    rng = np.random.default_rng(4)
    problem = make_drop(4, 12, 2, literal=literal)
    bound = solve(problem).lower_bound
    for _ in range(200):
        num_local = rng.integers(1, 33, 12)
        part = rng.exponential(size=(2, 12))
        total = np.stack([np.bincount(problem.node, weights=row, minlength=2) for row in part])
        share = part / total[:, problem.node]
        power_w = rng.uniform(problem.power_min_w, problem.power_max_w)
        edge_hz, bandwidth_hz = share[0] * 1.41e9, share[1] * 20e6
        cost = cost_of(problem, num_local, local_frequency_hz(problem), edge_hz, power_w, bandwidth_hz)
        assert cost.sum() >= bound


def test_every_price_gives_a_bound() -> None:
    """Also of sets that differ from what the prices say: by their penalties more."""
    rng = np.random.default_rng(5)
    problem = make_drop(5, 10, 1)
    pricing = Pricing(read_cells(problem))
    everyone = Sets(np.arange(10), np.zeros(10, dtype=np.int64), np.zeros(1, dtype=np.int64))
    scale = pricing.allocate(everyone)
    for _ in range(50):
        sigma, eta = scale.sigma * rng.uniform(0, 2), scale.eta * rng.uniform(0, 2)
        response = pricing.respond(everyone, sigma, eta)
        bound = pricing.bound(everyone, response, sigma, eta, np.zeros(10, dtype=np.bool_))
        mask = rng.random(10) < 0.5
        penalty = np.abs(response.saving[mask != (response.saving > 0)]).sum()
        assert pricing.allocate(everyone.where(mask)).value >= (bound + penalty) * (1 - 1e-12)


@MODES
def test_an_empty_node_and_vehicles_out_of_range(literal: bool) -> None:
    problem = make_drop(8, 10, 2, literal=literal)
    node, gamma = problem.node.copy(), problem.gamma.copy()
    node[0], gamma[1] = -1, 0.0
    problem = replace(
        problem,
        node=node,
        gamma=gamma,
        node_hz=np.full(4, 1.41e9),
        node_kappa=np.full(4, problem.node_kappa[0]),
        node_bandwidth_hz=np.full(4, 20e6),
    )
    solution = solve(problem)
    check_point(problem, solution)
    assert gap(solution) <= 1e-9
    nobody = replace(problem, node=np.full(10, -1))
    assert solve(nobody).objective == pytest.approx(allocate(nobody, np.ones(10, dtype=np.bool_)).objective)


@MODES
def test_identical_vehicles(literal: bool) -> None:
    """Prices cannot tell them apart; counting can."""
    for num_vehicle in (1, 2, 30):
        same = (np.full(num_vehicle, 500.0), np.full(num_vehicle, 1e-9), np.zeros(num_vehicle, dtype=np.int64))
        problem = make_problem(*same, num_node=1, literal=literal)
        solution = solve(problem)
        check_point(problem, solution)
        assert gap(solution) <= 1e-9
        counts = [allocate(problem, np.arange(num_vehicle) < count).objective for count in range(num_vehicle + 1)]
        assert solution.objective == pytest.approx(min(counts), rel=1e-9)


@MODES
def test_jobs_of_no_length(literal: bool) -> None:
    problem = make_drop(9, 9, 2, literal=literal)
    some = np.arange(9) % 3 > 0
    for kept in (some, np.zeros(9, dtype=np.bool_)):
        part = replace(
            problem,
            local_cycles=problem.local_cycles * kept,
            edge_cycles=problem.edge_cycles * kept,
            payload_bits=problem.payload_bits * kept,
            charged_bits=problem.charged_bits * kept,
        )
        solution = solve(part)
        check_point(part, solution)
        assert gap(solution) <= 1e-9
        check_point(part, allocate(part, np.ones(9, dtype=np.bool_)))


@MODES
@pytest.mark.parametrize("factor", [1e-200, 1e-20, 1e-6, 1e6, 1e30, 1e200])
def test_extreme_channels(literal: bool, factor: float) -> None:
    problem = make_drop(10, 12, 2, literal=literal)
    mixed = np.where(np.arange(12) % 2, problem.gamma * factor, problem.gamma)
    for gamma in (problem.gamma * factor, mixed):
        extreme = replace(problem, gamma=gamma)
        solution = solve(extreme)
        check_point(extreme, solution)
        assert gap(solution) <= 1e-9


@MODES
def test_extreme_weights_and_one_power(literal: bool) -> None:
    for time_weight in (1e-12, 1e-4, 1 - 1e-4, 1 - 1e-12):
        for normalise in (True, False):
            problem = make_drop(11, 12, 2, time_weight, normalise, literal)
            one_power = replace(problem, power_min_w=problem.power_max_w)
            for case in (problem, one_power):
                solution = solve(case)
                check_point(case, solution)
                assert gap(solution) <= 1e-9


def test_with_few_nodes_the_gap_is_reported() -> None:
    problem = make_drop(1, 200, 20)
    rough = solve(problem, max_node=0)
    check_point(problem, rough)
    best = solve(problem)
    assert rough.lower_bound <= best.objective * (1 + 1e-12)
    assert best.lower_bound <= rough.objective * (1 + 1e-12)


@MODES
@pytest.mark.full
def test_thousands_of_vehicles(literal: bool) -> None:
    for num_vehicle, num_node in ((2000, 500), (2000, 20), (2000, 1), (20000, 5)):
        solution = solve(make_drop(12, num_vehicle, num_node, literal=literal))
        assert gap(solution) <= 1e-9


def test_certificate_is_never_negative() -> None:
    assert certificate(2.0, 1.0, 0.1).gap == pytest.approx(0.5)
    assert certificate(1.0, 1.0 + 1e-12, 0.1).gap == 0.0
    assert certificate(0.0, 0.0, 0.1).gap == 0.0


@pytest.mark.parametrize("mode", ["corrected", "paper"])
def test_policy_decides_and_certifies(mode: str) -> None:
    system = Scenario.load("llm6g", [f'model.mode="{mode}"', "vehicles.num_vehicle=8"]).system()
    policy, rng, zero = LayersExact(), np.random.default_rng(14), np.zeros(8)
    policy.reset(system, 0)
    for slot in range(5):
        snapshot = TwinSnapshot(
            slot=slot,
            time_ns=0,
            system=system,
            size_bytes=rng.integers(64, 1025, (8, 1)) * system.bytes_per_token,
            x_m=zero,
            y_m=zero,
            speed_mps=zero,
            heading_rad=zero,
            serving_node=np.append(rng.integers(0, system.num_node, 7), -1),
            channel_gain=np.append(10.0 ** rng.uniform(-11.0, -9.0, 7), 0.0),
            age_of_information_s=zero,
            backlog_bytes=np.zeros(1),
            estimation_bias_hz=np.zeros((8, 1)),
        )
        decision = policy.decide(snapshot)
        told = policy.diagnostics()
        assert told.objective == float(split_outcome(snapshot, decision).objective)
        assert 0 <= told.gap < 1e-7, "numbers rounded down to the grid of `decision_of` cost a little"
        assert told.lower_bound <= solve(read_problem(snapshot)).objective


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match=r"tolerance 0\.0"):
        LayersExact(tolerance=0.0)
    with pytest.raises(ValueError, match="max_node -1"):
        LayersExact(max_node=-1)
