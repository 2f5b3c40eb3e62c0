"""The edge servers of the oracle: queues that serve one task after the other, at a rate that may change at any time.

What one server hands out never sums to more than it has: too high speeds are scaled down together.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from simpy.events import Event

from physical.arrays import Floats, Ints
from physical.columns.slices import UNITS_PER_BYTE
from physical.model import computing, energy
from physical.phase import Phase
from physical.system import System
from tests.oracle.resource import InTurn
from tests.oracle.task import Clock, Task

EARLY_ADMISSION = Phase.SERVICE_DONE + 0.5
"""Tasks that arrive at T enter their queues together, in row order: after what ended at T, before anything changes."""
LATE_ADMISSION = Phase.PATIENCE + 0.5
"""Those that arrive in the very instant in which they were started enter after all commands of T."""


class Queues:
    """All edge queues; those of a vehicle move with it from node to node.

    `slices`: a queue for every vehicle and class at its own rate; `fifo`: one per class at the sum of its rates.
    """

    def __init__(self, clock: Clock, system: System) -> None:
        self.sliced = system.discipline == "slices"
        self.arrived_bytes = np.zeros(system.num_class)
        self._clock = clock
        self._num_class = system.num_class
        self._nominal = system.cycles_per_byte
        self._has_transformer = system.has_transformer
        self._queues = {
            (vehicle, task_class): InTurn(clock, Phase.SERVICE_DONE)
            for vehicle in range(system.num_vehicle if self.sliced else 1)
            for task_class in range(system.num_class)
        }
        self._doors: dict[float, list[tuple[Task, Event]]] = {EARLY_ADMISSION: [], LATE_ADMISSION: []}

    def arrive(self, task: Task) -> Event:
        """Take in a task; the returned event happens when it has been served."""
        if self._has_transformer:
            self.arrived_bytes[task.task_class] += task.edge_cycles / self._nominal[task.task_class]
        else:
            self.arrived_bytes[task.task_class] += task.size_bytes * (task.offloading_ratio or 0.0)
        finished = self._clock.env.event()
        priority = LATE_ADMISSION if task.start == self._clock.now else EARLY_ADMISSION
        self._doors[priority].append((task, finished))
        if len(self._doors[priority]) == 1:
            self._clock.env.process(self._open_door(priority))
        return finished

    def _open_door(self, priority: float) -> Generator[Event, None, None]:
        yield self._clock.at(self._clock.now, priority)
        entering, self._doors[priority] = self._doors[priority], []
        for task, finished in sorted(entering, key=lambda entry: entry[0].row):
            self._clock.env.process(self._serve(task, finished))

    def _serve(self, task: Task, finished: Event) -> Generator[Event, None, None]:
        queue = self._queues[task.vehicle if self.sliced else 0, task.task_class]
        task.service = queue.admit(task.edge_cycles)
        yield task.service.finished
        task.served = self._clock.now
        finished.succeed()

    def set_rate(self, vehicle: int, rate_hz: Floats, num_core: int, kappa: float) -> None:
        """Serve the classes of a vehicle (of all of them by `fifo`) at other rates, [K]."""
        for task_class, hz in enumerate(rate_hz.tolist()):
            watts = energy.edge_job_energy_j(hz, hz, num_core, kappa)
            self._queues[vehicle, task_class].set_rate(hz, watts)

    def flow_backlog_cycles(self, vehicle: int) -> Floats:
        """Return the work of a vehicle's flows as it is reported, [K]; by `fifo` there are none."""
        backlog = np.zeros(self._num_class)
        if self.sliced:
            for task_class, nominal in enumerate(self._nominal.tolist()):
                waiting_bytes, left = self._waiting(vehicle, task_class)
                backlog[task_class] = left + waiting_bytes * nominal
        return backlog

    def backlog_bytes(self, vehicles: list[int]) -> Floats:
        """Return the backlog of every class, [K], of some vehicles."""
        backlog = np.zeros(self._num_class)
        for task_class, nominal in enumerate(self._nominal.tolist()):
            parts = [self._waiting(vehicle, task_class) for vehicle in (vehicles if self.sliced else [0])]
            in_service = sum(left / nominal for _, left in parts)
            backlog[task_class] = sum(waiting_bytes for waiting_bytes, _ in parts) + in_service
        return backlog

    def _waiting(self, vehicle: int, task_class: int) -> tuple[float, float]:
        """Return what a queue reports: bytes that wait, each task's rounded to a unit, and cycles left in service."""
        queue, nominal = self._queues[vehicle, task_class], float(self._nominal[task_class])
        units = sum(round(job.work / nominal * UNITS_PER_BYTE) for job in queue.waiting)
        return units / UNITS_PER_BYTE, queue.left_in_service

    def take_arrived_bytes(self) -> Floats:
        """Return the bytes per class [K] that have arrived since the last call."""
        arrived, self.arrived_bytes = self.arrived_bytes, np.zeros(self._num_class)
        return arrived

    def settle(self) -> None:
        """Charge the jobs in service for the time up to now."""
        for queue in self._queues.values():
            queue.settle()


class Server:
    """The server of one node: it obeys for the vehicles that a command and the present both see at this node."""

    def __init__(self, node: int, system: System, queues: Queues) -> None:
        self.node = node
        self._kappa = float(system.node_kappa[node])
        self._num_core = int(system.node_num_core[node])
        self._capacity_hz = float(system.node_hz[node])
        self._is_limited = system.model.capacity_rule == "effective"
        self._queues = queues
        # Until the first slot begins, all count as attached to the first node.
        self._present = set(range(system.num_vehicle)) if node == 0 else set[int]()
        self._allocation_hz: dict[int, Floats] = {}
        self._bias_hz = np.zeros((system.num_vehicle, system.num_class))
        self._command_slot = -1

    def attach(self, vehicle: int) -> None:
        """Serve a vehicle that comes, once commanded."""
        self._present.add(vehicle)

    def detach(self, vehicle: int) -> None:
        """Stop serving a vehicle that leaves; its work goes with it."""
        self._present.remove(vehicle)
        self._allocation_hz.pop(vehicle, None)
        self._queues.set_rate(vehicle, np.zeros(self._bias_hz.shape[1]), self._num_core, self._kappa)
        self._set_rates()  # the others may have more now

    def obey(self, slot: int, allocation_hz: Floats, serving_node: Ints) -> None:
        """Follow a command, unless a newer one is in force."""
        if slot > self._command_slot:
            self._command_slot = slot
            commanded = [v for v in sorted(self._present) if serving_node[v] == self.node]
            self._allocation_hz = {vehicle: allocation_hz[vehicle] for vehicle in commanded}
            self._set_rates()

    def set_bias(self, bias_hz: Floats) -> None:
        """Change what the cores run above their allocation, [N, K]."""
        self._bias_hz = bias_hz
        self._set_rates()

    def backlog_bytes(self) -> Floats:
        """Return the backlog of the vehicles that are here, [K]."""
        return self._queues.backlog_bytes(sorted(self._present))

    def flow_backlog_cycles(self) -> dict[int, Floats]:
        """Return the work of each vehicle that is here, [K]."""
        return {vehicle: self._queues.flow_backlog_cycles(vehicle) for vehicle in sorted(self._present)}

    def _set_rates(self) -> None:
        allocation_hz = np.zeros_like(self._bias_hz)
        for vehicle, hz in self._allocation_hz.items():
            allocation_hz[vehicle] = hz
        rate_hz = computing.edge_frequency_hz(allocation_hz, self._bias_hz)
        if self._is_limited:
            rate_hz = computing.within_capacity_hz(rate_hz, self._capacity_hz)
        if self._queues.sliced:
            for vehicle in self._present:
                self._queues.set_rate(vehicle, rate_hz[vehicle], self._num_core, self._kappa)
        else:
            self._queues.set_rate(0, rate_hz.sum(axis=0), self._num_core, self._kappa)
