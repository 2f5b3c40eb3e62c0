"""Solves the cells that the first prices leave open: by better prices, by all promising flips, and by branching."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from physical.arrays import Floats, Ints, Mask
from policies.optimal.layers.bound import Limits, Peak, Pricing
from policies.optimal.layers.cells import Sets
from policies.optimal.layers.flips import dominates, list_flips

_FLIPS_MAX = 256
_FIRST_CHUNK = 8
_MEMBER_MAX = 1 << 18
"""Number of vehicles that are handled at once, so that they fit into a processor's cache."""
_AROUND = 3
_FREE_MAX = 1500
"""Dominance is computed for this number of undecided vehicles; it needs memory for the square of the number."""


@dataclass
class Incumbent:
    """The best known set for each cell, and a bound of its optimum.

    Parameters
    ----------
    value, bound : [C], cost from all local, and a lower bound of it
    offloads : [L], the vehicles in the best sets
    close : [C], allowed distance between value and bound
    """

    value: Floats
    bound: Floats
    offloads: Mask
    close: Floats

    @property
    def is_open(self) -> Mask:
        """Cells that are not solved yet, [C]."""
        is_open: Mask = self.value - self.bound > self.close
        return is_open

    def offer(self, sets: Sets, value: Floats, starts: Ints) -> None:
        """Take sets that are better than the best known ones; `starts`, [C + 1], is the first vehicle of each cell."""
        better = np.flatnonzero(value < self.value[sets.cell])
        if not better.size:
            return
        better = better[np.argsort(-value[better], kind="stable")]
        ends = np.searchsorted(sets.owner, np.arange(sets.num_set + 1))
        for index in better:
            cell = sets.cell[index]
            self.value[cell] = value[index]
            self.offloads[starts[cell] : starts[cell + 1]] = False
            self.offloads[sets.member[ends[index] : ends[index + 1]]] = True


@dataclass(frozen=True)
class CellNode:
    """A part of a cell's sets: only `member` [J] may offload, `forced` [J] ones must; none costs less than `bound`.

    `price` is sigma and eta, 1/Hz, that give the bound, if they are known.
    """

    cell: int
    member: Ints
    forced: Mask
    bound: float
    price: tuple[float, float] | None = None

    @property
    def known(self) -> tuple[float, float, float]:
        """A bound, and the prices that give it."""
        return (-np.inf, 0.0, 0.0) if self.price is None else (self.bound, *self.price)


@dataclass
class _Trial:
    """A node at its best prices.

    Parameters
    ----------
    node : the rest of it that is not decided
    saving : [J], Delta
    bound : at these prices
    base : [J], the set that the prices suggest
    free : vehicles that may be decided differently, the most undecided first
    stronger : dominance among them
    flips : (penalty, indices in `free`), cheapest first
    complete : whether no other set can be better
    num_done : number of flips that have been evaluated
    """

    node: CellNode
    saving: Floats
    bound: float
    base: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    free: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    stronger: Mask = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    flips: list[tuple[float, list[int]]] = field(default_factory=list)
    complete: bool = False
    num_done: int = 0


class Branch:
    """Branch and bound in all open cells at once.

    Parameters
    ----------
    pricing : evaluates sets
    starts : [C + 1], where the vehicles of each cell begin
    box : [C, 2], 1/Hz, prices that the best ones do not exceed
    incumbent : changed in place
    """

    def __init__(self, pricing: Pricing, starts: Ints, box: Floats, incumbent: Incumbent) -> None:
        self._pricing, self._starts, self._box, self._best = pricing, starts, box, incumbent
        self._floor = np.full(len(box), np.inf)
        self.num_node = 0

    def run(self, nodes: list[CellNode], max_node: int) -> None:
        """Search until every cell is closed, or `max_node` nodes have been made, and raise the incumbents' bounds.

        Parameters
        ----------
        nodes : the root of each open cell
        max_node : most nodes
        """
        cells = np.unique([node.cell for node in nodes])
        while nodes:
            nodes = [node for node in nodes if self._worth(node.cell, node.bound)]
            nodes.sort(key=lambda node: self._best.value[node.cell] - node.bound)
            size, batch = 0, []
            while nodes and size < _MEMBER_MAX:
                batch.append(nodes.pop())
                size += len(batch[-1].member)
            for task in self._process(batch) if batch else []:
                children = self._split(task) if self.num_node < max_node else []
                if not children:
                    self._floor[task.node.cell] = min(self._floor[task.node.cell], task.node.bound)
                self.num_node += len(children)
                nodes += children
        self._best.bound[cells] = np.maximum(
            self._best.bound[cells], np.minimum(self._best.value[cells], self._floor[cells])
        )

    def _worth(self, cell: int, bound: float) -> bool:
        """Tell whether a node may hold a better set; if not, keep its bound."""
        if self._best.value[cell] - bound > self._best.close[cell]:
            return True
        self._floor[cell] = min(self._floor[cell], bound)
        return False

    def _process(self, nodes: list[CellNode]) -> list[_Trial]:
        """Bound nodes and evaluate their flips; return those that are still worth splitting."""
        cell = np.array([node.cell for node in nodes])
        owner = np.repeat(np.arange(len(nodes)), [len(node.member) for node in nodes])
        sets = Sets(np.concatenate([node.member for node in nodes]), owner, cell)
        forced = np.concatenate([node.forced for node in nodes])
        known = Peak(*np.array([node.known for node in nodes]).T)
        limits = Limits(self._box[cell], self._best.value[cell], self._best.close[cell])
        peak, forced, left = self._pricing.maximise(sets, forced, limits, known)
        some = sets.where(left)
        saving = self._pricing.respond(some, peak.sigma, peak.eta).saving
        cuts = np.searchsorted(some.owner, np.arange(1, len(nodes)))
        parts = (np.split(values, cuts) for values in (some.member, forced[left], saving))
        tasks = []
        for node, bound, member, must, part in zip(nodes, peak.bound.tolist(), *parts, strict=True):
            smaller = CellNode(node.cell, member, must, max(node.bound, bound))
            if self._worth(smaller.cell, smaller.bound):
                tasks.append(_Trial(smaller, part, bound))
        self._try_prefixes(tasks)
        tasks = [task for task in tasks if self._worth(task.node.cell, task.node.bound)]
        for task in tasks:
            self._list(task)
        self._evaluate(tasks)
        return [task for task in tasks if not task.complete and self._worth(task.node.cell, task.node.bound)]

    def _try_prefixes(self, tasks: list[_Trial]) -> None:
        """Evaluate the sets that prices suggest, and sets with a few vehicles more or less in the same order."""
        members, cells = [], []
        for task in tasks:
            order = np.argsort(np.where(task.node.forced, -np.inf, -task.saving), kind="stable")
            count = int((task.node.forced | (task.saving > 0.0)).sum())
            for size in range(max(count - _AROUND, int(task.node.forced.sum())), min(count + _AROUND, len(order)) + 1):
                members.append(task.node.member[np.sort(order[:size])])
                cells.append(task.node.cell)
        self._try(members, cells)

    def _try(self, members: list[Ints], cells: list[int]) -> None:
        """Evaluate sets of vehicles."""
        if cells:
            owner = np.repeat(np.arange(len(cells)), [len(member) for member in members])
            sets = Sets(np.concatenate(members), owner, np.array(cells))
            self._best.offer(sets, self._pricing.allocate(sets).value, self._starts)

    def _list(self, task: _Trial) -> None:
        """Find the flips of a node that could give a better set."""
        node = task.node
        task.base = node.forced | (task.saving > 0.0)
        penalty = np.abs(task.saving)
        slack = self._best.value[node.cell] - task.bound
        free = np.flatnonzero(~node.forced & (penalty <= slack))
        # Of equal vehicles, those that dominance flips first come first.
        order = np.lexsort((np.where(task.base[free], -node.member[free], node.member[free]), penalty[free]))
        task.free = free[order][:_FREE_MAX]
        task.stronger = dominates(self._pricing.cells, node.member[task.free])
        task.flips, task.complete = list_flips(
            penalty[task.free], task.base[task.free], task.stronger, slack, _FLIPS_MAX
        )
        task.complete &= len(free) <= _FREE_MAX

    def _evaluate(self, tasks: list[_Trial]) -> None:
        """Evaluate the flips of all nodes, cheapest first, as long as they may give a better set."""
        chunk = _FIRST_CHUNK
        while tasks:
            members, cells, size = [], [], 0
            for task in tasks:
                slack = self._best.value[task.node.cell] - task.bound
                end = task.num_done
                while end < min(task.num_done + chunk, len(task.flips)) and size < _MEMBER_MAX:
                    total, flipped = task.flips[end]
                    if total > slack:
                        task.flips = task.flips[:end]
                        break
                    offloads = task.base.copy()
                    offloads[task.free[flipped]] ^= True
                    members.append(task.node.member[offloads])
                    cells.append(task.node.cell)
                    size += len(members[-1])
                    end += 1
                task.num_done = end
            self._try(members, cells)
            tasks = [task for task in tasks if task.num_done < len(task.flips)]
            chunk *= 2

    def _split(self, task: _Trial) -> list[CellNode]:
        """Branch on the vehicle that prices leave most undecided, and decide the vehicles that dominance ties to it."""
        node, free = task.node, task.free
        with_it, without = node.forced.copy(), np.ones(len(node.member), dtype=np.bool_)
        with_it[free[0]] = True
        with_it[free[task.stronger[:, 0]]] = True
        without[free[0]] = False
        without[free[task.stronger[0]]] = False
        return [
            CellNode(node.cell, node.member, with_it, node.bound),
            CellNode(node.cell, node.member[without], node.forced[without], node.bound),
        ]
