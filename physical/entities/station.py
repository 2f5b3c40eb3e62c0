"""Stations: the base station and the RSUs, which pass on what vehicles report."""

from __future__ import annotations

from collections.abc import Callable, Generator

from simpy.events import Event

from physical.slots import Slots


class Station:
    """The station of a serving node.

    Parameters
    ----------
    slots : the events that begin a slot
    send : sends reports to the cloud; called in every slot with the vehicles of which it tells, ascending
    """

    def __init__(self, slots: Slots, send: Callable[[int, list[int]], None]) -> None:
        self._slots = slots
        self._send = send
        self._heard: list[int] = []

    def hear(self, vehicle: int) -> None:
        """Take a vehicle's report, or notice that it has gone out of reach of all stations."""
        self._heard.append(vehicle)

    def run(self) -> Generator[Event, int, None]:
        """Pass on what has been reported in each slot."""
        while True:
            slot = yield self._slots.relay
            heard, self._heard = sorted(self._heard), []
            self._send(slot, heard)
