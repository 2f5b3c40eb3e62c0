"""The optimum of P1 (eq. 10), cell by cell, with a certificate; and the best resources for given layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from physical.arrays import Floats, Ints, Mask
from policies.optimal.layers import bandwidth, frequency, prefix
from policies.optimal.layers.bound import Peak, Pricing
from policies.optimal.layers.branch import Branch, CellNode, Incumbent
from policies.optimal.layers.cells import Cells, Sets, local_frequency_hz, read_cells, upload_links
from policies.optimal.layers.problem import LayersProblem, LayersSolution, cost_of

_ROUNDS = 4
_FEW = 5
"""Up to this number of vehicles in a cell, all sets are evaluated, which is faster than a search."""


def solve(
    problem: LayersProblem, tolerance: float = 1e-9, max_node: int = 2000, *, among_prefixes: bool = True
) -> LayersSolution:
    """Return the optimum of P1 to a relative tolerance, or the best found in `max_node` nodes, with its lower bound.

    Parameters
    ----------
    problem : P1
    tolerance : gap at which to stop, relative to the cost of each cell
    max_node : most nodes of the search trees of all cells together
    among_prefixes : where some optimum is a prefix in order of gain, look among prefixes only
    """
    cells = read_cells(problem)
    pricing = Pricing(cells)
    starts = np.searchsorted(cells.cell, np.arange(cells.num_cell + 1))
    edge_hz = None
    if among_prefixes and prefix.is_ordered(cells, starts):
        best, cell_hz = prefix.search(cells, pricing, starts, tolerance)
        _use_up(cells, pricing, starts, best, cell_hz)
        edge_hz = np.zeros(problem.num_vehicle)
        edge_hz[cells.vehicle] = cell_hz
    else:
        best = _search(problem, cells, pricing, starts, tolerance, max_node)
        if problem.literal:
            _use_up(cells, pricing, starts, best)
    num_local = np.full(problem.num_vehicle, problem.num_layer)
    num_local[cells.vehicle[best.offloads]] = 1
    solution = allocate_layers(problem, num_local, edge_hz)
    shares = (solution.edge_hz, solution.power_w, solution.bandwidth_hz)
    all_local = cost_of(problem, np.full_like(num_local, problem.num_layer), solution.local_hz, *shares)
    bound = float(all_local.sum()) + float(best.bound.sum())
    return replace(solution, lower_bound=min(bound, solution.objective))


def allocate(problem: LayersProblem, offloading: Mask) -> LayersSolution:
    """Return the best frequencies, powers and bandwidths if exactly the vehicles in a [N] mask offload K layers."""
    return allocate_layers(problem, np.where(offloading & problem.in_range, 1, problem.num_layer))


def allocate_layers(problem: LayersProblem, num_local: Ints, edge_hz: Floats | None = None) -> LayersSolution:
    """Return the best frequencies, powers and bandwidths for given layers.

    Parameters
    ----------
    problem : P1
    num_local : [N], alpha_n in 1 to Upsilon; Upsilon for a vehicle out of range
    edge_hz : [N], Hz, the best shares of the servers for vehicles that offload, 0 for others, if they are known

    Returns
    -------
    LayersSolution : without a lower bound
    """
    num_edge = problem.num_layer - num_local
    node = np.maximum(problem.node, 0)
    power_w, bandwidth_hz = np.array(problem.power_min_w), np.zeros(problem.num_vehicle)
    if edge_hz is None:
        edge_hz = _edge_hz(problem, num_edge)
    links = upload_links(problem, np.arange(problem.num_vehicle))
    sends = np.flatnonzero(links.sends & problem.in_range & (problem.literal | (num_edge > 0)))
    power_w[sends], bandwidth_hz[sends], _ = bandwidth.share_bandwidth(
        links.pick(sends), node[sends], problem.node_bandwidth_hz
    )
    if problem.literal:
        edge_hz = _fill(problem, edge_hz, problem.node_hz, num_edge * problem.edge_cycles == 0.0)
        bandwidth_hz = _fill(problem, bandwidth_hz, problem.node_bandwidth_hz, ~links.sends)
    local_hz = local_frequency_hz(problem)
    cost = cost_of(problem, num_local, local_hz, edge_hz, power_w, bandwidth_hz)
    return LayersSolution(num_local, local_hz, edge_hz, power_w, bandwidth_hz, float(cost.sum()))


def _edge_hz(problem: LayersProblem, num_edge: Ints) -> Floats:
    """Return the best shares of the servers for given layers, [N], Hz; idle vehicles may have to take the rest."""
    node = np.maximum(problem.node, 0)
    energy_price = problem.energy_weight * problem.node_kappa
    start_hz = frequency.free_hz(problem.time_weight, energy_price, 1e6 * problem.node_hz)
    runs = np.flatnonzero((num_edge > 0) & problem.in_range)
    cycles = num_edge[runs] * problem.edge_cycles[runs]
    edge_hz = np.zeros(problem.num_vehicle)
    edge_hz[runs], _ = frequency.share_hz(cycles, node[runs], start_hz, problem.node_hz, problem.time_weight)
    return _spread(problem, num_edge, edge_hz, start_hz) if problem.literal else edge_hz


def _fill(problem: LayersProblem, share: Floats, capacity: Floats, idle: Mask) -> Floats:
    """Return shares in which the idle vehicles of each node divide the rest of its capacity (10c, 10e)."""
    reached, node = problem.in_range, np.maximum(problem.node, 0)
    used = np.bincount(node[reached], weights=share[reached], minlength=problem.num_node)
    takers = reached & idle
    count = np.bincount(node[takers], minlength=problem.num_node)
    part = np.maximum(capacity - used, 0.0) / np.maximum(count, 1)
    return np.where(takers, share + part[node], share)


def _spread(problem: LayersProblem, num_edge: Ints, edge_hz: Floats, start_hz: Floats) -> Floats:
    """Return shares that use up the server if all vehicles of a cell offload and want less than it has (10e)."""
    reached, node = problem.in_range, np.maximum(problem.node, 0)
    used = np.bincount(node[reached], weights=edge_hz[reached], minlength=problem.num_node)
    idle = np.bincount(node[reached & (num_edge * problem.edge_cycles == 0.0)], minlength=problem.num_node)
    left = (used > 0.0) & (used < problem.node_hz * (1.0 - 1e-12)) & (idle == 0)
    index = np.flatnonzero(reached & left[node] & (num_edge > 0))
    if not index.size:
        return edge_hz
    number = (np.cumsum(left) - 1)[node[index]]
    cycles = num_edge[index] * problem.edge_cycles[index]
    spread = edge_hz.copy()
    spread[index], _ = frequency.spread_hz(cycles, number, start_hz[left], problem.node_hz[left], problem.time_weight)
    return spread


def _search(
    problem: LayersProblem, cells: Cells, pricing: Pricing, starts: Ints, tolerance: float, max_node: int
) -> Incumbent:
    """Return the best sets if capacities need not be used up."""
    everyone = Sets(np.arange(len(cells.cell)), cells.cell, np.arange(cells.num_cell))
    free_of_charge = np.zeros(cells.num_cell)
    # A vehicle saves most if it has a node alone and the node costs nothing.
    most = pricing.respond(everyone, free_of_charge, free_of_charge).saving
    worth = most > 0.0
    candidates = everyone.where(worth)
    local = problem.num_layer / max(problem.num_layer - 1, 1) * everyone.total(cells.gain)
    unknown = np.full(cells.num_cell, -np.inf)
    bound = np.where(candidates.total(np.ones(len(candidates.member))) > 0, unknown, 0.0)
    best = Incumbent(np.zeros(cells.num_cell), bound, np.zeros(len(worth), dtype=np.bool_), tolerance * local)
    _enumerate(pricing, candidates, starts, best)
    peak, box = Peak(unknown, free_of_charge, free_of_charge), np.zeros((cells.num_cell, 2))
    for round_ in range(_ROUNDS):
        some = candidates.pick(best.is_open)
        if not some.num_set:
            break
        shares = pricing.allocate(some.where(worth[some.member]))
        best.offer(some.where(worth[some.member]), shares.value, starts)
        price = np.stack([shares.sigma, shares.eta], axis=1)
        if not round_:  # with fewer vehicles, no price is higher
            box[some.cell] = price
            price = _halve(pricing, some, most, best, starts, shares.value, price)
        sigma, eta = price[:, 0], price[:, 1]
        response = pricing.respond(some, sigma, eta)
        worth[some.member] = response.saving > 0.0
        nobody = np.zeros(len(some.member), dtype=np.bool_)
        peak = peak.offer(some.cell, pricing.bound(some, response, sigma, eta, nobody), price)
        best.bound = np.maximum(best.bound, np.minimum(peak.bound, best.value))
        best.close = tolerance * (local + best.value)
    is_open = best.is_open
    if is_open.any():
        ends = np.searchsorted(cells.cell[candidates.member], np.arange(cells.num_cell + 1))
        nodes = []
        for cell in np.flatnonzero(is_open).tolist():
            member = candidates.member[ends[cell] : ends[cell + 1]]
            known = (float(peak.sigma[cell]), float(peak.eta[cell]))
            nodes.append(CellNode(cell, member, np.zeros(len(member), dtype=np.bool_), float(peak.bound[cell]), known))
        Branch(pricing, starts, box, best).run(nodes, max_node)
    return best


def _enumerate(pricing: Pricing, candidates: Sets, starts: Ints, best: Incumbent) -> None:
    """Evaluate all sets of the cells that have few candidates."""
    begin = np.searchsorted(candidates.owner, np.arange(candidates.num_set + 1))
    size = np.diff(begin)
    few = np.flatnonzero((size > 0) & (size <= _FEW))
    if not few.size:
        return
    number = 2 ** size[few] - 1
    cell = np.repeat(few, number)
    code = np.arange(1, len(cell) + 1) - np.repeat(np.cumsum(number) - number, number)
    owner, bit = np.nonzero(code[:, np.newaxis] >> np.arange(_FEW) & 1)
    sets = Sets(candidates.member[begin[cell[owner]] + bit], owner, cell)
    best.offer(sets, pricing.allocate(sets).value, starts)
    best.bound[few] = best.value[few]


def _halve(
    pricing: Pricing, sets: Sets, most: Floats, best: Incumbent, starts: Ints, value: Floats, price: Floats
) -> Floats:
    """Return the prices of the best sets found by halving: the most promising half of each set, a quarter, and so on.

    Parameters
    ----------
    pricing, best, starts : evaluates sets; keeps the best ones; the first vehicle of each cell
    sets : [J] members of G cells
    most : [L], largest saving of a vehicle alone
    value, price : [G] and [G, 2], cost and prices of the whole sets
    """
    rank = np.empty(len(sets.member), dtype=np.int64)
    order = np.lexsort((-most[sets.member], sets.owner))
    begin = np.searchsorted(sets.owner, np.arange(sets.num_set))
    rank[order] = np.arange(len(order)) - begin[sets.owner]
    size = np.bincount(sets.owner, minlength=sets.num_set)
    value, price = value.copy(), price.copy()
    while (size > 1).any():
        going = size > 1
        size = size // 2
        half = sets.where(rank < size[sets.owner]).pick(going)
        shares = pricing.allocate(half)
        best.offer(half, shares.value, starts)
        index = np.flatnonzero(going)
        better = shares.value < value[index]
        value[index[better]] = shares.value[better]
        price[index[better]] = np.stack([shares.sigma, shares.eta], axis=1)[better]
    return price


def _use_up(cells: Cells, pricing: Pricing, starts: Ints, best: Incumbent, edge_hz: Floats | None = None) -> None:
    """Correct the cells in which all vehicles offload and want less than the server has, which 10e forbids.

    Their server is not scarce: every vehicle saves `saving` at no charge, whatever the others do. Either all vehicles
    take more than they want, or the vehicle with the least saving stays local and takes the rest. Both are exact. Known
    shares, [L], Hz, are corrected too.
    """
    num_in = np.bincount(cells.cell, weights=best.offloads, minlength=cells.num_cell)
    size = np.diff(starts)
    wasteful = (num_in == size) & (size * cells.free_hz < cells.node_hz)
    everyone = Sets(np.arange(len(cells.cell)), cells.cell, np.arange(cells.num_cell)).pick(wasteful)
    if not everyone.num_set:
        return
    nothing = np.zeros(everyone.num_set)
    saving = pricing.respond(everyone, nothing, nothing).saving
    owner = everyone.owner
    hz, _ = frequency.spread_hz(
        cells.cycles[everyone.member],
        owner,
        cells.free_hz[everyone.cell],
        cells.node_hz[everyone.cell],
        cells.time_weight,
    )
    spread = everyone.total(pricing.cells.compute_cost(everyone.member, hz) - cells.gain[everyone.member])
    order = np.lexsort((saving, owner))
    least = order[np.searchsorted(owner, np.arange(everyone.num_set))]
    without = saving[least] - everyone.total(saving)
    value = np.minimum(spread, without)
    best.value[everyone.cell] = best.bound[everyone.cell] = value
    stays = everyone.member[least[without < spread]]
    best.offloads[stays] = False
    if edge_hz is not None:
        kept = (spread <= without)[owner]
        edge_hz[everyone.member[kept]] = hz[kept]
        edge_hz[stays] = 0.0
