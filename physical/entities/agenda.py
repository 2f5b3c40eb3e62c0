"""What entities need of the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from simpy.core import Environment
from simpy.events import Event

from physical.phase import Phase


class Agenda(Protocol):
    """A SimPy environment that counts ticks, with an order for what happens at one instant."""

    @property
    def env(self) -> Environment:
        """SimPy's environment."""

    @property
    def ticks(self) -> int:
        """The present."""

    def at_ticks(self, ticks: int, phase: Phase) -> Event:
        """Return an event that will happen at `ticks`, among others of that instant in the order of phases."""

    def call_at_ticks(self, ticks: int, phase: Phase, function: Callable[[], None]) -> None:
        """Call a function then."""
