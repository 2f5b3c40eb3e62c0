"""One task of the oracle, and how long its stages take; times are ticks (`physical.plane.ticks`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from simpy.core import Environment
from simpy.events import Event

from physical.model import computing, rate
from physical.plane.ticks import ticks_from_s


class Clock:
    """SimPy's environment counting ticks; `priority` orders the events of one instant, smallest first."""

    def __init__(self) -> None:
        self.env = Environment(initial_time=0)

    @property
    def now(self) -> int:
        """Present time, ticks."""
        return int(self.env.now)

    def at(self, time: int, priority: float) -> Event:
        """Return an event that will happen at `time`."""
        event = Event(self.env)
        event._ok = True
        event._value = None
        self.env.schedule(event, priority, time - self.now)  # type: ignore[arg-type]  # SimPy names two; any number orders
        return event


@dataclass
class Task:
    """A task with its inputs, the network's verdict on it, and the time of every stage that has taken place."""

    slot: int
    vehicle: int
    task_class: int
    size_bytes: float
    uplink_latency: int
    uplink_lost: bool
    result_latency: int
    result_lost: bool
    offloading_ratio: float | None = None
    edge_cycles: float = 0.0
    start: int | None = None
    local_end: int | None = None
    upload_end: int | None = None
    arrive: int | None = None
    serve: int | None = None
    served: int | None = None
    done: int | None = None
    outcome: str = "in flight"

    @property
    def row(self) -> tuple[int, int, int]:
        """What orders tasks that reach the server at the same instant."""
        return self.slot, self.vehicle, self.task_class


def execution_ticks(cycles: float, frequency_hz: float) -> int:
    """Return how long `cycles` take at `frequency_hz`; NEVER without a CPU."""
    return int(ticks_from_s(computing.execution_delay_s(np.array([cycles]), np.array([frequency_hz])))[0])


def upload_ticks(bytes_: float, rate_bps: float) -> int:
    """Return how long `bytes_` take on an uplink."""
    return int(ticks_from_s(rate.upload_delay_s(np.array([bytes_]), np.array([rate_bps])))[0])
