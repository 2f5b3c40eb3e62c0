"""`ao-sqp-fp`: P1 as the llm6g paper solves it, by alternating SQP and fractional programming (section III)."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, minimize

from physical.arrays import Floats, Ints
from physical.model.rate import fdma_rate_bps
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

_IMPROVEMENT = 1e-6
_LEAST = 1e-3
"""SQP keeps frequencies above this part of their unit; later the exact allocation for its layers replaces them."""
_MAX_RATIO_ITERATION = 100
_RATIO_TOLERANCE = 1e-13
_ARMIJO = 0.2
_MAX_HALVING = 30
_MAX_BISECTION = 80
_FIT = 1e-13
_MAX_STEP = 50.0
_NUM_NEWTON = 8
_MAX_MARGINAL = 100.0
_SMALL_SNR = 1e-3


@dataclass
class AoSqpFp:
    """Alternates between layers and frequencies (Sub-problem I) and transmit powers and bandwidths (Sub-problem II).

    Sub-problem I is solved by SQP (scipy's SLSQP) from the current point, node by node. The number of layers is
    continuous and is rounded afterwards; the frequencies are then those that are optimal for the rounded layers.
    Sub-problem II is solved by the loop of Theorem 1 in mode "paper". In mode "corrected" its cost contains a time too,
    so that the inner minimum is not unique and the loop diverges. There, bandwidth and power are split exactly among
    the vehicles that offload.

    The paper leaves one thing open: with fixed powers and bandwidths, communication is a constant in Sub-problem I as
    printed, so that SQP does not see it. In mode "corrected" it is a fixed charge for a vehicle that offloads. After
    rounding, a vehicle stays local if offloading with its current power and bandwidth costs more, or if it has no
    bandwidth. At the start all vehicles offload, so that all have some bandwidth.

    The policy stops when the objective improves by less than a millionth. It returns the best point seen, without a
    bound.

    Parameters
    ----------
    max_iteration : rounds of the alternation
    max_sqp_iteration : iterations after which SQP is stopped
    """

    max_iteration: int = 20
    max_sqp_iteration: int = 200

    def __post_init__(self) -> None:
        """Check the options."""
        if self.max_iteration < 1:
            raise ValueError(f"max_iteration {self.max_iteration} is not positive")
        if self.max_sqp_iteration < 1:
            raise ValueError(f"max_sqp_iteration {self.max_sqp_iteration} is not positive")

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature; nothing is random
        """Refuse systems without layers, and forget the last run."""
        check_system(system, "ao-sqp-fp")
        self._diagnostics = Diagnostics()

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Return the end point of the alternation for the slot of `snapshot`."""
        begin_s = time.perf_counter()
        problem = read_problem(snapshot)
        solution = alternate(problem, start_point(problem), self.max_iteration, self.max_sqp_iteration)
        decision = decision_of(problem, solution)
        solve_s = time.perf_counter() - begin_s
        self._diagnostics = Diagnostics(objective=float(split_outcome(snapshot, decision).objective), solve_s=solve_s)
        return decision

    def diagnostics(self) -> Diagnostics:
        """Return objective and time of the last decision; nothing is known about the gap."""
        return self._diagnostics


def start_point(problem: LayersProblem) -> LayersSolution:
    """Return half of the layers local, vehicles at full speed, and equal shares of every node.

    Powers are the least in mode "paper"; in mode "corrected" powers and bandwidths are the best for these layers.
    """
    num_local = np.where(problem.in_range, -(-problem.num_layer // 2), problem.num_layer)
    share = equal_share(problem)
    power_w, bandwidth_hz = problem.power_min_w, share * problem.node_bandwidth_hz[problem.node]
    if not problem.literal:
        best = allocate_layers(problem, num_local)
        power_w, bandwidth_hz = best.power_w, best.bandwidth_hz
    edge_hz = share * problem.node_hz[problem.node]
    return scored(problem, LayersSolution(num_local, problem.local_hz_max, edge_hz, power_w, bandwidth_hz, np.inf))


def equal_share(problem: LayersProblem) -> Floats:
    """Return one part of its node for each vehicle in range, 0 for the others, [N]."""
    count = np.bincount(problem.node[problem.in_range], minlength=problem.num_node)
    share: Floats = np.where(problem.in_range, 1.0 / np.maximum(count, 1)[problem.node], 0.0)
    return share


def scored(problem: LayersProblem, point: LayersSolution) -> LayersSolution:
    """Return `point` with its objective."""
    cost = cost_of(problem, point.num_local, point.local_hz, point.edge_hz, point.power_w, point.bandwidth_hz)
    return replace(point, objective=float(cost.sum()))


def alternate(
    problem: LayersProblem, start: LayersSolution, max_iteration: int = 20, max_sqp_iteration: int = 200
) -> LayersSolution:
    """Alternate between the two sub-problems, from `start`, and return the best point seen."""
    best = point = start
    for _ in range(max_iteration):
        num_local = solve_layers(problem, point, max_sqp_iteration)
        if problem.literal:
            power_w, bandwidth_hz = minimise_ratios(problem, point.bandwidth_hz)
            found = replace(allocate_layers(problem, num_local), power_w=power_w, bandwidth_hz=bandwidth_hz)
        else:
            found = allocate_layers(problem, _worth_sending(problem, point, num_local))
        point = scored(problem, found)
        improvement = best.objective - point.objective
        if improvement > 0.0:
            best = point
        if improvement <= _IMPROVEMENT * abs(point.objective):
            break
    return best


def _worth_sending(problem: LayersProblem, point: LayersSolution, num_local: Ints) -> Ints:
    """Return the layers after vehicles whose upload costs more than it saves have gone back to local work."""
    computing = allocate_layers(problem, num_local)
    all_local = np.full_like(num_local, problem.num_layer)
    sent, kept = (
        cost_of(problem, layers, computing.local_hz, computing.edge_hz, point.power_w, point.bandwidth_hz)
        for layers in (num_local, all_local)
    )
    return np.where(sent <= kept, num_local, all_local)


# ------------------------------------------------------------------------------------------------------ Sub-problem I


@dataclass(frozen=True)
class LayersCell:
    """Sub-problem I (eq. 11) of the n vehicles at a node, in ``z = (alpha / Upsilon, f / f_max, f_m / share)``.

    Parameters
    ----------
    time_weight, energy_weight, num_layer : as those of the problem
    local_cycles, edge_cycles, local_hz_max, kappa_vehicle : [n], as those of the problem
    kappa : W/Hz^3, of the node
    share_hz : Hz, an equal share of the node
    exact : eq. 10e as printed, an equality
    """

    time_weight: float
    energy_weight: float
    num_layer: int
    local_cycles: Floats
    edge_cycles: Floats
    local_hz_max: Floats
    kappa_vehicle: Floats
    kappa: float
    share_hz: float
    exact: bool

    def value(self, z: Floats) -> tuple[float, Floats]:
        """Return eq. 11 and its gradient, eqs. 14 to 16 without the multipliers."""
        alpha, local_hz, edge_hz = self.unscaled(z)
        w, v = self.time_weight, self.energy_weight
        local = self.local_cycles * (w / local_hz + v * self.kappa_vehicle * local_hz**2)
        edge = self.edge_cycles * (w / edge_hz + v * self.kappa * edge_hz**2)
        by_local_hz = alpha * self.local_cycles * (2.0 * v * self.kappa_vehicle * local_hz - w / local_hz**2)
        by_edge_hz = (self.num_layer - alpha) * self.edge_cycles * (2.0 * v * self.kappa * edge_hz - w / edge_hz**2)
        slope = np.concatenate(
            [self.num_layer * (local - edge), self.local_hz_max * by_local_hz, self.share_hz * by_edge_hz]
        )
        return float((alpha * local + (self.num_layer - alpha) * edge).sum()), slope

    def unscaled(self, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Return alpha, f and f_m."""
        alpha, local, edge = np.split(z, 3)
        return alpha * self.num_layer, local * self.local_hz_max, edge * self.share_hz

    def solve(self, start: Floats, max_iteration: int) -> Floats:
        """Return the end point of SQP."""
        count = len(self.local_cycles)
        low = np.repeat([1.0 / self.num_layer, _LEAST, _LEAST], count)
        high = np.repeat([1.0, 1.0, float(count)], count)
        row = np.repeat([0.0, 0.0, 1.0], count)[np.newaxis]
        scale = self.value(start)[0] or 1.0

        def scaled_value(z: Floats) -> tuple[float, Floats]:
            value, slope = self.value(z)
            return value / scale, slope / scale

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a step of length 0 is nothing to warn about
            solver: Any = minimize  # its stubs know neither arrays of bounds nor a gradient returned with the value
            found = solver(
                scaled_value,
                start,
                jac=True,
                method="SLSQP",
                bounds=np.column_stack([low, high]),
                constraints=LinearConstraint(row, count if self.exact else -np.inf, count),
                options={"maxiter": max_iteration, "ftol": 1e-10},
            )
        return np.clip(np.where(np.isfinite(found.x), found.x, start), low, high)


def layers_cell(problem: LayersProblem, node: int, members: Ints) -> LayersCell:
    """Return Sub-problem I of the vehicles `members` at `node`."""
    return LayersCell(
        time_weight=problem.time_weight,
        energy_weight=problem.energy_weight,
        num_layer=problem.num_layer,
        local_cycles=problem.local_cycles[members],
        edge_cycles=problem.edge_cycles[members],
        local_hz_max=problem.local_hz_max[members],
        kappa_vehicle=problem.kappa_vehicle[members],
        kappa=float(problem.node_kappa[node]),
        share_hz=float(problem.node_hz[node]) / len(members),
        exact=problem.literal,
    )


def solve_layers(problem: LayersProblem, point: LayersSolution, max_iteration: int) -> Ints:
    """Return the layers of Sub-problem I by SQP from `point`, rounded to the nearest integers, [N].

    Layers, frequencies and multipliers of different nodes do not interact in eq. 11, so each node is solved separately.
    """
    num_local = np.full(problem.num_vehicle, problem.num_layer)
    for node in range(problem.num_node):
        members = np.flatnonzero(problem.in_range & (problem.node == node))
        if not len(members):
            continue
        cell = layers_cell(problem, node, members)
        # A vehicle without a frequency starts from an equal share. Shares are scaled so that all fit.
        edge = np.where(point.edge_hz[members] > 0.0, point.edge_hz[members] / cell.share_hz, 1.0)
        edge = np.maximum(edge * len(members) / max(edge.sum(), len(members)), _LEAST)
        alpha = point.num_local[members] / problem.num_layer
        start = np.concatenate([alpha, point.local_hz[members] / cell.local_hz_max, edge])
        relaxed = cell.unscaled(cell.solve(start, max_iteration))[0]
        num_local[members] = np.floor(relaxed + 0.5).astype(np.int64)
    return num_local


# ----------------------------------------------------------------------------------------------------- Sub-problem II


@dataclass(frozen=True)
class Ratios:
    """Sub-problem II (eq. 40) of S vehicles that have data, at given powers: the sum of ``omega_e p d / R(p, b)``.

    Parameters
    ----------
    energy_weight : omega_e, per J
    bits : [S], what eq. 4 charges, > 0
    gamma : [S], Hz/W
    power_w : [S], W
    node : [S], below M; each has some vehicle
    node_bandwidth_hz : [M], Hz, used up exactly (eq. 10c)
    """

    energy_weight: float
    bits: Floats
    gamma: Floats
    power_w: Floats
    node: Ints
    node_bandwidth_hz: Floats

    def multipliers(self, bandwidth_hz: Floats) -> tuple[Floats, Floats]:
        """Return (nu, beta) of eqs. 45 and 44."""
        rate_bps = fdma_rate_bps(bandwidth_hz, self.power_w, self.gamma, 1.0)
        return self.energy_weight / rate_bps, self.power_w * self.bits / rate_bps

    def cost(self, bandwidth_hz: Floats) -> Floats:
        """Return eq. 40 of each node, [M]."""
        return self._total(self.energy_weight * self.multipliers(bandwidth_hz)[1])

    def minimise(self, bandwidth_hz: Floats) -> Floats:
        """Return the b to which Jong's loop converges from a given one.

        Each round solves problem 46 for the (nu, beta) of b and moves b towards the solution. It moves all the way, as
        in Theorem 1, or half of the way, and so on, until eq. 40 falls enough, node by node. If SNRs are high, full
        steps alone would swing between two points. But both objectives are convex in b and have the same slope at b, so
        that a small enough step goes down.
        """
        for _ in range(_MAX_RATIO_ITERATION):
            nu, beta = self.multipliers(bandwidth_hz)
            target_hz = self.solve_subtractive(nu, beta)
            snr = self.gamma * self.power_w / bandwidth_hz
            descent = self._total(nu * beta * _marginal(snr) / np.log(2.0) * (target_hz - bandwidth_hz))
            before = self.cost(bandwidth_hz)
            is_open = descent > _RATIO_TOLERANCE * before
            if not is_open.any():
                break
            found_hz, step = target_hz, np.where(is_open, 1.0, 0.0)
            for _ in range(_MAX_HALVING):
                part = step[self.node]
                found_hz = (1.0 - part) * bandwidth_hz + part * target_hz
                short = is_open & (self.cost(found_hz) > before - _ARMIJO * step * descent)
                if not short.any():
                    break
                step = np.where(short, 0.5 * step, step)
            bandwidth_hz = found_hz
        return bandwidth_hz

    def solve_subtractive(self, nu: Floats, beta: Floats) -> Floats:
        """Return b that minimises ``sum nu (p d - beta R(p, b))`` (eq. 46), with one price eta for each node.

        With the SNR y = gamma p / b, the marginal rate is ``(ln(1 + y) - y / (1 + y)) / ln 2 = eta / (nu beta)``. The
        demand falls with eta. The root is found by Newton's method in logarithms, inside a bracket.
        """
        per_nat = nu * beta / np.log(2.0)
        count = np.bincount(self.node)
        received = self.gamma * self.power_w
        snr_alone = received / self.node_bandwidth_hz[self.node]
        low = self._total(per_nat * _marginal(snr_alone)) / count
        high = self._total(per_nat * _marginal(snr_alone * count[self.node]))
        price = np.sqrt(low * high)
        for _ in range(_MAX_BISECTION):
            snr = _inverse_marginal(price[self.node] / per_nat)
            taken_hz = self._total(received / snr)
            excess = np.log(taken_hz / self.node_bandwidth_hz)
            if np.abs(excess).max(initial=0.0) <= _FIT:
                break
            low, high = np.where(excess > 0.0, price, low), np.where(excess < 0.0, price, high)
            fall = self._total(received / snr * _marginal(snr) * (1.0 + 1.0 / snr) ** 2)
            newton = price * np.exp(np.clip(excess * taken_hz / fall, -_MAX_STEP, _MAX_STEP))
            price = np.where((low <= newton) & (newton <= high), newton, np.sqrt(low * high))
        bandwidth_hz = received / _inverse_marginal(price[self.node] / per_nat)
        return bandwidth_hz * (self.node_bandwidth_hz / self._total(bandwidth_hz))[self.node]

    def _total(self, per_vehicle: Floats) -> Floats:
        return np.asarray(np.bincount(self.node, weights=per_vehicle), dtype=np.float64)


def minimise_ratios(problem: LayersProblem, bandwidth_hz: Floats) -> tuple[Floats, Floats]:
    """Return p and b that minimise eq. 40, [N] each, by the loop of Theorem 1 from a given b.

    The power is the least, because ``p / R`` increases in p by Lemma 1. Problem 46 does not contain that: with free p,
    the loop leaves the least power at nodes with high SNRs and never returns, even if it starts at the optimum. A
    vehicle without data has a share only at a node where no vehicle has data.
    """
    sending = problem.in_range & (problem.charged_bits > 0.0)
    busy, node = np.unique(problem.node[sending], return_inverse=True)
    idle = problem.in_range & ~np.isin(problem.node, busy)
    all_hz = np.where(idle, equal_share(problem) * problem.node_bandwidth_hz[problem.node], 0.0)
    ratios = Ratios(
        energy_weight=problem.energy_weight,
        bits=problem.charged_bits[sending],
        gamma=problem.gamma[sending],
        power_w=problem.power_min_w[sending],
        node=node.astype(np.int64),
        node_bandwidth_hz=problem.node_bandwidth_hz[busy],
    )
    all_hz[sending] = ratios.minimise(bandwidth_hz[sending])
    return problem.power_min_w, all_hz


def _marginal(snr: Floats) -> Floats:
    """Return ``ln(1 + y) - y / (1 + y)``, the marginal rate of bandwidth in nat/s/Hz."""
    y = np.minimum(snr, _SMALL_SNR)
    series = y**2 * (1 / 2 - y * (2 / 3 - y * (3 / 4 - y * (4 / 5 - y * (5 / 6)))))
    return np.where(snr < _SMALL_SNR, series, np.log1p(snr) - snr / (1.0 + snr))


def _inverse_marginal(value: Floats) -> Floats:
    """Return the SNR y of a marginal rate > 0, by Newton's method in logarithms, where it is concave.

    The iteration starts below the root and stays below it, because ``y^2 / 2`` and ``ln(1 + y)`` exceed the marginal
    rate.
    """
    value = np.minimum(value, _MAX_MARGINAL)
    snr = np.maximum(np.sqrt(2.0 * value), np.expm1(value))
    for _ in range(_NUM_NEWTON):
        marginal = _marginal(snr)
        snr = snr * np.exp(np.log(value / marginal) * marginal * (1.0 + 1.0 / snr) ** 2)
    return snr
