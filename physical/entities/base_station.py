"""The base station: passes state reports and task data on, and measures the uplink channels."""

from __future__ import annotations

from collections.abc import Callable, Generator

from simpy.events import Event

from physical.columns.fleet import Fleet, VehicleStates
from physical.entities.slots import Slots


class BaseStation:
    """A serving node: what vehicles attach to.

    Parameters
    ----------
    node : index among the serving nodes
    slots : the events that begin a slot
    fleet : the vehicles
    relay : called once per slot with the node, the slot, the attached vehicles that have reported, and all states
    """

    def __init__(
        self, node: int, slots: Slots, fleet: Fleet, relay: Callable[[int, int, list[int], VehicleStates], None]
    ) -> None:
        self.node = node
        self._slots = slots
        self._fleet = fleet
        self._relay = relay

    def run(self) -> Generator[Event, int, None]:
        """Relay the reports of each slot."""
        while True:
            slot = yield self._slots.relay
            self._relay(self.node, slot, self._fleet.take_reporting(self.node), self._fleet.states)
