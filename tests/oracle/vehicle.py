"""A vehicle of the oracle: it holds tasks until a command comes or patience ends, then each task is its own process."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import Event

from physical.model import computing, rate
from physical.phase import Phase
from physical.plane.fleet import MissingCommand
from physical.plane.ticks import seconds
from physical.system import System
from tests.oracle.server import Server
from tests.oracle.task import Clock, Task, execution_ticks, upload_ticks

Floats = NDArray[np.float64]


class Vehicle:
    """One vehicle.

    Parameters
    ----------
    patience : ticks
    shared_cpu : the local parts run one after the other instead of all at once
    """

    def __init__(
        self,
        index: int,
        clock: Clock,
        system: System,
        server: Server,
        missing: MissingCommand,
        patience: int,
        *,
        shared_cpu: bool,
    ) -> None:
        self.index = index
        self._clock = clock
        self._system = system
        self._server = server
        self._missing = missing
        self._patience = patience
        self._cpu = simpy.Resource(clock.env, capacity=1 if shared_cpu else 1_000_000)
        self._rate_bps = 0.0
        self._rate_changed = clock.env.event()
        self._held: dict[int, list[Task]] = {}
        self._ratio: Floats = np.zeros(system.num_class)
        self._command_slot = -1

    def begin_slot(self, slot: int, tasks: list[Task], rate_bps: float) -> None:
        """Upload at another rate from now on, and hold the tasks of a new slot."""
        self._rate_bps = rate_bps
        changed, self._rate_changed = self._rate_changed, self._clock.env.event()
        changed.succeed()
        self._held[slot] = tasks
        if self._missing != "wait":
            self._clock.env.process(self._wait_for_command(slot))

    def _wait_for_command(self, slot: int) -> Generator[Event, None, None]:
        yield self._clock.at(self._clock.now + self._patience, Phase.PATIENCE)
        if slot in self._held:
            self._release(slot, self._ratio if self._missing == "previous" else np.zeros_like(self._ratio))

    def obey(self, slot: int, ratio: Floats) -> None:
        """Follow a command: it starts the tasks of its own and of earlier slots, and the newest stays in force."""
        for held in sorted(self._held):
            if held <= slot:
                self._release(held, ratio)
        if slot > self._command_slot:
            self._command_slot = slot
            self._ratio = ratio

    def _release(self, slot: int, ratio: Floats) -> None:
        for task in self._held.pop(slot):
            task.start = self._clock.now
            task.offloading_ratio = float(ratio[task.task_class])
            self._clock.env.process(self._live(task))

    def _live(self, task: Task) -> Generator[Event, None, None]:
        """Local work -> uplink -> edge queue -> edge work -> result."""
        model, cycles_per_byte = self._system.model, self._system.cycles_per_byte[task.task_class]
        size, ratio = np.array([task.size_bytes]), np.array([task.offloading_ratio])
        task.edge_cycles = float(computing.edge_cycles(size, cycles_per_byte, ratio)[0])
        local_cycles = float(computing.local_cycles(size, cycles_per_byte, ratio)[0])
        upload_bytes = float(rate.upload_bytes(size, ratio, model.upload_rule)[0])
        local_part = self._clock.env.process(self._compute(task, local_cycles))
        if model.order == "sequential":
            yield local_part
        outcome = "completed"
        if upload_bytes > 0:
            yield from self._upload(upload_bytes)
            task.upload_end = self._clock.now
            yield self._clock.at(self._clock.now + task.uplink_latency, Phase.UPLOAD_DONE)
            is_lost = task.edge_cycles > 0 and task.uplink_lost
            task.arrive = None if is_lost else self._clock.now
            if is_lost:
                outcome = "dropped: uplink"
            elif task.edge_cycles > 0:
                yield self._server.arrive(task)
                yield self._clock.at(self._clock.now + task.result_latency, Phase.SERVICE_DONE)
                if task.result_lost:
                    outcome = "dropped: result"
        yield local_part
        task.done = self._clock.now
        task.outcome = outcome

    def _compute(self, task: Task, cycles: float) -> Generator[Event, None, None]:
        need = execution_ticks(cycles, float(self._system.cpu_hz[self.index]))
        if need:  # a task without local work does not wait for the CPU
            with self._cpu.request() as turn:
                yield turn
                yield self._clock.at(self._clock.now + need, Phase.UPLOAD_DONE)
        task.local_end = self._clock.now

    def _upload(self, left_bytes: float) -> Generator[Event, None, None]:
        """Send: what is sent when the rate changes stays sent, the rest goes at the new rate."""
        while True:
            since, rate_bps = self._clock.now, self._rate_bps
            done = self._clock.at(since + upload_ticks(left_bytes, rate_bps), Phase.UPLOAD_DONE)
            yield done | self._rate_changed
            if done.processed:
                return
            left_bytes = max(left_bytes - rate_bps / 8 * float(seconds(self._clock.now - since)), 0.0)
