"""One task of the oracle, and how long its stages take; times are ticks (`physical.plane.ticks`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
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
    """A task with its inputs, the network's verdict on it, and the time of every stage that has taken place.

    local_work, edge_work : the whole task in cycles of its vehicle, and of the server of its slot's serving node
    local_need : ticks that its local part takes, once it has the vehicle's clock at `local_begin`
    transmit_j, edge_j : what its upload and its edge part have used so far
    """

    slot: int
    vehicle: int
    task_class: int
    size_bytes: float
    local_work: float
    edge_work: float
    uplink_latency: int
    uplink_lost: bool
    result_latency: int
    result_lost: bool
    offloading_ratio: float | None = None
    local_hz: float | None = None
    local_cycles: float = 0.0
    local_need: int = 0
    local_begin: int | None = None
    edge_cycles: float = 0.0
    start: int | None = None
    local_end: int | None = None
    upload_begin: int | None = None
    upload_end: int | None = None
    arrive: int | None = None
    serve: int | None = None
    served: int | None = None
    done: int | None = None
    outcome: str = "in flight"
    transmit_j: float = 0.0
    edge_j: float = 0.0

    @property
    def row(self) -> tuple[int, int, int]:
        """What orders tasks that reach the server at the same instant."""
        return self.slot, self.vehicle, self.task_class

    def local_j(self, kappa: float, end: int) -> float:
        """Return what its local part has used by `end`."""
        if self.local_begin is None or self.local_hz is None:
            return 0.0
        part = min((end - self.local_begin) / self.local_need, 1.0) if self.local_need else 1.0
        return kappa * self.local_hz**2 * self.local_cycles * part


@dataclass(frozen=True)
class Orders:
    """What a command tells one vehicle.

    ratio : [K]
    node : the serving node on whose spectrum the bandwidth rests
    """

    ratio: NDArray[np.float64]
    local_hz: float
    power_w: float
    bandwidth_hz: float
    node: int


def execution_ticks(cycles: float, frequency_hz: float) -> int:
    """Return how long `cycles` take at `frequency_hz`; NEVER without a CPU."""
    return int(ticks_from_s(computing.execution_delay_s(np.array([cycles]), np.array([frequency_hz])))[0])


def upload_ticks(bytes_: float, rate_bps: float) -> int:
    """Return how long `bytes_` take on an uplink."""
    return int(ticks_from_s(rate.upload_delay_s(np.array([bytes_]), np.array([rate_bps])))[0])
