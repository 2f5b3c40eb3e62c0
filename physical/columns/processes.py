"""The processes of the columns: one for all vehicles together, and one for each station.

Vehicles of the columns are rows of arrays. So one process reports for the whole fleet, where a simulator with one
object per vehicle would have one process for each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from simpy.events import Event

from physical.arrays import Ints
from physical.columns.fleet import Fleet
from physical.slots import Slots
from physical.states import VehicleStates

SendReports = Callable[[int, "Ints | None", VehicleStates], None]
"""Called with the slot, the vehicles [n] that have reported, ascending (None: all), and the states of all vehicles."""


class Relay:
    """A serving node: it sends the reports of its own vehicles to the cloud.

    Parameters
    ----------
    node : index among the serving nodes
    slots : the events that begin a slot
    fleet : the vehicles
    send : sends reports to the cloud; called in every slot, also when nobody has reported
    """

    def __init__(self, node: int, slots: Slots, fleet: Fleet, send: SendReports) -> None:
        self.node = node
        self._slots = slots
        self._fleet = fleet
        self._send = send
        self._has_heard = False

    def hear(self) -> None:
        """Receive the reports of the vehicles that are attached here."""
        self._has_heard = True

    def run(self) -> Generator[Event, int, None]:
        """Send what has been reported in each slot, and tell of the vehicles that this node has lost."""
        while True:
            slot = yield self._slots.relay
            vehicles = self._fleet.known_to(self.node, has_heard=self._has_heard)
            self._has_heard = False
            self._send(slot, vehicles, self._fleet.states)


class Reporting:
    """All vehicles: each reports its state to its station every `report_interval` slots.

    Parameters
    ----------
    slots : the events that begin a slot
    stations : all serving nodes
    report_interval : slots from one state report to the next
    """

    def __init__(self, slots: Slots, stations: Sequence[Relay], report_interval: int) -> None:
        self._slots = slots
        self._stations = stations
        self._report_interval = report_interval

    def run(self) -> Generator[Event, int, None]:
        """Report slot after slot."""
        while True:
            slot = yield self._slots.report
            if slot % self._report_interval == 0:
                for station in self._stations:
                    station.hear()
