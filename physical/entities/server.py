"""Edge servers: queues that work off one task after the other, at rates that may change at any time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

import numpy as np
from simpy.events import Event

from physical.arrays import Floats, Ints
from physical.entities.agenda import Agenda
from physical.entities.service import Door, InTurn, Request
from physical.entities.task import Task
from physical.model import computing, energy
from physical.phase import Phase
from physical.slots import Slots
from physical.sums import added
from physical.system import System
from physical.ticks import seconds

UNITS_PER_BYTE = float(1 << 20)
"""Bytes that wait are summed in whole units: their order does not matter, and sums return to zero."""


class EdgeQueues:
    """The queues of all servers.

    By `slices` every flow, a vehicle's tasks of one class, has its own, which goes with the vehicle from node to node;
    by `fifo` every class has one, at the only node.
    """

    def __init__(self, agenda: Agenda, system: System) -> None:
        self._agenda = agenda
        self._num_class = system.num_class
        self._cycles_per_byte = system.cycles_per_byte.tolist()
        self._work = system.work
        self._sliced = system.discipline == "slices"
        self._queues = [
            [InTurn(agenda, Phase.SERVICE_DONE) for _ in range(system.num_class)]
            for _ in range(system.num_vehicle if self._sliced else 1)
        ]
        self._left_behind: dict[tuple[int, int], tuple[int, InTurn]] = {}  # by flow: node and queue
        self._arrived_bytes: list[list[float]] = [[] for _ in range(system.num_class)]
        self._early, self._late = Door(agenda, Phase.QUEUE_ENTRY), Door(agenda, Phase.LATE_ENTRY)

    def serve(self, task: Task) -> Generator[Event, None, None]:
        """Queue a task that has arrived, and wait until it has been served."""
        offloaded = self._work.queued_bytes(task.size_bytes, task.offloading_ratio, task.edge_cycles)
        if isinstance(offloaded, np.ndarray):  # as each class would count it
            offloaded = offloaded[task.task_class]
        self._arrived_bytes[task.task_class].append(offloaded)
        door = self._late if task.started == self._agenda.ticks else self._early
        yield door.come(task.row)
        task.service = Request(self._agenda, task.edge_cycles)
        self._of(task.vehicle)[task.task_class].admit(task.service)
        yield task.service.finished

    def _of(self, vehicle: int) -> list[InTurn]:
        return self._queues[vehicle if self._sliced else 0]

    def take_arrived_bytes(self) -> Floats:
        """Return the bytes per class [K] that have arrived since the last call, added from the smallest on."""
        arrived, self._arrived_bytes = self._arrived_bytes, [[] for _ in range(self._num_class)]
        return np.array([added(sorted(sizes)) for sizes in arrived])

    def set_rates(self, vehicles: Iterable[int], rate_hz: Floats, watts: Floats) -> None:
        """Serve the flows of some vehicles, all that are at one node, at other rates and powers, [N, K]."""
        if not self._sliced:
            for queue, hz in zip(self._queues[0], rate_hz.sum(axis=0).tolist(), strict=True):
                queue.set_rate(hz)
            return
        rates, powers = rate_hz.tolist(), watts.tolist()
        for vehicle in vehicles:
            for queue, hz, power_w in zip(self._queues[vehicle], rates[vehicle], powers[vehicle], strict=True):
                queue.set_rate(hz, power_w)

    def stop(self, vehicle: int) -> None:
        """Let the work of a vehicle rest, where it has a rate of its own."""
        if self._sliced:
            for queue in self._queues[vehicle]:
                queue.set_rate(0.0)

    def leave_behind(self, vehicle: int, node: int) -> None:
        """Let the work of a vehicle stay at a node that it leaves, which goes on with it as before.

        What is left behind twice joins what is still there, at the rate and the node of the first time.
        """
        for task_class, queue in enumerate(self._queues[vehicle]):
            rate, watts = queue.rate, queue.watts
            requests = queue.take_all()
            if not requests:
                continue
            at, left = self._left_behind.get((vehicle, task_class), (node, InTurn(self._agenda, Phase.SERVICE_DONE)))
            if not left.queue:
                at = node
                left.set_rate(rate, watts)
            self._left_behind[vehicle, task_class] = at, left
            for request in requests:
                left.admit(request)

    def left_behind_hz(self, node: int) -> float:
        """Return how much of a node's server is taken by what has been left there, Hz."""
        busy = [queue.rate for _, (at, queue) in sorted(self._left_behind.items()) if at == node and queue.queue]
        return float(np.array(busy).sum())

    def backlog(self, vehicles: Iterable[int]) -> tuple[Floats, Floats | None]:
        """Return the work that waits or is in service: of the vehicles at one node, ascending, by `slices`.

        Of each class, [K], bytes, and of each flow, [N, K], cycles; None of the latter where nothing waits, and by
        `fifo`, whose queues do not tell flows apart.
        """
        if not self._sliced:
            cycles = [np.array([request.left() for request in queue.queue]).sum() for queue in self._queues[0]]
            return np.array(cycles) / np.array(self._cycles_per_byte), None
        flow_cycles = np.zeros((len(self._queues), self._num_class))
        in_service, units = [0.0] * self._num_class, [0] * self._num_class
        some = False
        for vehicle in vehicles:
            for task_class, queue in enumerate(self._queues[vehicle]):
                if queue.queue:
                    some, nominal = True, self._cycles_per_byte[task_class]
                    left = queue.queue[0].left()
                    waiting = sum(round(request.work / nominal * UNITS_PER_BYTE) for request in queue.queue[1:])
                    in_service[task_class] += left / nominal
                    units[task_class] += waiting
                    flow_cycles[vehicle, task_class] = left + waiting / UNITS_PER_BYTE * nominal
        class_bytes = np.array(in_service) + np.array(units) / UNITS_PER_BYTE
        return class_bytes, flow_cycles if some else None

    def settle(self) -> None:
        """Charge what is in service for the time up to now."""
        for queues in self._queues:
            for queue in queues:
                queue.settle()
        for _, left in self._left_behind.values():
            left.settle()


class EdgeServer:
    """The server of one serving node.

    Parameters
    ----------
    node : index among the serving nodes
    agenda, slots : the clock, and the events that begin a slot
    system : static description
    queues : of all servers
    bias_hz : slot -> estimation bias of every flow, [N, K], Hz: what a core would run above its allocation (eq. 8)
    report : called at every slot start with the node, the slot and the backlog, as `EdgeQueues.backlog` has it

    Attributes
    ----------
    present : the vehicles that are at this node
    """

    def __init__(
        self,
        node: int,
        agenda: Agenda,
        slots: Slots,
        system: System,
        queues: EdgeQueues,
        bias_hz: Callable[[int], Floats],
        report: Callable[[int, int, Floats, Floats | None], None],
    ) -> None:
        self.node = node
        # Until the first slot begins, all count as attached to the first node.
        self.present = set(range(system.num_vehicle)) if node == 0 else set[int]()
        self._agenda = agenda
        self._slots = slots
        self._queues = queues
        self._bias_hz = bias_hz
        self._report = report
        self._num_core, self._kappa = int(system.node_num_core[node]), float(system.node_kappa[node])
        self._capacity_hz = float(system.node_hz[node])
        self._is_literal = system.model.capacity_rule == "alloc"
        self._by_job = system.model.edge_energy_rule == "job"
        self._cycles_per_byte = system.cycles_per_byte
        self._commanded: set[int] = set()
        self._allocation_hz: Floats = np.zeros((system.num_vehicle, system.num_class))
        self._command_slot = -1
        self._bias_in_force = bias_hz(0)
        self._left_behind_hz = 0.0
        self._since = 0
        self._power_w, self._energy_j = 0.0, 0.0
        self._class_rate_hz: Floats = np.zeros(system.num_class)
        self._offered_cycles: Floats = np.zeros(system.num_class)

    def run(self) -> Generator[Event, int, None]:
        """Follow a bias that changes and vehicles that have left, and report the backlog, at every slot start."""
        while True:
            slot = yield self._slots.relay
            bias_hz = self._bias_hz(slot)
            if bias_hz is not self._bias_in_force:
                self._bias_in_force = bias_hz
                self._serve()
            else:
                self.refresh()
            self._report(self.node, slot, *self.backlog())

    def obey(self, slot: int, compute_allocation_hz: Floats, serving_node: Ints) -> None:
        """Take over the allocation [N, K] of a command, unless a newer one is in force.

        serving_node : [N], the nodes on whose servers the allocation rests
        """
        if slot > self._command_slot:
            self._command_slot = slot
            self._allocation_hz = compute_allocation_hz
            self._commanded = set(np.flatnonzero(serving_node == self.node).tolist())
            self._serve()

    def refresh(self) -> None:
        """Take note of vehicles that have left, and of work that they have left behind or that is finished."""
        if not self._commanded <= self.present or self._queues.left_behind_hz(self.node) != self._left_behind_hz:
            self._serve()

    def backlog(self) -> tuple[Floats, Floats | None]:
        """Return what waits here or is in service."""
        return self._queues.backlog(sorted(self.present))

    def _serve(self) -> None:
        """Serve those who are here and were so when the command was given, and nobody faster than there is."""
        self._commanded &= self.present
        here = np.zeros((len(self._allocation_hz), 1), dtype=np.bool_)
        here[list(self._commanded)] = True
        allocation_hz = np.where(here, self._allocation_hz, 0.0)
        rate_hz = computing.edge_frequency_hz(allocation_hz, self._bias_in_force)
        self._left_behind_hz = self._queues.left_behind_hz(self.node)
        if self._left_behind_hz or not self._is_literal:
            rate_hz = computing.within_capacity_hz(rate_hz, max(self._capacity_hz - self._left_behind_hz, 0.0))
        watts = np.zeros_like(rate_hz)
        if self._by_job:  # joules per second: those of as many cycles as run in one
            watts = energy.edge_job_energy_j(rate_hz, rate_hz, self._num_core, self._kappa)
        self._queues.set_rates(self.present, rate_hz, watts)
        billed_hz = float((allocation_hz if self._is_literal else rate_hz).sum()) + self._left_behind_hz
        self._change_power(billed_hz, rate_hz.sum(axis=0))

    def _change_power(self, total_hz: float, class_rate_hz: Floats) -> None:
        """Go on at another total speed, Hz, that is billed, and offer other rates [K], Hz, to the classes."""
        power_w = 0.0 if self._by_job else float(energy.edge_power_w(total_hz, self._num_core, self._kappa))
        if power_w != self._power_w or (class_rate_hz != self._class_rate_hz).any():
            self._integrate()
            self._power_w, self._class_rate_hz = power_w, class_rate_hz

    def take(self) -> tuple[float, Floats]:
        """Return energy (eq. 15), J, and what was offered to each class, [K], bytes, since the last call."""
        self._integrate()
        energy_j, offered_bytes = self._energy_j, self._offered_cycles / self._cycles_per_byte
        self._energy_j, self._offered_cycles = 0.0, np.zeros_like(self._offered_cycles)
        return energy_j, offered_bytes

    def _integrate(self) -> None:
        elapsed_s = seconds(self._agenda.ticks - self._since)
        self._since = self._agenda.ticks
        self._energy_j += self._power_w * elapsed_s
        self._offered_cycles = self._offered_cycles + self._class_rate_hz * elapsed_s
