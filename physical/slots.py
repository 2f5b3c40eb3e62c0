"""The events that begin a slot, one for each phase in which somebody acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from simpy.core import Environment
from simpy.events import Event

from physical.phase import Phase


class EventClock(Protocol):
    """What processes need of the clock, which counts integer nanoseconds."""

    @property
    def now(self) -> int:
        """Current time, ns."""

    @property
    def env(self) -> Environment:
        """SimPy's environment."""

    def at(self, time_ns: int, phase: Phase, value: object = None) -> Event:
        """Return an event of `time_ns`, ordered by `phase` among those of the same instant."""

    def call_at(self, time_ns: int, phase: Phase, function: Callable[[], None]) -> None:
        """Call `function` at `time_ns`, ordered by `phase` among the events of the same instant."""

    def trigger(self, event: Event, time_ns: int, phase: Phase, value: object = None) -> None:
        """Let an event that somebody already waits for happen at `time_ns`."""


class Slots:
    """Shared events of the next slot; the value of each is the slot's index.

    tick : the world moves, fades and makes tasks
    report : vehicles report
    relay : stations and edge servers send what they know
    """

    def __init__(self, clock: EventClock, slot_duration_ns: int) -> None:
        self.slot_duration_ns = slot_duration_ns
        self._clock = clock
        self.schedule(0)

    def schedule(self, slot: int) -> None:
        """Make `slot` the next one; called as soon as the one before has begun."""
        begin_ns = slot * self.slot_duration_ns
        self.tick = self._clock.at(begin_ns, Phase.TICK, slot)
        self.report = self._clock.at(begin_ns, Phase.REPORT, slot)
        self.relay = self._clock.at(begin_ns, Phase.RELAY, slot)
