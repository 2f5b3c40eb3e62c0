"""Links: what is sent to somebody arrives later, or never."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from physical.entities.agenda import Agenda
from physical.phase import Phase
from physical.ticks import NEVER

Message = TypeVar("Message")


class MessageLink(Generic[Message]):
    """A way to a receiver, on which messages take time.

    Parameters
    ----------
    agenda : the clock
    phase : in which messages of this kind arrive, among what happens at the same instant
    receive : called with each message that arrives
    """

    def __init__(self, agenda: Agenda, phase: Phase, receive: Callable[[Message], None]) -> None:
        self._agenda = agenda
        self._phase = phase
        self._receive = receive

    def carry(self, message: Message, arrival: int) -> None:
        """Let a message arrive at ticks `arrival`; NEVER for one that is lost on the way."""
        if arrival < NEVER:
            self._agenda.call_at_ticks(arrival, self._phase, partial(self._receive, message))
