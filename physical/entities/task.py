"""A task: what it is, what the network will do to it, what was decided, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from simpy.events import Process

from physical.entities.service import Request, Row
from physical.model import computing
from physical.task_rows import Outcome


class Travel(NamedTuple):
    """What becomes of a task's data on a link: how long they take, ticks, and whether they are lost."""

    latency: int
    lost: bool


@dataclass(slots=True, eq=False)
class Task:
    """One task of a vehicle; times are ticks, None before.

    local_work, edge_work : the whole task in cycles of its vehicle, and of the server of its slot's serving node
    upload, result : what the network will do to its data
    offloading_ratio, local_hz : what was decided; None while it is held
    local_cycles, upload_bytes, edge_cycles : its parts, once that is decided
    charged_j : J, what eq. 4 of 'llm6g' charges its upload, in mode "paper"
    computing, sending, service : its requests at the CPU, at the uplink and at a server, once they know of it
    is_remote : whether its data are on their way to a server or there
    life : its process, once it has started
    """

    slot: int
    vehicle: int
    task_class: int
    size_bytes: float
    local_work: float
    edge_work: float
    upload: Travel
    result: Travel
    offloading_ratio: float | None = None
    local_hz: float | None = None
    local_cycles: float = 0.0
    upload_bytes: float = 0.0
    edge_cycles: float = 0.0
    charged_j: float = 0.0
    computing: Request | None = None
    sending: Request | None = None
    service: Request | None = None
    is_remote: bool = False
    life: Process | None = None
    started: int | None = None
    arrived: int | None = None
    done: int | None = None
    outcome: Outcome = Outcome.IN_FLIGHT

    def cut(self, offloading_ratio: float, local_hz: float, upload_bytes: float) -> None:
        """Take note of a decision, which cuts it in a local part, an upload and a part for the server."""
        self.offloading_ratio, self.local_hz = offloading_ratio, local_hz
        self.local_cycles = computing.local_part(self.local_work, offloading_ratio)
        self.upload_bytes = upload_bytes
        self.edge_cycles = computing.edge_part(self.edge_work, offloading_ratio)

    @property
    def row(self) -> Row:
        """What orders tasks that come at the same instant."""
        return self.slot, self.vehicle, self.task_class

    @property
    def local_end(self) -> int | None:
        """When its local part ended: at once, if there is none."""
        return self.started if self.computing is None else self.computing.ended

    @property
    def local_left_s(self) -> float:
        """CPU time that its local part still takes, or had left when it was cut short, s."""
        request = self.computing
        if request is None or request.ended is not None:
            return 0.0
        return request.work if request.resource is None else request.left()

    @property
    def cycles_left(self) -> float:
        """Local work that is still to do, cycles."""
        return 0.0 if self.computing is None else self.computing.left() * (self.local_hz or 0.0)

    @property
    def upload_left_bytes(self) -> float:
        """What its upload has still to send, bytes."""
        return 0.0 if self.sending is None else self.sending.left()

    @property
    def is_in_service(self) -> bool:
        """Whether a server works on it."""
        return self.service is not None and self.service.begun is not None


def cut_short(tasks: Iterable[Task], now: int, outcome: Outcome) -> None:
    """End tasks before their time; nobody goes on with them.

    Those that wait go first: no server begins with one that is about to go, too.
    """
    for task in sorted(tasks, key=lambda task: task.is_in_service):
        for request in (task.computing, task.sending, task.service):
            if request is not None:
                request.withdraw()
        if task.life is not None:
            task.life.interrupt()
        task.done, task.outcome, task.is_remote = now, outcome, False
