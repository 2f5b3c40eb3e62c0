"""Links over a graph: latency, jitter and loss of messages and of task data."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.delay import ConstantDelay, Delay
from physical.params import Params
from physical.quantity import Probability, Seconds
from physical.ticks import HORIZON_S, NS_PER_S, to_ns
from twin.messages import LOST_NS

if TYPE_CHECKING:
    from sim.scenario.timeline import LinkChange


VEHICLE, BASE_STATION, EDGE_SERVER, CLOUD = "vehicle", "base-station", "edge-server", "cloud"


class Link(Params):
    """One link, both directions.

    **Source** our choice

    latency_s : time that a message takes on the link: constant, or a distribution drawn for each message
    jitter_s : added to the latency of each message, uniform between 0 and this
    loss : probability that a message is lost on the link
    """

    latency_s: Delay = ConstantDelay()
    jitter_s: Seconds = 0.0
    loss: Probability = 0.0


class NetworkParams(Params):
    """The links of the scenario; an ideal network (no latency, no loss) is the default, as in the papers.

    access : vehicle - base station or RSU: reports, commands, uploads (on top of size / rate) and results
    backhaul : base station or RSU - cloud: reports and commands
    lan : base station or RSU - its edge server: uploads, results, reports and commands of the server
    """

    access: Link = Link()
    backhaul: Link = Link()
    lan: Link = Link()

    def changed(self, changes: Sequence[LinkChange]) -> NetworkParams:
        """Return the links after some changes, in order."""
        links = {name: getattr(self, name) for name in NetworkParams.model_fields}
        for change in changes:
            told = {key: getattr(change, key) for key in Link.model_fields if getattr(change, key) is not None}
            links[change.link] = links[change.link].model_copy(update=told)
        return NetworkParams(**links)


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
    """The links between two nodes, seen as one: hop latencies add up, one loss loses the message."""

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
