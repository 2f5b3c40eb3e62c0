"""An edge server: K class queues, served at the frequencies that the twin allocates (plus the estimation bias)."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from simpy.events import Event

from physical.arrays import Floats, Ints, Mask
from physical.columns.fleet import Fleet
from physical.model import computing, energy
from physical.model.arrays import every, some
from physical.slots import EventClock, Slots
from physical.system import System
from physical.ticks import NS_PER_S, ticks_from_ns


class ServerColumns:
    """The server of one serving node.

    Parameters
    ----------
    node : index among the serving nodes
    clock, slots : time
    system : static description
    fleet : task stages; the server's queues are among them
    bias_hz : slot -> estimation bias of every flow, [N, K], Hz: what a core would run above its allocation (eq. 8);
        all flows together never run faster than the server can, unless the literal capacity rule "alloc" holds
    report : called at every slot start with the node, the slot and the node's backlog: of classes [K], bytes, and of
        flows [N, K], cycles; None if its queues tell of none
    """

    def __init__(
        self,
        node: int,
        clock: EventClock,
        slots: Slots,
        system: System,
        fleet: Fleet,
        bias_hz: Callable[[int], Floats],
        report: Callable[[int, int, Floats, Floats | None], None],
    ) -> None:
        self.node = node
        self.meter = PowerMeter(system, node)
        self.report = report
        self._clock = clock
        self._slots = slots
        self._fleet = fleet
        self._bias_hz = bias_hz
        self._capacity_hz = float(system.node_hz[node])
        self._is_literal = system.model.capacity_rule == "alloc"
        self._attached: Mask = np.zeros(system.num_vehicle, dtype=np.bool_)
        self._serving_node: Ints | None = None
        self._present: Mask | None = None
        self._left_behind_hz = 0.0
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
            else:
                self.refresh()
            self.report(self.node, slot, *self.backlog(now))

    def obey(self, slot: int, compute_allocation_hz: Floats, serving_node: Ints) -> None:
        """Take over the allocation [N, K] of a command, unless a newer one is in force.

        serving_node : [N], the nodes on whose servers the allocation rests
        """
        if slot > self._command_slot:
            self._command_slot = slot
            self._allocation_hz = compute_allocation_hz
            self._attached = serving_node == self.node
            self._serve_at_allocation()

    def refresh(self) -> None:
        """Take note of vehicles that have left, and of work that they have left behind or that is finished."""
        left_behind_hz = self._fleet.plane.leaving.rate_at_hz(self.node)
        here = self._here()
        has_left = here is not None and some(self._attached & ~here)
        if has_left or left_behind_hz != self._left_behind_hz:
            self._serve_at_allocation()

    def _here(self) -> Mask | None:
        """Return which vehicles are attached to this node at present, [N]; None: all are."""
        serving_node = self._fleet.plane.serving_node
        if serving_node is not self._serving_node:
            here: Mask = serving_node == self.node
            self._serving_node, self._present = serving_node, None if every(here) else here
        return self._present

    def backlog(self, now: int) -> tuple[Floats, Floats | None]:
        """Return what waits here or is being served at `now` (ticks), to which the plane is up to date.

        The work of each class, [K], bytes, and of each flow, [N, K], cycles; None where flows are not told apart.
        """
        return self._fleet.plane.queues.backlog(now, self._here())

    def _serve_at_allocation(self) -> None:
        now = ticks_from_ns(self._clock.now)
        self._fleet.advance(now)
        plane, here = self._fleet.plane, self._here()
        # Who has left does not get its share back on its return, and who has come has none before a command.
        if here is not None:
            self._attached = self._attached & here
        if not every(self._attached):
            self._allocation_hz = np.where(self._attached[:, np.newaxis], self._allocation_hz, 0.0)
        rate_hz = computing.edge_frequency_hz(self._allocation_hz, self._bias_in_force)
        self._left_behind_hz = plane.leaving.rate_at_hz(self.node)
        if self._left_behind_hz or not self._is_literal:
            rate_hz = computing.within_capacity_hz(rate_hz, max(self._capacity_hz - self._left_behind_hz, 0.0))
        if here is None:
            plane.set_service_rate(now, rate_hz)
        else:
            plane.set_service_rate(now, np.where(here[:, np.newaxis], rate_hz, plane.service_hz))
        class_rate_hz = rate_hz.sum(axis=0)
        billed_hz = self._allocation_hz.sum() if self._is_literal else rate_hz.sum()
        self.meter.change(self._clock.now, float(billed_hz) + self._left_behind_hz, class_rate_hz)


class PowerMeter:
    """Integrates power (eq. 15) and offered service over time."""

    def __init__(self, system: System, node: int) -> None:
        self._num_core = int(system.node_num_core[node])
        self._kappa = float(system.node_kappa[node])
        self._metered_by_job = system.model.edge_energy_rule == "job"
        self._cycles_per_byte = system.cycles_per_byte
        self._since_ns = 0
        self._power_w = 0.0
        self._class_rate_hz: Floats = np.zeros(system.num_class)
        self._energy_j = 0.0
        self._service_cycles: Floats = np.zeros(system.num_class)

    def change(self, now_ns: int, total_hz: float, class_rate_hz: Floats) -> None:
        """Go on at another total speed, Hz, that is billed, and at other rates [K], Hz, of the classes.

        If power and rates stay the same, nothing happens.
        """
        power_w = 0.0 if self._metered_by_job else energy.edge_power_w(total_hz, self._num_core, self._kappa)
        if power_w != self._power_w or some(class_rate_hz != self._class_rate_hz):
            self._integrate(now_ns)
            self._power_w, self._class_rate_hz = power_w, class_rate_hz

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
