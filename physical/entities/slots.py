"""The events that begin a slot, one for each phase in which somebody acts."""

from __future__ import annotations

from typing import Protocol

from simpy.events import Event

from physical.phase import Phase


class Clock(Protocol):
    """What entities need of the event clock, which counts integer nanoseconds."""

    @property
    def now(self) -> int:
        """Current time, ns."""

    def at(self, time_ns: int, phase: Phase, value: object = None) -> Event:
        """Return an event of `time_ns`, ordered by `phase` among those of the same instant."""


class Slots:
    """Shared events of the next slot; the value of each is the slot's index.

    tick : the world moves, fades and makes tasks
    report : vehicles report
    relay : base station and edge server pass on what they know
    """

    def __init__(self, clock: Clock, slot_duration_ns: int) -> None:
        self.slot_duration_ns = slot_duration_ns
        self._clock = clock
        self.schedule(0)

    def schedule(self, slot: int) -> None:
        """Make `slot` the next one; called by the world as soon as the one before has begun."""
        begin_ns = slot * self.slot_duration_ns
        self.tick = self._clock.at(begin_ns, Phase.TICK, slot)
        self.report = self._clock.at(begin_ns, Phase.REPORT, slot)
        self.relay = self._clock.at(begin_ns, Phase.RELAY, slot)
