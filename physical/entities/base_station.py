"""The base station: passes state reports and task data on, and measures the uplink channels."""

from __future__ import annotations

from collections.abc import Callable, Generator

from simpy.events import Event

from physical.entities.slots import Slots
from physical.plane.fleet import Fleet, VehicleStates


class BaseStation:
    """One base station, the serving node of all vehicles.

    Parameters
    ----------
    slots : the events that begin a slot
    fleet : the vehicles
    relay : called once per slot with the vehicles that have reported and their states
    """

    def __init__(self, slots: Slots, fleet: Fleet, relay: Callable[[int, list[int], VehicleStates], None]) -> None:
        self._slots = slots
        self._fleet = fleet
        self._relay = relay

    def run(self) -> Generator[Event, int, None]:
        """Relay the reports of each slot."""
        while True:
            slot = yield self._slots.relay
            self._relay(slot, self._fleet.take_reporting(), self._fleet.states)
