"""The edge server of the oracle: queues that serve one task after the other, at a rate that may change at any time."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from physical.model import computing
from physical.phase import Phase
from physical.plane.ticks import seconds
from physical.system import System
from tests.oracle.task import Clock, Task, execution_ticks

Floats = NDArray[np.float64]

EARLY_ADMISSION = Phase.SERVICE_DONE + 0.5
"""Tasks that arrive at T enter their queues together, in row order: after what ended at T, before anything changes."""
LATE_ADMISSION = Phase.PATIENCE + 0.5
"""Those that arrive in the very instant in which they were started enter after all commands of T."""


class ServiceQueue:
    """Serves its tasks in turn."""

    def __init__(self, clock: Clock, cycles_per_byte: float) -> None:
        self.rate_hz = 0.0
        self._clock = clock
        self._cycles_per_byte = cycles_per_byte
        self._waiting: list[tuple[Task, Event]] = []
        self._in_service = False
        self._left_cycles = 0.0
        self._since = 0
        self._serving_hz = 0.0
        self._admitted = clock.env.event()
        self._rate_changed = clock.env.event()
        clock.env.process(self._run())

    def admit(self, task: Task, finished: Event) -> None:
        """Put a task at the end of the queue; `finished` will happen when it has been served."""
        self._waiting.append((task, finished))
        if not self._admitted.triggered:
            self._admitted.succeed()

    def set_rate(self, rate_hz: float) -> None:
        """Serve at another rate from now on."""
        if rate_hz != self.rate_hz:
            self.rate_hz = rate_hz
            changed, self._rate_changed = self._rate_changed, self._clock.env.event()
            changed.succeed()

    def backlog_bytes(self) -> float:
        """Return the work that waits or is in service."""
        cycles = sum(task.edge_cycles for task, _ in self._waiting)
        if self._in_service:
            cycles += self._left_now()
        return cycles / self._cycles_per_byte

    def _run(self) -> Generator[Event, None, None]:
        while True:
            while not self._waiting:
                self._admitted = self._clock.env.event()
                yield self._admitted
            task, finished = self._waiting.pop(0)
            task.serve = self._clock.now
            yield from self._serve(task.edge_cycles)
            task.served = self._clock.now
            finished.succeed()

    def _serve(self, cycles: float) -> Generator[Event, None, None]:
        self._in_service = True
        self._left_cycles = cycles
        while True:
            self._since, self._serving_hz = self._clock.now, self.rate_hz
            need = execution_ticks(self._left_cycles, self._serving_hz)
            done = self._clock.at(self._since + need, Phase.SERVICE_DONE)
            yield done | self._rate_changed
            if done.processed:
                break
            self._left_cycles = self._left_now()
        self._in_service = False

    def _left_now(self) -> float:
        return max(self._left_cycles - self._serving_hz * float(seconds(self._clock.now - self._since)), 0.0)


class Server:
    """`slices`: a queue for every vehicle and class at its own rate; `fifo`: one per class at the sum of its rates."""

    def __init__(self, clock: Clock, system: System) -> None:
        self._clock = clock
        self._system = system
        self._shape = (system.num_vehicle, system.num_class)
        self._sliced = system.server.discipline == "slices"
        self._queues = {
            (vehicle, task_class): ServiceQueue(clock, float(system.cycles_per_byte[task_class]))
            for vehicle in range(system.num_vehicle if self._sliced else 1)
            for task_class in range(system.num_class)
        }
        self._doors: dict[float, list[tuple[Task, Event]]] = {EARLY_ADMISSION: [], LATE_ADMISSION: []}
        self._allocation_hz = np.zeros(self._shape)
        self._bias_hz = np.zeros(self._shape)
        self._command_slot = -1
        self.arrived_bytes = np.zeros(system.num_class)

    def arrive(self, task: Task) -> Event:
        """Take in a task; the returned event happens when it has been served."""
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
            self._queues[task.vehicle if self._sliced else 0, task.task_class].admit(task, finished)

    def obey(self, slot: int, allocation_hz: Floats) -> None:
        """Follow a command, unless a newer one is in force."""
        if slot > self._command_slot:
            self._command_slot = slot
            self._allocation_hz = allocation_hz
            self._set_rates()

    def set_bias(self, bias_hz: Floats) -> None:
        """Change what the cores run above their allocation, [N, K]."""
        self._bias_hz = bias_hz
        self._set_rates()

    def _set_rates(self) -> None:
        rate_hz = computing.edge_frequency_hz(self._allocation_hz, self._bias_hz)
        if not self._sliced:
            rate_hz = rate_hz.sum(axis=0, keepdims=True)
        for (vehicle, task_class), queue in self._queues.items():
            queue.set_rate(float(rate_hz[vehicle, task_class]))

    def backlog_bytes(self) -> Floats:
        """Return the backlog of every class, [K]."""
        backlog = np.zeros(self._system.num_class)
        for (_, task_class), queue in self._queues.items():
            backlog[task_class] += queue.backlog_bytes()
        return backlog
