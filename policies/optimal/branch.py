"""Branch and bound: closes the gap that is left between the price bound and its best neighbours."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np

from physical.arrays import Mask
from policies.optimal.dual import ROUNDING, Bracket, Dual, DualPoint, find_price
from policies.optimal.menu import Hyperbolas, Ints, Menu, chord
from policies.optimal.options import SlotOptions
from policies.optimal.recover import Candidate, allocate, flips
from policies.optimal.tasks import SharedServer, Tasks

_SPLIT_EDGE = 0.05
_ROUNDING_COST = 1e-12
"""Rounding may raise a reduced cost by this part of P2; without it, the best decision's options could be dropped."""
_SMALL = 1000
"""Up to this number of tasks, it is faster to keep the decided tasks than to set them aside."""


@dataclass(frozen=True)
class Solution:
    """The result for a slot.

    Parameters
    ----------
    candidate : best options and capacities found
    bound : certified lower bound of P2 less its constant
    num_node : number of nodes of the search tree that were examined; 0 if the root was enough
    price : 1/Hz, of capacity, at which the bound of the whole slot is largest
    """

    candidate: Candidate
    bound: float
    num_node: int
    price: float


@dataclass(frozen=True)
class _ChoiceNode:
    """A part of the choices: the options that undecided tasks still have; `split` if the interval of one was cut."""

    menu: Menu
    price: float
    split: bool = False


def solve(tasks: Tasks, options: SlotOptions, tolerance: float, max_node: int) -> Solution:
    """Return the optimum of P2 to a relative tolerance, or the best found in `max_node` nodes, with its bound.

    Parameters
    ----------
    tasks, options : the slot
    tolerance : gap at which to stop, relative to max(|P2|, 1)
    max_node : most nodes of the search tree
    """
    server = tasks.server
    root = root_bracket(tasks, options, tolerance)
    best = allocate(options, server, root.high.responses[0].choice, root.high.price)
    if best is None:  # happens only if rounding makes the cheap end of the bracket too large
        best = allocate(options, server, np.zeros(tasks.num_task, dtype=np.intp), root.high.price)
    assert best is not None, "idle tasks always fit"
    scale = tolerance * max(abs(best.value + tasks.constant), 1.0)
    if best.value - root.bound <= scale:
        return Solution(best, root.bound, 0, root.high.price)
    tried = {best.choice.tobytes()}
    for choice in flips(options, Dual((options.menu,), server), root):
        if choice.tobytes() not in tried:
            best = _better(best, allocate(options, server, choice, root.high.price))
            tried.add(choice.tobytes())
    if best.value - root.bound <= scale or not max_node:
        return Solution(best, root.bound, 0, root.high.price)
    return _Search(options, server, root, best, scale).run(max_node)


def root_bracket(tasks: Tasks, options: SlotOptions, tolerance: float) -> Bracket:
    """Return the best price for all tasks with all their options; its bound is certified."""
    capacity_hz = tasks.server.capacity_hz
    reach = float(np.sqrt(tasks.delay_cost_per_s * tasks.work_cycles).sum())
    worth = (reach / capacity_hz) ** 2 if capacity_hz else 1.0
    if not worth:
        worth = float(tasks.local_cost.sum() + tasks.backlog_cost.sum() + tasks.miss_cost) / capacity_hz
    root = find_price(Dual((options.menu,), tasks.server), options.menu.drain_max + worth, 0.1 * tolerance)
    assert root is not None, "idle tasks always fit"
    return root


def _better(best: Candidate, other: Candidate | None) -> Candidate:
    return other if other is not None and other.value < best.value else best


class _Search:
    """Best-first search over the tasks whose options the root's prices leave open."""

    def __init__(
        self, options: SlotOptions, server: SharedServer, root: Bracket, best: Candidate, scale: float
    ) -> None:
        self._options, self._server, self._scale = options, server, scale
        self._root, self._best = root, best
        kept = self._kept(root)
        self._choice = kept.argmax(axis=0)
        is_open = (kept.sum(axis=0) > 1) | (options.concave & kept).any(axis=0)
        if is_open.size <= _SMALL:
            is_open[:] = True
        self._open, closed = np.flatnonzero(is_open), np.flatnonzero(~is_open)
        self._closed = (options.menu.pick(self._choice[closed], closed),) if closed.size else ()
        menu = options.menu.only(self._open)
        dropped = np.nonzero(~kept[:, self._open])
        self._heap: list[tuple[float, int, _ChoiceNode]] = [
            (root.bound, 0, _ChoiceNode(menu.without(*dropped), root.high.price))
        ]
        self._num_pushed = 1

    def _kept(self, root: Bracket) -> Mask:
        """Tell which options may be part of a better candidate, because their reduced cost is small enough."""
        menu = self._options.menu
        kept = np.isfinite(menu.curve.base)
        for point in (root.low, root.high):
            value, _ = menu.values(point.price)
            kept &= value - value.min(axis=0) <= self._to_gain(point)
        return kept

    def _to_gain(self, point: DualPoint) -> float:
        """Return the gap between the best candidate and the bound at a point, plus a margin for rounding."""
        return self._best.value - point.bound + _ROUNDING_COST * max(abs(self._best.value), 1.0)

    def run(self, max_node: int) -> Solution:
        """Examine the most promising nodes until the best candidate is proven optimal or `max_node` is reached."""
        num_node = 0
        floor = np.inf  # least bound of nodes that were given up within the tolerance
        if not self._closed:  # then the root's prices are those of the first node
            num_node = 1
            bound, _, node = heapq.heappop(self._heap)
            floor = self._branch(bound, node, self._root)
        while self._heap and num_node < max_node:
            bound, _, node = heapq.heappop(self._heap)
            if bound >= self._best.value - self._scale:
                floor = min(floor, bound)
                continue
            num_node += 1
            floor = min(floor, self._visit(bound, node))
        bound = min([floor, self._best.value, *(entry[0] for entry in self._heap)])
        return Solution(self._best, bound, num_node, self._root.high.price)

    def _visit(self, bound: float, node: _ChoiceNode) -> float:
        """Bound a node and branch on it; return the bound of the part that needs no children."""
        server = self._server
        menus = (node.menu, *self._closed)
        if sum(menu.least_hz() for menu in menus) > server.capacity_hz * (1.0 + ROUNDING):
            return np.inf
        bracket = find_price(Dual(menus, server), node.price, 0.1 * self._scale, self._best.value - self._scale)
        if bracket is None:
            return np.inf
        bound = max(bound, bracket.bound)
        if bound >= self._best.value - self._scale:
            return bound
        return self._branch(bound, node, bracket)

    def _branch(self, bound: float, node: _ChoiceNode, bracket: Bracket) -> float:
        """Try the candidates of a node and push its children; return the bound of the part that needs no children."""
        server, options = self._server, self._options
        high, low = bracket.high.responses[0], bracket.low.responses[0]
        choice = self._choice.copy()
        choice[self._open] = high.choice
        menu = self._cut(choice, high.choice, node) if node.split else None
        self._best = _better(self._best, allocate(options, server, choice, bracket.high.price, menu))
        filtered = self._filtered(node, bracket)
        if filtered is None:
            return np.inf
        node = filtered
        concave = options.concave[high.choice, self._open]
        differs = high.choice != low.choice
        jump_hz = np.where(differs | concave, np.abs(low.v_hz - high.v_hz), 0.0)
        jump_hz = np.where(differs, np.maximum(jump_hz, 1.0), jump_hz)
        task = int(np.argmax(jump_hz)) if jump_hz.size else 0
        if not jump_hz.size or jump_hz[task] <= ROUNDING * server.capacity_hz:
            return bound
        if differs[task]:
            self._push_without(bound, node, bracket, task, int(high.choice[task]))
        else:
            part = bracket.low_part
            self._push_split(bound, node, bracket, task, high.v_hz[task] + part * (low.v_hz - high.v_hz)[task])
        return np.inf

    def _filtered(self, node: _ChoiceNode, bracket: Bracket) -> _ChoiceNode | None:
        """Drop options whose cost exceeds the whole possible gain, so that the tree is smaller and bounds are tighter.

        None if a task has no option left. Then no choice of this node is better than the best candidate.
        """
        dropped = np.zeros(node.menu.reach.shape, dtype=np.bool_)
        for point in (bracket.low, bracket.high):
            value, _ = node.menu.values(point.price)
            dropped |= value - value.min(axis=0) > self._to_gain(point)
        is_there = np.isfinite(node.menu.curve.base)
        if (dropped | ~is_there).all(axis=0).any():
            return None
        dropped &= is_there
        return replace(node, menu=node.menu.without(*np.nonzero(dropped))) if dropped.any() else node

    def _cut(self, choice: Ints, open_choice: Ints, node: _ChoiceNode) -> Menu:
        """Return the chosen options of all tasks, with the intervals of the node."""
        menu = self._options.menu.pick(choice)
        cut = node.menu.pick(open_choice)
        for name, array in vars(menu.curve).items():
            array[:, self._open] = getattr(cut.curve, name)
        for name in ("reach", "offset", "low_hz", "high_hz"):
            getattr(menu, name)[:, self._open] = getattr(cut, name)
        return menu

    def _push(self, bound: float, node: _ChoiceNode) -> None:
        heapq.heappush(self._heap, (bound, self._num_pushed, node))
        self._num_pushed += 1

    def _push_without(self, bound: float, node: _ChoiceNode, bracket: Bracket, task: int, option: int) -> None:
        """Branch on a task: one child has this option, the other has the other options."""
        others = np.array([row for row in range(len(node.menu.reach)) if row != option])
        here = np.array([task])
        with_option = node.menu.without(others, np.full(others.size, task))
        self._push(bound, replace(node, menu=with_option, price=bracket.low.price))
        self._push(bound, replace(node, menu=node.menu.without(np.array([option]), here), price=bracket.high.price))

    def _push_split(self, bound: float, node: _ChoiceNode, bracket: Bracket, task: int, at_hz: float) -> None:
        """Branch on the interval of a concave option, because shorter chords are tighter."""
        option = int(bracket.high.responses[0].choice[task])
        low_hz, high_hz = float(node.menu.low_hz[option, task]), float(node.menu.high_hz[option, task])
        margin_hz = _SPLIT_EDGE * (high_hz - low_hz)
        at_hz = min(max(float(at_hz), low_hz + margin_hz), high_hz - margin_hz)
        for interval in ((low_hz, at_hz), (at_hz, high_hz)):
            menu = _with_interval(node.menu, self._truth(option, task), (option, task), interval)
            self._push(bound, _ChoiceNode(menu, bracket.high.price, split=True))

    def _truth(self, option: int, task: int) -> Hyperbolas:
        return self._options.truth.take(option * self._choice.size + self._open[[task]])


def _with_interval(menu: Menu, truth: Hyperbolas, entry: tuple[int, int], interval: tuple[float, float]) -> Menu:
    """Return the menu with one concave option restricted to an interval; the other options of the task stay."""
    copy = replace(
        menu,
        curve=Hyperbolas(*(array.copy() for array in vars(menu.curve).values())),
        reach=menu.reach.copy(),
        offset=menu.offset.copy(),
        low_hz=menu.low_hz.copy(),
        high_hz=menu.high_hz.copy(),
    )
    low_hz, high_hz = (np.array([bound]) for bound in interval)
    chord(copy, truth, (np.array([entry[0]]), np.array([entry[1]])), (low_hz, high_hz))
    return copy
