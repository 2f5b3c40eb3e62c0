"""A vehicle of the oracle: it holds tasks until a command comes or patience ends, then each task is its own process."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import simpy
from simpy.events import Event

from physical.model import computing, energy, split
from physical.phase import Phase
from physical.plane.fleet import MissingCommand
from physical.plane.ticks import seconds
from physical.system import System
from tests.oracle.server import Job, Queues, ServiceQueue
from tests.oracle.task import Clock, Orders, Task, execution_ticks, upload_ticks


class State(NamedTuple):
    """Where a vehicle is attached, and its channel; the rate is 0 where it takes a decision to have one."""

    node: int
    gain: float
    rate_bps: float


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
        queues: Queues,
        missing: MissingCommand,
        patience: int,
        *,
        shared_cpu: bool,
    ) -> None:
        self.index = index
        self.node = 0  # until the first slot begins
        self._clock = clock
        self._system = system
        self._queues = queues
        self._missing = missing
        self._patience = patience
        self._cpu = simpy.Resource(clock.env, capacity=1 if shared_cpu else 1_000_000)
        self._held: dict[int, list[Task]] = {}
        self._orders = Orders(np.zeros(system.num_class), self._full_hz, float(system.transmit_power_w[index]), 0.0, -1)
        self._command_slot = -1
        self._rate_bps = 0.0
        self._rate_changed = clock.env.event()
        self._gain = 0.0
        self._bandwidth_hz = 0.0
        self._uplink = ServiceQueue(clock, Phase.UPLOAD_DONE) if system.joint else None

    @property
    def _full_hz(self) -> float:
        return float(self._system.cpu_hz[self.index])

    @property
    def kappa(self) -> float:
        """Switching capacitance of its processor."""
        return float(self._system.kappa_vehicle[self.index])

    def begin_slot(self, slot: int, tasks: list[Task], state: State) -> None:
        """Attach elsewhere and upload at another rate from now on, and hold the tasks of a new slot."""
        self._gain = state.gain
        if state.node != self.node:
            self.node = state.node
            self._bandwidth_hz = 0.0
        self._set_rate(state.rate_bps)
        self._held[slot] = tasks
        if self._missing != "wait":
            self._clock.env.process(self._wait_for_command(slot))

    def _set_rate(self, rate_bps: float = 0.0) -> None:
        """Send at another rate; with joint allocation at the one that power, bandwidth and channel in force give."""
        if self._uplink is not None:
            rate_bps = self._decided_rate_bps()
            self._uplink.set_rate(rate_bps / 8, self._orders.power_w if rate_bps > 0 and self._is_metered else 0.0)
        self._rate_bps = rate_bps
        changed, self._rate_changed = self._rate_changed, self._clock.env.event()
        changed.succeed()

    def _decided_rate_bps(self) -> float:
        args = (self._bandwidth_hz, self._orders.power_w, self._gain)
        return float(self._system.decided_rate_bps(*(np.array([value]) for value in args))[0])

    @property
    def _is_metered(self) -> bool:
        return self._system.model.mode != "paper"

    def _wait_for_command(self, slot: int) -> Generator[Event, None, None]:
        yield self._clock.at(self._clock.now + self._patience, Phase.PATIENCE)
        if slot in self._held:
            orders = self._orders
            if self._missing == "local":
                nothing = np.zeros_like(orders.ratio)
                orders = Orders(nothing, self._full_hz, orders.power_w, orders.bandwidth_hz, orders.node)
            self._release(slot, orders)

    def obey(self, slot: int, orders: Orders) -> None:
        """Follow a command: it starts the tasks of its own and of earlier slots, and the newest stays in force."""
        if slot > self._command_slot:
            self._command_slot = slot
            self._orders = orders
            if self._uplink is not None:
                self._bandwidth_hz = orders.bandwidth_hz if orders.node == self.node else 0.0
                self._set_rate()
        for held in sorted(self._held):
            if held <= slot:
                self._release(held, orders)

    def _release(self, slot: int, orders: Orders) -> None:
        for task in self._held.pop(slot):
            task.start = self._clock.now
            task.offloading_ratio = float(orders.ratio[task.task_class])
            task.local_hz = orders.local_hz
            if self._uplink is not None and not self._is_metered:
                num_token = np.array([task.size_bytes / self._system.bytes_per_token[task.task_class]])
                charged_s = split.literal_upload_s(num_token, np.array([self._decided_rate_bps()]))
                task.transmit_j = float(energy.transmit_energy_j(self._orders.power_w, charged_s)[0])
            self._clock.env.process(self._live(task))

    def _live(self, task: Task) -> Generator[Event, None, None]:
        """Local work -> uplink -> edge queue -> edge work -> result."""
        model, ratio = self._system.model, np.array([task.offloading_ratio])
        task.edge_cycles = float(computing.edge_part(np.array([task.edge_work]), ratio)[0])
        task.local_cycles = float(computing.local_part(np.array([task.local_work]), ratio)[0])
        task_class = np.array([task.task_class])
        upload_bytes = float(self._system.upload_bytes(np.array([task.size_bytes]), ratio, task_class)[0])
        local_part = self._clock.env.process(self._compute(task))
        if model.order == "sequential":
            yield local_part
        outcome = "completed"
        if upload_bytes > 0:
            yield from self._upload_in_turn(task, upload_bytes) if self._uplink else self._upload(upload_bytes)
            task.upload_end = self._clock.now
            yield self._clock.at(self._clock.now + task.uplink_latency, Phase.UPLOAD_DONE)
            is_lost = task.edge_cycles > 0 and task.uplink_lost
            task.arrive = None if is_lost else self._clock.now
            if is_lost:
                outcome = "dropped: uplink"
            elif task.edge_cycles > 0:
                yield self._queues.arrive(task)
                yield self._clock.at(self._clock.now + task.result_latency, Phase.SERVICE_DONE)
                if task.result_lost:
                    outcome = "dropped: result"
        yield local_part
        task.done = self._clock.now
        task.outcome = outcome

    def _compute(self, task: Task) -> Generator[Event, None, None]:
        task.local_need = execution_ticks(task.local_cycles, task.local_hz or 0.0)
        if task.local_need:  # a task without local work does not wait for the CPU
            with self._cpu.request() as turn:
                yield turn
                task.local_begin = self._clock.now
                yield self._clock.at(self._clock.now + task.local_need, Phase.UPLOAD_DONE)
        task.local_begin = self._clock.now if task.local_begin is None else task.local_begin
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

    def _upload_in_turn(self, task: Task, upload_bytes: float) -> Generator[Event, None, None]:
        """Send when all that was ready before has been sent."""

        def begun(now: int) -> None:
            task.upload_begin = now

        def spend(joules: float) -> None:
            task.transmit_j += joules

        assert self._uplink is not None
        yield self._uplink.admit(Job(upload_bytes, begun, spend))

    def settle(self) -> None:
        """Charge the upload in progress for the time up to now."""
        if self._uplink is not None:
            self._uplink.settle()
