"""The links of a scenario, and the names of the nodes that they join."""

from __future__ import annotations

from collections.abc import Sequence

from physical.delay import ConstantDelay, Delay
from physical.params import Params
from physical.quantity import Probability, Seconds
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
