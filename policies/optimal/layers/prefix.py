"""Mode "paper" with equal vehicles at each node: an optimum offloads the longest jobs of a cell, so only counts remain.

No upload is charged here, and the ratio of gain and cycles is the same for all vehicles of a cell. A vehicle that
offloads saves something, and a longer job could take its place at no loss. So there is an optimum that is a prefix of
the vehicles in descending order. At a price sigma, the first k of them cost at least ``-sum Delta_n - sigma F``, with
the sum over these k. At the price of their best allocation, they cost exactly that.
"""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from policies.optimal.layers.bound import Pricing
from policies.optimal.layers.branch import Incumbent
from policies.optimal.layers.cells import Cells, Sets

_EQUAL = 1e-14
"""Largest relative error of the ratio of gain and cycles by rounding; the bound is lowered by its cost."""
_BATCH = 16
"""Prefixes of a cell that are evaluated at once."""
_SIZE_STEPS = 3


def is_ordered(cells: Cells, starts: Ints) -> bool:
    """Tell whether some optimum of every cell is a prefix in descending order of gain.

    Parameters
    ----------
    cells : the vehicles
    starts : [C + 1], where the vehicles of each cell begin
    """
    if cells.links.sends.any() or np.any((cells.gain > 0.0) & (cells.cycles == 0.0)):
        return False
    one = cells.gain * np.maximum.reduceat(cells.cycles, starts[:-1])[cells.cell]
    other = cells.cycles * np.maximum.reduceat(cells.gain, starts[:-1])[cells.cell]
    return bool(np.all(np.abs(one - other) <= _EQUAL * one))


def search(cells: Cells, pricing: Pricing, starts: Ints, tolerance: float) -> tuple[Incumbent, Floats]:
    """Return the best prefixes if capacities need not be used up, with bounds for all sets, and their shares, [L], Hz.

    Parameters
    ----------
    cells : ordered
    pricing, starts : evaluates; [C + 1], where the vehicles of each cell begin
    tolerance : gap at which to stop, relative to the cost of each cell
    """
    total_gain = np.add.reduceat(cells.gain, starts[:-1])
    count = _count_max(cells, starts)
    order = _longest(cells, starts, int(count.max(initial=0)))
    size = np.arange(1, order.shape[1] + 1)
    is_open = size <= count[:, np.newaxis]
    floor = np.where(is_open, -np.inf, np.inf)
    value, close, best_hz = np.zeros(cells.num_cell), np.zeros(cells.num_cell), np.zeros(order.shape)
    while is_open.any():
        chosen = _spread_out(is_open)
        cell, index = np.nonzero(chosen)
        owner, place = np.nonzero(size <= size[index, np.newaxis])
        shares = pricing.allocate(Sets(order[cell[owner], place], owner, cell))
        share_hz = np.zeros((len(cell), len(size)))
        share_hz[owner, place] = shares.edge_hz
        _keep(value, best_hz, cell, shares.value, share_hz)
        close = tolerance * (total_gain + value)  # without the layer that is always local
        is_open &= ~chosen
        floor[chosen] = np.inf
        if is_open.any():
            np.maximum.at(floor, cell, _prefix_bounds(pricing, order, count, cell, shares.sigma))
            is_open &= floor < (value - close)[:, np.newaxis]
    bound = np.minimum(value, floor.min(axis=1, initial=np.inf)) - _EQUAL * total_gain
    edge_hz = np.zeros(len(cells.cell))
    some = best_hz > 0.0
    edge_hz[order[some]] = best_hz[some]
    return Incumbent(value, bound, edge_hz > 0.0, close), edge_hz


def _keep(value: Floats, best_hz: Floats, cell: Ints, new_value: Floats, new_hz: Floats) -> None:
    """Replace prefixes, [C] and [C, H], by the best of G new ones if these are better; cells are in ascending order."""
    order = np.lexsort((new_value, cell))
    known, first = np.unique(cell, return_index=True)
    least = order[first]
    better = new_value[least] < value[known]
    value[known[better]] = new_value[least[better]]
    best_hz[known[better]] = new_hz[least[better]]


def _count_max(cells: Cells, starts: Ints) -> Ints:
    """Return how many vehicles of each cell may offload in an optimum, [C]; each of them must save something.

    A cycle that runs at f costs ``w / f + v kappa f^2``, which must be less than the gain of a cycle, r, so that f is
    more than the smaller root f_min of ``r f = w + v kappa f^3``, which is approached from below here.
    """
    gain, cycles = (np.maximum.reduceat(values, starts[:-1]) for values in (cells.gain, cells.cycles))
    count = np.add.reduceat(cells.gain > 0.0, starts[:-1], dtype=np.int64)
    best_hz = np.minimum(cells.free_hz, cells.node_hz)
    energy_price = cells.energy_weight * cells.kappa
    pays = gain > cycles * (cells.time_weight / best_hz + energy_price * best_hz**2)
    price = gain / np.where(pays, cycles, 1.0)
    least_hz = np.zeros(cells.num_cell)
    with np.errstate(divide="ignore", invalid="ignore"):  # cells in which no vehicle offloads are left out below
        for _ in range(_SIZE_STEPS):
            least_hz = cells.time_weight / (price - energy_price * least_hz**2)
        fit = cells.node_hz * (1.0 + _EQUAL) / least_hz
    size: Ints = np.asarray(np.minimum(count, np.where(pays, fit, 0.0)), dtype=np.int64)
    return size


def _longest(cells: Cells, starts: Ints, width: int) -> Ints:
    """Return the vehicles of each cell in descending order of gain, [C, width]; entries after the last mean nothing."""
    order = np.lexsort((-cells.gain, cells.cell))
    place = starts[:-1, np.newaxis] + np.arange(width)
    longest: Ints = order[np.minimum(place, len(order) - 1)]
    return longest


def _spread_out(mask: Mask) -> Mask:
    """Keep all entries of a row, [C, H], if there are up to `_BATCH`, else that many at equal distances."""
    rank = np.cumsum(mask, axis=1)
    count = np.maximum(rank[:, -1:], 1)
    step: Mask = rank * _BATCH // count != (rank - 1) * _BATCH // count
    return mask & step


def _prefix_bounds(pricing: Pricing, order: Ints, count: Ints, cell: Ints, sigma: Floats) -> Floats:
    """Return a lower bound of the cost of every prefix at each of G prices, [G, H].

    Parameters
    ----------
    pricing, order : evaluates; [C, H], the vehicles of each cell
    count : [C], sizes that may be best
    cell, sigma : [G], 1/Hz
    """
    width = np.arange(order.shape[1])
    owner, place = np.nonzero(width < count[cell, np.newaxis])
    sets = Sets(order[cell[owner], place], owner, cell)
    saving = np.zeros((len(cell), len(width)))
    saving[owner, place] = pricing.respond(sets, sigma, np.zeros_like(sigma)).saving
    rent = sigma * pricing.cells.node_hz[cell]
    bound: Floats = -np.cumsum(saving, axis=1) - rent[:, np.newaxis]
    return bound
