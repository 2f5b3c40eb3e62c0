"""Mode "paper" with equal vehicles: the search among prefixes finds what the one among all sets finds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.optimal.layers import prefix
from policies.optimal.layers.bound import Pricing
from policies.optimal.layers.cells import Cells, Sets, read_cells
from policies.optimal.layers.problem import LayersProblem, LayersSolution
from policies.optimal.layers.search import allocate, solve
from tests.policy.drops import check_point, gap, make_drop, make_problem


def starts_of(cells: Cells) -> NDArray[np.int64]:
    return np.searchsorted(cells.cell, np.arange(cells.num_cell + 1))


def check_prefixes(problem: LayersProblem) -> LayersSolution:
    """Demand that the search among prefixes finds what the one among all sets finds."""
    cells = read_cells(problem)
    assert prefix.is_ordered(cells, starts_of(cells))
    fast = solve(problem)
    general = solve(problem, tolerance=1e-13, among_prefixes=False)
    for solution in (fast, general):
        check_point(problem, solution)
        assert gap(solution) <= 1e-9
    assert fast.objective == pytest.approx(general.objective, rel=1e-12)
    assert gap(fast) <= 1e-12
    assert fast.lower_bound <= general.objective * (1 + 1e-15)
    again = allocate(problem, fast.num_local < problem.num_layer)
    np.testing.assert_allclose(fast.edge_hz, again.edge_hz, rtol=1e-9, atol=1e-3)
    return fast


@pytest.mark.parametrize("first", [0, pytest.param(6, marks=pytest.mark.full)])
def test_prefixes_equal_all_sets(first: int) -> None:
    rng = np.random.default_rng(first)
    for seed in range(first, first + (6 if first == 0 else 94)):
        num_vehicle, num_node = int(rng.integers(1, 60)), int(rng.integers(1, 6))
        time_weight = float(rng.choice([0.001, 0.1, 0.5, 0.9, 0.999]))
        problem = make_drop(seed, num_vehicle, num_node, time_weight, seed % 2 > 0, literal=True)
        check_prefixes(problem)
        check_prefixes(replace(problem, node_hz=problem.node_hz * rng.choice([0.1, 10.0], num_node)))


def test_prefixes_of_special_cells() -> None:
    for num_vehicle in (1, 2, 30):
        same = (np.full(num_vehicle, 500.0), np.full(num_vehicle, 1e-9), np.zeros(num_vehicle, dtype=np.int64))
        check_prefixes(make_problem(*same, num_node=1, literal=True))
    problem = make_drop(8, 10, 2, literal=True)
    node, some = problem.node.copy(), np.arange(10) % 3 > 0
    node[0] = -1
    kappa, capacity_hz, band_hz = np.full(4, problem.node_kappa[0]), np.full(4, 1.41e9), np.full(4, 20e6)
    empty = replace(problem, node=node, node_kappa=kappa, node_hz=capacity_hz, node_bandwidth_hz=band_hz)
    check_prefixes(empty)
    check_prefixes(
        replace(problem, local_cycles=problem.local_cycles * some, edge_cycles=problem.edge_cycles * some),
    )
    slow = replace(problem, edge_cycles=problem.edge_cycles * 1e3)
    assert np.all(check_prefixes(slow).num_local == 32), "none offloads"


def test_prefixes_that_use_up_the_server() -> None:
    """All offload and take more than they want, or all but one; both occur."""
    counts = set()
    for factor in (1.0, 1.5, 3.0, 10.0, 1e3):
        problem = make_drop(3, 3, 1, literal=True)
        problem = replace(problem, node_hz=problem.node_hz * factor)
        counts.add(int((check_prefixes(problem).num_local < 32).sum()))
    assert counts == {2, 3}


def test_prefixes_of_many_sizes() -> None:
    """More than are evaluated at once: prices rule the rest out."""
    drop = make_drop(4, 300, 3, literal=True)
    same = make_problem(np.full(300, 500.0), np.full(300, 1e-9), drop.node, 3, literal=True)
    for problem in (drop, same):
        fast_node = replace(problem, node_hz=problem.node_hz * 20.0, node_kappa=problem.node_kappa / 20.0**3)
        for case in (fast_node, replace(fast_node, time_weight=problem.time_weight * 5.0)):
            cells = read_cells(case)
            starts, pricing = starts_of(cells), Pricing(cells)
            best, _ = prefix.search(cells, pricing, starts, 1e-9)
            order = np.lexsort((-cells.gain, cells.cell))
            values = np.zeros(cells.num_cell)
            for cell, (begin, end) in enumerate(itertools.pairwise(starts.tolist())):
                sizes = np.arange(1, end - begin + 1)
                member = order[begin:end][np.concatenate([np.arange(size) for size in sizes])]
                sets = Sets(member, np.repeat(sizes - 1, sizes), np.full(len(sizes), cell))
                values[cell] = min(0.0, pricing.allocate(sets).value.min())
            np.testing.assert_allclose(best.value, values, rtol=1e-9)
            assert np.all(best.bound <= values + 1e-12 * np.abs(values))
            assert np.bincount(cells.cell, weights=best.offloads).max() > 16


def test_unequal_vehicles_are_not_ordered() -> None:
    problem = make_drop(6, 20, 2, literal=True)
    for part in (make_drop(6, 20, 2), replace(problem, edge_cycles=np.zeros(20))):
        cells = read_cells(part)
        assert not prefix.is_ordered(cells, starts_of(cells))
    factor = np.where(np.arange(20) == 7, 2.0, 1.0)
    longer = replace(problem, local_cycles=problem.local_cycles * factor)
    for part in (longer, replace(problem, kappa_vehicle=problem.kappa_vehicle * factor)):
        cells = read_cells(part)
        assert not prefix.is_ordered(cells, starts_of(cells))
