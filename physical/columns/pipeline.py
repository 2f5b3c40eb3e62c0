"""The pipeline of a task: local work -> uplink -> edge queue -> edge work -> result, for all tasks at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.fifo import Fifo
from physical.columns.left_behind import Leaving
from physical.columns.life_cycle import LifeCycle
from physical.columns.radio import DecidedRadios, FixedRadios, Radios
from physical.columns.server_queues import ServerQueues
from physical.columns.slices import Slices
from physical.columns.task_models import ByteTasks, LayerTasks, TaskModel
from physical.columns.tasks import METERED, WAITING, WHOLE_WORK, Rows, TaskColumns
from physical.model.arrays import some
from physical.params import HandoverRule
from physical.system import System
from physical.task_rows import Outcome, TaskRows
from physical.ticks import NEVER


@dataclass(frozen=True)
class Fate:
    """What the network does to task data: latency in ticks ([B, N, K], or one for all), and which are lost."""

    latency: Ints | int
    lost: Mask | None


class DataPlane:
    """All tasks of all vehicles and the edge servers' queues; times are ticks (see `physical.ticks`).

    Whoever changes something at T calls ``advance(T)`` first: the plane is then exact up to and including T,
    with everything that ends at T ended before the change.

    columns : the tasks
    queues, leaving : what waits at servers: of the vehicles that they serve, and of those that have left
    decided_radios : the radios, where policies decide powers and bandwidths; None where the hardware does
    serving_node : [N]; the same array as long as nobody moves
    service_hz : [N, K], rates at which servers work for flows
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.columns = _columns_for(system)
        num_flow = system.num_vehicle * system.num_class
        meter = system if system.model.edge_energy_rule == "job" else None
        self.queues: ServerQueues
        if system.discipline == "fifo":
            self.queues = Fifo(self.columns, system.cycles_per_byte, num_flow)
        else:
            self.queues = Slices(self.columns, system.cycles_per_byte, num_flow, meter)
        self.leaving = Leaving(self.columns, system.cycles_per_byte, num_flow, meter)
        self.decided_radios: DecidedRadios | None = None
        self.radio: Radios = FixedRadios(self.columns, system)
        if (spectrum := system.spectrum) is not None:
            self.radio = self.decided_radios = DecidedRadios(self.columns, system, spectrum)
        self.serving_node: Ints = np.zeros(system.num_vehicle, dtype=np.int64)
        self.service_hz: Floats = np.zeros((system.num_vehicle, system.num_class))
        self._tasks: TaskModel
        self._tasks = (LayerTasks if system.has_transformer else ByteTasks)(self.columns, system)
        self._life = LifeCycle(self.columns, system, self._tasks, self.radio, self.queues)
        self._advanced_to = -1

    def append_slots(self, first_slot: int, size_bytes: Floats, serving_node: Ints, uplink: Fate, result: Fate) -> None:
        """Append the tasks of a block of slots, and what the network will do to them.

        size_bytes : [B, N, K], 0 where there is no task
        serving_node : [B, N]
        """
        columns = self.columns
        rows = slice(columns.append_slots(first_slot, size_bytes), columns.num_row)
        self._tasks.append(rows, size_bytes, serving_node)
        columns.uplink_latency[rows] = np.ravel(uplink.latency)
        columns.result_latency[rows] = np.ravel(result.latency)
        if uplink.lost is not None:
            self._life.uplink_lossy = True
            columns.uplink_lost[rows] = uplink.lost.reshape(-1)
        if result.lost is not None:
            self._life.result_lossy = True
            columns.result_lost[rows] = result.lost.reshape(-1)

    def begin_slot(self, now: int, uplink_rate_bps: Floats, channel_gain: Floats, serving_node: Ints) -> None:
        """Change channels and serving nodes, all [N], at `now`, to which the plane has been advanced.

        The work of a vehicle moves with it to its new node, and rests there until that node's server is commanded.
        """
        self._advanced_to = -1
        moved = serving_node != self.serving_node
        if some(moved):
            self._detach(now, moved, self.system.model.handover)
            self.serving_node = serving_node
        self.radio.follow(now, uplink_rate_bps, channel_gain, serving_node)

    def fail(self, now: int, vehicles: Mask) -> None:
        """Cut some vehicles, a mask [N], off their node at `now`, to which the plane has been advanced."""
        self._advanced_to = -1
        self._detach(now, vehicles, "drop" if self.system.model.handover == "drop" else "forward")
        self.radio.cut_off(now, vehicles)
        self.serving_node = np.where(vehicles, -1, self.serving_node)

    def _detach(self, now: int, vehicles: Mask, rule: HandoverRule) -> None:
        """Do with the work of vehicles at their old nodes as the rule says; they have no share of a server any more."""
        if rule == "drop":
            self.drop(now, vehicles & (self.serving_node >= 0), Outcome.DROPPED_HANDOVER)
        elif rule == "finish":
            flow = np.flatnonzero(np.repeat(vehicles & (self.serving_node >= 0), self.system.num_class))
            self.leaving.take_over(flow, now, self.queues, np.repeat(self.serving_node, self.system.num_class))
        self.set_service_rate(now, np.where(vehicles[:, np.newaxis], 0.0, self.service_hz))

    def drop(self, now: int, vehicles: Mask, outcome: Outcome) -> None:
        """Drop what some vehicles, a mask [N], have on its way to a server or there, at `now`."""
        queued = self.queues.remove(self._flows(vehicles), now)
        dropped = np.concatenate([self.radio.uplink.remove(vehicles, now, coming=False), queued])
        self._life.drop(dropped, now, outcome)

    def drop_all(self, now: int, vehicles: Mask, outcome: Outcome, num_begun: int) -> None:
        """Drop all that some vehicles, a mask [N], have in the first `num_begun` rows and has not ended, at `now`."""
        columns, flow = self.columns, self._flows(vehicles)
        self.radio.uplink.remove(vehicles, now, coming=True)
        self.queues.remove(flow, now)
        self.leaving.remove(flow, now)
        self._life.cpus.remove(vehicles, now)
        is_theirs = vehicles[columns.vehicle[:num_begun]] & (columns.outcome[:num_begun] != Outcome.ABSENT)
        dropped = np.flatnonzero(is_theirs & (columns.done[:num_begun] > now))
        columns.done[dropped] = now
        columns.outcome[dropped] = outcome

    def _flows(self, vehicles: Mask) -> Ints:
        """Return the flows of the vehicles in a mask [N]."""
        return np.flatnonzero(np.repeat(vehicles, self.system.num_class))

    def set_radio(self, at: int, power_w: Floats, bandwidth_hz: Floats) -> None:
        """Let vehicles send with other powers and bandwidths, [N], from `at` on; only where policies decide them."""
        assert self.decided_radios is not None, "fixed radios cannot be set"
        self._advanced_to = -1
        self._life.advance_cpus(at)
        self.decided_radios.tune(at, power_w, bandwidth_hz)

    def set_service_rate(self, now: int, rate_hz: Floats) -> None:
        """Change the service rates [N, K] of the edge servers at `now`, to which the plane has been advanced."""
        self._advanced_to = -1
        self.service_hz = rate_hz
        self.queues.set_rates(now, rate_hz, self.serving_node)

    def start(self, rows: Rows, at: Any, offloading_ratio: Floats, cpu_hz: Floats | None = None) -> None:
        """Start the tasks in `rows`, each with its ratio; a slice holds all tasks of a slot, in order.

        at : ticks, one for all or one for each
        cpu_hz : frequencies of their local parts; None: those of their vehicles
        """
        self._advanced_to = -1
        self._life.start(rows, at, offloading_ratio, cpu_hz)

    def advance(self, now: int) -> None:
        """Bring every task up to `now`."""
        if now == self._advanced_to:
            return
        self._advanced_to = now
        life = self._life
        life.advance_cpus(now)
        arrived = self.radio.uplink.take_arrived(now)
        if arrived.size:
            life.arrive(arrived)
        served, ends = self.queues.advance(now)
        if served.size:
            life.return_results(served, ends)
        if self.leaving.busy:
            life.return_results(*self.leaving.advance(now))

    def backlogs(self, now: int) -> tuple[Floats, Floats] | None:
        """Return what waits or runs at `now`, to which the plane has been advanced, or None if nothing does.

        Local work, [N], cycles, and what waits to be sent or is being sent, [N], bytes.
        """
        if not self._life.cpus.busy(now) and not self.radio.uplink.busy:
            return None
        return self._life.cpu_backlog_cycles(now), self.radio.uplink.backlog_bytes(now)

    def take_arrived_bytes(self) -> Floats:
        """Return the bytes per class [K] that reached the servers since the last call."""
        return self._life.take_arrived_bytes()

    def take_finished(self, now: int) -> tuple[TaskRows, Ints]:
        """Hand out the rows that have ended by `now` and forget them; also return the renumbering of the others."""
        columns = self.columns
        finished = columns.done[: columns.num_row] <= now
        rows = self._take(finished & (columns.outcome[: columns.num_row] != Outcome.ABSENT), now)
        renumbered = columns.compact(~finished)
        for part in (self._life.cpus, self.radio.uplink, self.queues, self.leaving):
            part.renumber(renumbered)
        return rows, renumbered

    def take_unfinished(self, num_row: int, now: int) -> TaskRows:
        """Hand out what is still in flight in the first `num_row` rows, at the end `now` of a run.

        What is on its way to a server then has not arrived.
        """
        columns = self.columns
        present = columns.outcome[: columns.num_row] != Outcome.ABSENT
        rows = self._take((np.arange(columns.num_row) < num_row) & present, now)
        outcome = np.full(len(rows.slot), Outcome.IN_FLIGHT, dtype=np.int8)
        return rows._replace(outcome=outcome, arrive=np.where(rows.arrive <= now, rows.arrive, NEVER))

    def _take(self, chosen: Mask, now: int) -> TaskRows:
        """Hand out rows, with the CPU time that their local parts have left where they were cut short."""
        until = np.minimum(self.columns.done[: self.columns.num_row][chosen], now)
        return self.columns.take(chosen, self._life.cpus.left_s(chosen, until))

    def settle(self, now: int) -> None:
        """Charge what is in progress for the time up to `now`, to which the plane has been advanced."""
        for part in (self._life.cpus, self.radio.uplink, self.queues, self.leaving):
            part.settle(now)


def _columns_for(system: System) -> TaskColumns:
    """Return empty columns: the common ones, and the further ones that the parts of this system's pipeline need."""
    columns = []
    if system.joint or system.has_transformer or system.model.edge_energy_rule == "job":
        columns.append(METERED)
    if system.has_transformer:
        columns.append(WHOLE_WORK)
    if system.cpu != "per-task":
        columns.append(WAITING)
    return TaskColumns(system.num_vehicle, system.num_class, *columns)
