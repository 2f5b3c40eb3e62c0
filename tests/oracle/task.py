"""One task of the oracle, and how long its stages take; times are ticks (`physical.ticks`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from simpy.core import Environment
from simpy.events import Event

from physical.model import computing
from physical.ticks import ticks_from_s

if TYPE_CHECKING:
    from tests.oracle.resource import Job


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
    computing, upload, service : what the CPU, the uplink and the server have to do for it, once they know of it
    charged_j : what eq. 4 of 'llm6g' charges its upload, in mode "paper"
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
    edge_cycles: float = 0.0
    computing: Job | None = None
    upload: Job | None = None
    service: Job | None = None
    charged_j: float = 0.0
    start: int | None = None
    local_end: int | None = None
    upload_end: int | None = None
    arrive: int | None = None
    served: int | None = None
    done: int | None = None
    outcome: str = "in flight"

    @property
    def row(self) -> tuple[int, int, int]:
        """What orders tasks that reach a resource at the same instant."""
        return self.slot, self.vehicle, self.task_class

    @property
    def local_begin(self) -> int | None:
        """When the CPU began with it."""
        return self.start if self.computing is None else self.computing.begun

    @property
    def upload_begin(self) -> int | None:
        """When its upload began."""
        return None if self.upload is None else self.upload.begun

    @property
    def serve(self) -> int | None:
        """When a server began with it."""
        return None if self.service is None else self.service.begun

    @property
    def transmit_j(self) -> float:
        """What its upload has used so far."""
        return self.charged_j + (0.0 if self.upload is None else self.upload.joules)


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


def execution_ticks(work: float, rate: float) -> int:
    """Return how long `work` takes at `rate`, work per second; NEVER at none."""
    return int(ticks_from_s(computing.execution_delay_s(np.array([work]), np.array([rate])))[0])
