"""A vehicle: once per slot it reports its state; its tasks follow the commands that reach it."""

from __future__ import annotations

from collections.abc import Generator

from simpy.events import Event

from physical.columns.fleet import Fleet
from physical.entities.slots import Slots


class Vehicle:
    """One vehicle.

    Parameters
    ----------
    index : position among the vehicles
    fleet : what it shares with the others
    slots : the events that begin a slot
    report_interval : slots from one state report to the next
    """

    def __init__(self, index: int, fleet: Fleet, slots: Slots, report_interval: int) -> None:
        self.index = index
        self._fleet = fleet
        self._slots = slots
        self._report_interval = report_interval

    def run(self) -> Generator[Event, int, None]:
        """Report to the twin every `report_interval` slots."""
        slots, report = self._slots, self._fleet.report
        while True:
            slot = yield slots.report
            if slot % self._report_interval == 0:
                report(self.index)
