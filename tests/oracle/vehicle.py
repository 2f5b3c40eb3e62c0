"""A vehicle of the oracle: it holds tasks until a command comes or patience ends, then each task is its own process."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from simpy.events import Event

from physical.closed_form import split
from physical.columns.commands import MissingCommand
from physical.model import computing, energy
from physical.phase import Phase
from physical.system import System
from tests.oracle.resource import make_cpu, make_uplink
from tests.oracle.server import Queues
from tests.oracle.spectrum import RATES_SETTLED, Spectrum
from tests.oracle.task import Clock, Orders, Task

UPLINK_ADMISSION = Phase.UPLOAD_DONE + 0.25
"""Uploads that are ready at T enter the uplink together, in row order: after what was sent by T."""


class State(NamedTuple):
    """Where a vehicle is attached, and its channel; the rate is 0 where it takes a decision to have one."""

    node: int
    gain: float
    rate_bps: float


class Vehicle:
    """One vehicle: a CPU and a radio.

    Parameters
    ----------
    patience : ticks
    """

    def __init__(
        self,
        index: int,
        clock: Clock,
        system: System,
        queues: Queues,
        spectrum: Spectrum,
        missing: MissingCommand,
        patience: int,
    ) -> None:
        self.index = index
        self.node = 0  # until the first slot begins
        self.gain = 0.0
        self.bandwidth_hz = 0.0
        self.cpu = make_cpu(clock, system.cpu)
        self.uplink = make_uplink(clock, system.uplink, joint=system.joint)
        self._clock = clock
        self._system = system
        self._queues = queues
        self._spectrum = spectrum
        self._missing = missing
        self._patience = patience
        self._held: dict[int, list[Task]] = {}
        self._begun: list[Task] = []
        self._orders = Orders(np.zeros(system.num_class), self._full_hz, float(system.transmit_power_w[index]), 0.0, -1)
        self._command_slot = -1
        self._ready: list[tuple[Task, Event]] = []

    @property
    def power_w(self) -> float:
        """Transmit power in force."""
        return self._orders.power_w

    @property
    def _full_hz(self) -> float:
        return float(self._system.cpu_hz[self.index])

    def begin_slot(self, slot: int, tasks: list[Task], state: State) -> None:
        """Attach elsewhere and upload at another rate from now on, and hold the tasks of a new slot."""
        self.gain = state.gain
        if state.node != self.node:
            self.node = state.node
            self.bandwidth_hz = 0.0
        if not self._system.joint:
            self.uplink.set_rate(state.rate_bps / 8)
        self._held[slot] = tasks
        if self._missing != "wait":
            self._clock.env.process(self._wait_for_command(slot))

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
            self.bandwidth_hz = orders.bandwidth_hz if orders.node == self.node else 0.0
            self._spectrum.change()
        for held in sorted(self._held):
            if held <= slot:
                self._release(held, orders)

    def _release(self, slot: int, orders: Orders) -> None:
        for task in self._held.pop(slot):
            task.start = self._clock.now
            task.offloading_ratio = float(orders.ratio[task.task_class])
            task.local_hz = orders.local_hz
            self._begun.append(task)
            if self._system.joint and self._system.model.mode == "paper":
                self._clock.env.process(self._charge_literally(task))
            self._clock.env.process(self._live(task))

    def _charge_literally(self, task: Task) -> Generator[Event, None, None]:
        """Charge an upload as eq. 4 has it, at the rate that the commands of this instant give."""
        yield self._clock.at(self._clock.now, RATES_SETTLED)
        num_token = np.array([task.size_bytes / self._system.bytes_per_token[task.task_class]])
        charged_s = split.literal_upload_s(num_token, np.array([self._spectrum.rate_bps(self)]))
        task.charged_j = float(energy.transmit_energy_j(self.power_w, charged_s)[0])

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
            yield from self._upload(task, upload_bytes)
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
        if task.local_cycles > 0:  # a task without local work does not wait for the CPU
            assert task.local_hz is not None
            work_s = computing.execution_delay_s(np.array([task.local_cycles]), np.array([task.local_hz]))
            task.computing = self.cpu.admit(float(work_s[0]))
            yield task.computing.finished
        task.local_end = self._clock.now

    def _upload(self, task: Task, upload_bytes: float) -> Generator[Event, None, None]:
        if task.start != self._clock.now:
            yield self._wait_at_the_door(task)
        task.upload = self.uplink.admit(upload_bytes)
        yield task.upload.finished
        task.upload_end = self._clock.now

    def _wait_at_the_door(self, task: Task) -> Event:
        """Return the event at which the task enters the uplink, in row order with what is ready at this instant."""
        enters = self._clock.env.event()
        self._ready.append((task, enters))
        if len(self._ready) == 1:
            self._clock.env.process(self._open_door())
        return enters

    def _open_door(self) -> Generator[Event, None, None]:
        yield self._clock.at(self._clock.now, UPLINK_ADMISSION)
        entering, self._ready = self._ready, []
        for _, enters in sorted(entering, key=lambda entry: entry[0].row):
            enters.succeed()

    def local_j(self, task: Task) -> float:
        """Return what the local part of a task has used: for the cycles that have been executed."""
        if task.local_hz is None:
            return 0.0
        cycles = task.local_cycles - self._local_cycles_left(task)
        kappa = float(self._system.kappa_vehicle[self.index])
        return float(energy.local_energy_j(cycles, task.local_hz, kappa))

    def _local_cycles_left(self, task: Task) -> float:
        return 0.0 if task.computing is None else self.cpu.left(task.computing) * (task.local_hz or 0.0)

    def backlog(self) -> tuple[float, float]:
        """Return the cycles that its CPU has still to do, and the bytes that its uplink has."""
        self._begun = [task for task in self._begun if task.done is None]
        uploads = [task.upload for task in self._begun if task.upload is not None]
        cycles = sum(self._local_cycles_left(task) for task in self._begun)
        return cycles, sum(self.uplink.left(upload) for upload in uploads)
