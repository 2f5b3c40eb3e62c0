"""A roadside unit: a serving node of smaller reach, with a server and a bandwidth pool of its own."""

from __future__ import annotations

from collections.abc import Callable

from physical.columns.edge_server import EdgeServer
from physical.columns.fleet import Fleet, VehicleStates
from physical.entities.base_station import BaseStation
from physical.entities.slots import Slots


class RoadsideUnit(BaseStation):
    """One RSU; see `BaseStation` for what it relays.

    Parameters
    ----------
    name : as the scenario has it
    server : serves the vehicles that are attached here
    """

    def __init__(
        self,
        name: str,
        server: EdgeServer,
        slots: Slots,
        fleet: Fleet,
        relay: Callable[[int, int, list[int], VehicleStates], None],
    ) -> None:
        super().__init__(server.node, slots, fleet, relay)
        self.name = name
        self.server = server
        self._fleet = fleet

    def bandwidth_in_use_hz(self) -> float:
        """Return the part of the pool that the attached vehicles hold at present, Hz."""
        plane = self._fleet.plane
        return float(plane.radio.bandwidth_hz[plane.serving_node == self.node].sum())
