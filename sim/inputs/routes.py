"""Links over a graph: latency, jitter and loss of messages and of task data."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.delay import ConstantDelay
from physical.ticks import HORIZON_S, NS_PER_S, to_ns
from sim.scenario.links import BASE_STATION, CLOUD, EDGE_SERVER, VEHICLE, Link, NetworkParams
from twin.messages import LOST_NS

Graph = Mapping[str, Mapping[str, Link]]
"""Node -> neighbour -> the link between them."""


def build_graph(params: NetworkParams) -> Graph:
    """Return the graph whose edges carry the links."""
    edges = (
        (VEHICLE, BASE_STATION, params.access),
        (BASE_STATION, CLOUD, params.backhaul),
        (BASE_STATION, EDGE_SERVER, params.lan),
    )
    graph: dict[str, dict[str, Link]] = {}
    for one, other, link in edges:
        graph.setdefault(one, {})[other] = link
        graph.setdefault(other, {})[one] = link
    return graph


def _path(graph: Graph, source: str, target: str) -> list[Link]:
    """Return the links from one node to another, with the fewest hops."""
    way: dict[str, list[Link]] = {source: []}
    nodes = deque([source])
    while target not in way:
        node = nodes.popleft()
        for neighbour, link in graph[node].items():
            if neighbour not in way:
                way[neighbour] = [*way[node], link]
                nodes.append(neighbour)
    return way[target]


@dataclass(frozen=True)
class Passage:
    """What happens to messages on their way.

    latency_ns : [...], or one for all where nothing is random
    lost : [...], or None where nothing is lost
    """

    latency_ns: Ints | int
    lost: Mask | None

    def delivered_ns(self, sent_ns: int, index: Any = ...) -> Ints | int:
        """Return when messages sent at `sent_ns` are delivered, LOST_NS for lost ones; `index` selects some of them."""
        if isinstance(self.latency_ns, int):
            if self.lost is None:
                return sent_ns + self.latency_ns
            return np.where(self.lost[index], LOST_NS, sent_ns + self.latency_ns)
        delivered: Ints = sent_ns + self.latency_ns[index]
        return delivered if self.lost is None else np.where(self.lost[index], LOST_NS, delivered)


class Route:
    """The links between two nodes as one: hop latencies add up, and a message that one hop loses is lost."""

    def __init__(self, graph: Graph, source: str, target: str) -> None:
        self.links = _path(graph, source, target)
        self.num_draw = sum(
            (not isinstance(link.latency_s, ConstantDelay)) + (link.jitter_s > 0) + (link.loss > 0)
            for link in self.links
        )

    def passage(self, uniform: Floats | None) -> Passage:
        """Turn uniform numbers [..., num_draw] into what happens to messages [...]."""
        if uniform is None:
            total_s = sum(link.latency_s.quantile(0.5).item() for link in self.links)
            return Passage(to_ns(min(total_s, HORIZON_S)), None)
        draw = iter(np.moveaxis(uniform, -1, 0))
        latency_s = np.zeros(uniform.shape[:-1])
        lost: Mask | None = None
        is_random = False
        for link in self.links:
            constant = isinstance(link.latency_s, ConstantDelay)
            is_random |= not constant or link.jitter_s > 0
            latency_s = latency_s + (link.latency_s.quantile(0.5) if constant else link.latency_s.quantile(next(draw)))
            if link.jitter_s > 0:
                latency_s = latency_s + link.jitter_s * next(draw)
            if link.loss > 0:
                hop_lost = next(draw) < link.loss
                lost = hop_lost if lost is None else lost | hop_lost
        latency_ns = np.rint(np.minimum(latency_s * NS_PER_S, float(LOST_NS))).astype(np.int64)
        return Passage(latency_ns if is_random else int(latency_ns.flat[0]), lost)
