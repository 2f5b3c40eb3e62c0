"""The event clock: SimPy's environment counting integer nanoseconds, with an explicit order of simultaneous events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from simpy.core import Environment
from simpy.events import Event, ProcessGenerator
from simpy.rt import RealtimeEnvironment

from physical.errors import InputError
from physical.phase import Phase
from physical.ticks import TICK_BITS

_SLIP_S = 1e-3


@dataclass
class Pace:
    """How well a paced run keeps up with the wall clock.

    num_slip : slots that began more than a millisecond late
    slip_s_max : s, the latest
    """

    num_slip: int = 0
    slip_s_max: float = 0.0

    def note(self, late_s: float) -> None:
        """Take note of how late a slot begins."""
        if late_s > _SLIP_S:
            self.num_slip += 1
            self.slip_s_max = max(self.slip_s_max, late_s)


class Clock:
    """Schedules events at absolute times; `Phase` orders those of the same instant.

    This is the only place that touches what SimPy keeps to itself.

    speed : simulated seconds per second of wall time, at most; None: as fast as possible

    Raises
    ------
    InputError : a speed that is no positive number
    """

    _UNITS_PER_NS = 1

    def __init__(self, speed: float | None = None) -> None:
        if speed is not None and not 0 < speed < math.inf:
            raise InputError(f"{speed:g} is no speed", where="run", key="speed", accepted="> 0; 1 is real time")
        factor = 0.0 if speed is None else 1e-9 / speed / self._UNITS_PER_NS
        self._realtime = None if speed is None else RealtimeEnvironment(0, factor=factor, strict=False)
        self.env = Environment(initial_time=0) if self._realtime is None else self._realtime

    def begin(self, processes: Iterable[ProcessGenerator]) -> None:
        """Start processes; their order must not matter."""
        for process in processes:
            self.env.process(process)

    def start(self) -> None:
        """Let the wall clock begin now."""
        if self._realtime is not None:
            self._realtime.sync()

    def late_s(self) -> float:
        """Return by how much the wall clock is ahead of the simulated one, s; 0 without pacing."""
        paced = self._realtime
        return 0.0 if paced is None else time.monotonic() - paced.real_start - self.env.now * paced.factor

    @property
    def now(self) -> int:
        """Current time, ns."""
        return self.env._now  # type: ignore[return-value]  # the public property costs a call; times are ints here

    def at(self, time_ns: int, phase: Phase, value: object = None) -> Event:
        """Return an event of `time_ns`, ordered by `phase` among those of the same instant."""
        event = Event(self.env)
        self.trigger(event, time_ns, phase, value)
        return event

    def call_at(self, time_ns: int, phase: Phase, function: Callable[[], None]) -> None:
        """Call `function` at `time_ns`, ordered by `phase` among the events of the same instant."""
        event = Event(self.env)
        event.callbacks = [lambda _: function()]
        self.trigger(event, time_ns, phase)

    def trigger(self, event: Event, time_ns: int, phase: Phase, value: object = None) -> None:
        """Let an event that somebody already waits for happen at `time_ns`."""
        event._ok = True
        event._value = value
        # SimPy types the priority as its own two values; any integer orders.
        self.env.schedule(event, phase, time_ns - self.now)  # type: ignore[arg-type]  # any integer orders


class TickClock(Clock):
    """The same for entities: SimPy's environment counts ticks, which are fractions of a nanosecond."""

    _UNITS_PER_NS = 1 << TICK_BITS

    @property
    def now(self) -> int:
        """Current time, ns; what happens at a fraction of one counts as earlier."""
        return self.ticks >> TICK_BITS

    @property
    def ticks(self) -> int:
        """Current time, ticks."""
        return self.env._now  # type: ignore[return-value]  # as in `Clock.now`

    def trigger(self, event: Event, time_ns: int, phase: Phase, value: object = None) -> None:
        """Let an event that somebody already waits for happen at `time_ns`."""
        event._ok, event._value = True, value
        delay = (time_ns << TICK_BITS) - self.ticks
        self.env.schedule(event, phase, delay)  # type: ignore[arg-type]  # as in `Clock.trigger`

    def at_ticks(self, ticks: int, phase: Phase) -> Event:
        """Return an event of `ticks`, ordered by `phase` among those of the same instant."""
        env = self.env
        event = Event(env)
        event._ok, event._value = True, None
        env.schedule(event, phase, ticks - env._now)  # type: ignore[arg-type]  # as in `Clock.trigger`
        return event

    def call_at_ticks(self, ticks: int, phase: Phase, function: Callable[[], None]) -> None:
        """Call `function` at `ticks`, ordered by `phase` among the events of the same instant."""
        self.at_ticks(ticks, phase).callbacks = [lambda _: function()]
