"""The edge server: K class queues, served at the frequencies that the twin allocates (plus the estimation bias)."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from simpy.events import Event

from physical.entities.slots import Clock, Slots
from physical.model import computing, energy
from physical.plane.fleet import Fleet
from physical.plane.ticks import NS_PER_S, Floats, ticks_from_ns
from physical.system import System


class EdgeServer:
    """One edge server.

    Parameters
    ----------
    clock, slots : time
    system : static description
    fleet : task stages; the server's queues are among them
    bias_hz : slot -> estimation bias of every flow, [N, K], Hz: what a core really runs above its allocation (eq. 8)
    report : called at every slot start with the backlog [K], bytes
    """

    def __init__(
        self,
        clock: Clock,
        slots: Slots,
        system: System,
        fleet: Fleet,
        bias_hz: Callable[[int], Floats],
        report: Callable[[int, Floats], None],
    ) -> None:
        self.meter = PowerMeter(system)
        self._clock = clock
        self._slots = slots
        self._fleet = fleet
        self._bias_hz = bias_hz
        self._report = report
        self._allocation_hz = np.zeros((system.num_vehicle, system.num_class))
        self._command_slot = -1
        self._bias_in_force = bias_hz(0)

    def run(self) -> Generator[Event, int, None]:
        """Report the backlog at every slot start, and follow a bias that changes with time."""
        while True:
            slot = yield self._slots.relay
            now = ticks_from_ns(self._clock.now)
            bias_hz = self._bias_hz(slot)
            if bias_hz is not self._bias_in_force:
                self._bias_in_force = bias_hz
                self._serve_at_allocation()
            self._report(slot, self._fleet.plane.queues.backlog_bytes(now))

    def obey(self, slot: int, compute_allocation_hz: Floats) -> None:
        """Take over the allocation [N, K] of a command, unless a newer one is in force."""
        if slot > self._command_slot:
            self._command_slot = slot
            self._allocation_hz = compute_allocation_hz
            self._serve_at_allocation()

    def _serve_at_allocation(self) -> None:
        now = ticks_from_ns(self._clock.now)
        self._fleet.advance(now)
        rate_hz = computing.edge_frequency_hz(self._allocation_hz, self._bias_in_force)
        self._fleet.plane.set_service_rate(now, rate_hz)
        self.meter.change(self._clock.now, self._allocation_hz, self._fleet.plane.queues.class_rate_hz())


class PowerMeter:
    """Integrates power (eq. 15) and offered service over time."""

    def __init__(self, system: System) -> None:
        self._server = system.server
        self._cycles_per_byte = system.cycles_per_byte
        self._since_ns = 0
        self._power_w = 0.0
        self._class_rate_hz: Floats = np.zeros(system.num_class)
        self._energy_j = 0.0
        self._service_cycles: Floats = np.zeros(system.num_class)

    def change(self, now_ns: int, allocation_hz: Floats, class_rate_hz: Floats) -> None:
        """Go on with another allocation [N, K], Hz, that serves the classes at other rates [K], Hz."""
        self._integrate(now_ns)
        total_hz = float(allocation_hz.sum())
        self._power_w = energy.edge_power_w(total_hz, self._server.num_core, self._server.kappa)
        self._class_rate_hz = class_rate_hz

    def take(self, now_ns: int) -> tuple[float, Floats]:
        """Return energy (J) and offered service per class ([K], bytes) since the last call."""
        self._integrate(now_ns)
        taken = self._energy_j, self._service_cycles / self._cycles_per_byte
        self._energy_j, self._service_cycles = 0.0, np.zeros_like(self._service_cycles)
        return taken

    def _integrate(self, now_ns: int) -> None:
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns:
            elapsed_s = elapsed_ns / NS_PER_S
            self._energy_j += self._power_w * elapsed_s
            self._service_cycles = self._service_cycles + self._class_rate_hz * elapsed_s
            self._since_ns = now_ns
