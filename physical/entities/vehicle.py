"""A vehicle: it holds tasks until a command comes or its patience ends, and then leads each through its life."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from simpy.events import Event
from simpy.exceptions import Interrupt

from physical.arrays import Floats
from physical.closed_form import split
from physical.entities.agenda import Agenda
from physical.entities.server import EdgeQueues
from physical.entities.service import Door, Request, make_cpu, make_uplink
from physical.entities.station import Station
from physical.entities.task import Task
from physical.model import computing, energy
from physical.params_base import MissingCommand
from physical.phase import Phase
from physical.slots import Slots
from physical.states import NO_NODE
from physical.sums import added
from physical.system import System
from physical.task_rows import Outcome


class Orders(NamedTuple):
    """What a command tells one vehicle.

    ratio : [K], offloading ratios
    local_hz, power_w, bandwidth_hz : how to use its hardware
    node : the serving node on whose spectrum the bandwidth rests
    """

    ratio: Floats
    local_hz: float
    power_w: float
    bandwidth_hz: float
    node: int


@dataclass(frozen=True)
class Manners:
    """How vehicles behave.

    patience : ticks that one waits for the command of a slot
    missing : what it does then: "previous" (command), "local" or "wait"
    report_interval : slots from one report to the next
    """

    patience: int
    missing: MissingCommand
    report_interval: int


class Vehicle:
    """One vehicle: a CPU and a radio.

    Parameters
    ----------
    index : its number
    agenda, slots : the clock, and the events that begin a slot
    system : static description
    manners : how it behaves
    edge : the queues of servers
    end : called with each task that ends and is not cut short

    Attributes
    ----------
    node : serving node; `NO_NODE` without one, `AWAY` outside the scene
    station : that node's, or None
    rate_bps : of its uplink
    granted_hz : bandwidth that it was told to use, where that is decided
    """

    def __init__(
        self,
        index: int,
        agenda: Agenda,
        slots: Slots,
        system: System,
        manners: Manners,
        edge: EdgeQueues,
        end: Callable[[Task], None],
    ) -> None:
        self.index = index
        self.node = 0  # until the first slot begins
        self.station: Station | None = None
        self.rate_bps = 0.0
        self.granted_hz = 0.0
        self.cpu = make_cpu(agenda, system.cpu)
        self.uplink = make_uplink(agenda, system.uplink, joint=system.joint)
        self._door = None if system.uplink == "each" and not system.joint else Door(agenda, Phase.UPLINK_ENTRY)
        self._agenda = agenda
        self._slots = slots
        self._system = system
        self._manners = manners
        self._edge = edge
        self._end = end
        self._own_hz = float(system.cpu_hz[index])
        self._charges_at_start = system.spectrum is not None and system.spectrum.held_by_all
        self._in_sequence = system.model.order == "sequential"
        self._held: dict[int, list[Task]] = {}
        self._tasks: list[Task] = []  # in the order of their rows
        self._command_slot = -1
        nothing = np.zeros(system.num_class)
        self._orders = Orders(nothing, self._own_hz, float(system.transmit_power_w[index]), 0.0, NO_NODE)

    @property
    def power_w(self) -> float:
        """Transmit power in force."""
        return self._orders.power_w

    @property
    def cpu_backlog_cycles(self) -> float:
        """Local work that waits or runs, cycles."""
        return added(task.cycles_left for task in self._tasks)

    @property
    def uplink_backlog_bytes(self) -> float:
        """What waits to be sent or is being sent, bytes."""
        return added(task.upload_left_bytes for task in self._tasks)

    @property
    def unfinished(self) -> list[Task]:
        """Its tasks that have not ended."""
        return [task for task in self._tasks if task.done is None]

    def run(self) -> Generator[Event, int, None]:
        """Report every few slots to the station, if there is one in reach."""
        while True:
            slot = yield self._slots.report
            if slot % self._manners.report_interval == 0 and self.station is not None:
                self.station.hear(self.index)

    def attach(self, node: int, station: Station | None) -> None:
        """Go to another node, with no share of its spectrum yet, or to none."""
        self.node, self.station = node, station
        self.granted_hz = 0.0

    def hold(self, slot: int, tasks: list[Task]) -> None:
        """Hold the tasks of a new slot until a command comes, or until patience ends."""
        self._tasks = self.unfinished + tasks
        if not tasks:
            return
        self._held[slot] = tasks
        if self._manners.missing != "wait":
            ends = self._agenda.ticks + self._manners.patience
            self._agenda.call_at_ticks(ends, Phase.PATIENCE, partial(self._lose_patience, slot))

    def let_go(self) -> list[Task]:
        """Forget the tasks that are held, and return all that have not ended."""
        self._held.clear()
        return self.unfinished

    def obey(self, slot: int, orders: Orders) -> bool:
        """Follow a command unless a newer one is in force: it starts what is held of its own and of earlier slots.

        Return whether it does.
        """
        if slot <= self._command_slot:
            return False
        self._command_slot, self._orders = slot, orders
        self.granted_hz = orders.bandwidth_hz if orders.node == self.node else 0.0
        for held in [held for held in self._held if held <= slot]:
            self._start(self._held.pop(held), orders)
        return True

    def _lose_patience(self, slot: int) -> None:
        tasks, orders = self._held.pop(slot, None), self._orders
        if tasks is None:
            return
        if self._manners.missing == "local":
            orders = orders._replace(ratio=np.zeros_like(orders.ratio), local_hz=self._own_hz)
        self._start(tasks, orders)

    def _start(self, tasks: Sequence[Task], orders: Orders) -> None:
        """Cut tasks in their parts as ordered, and let each live."""
        if self._charges_at_start:  # at the rate that the commands of this instant give
            self._agenda.call_at_ticks(self._agenda.ticks, Phase.CHARGE, partial(self._charge, tasks))
        ratios = orders.ratio.tolist()
        for task in tasks:
            ratio = ratios[task.task_class]
            upload_bytes = self._system.upload_bytes(task.size_bytes, ratio, task.task_class)
            task.cut(ratio, orders.local_hz, float(upload_bytes))
            task.started = self._agenda.ticks
            task.life = self._agenda.env.process(self._lead(task))

    def _charge(self, tasks: Sequence[Task]) -> None:
        """Charge uploads as eq. 4 of 'llm6g' has it, in mode "paper": tokens for bits, whatever is sent."""
        for task in tasks:
            num_token = np.array([task.size_bytes / self._system.bytes_per_token[task.task_class]])
            charged_s = split.literal_upload_s(num_token, np.array([self.rate_bps]))
            task.charged_j = float(energy.transmit_energy_j(self.power_w, charged_s)[0])

    def _lead(self, task: Task) -> Generator[Event, None, None]:
        """Lead a task through its life, unless it is cut short."""
        try:
            task.outcome = yield from self.live(task)
        except Interrupt:
            return  # see `cut_short`
        task.done = self._agenda.ticks
        self._end(task)

    def live(self, task: Task) -> Generator[Event, None, Outcome]:
        """Local work -> uplink -> edge queue -> edge work -> result; return how it ends."""
        local_part = self._compute(task)
        if self._in_sequence and local_part is not None:
            yield local_part
        outcome = Outcome.COMPLETED
        if task.upload_bytes > 0.0:
            outcome = yield from self._live_elsewhere(task)
            task.is_remote = False
        if local_part is not None:
            yield local_part  # in parallel: a task ends when both its parts have
        return outcome

    def _live_elsewhere(self, task: Task) -> Generator[Event, None, Outcome]:
        """Uplink -> edge queue -> edge work -> result."""
        yield from self._send(task)
        if task.upload.latency:
            yield self._later(task.upload.latency, Phase.UPLOAD_DONE)
        if task.edge_cycles > 0.0 and task.upload.lost:
            return Outcome.DROPPED_UPLINK
        task.arrived = self._agenda.ticks
        if task.edge_cycles == 0.0:  # a purely local task whose upload eq. 9 charges all the same
            return Outcome.COMPLETED
        yield from self._edge.serve(task)
        task.is_remote = False
        if task.result.latency:
            yield self._later(task.result.latency, Phase.SERVICE_DONE)
        return Outcome.DROPPED_RESULT if task.result.lost else Outcome.COMPLETED

    def _compute(self, task: Task) -> Event | None:
        """Begin the local part, and return the event of its end; a task without one does not wait for the CPU."""
        if task.local_cycles == 0.0:
            return None
        work_s = computing.execution_delay_s(task.local_cycles, task.local_hz)
        task.computing = Request(self._agenda, float(work_s))
        self.cpu.admit(task.computing)
        return task.computing.finished

    def _send(self, task: Task) -> Generator[Event, None, None]:
        if self._door is not None:
            yield self._door.come(task.row)
        task.is_remote = True
        task.sending = Request(self._agenda, task.upload_bytes)
        self.uplink.admit(task.sending)
        yield task.sending.finished

    def _later(self, ticks: int, phase: Phase) -> Event:
        return self._agenda.at_ticks(self._agenda.ticks + ticks, phase)
