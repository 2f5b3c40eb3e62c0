"""The pipeline of a task: local work -> uplink -> edge queue -> edge work -> result, for all tasks at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.columns.cpu import OwnCpus, SharedCpus
from physical.columns.fifo import Fifo
from physical.columns.left_behind import Leaving
from physical.columns.radio import Radio, Settings
from physical.columns.slices import Slices
from physical.columns.tasks import Outcome, Rows, TaskColumns, as_index, as_slice
from physical.model import computing
from physical.model.arrays import every, some
from physical.params import HandoverRule
from physical.system import System
from physical.ticks import NEVER


@dataclass(frozen=True)
class Fate:
    """What the network does to task data: latency in ticks ([B, N, K], or one for all), and which are lost."""

    latency: Ints | int
    lost: Mask | None


class DataPlane:
    """All tasks of all vehicles and the edge server's queues; times are ticks (see `physical.ticks`).

    Whoever changes something at T calls ``advance(T)`` first: the plane is then exact up to and including T,
    with everything that ends at T ended before the change.
    """

    def __init__(self, system: System, *, static: bool = False) -> None:
        """Start empty; `static`: all vehicles are attached to the only node at all times."""
        self.system = system
        self.static = static
        self.jobs = system.joint or system.has_transformer or system.model.edge_energy_rule == "job"
        own_cpus = system.cpu == "per-task"
        waiting = not own_cpus or system.joint
        self.columns = TaskColumns(system.num_vehicle, system.num_class, jobs=self.jobs, waiting=waiting)
        self.cpus: OwnCpus | SharedCpus = OwnCpus(self.columns, self._local_need_s, timed=system.joint, jobs=self.jobs)
        if not own_cpus:
            self.cpus = SharedCpus(self.columns, system.num_vehicle, system.cpu)
        num_flow = system.num_vehicle * system.num_class
        self.queues: Slices | Fifo
        if system.discipline == "fifo":
            self.queues = Fifo(self.columns, system.cycles_per_byte, num_flow)
        else:
            self.queues = Slices(self.columns, system.cycles_per_byte, num_flow, metered=self.jobs)
        self.leaving = Leaving(self.columns, system.cycles_per_byte, num_flow, metered=self.jobs)
        self.radio = Radio(self.columns, system)
        self.serving_node: Ints = np.zeros(system.num_vehicle, dtype=np.int64)
        self.service_hz: Floats = np.zeros((system.num_vehicle, system.num_class))
        self.arrived_bytes = np.zeros(system.num_class)
        self._cycles_per_byte = np.tile(system.cycles_per_byte, system.num_vehicle)
        self._cpu_hz = np.repeat(system.cpu_hz, system.num_class)
        self._no_backlog = np.zeros(system.num_vehicle)
        self._parallel = system.model.order == "parallel"
        self._uploads_all = system.model.upload_rule == "always"
        self._uplink_lossy = self._result_lossy = False
        self._advanced_to = -1

    def append_slots(self, first_slot: int, size_bytes: Floats, serving_node: Ints, uplink: Fate, result: Fate) -> None:
        """Append the tasks of a block of slots, and what the network will do to them.

        size_bytes : [B, N, K], 0 where there is no task
        serving_node : [B, N]
        """
        first_row = self.columns.append_slots(first_slot, size_bytes)
        rows = slice(first_row, self.columns.num_row)
        if self.jobs:
            local_work, edge_work = self.system.work_cycles(size_bytes, serving_node)
            self.columns.local_work[rows] = local_work.reshape(-1)
            self.columns.edge_work[rows] = edge_work.reshape(-1)
        self.columns.uplink_latency[rows] = np.ravel(uplink.latency)
        self.columns.result_latency[rows] = np.ravel(result.latency)
        if uplink.lost is not None:
            self._uplink_lossy = True
            self.columns.uplink_lost[rows] = uplink.lost.reshape(-1)
        if result.lost is not None:
            self._result_lossy = True
            self.columns.result_lost[rows] = result.lost.reshape(-1)

    def begin_slot(self, now: int, uplink_rate_bps: Floats, channel_gain: Floats, serving_node: Ints) -> None:
        """Change channels and serving nodes, all [N], at `now`, to which the plane has been advanced.

        The work of a vehicle moves with it to its new node, and rests there until that node's server is commanded.
        """
        self._advanced_to = -1
        if self.static:
            self.radio.follow(now, uplink_rate_bps, channel_gain, serving_node)
            return
        moved = serving_node != self.serving_node
        if some(moved):
            self._detach(now, moved, self.system.model.handover)
        self.radio.follow(now, uplink_rate_bps, channel_gain, serving_node)
        self.serving_node = serving_node

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

    def drop(self, now: int, vehicles: Mask, outcome: Outcome, *, num_begun: int | None = None) -> None:
        """Drop what some vehicles, a mask [N], have on its way to a server or there, at `now`.

        num_begun : drop everything else of theirs, too, that is among the first so many rows and has not ended
        """
        columns = self.columns
        everything = num_begun is not None
        flow = np.flatnonzero(np.repeat(vehicles, self.system.num_class))
        rows = [self.radio.uplink.remove(vehicles, now, coming=everything), self.queues.remove(flow, now)]
        if num_begun is not None:
            rows.append(self.leaving.remove(flow, now))
            alive = vehicles[columns.vehicle[:num_begun]] & (columns.done[:num_begun] > now)
            rows.append(np.flatnonzero(alive & (columns.outcome[:num_begun] != Outcome.ABSENT)))
            self.cpus.remove(vehicles, now)
        dropped = np.concatenate(rows)
        if num_begun is None and self._parallel:
            self.cpus.remove_rows(dropped, now)  # nobody goes on with half a task
        columns.done[dropped] = now
        columns.outcome[dropped] = outcome

    def set_radio(self, at: int, power_w: Floats, bandwidth_hz: Floats) -> None:
        """Let vehicles send with other powers and bandwidths, [N], from `at` on."""
        self._advanced_to = -1
        self._advance_cpus(at)
        self.radio.tune(at, power_w, bandwidth_hz)

    def set_service_rate(self, now: int, rate_hz: Floats) -> None:
        """Change the service rates [N, K] of the edge servers at `now`, to which the plane has been advanced."""
        self._advanced_to = -1
        self.service_hz = rate_hz
        if self.jobs and isinstance(self.queues, Slices):
            # Joules per second: those of as many cycles as run in one.
            self.queues.set_rates(now, rate_hz, self.system.edge_job_energy_j(rate_hz, rate_hz, self.serving_node))
        else:
            self.queues.set_rates(now, rate_hz)

    def start(self, rows: Rows, at: Any, settings: Settings) -> None:
        """Start the tasks in `rows` at ticks `at` (one for all, or one per row) with the settings of each row."""
        columns = self.columns
        self._advanced_to = -1
        ratio = settings["offloading_ratio"]
        local_work, edge_work, cpu_hz = self._work_of(rows)
        cpu_hz = settings.get("local_frequency_hz", cpu_hz)
        need_s = computing.execution_delay_s(computing.local_part(local_work, ratio), cpu_hz)
        upload_bytes = self.system.upload_bytes(columns.size_bytes[rows], ratio, columns.task_class[rows])
        columns.start[rows] = at
        columns.offloading_ratio[rows] = ratio
        columns.edge_cycles[rows] = computing.edge_part(edge_work, ratio)
        if isinstance(self.cpus, SharedCpus):
            columns.upload_left_bytes[rows] = upload_bytes
        if self.jobs:
            columns.local_hz[rows] = cpu_hz
            self.radio.charge_literally(rows)
        if isinstance(self.cpus, OwnCpus):
            self.cpus.start(rows, at, need_s)
        index = as_index(rows)
        if isinstance(self.cpus, SharedCpus):
            ended = self.cpus.start(index, need_s)
            if not self._parallel:
                self._leave_cpus(ended, columns.upload_left_bytes[ended])
        elif not self._parallel:
            self._leave_cpus(index, upload_bytes)
        if self._parallel:
            self._start_uploads(index, upload_bytes)

    def _start_uploads(self, rows: Ints, upload_bytes: Floats) -> None:
        """Let tasks send from their start on, while their local part runs; some have nothing to send."""
        start = self.columns.start
        uploads = upload_bytes > 0
        if not every(uploads):
            self._end_remote(rows[~uploads], start[rows[~uploads]])
            rows, upload_bytes = rows[uploads], upload_bytes[uploads]
        if rows.size:
            self.radio.uplink.add(rows, start, upload_bytes)

    def _work_of(self, rows: Rows) -> tuple[Floats, Floats, Floats]:
        """Return the whole work of tasks in cycles of vehicle and server, and their vehicles' frequencies."""
        columns, cycles_per_byte, cpu_hz = self.columns, self._cycles_per_byte, self._cpu_hz
        if not isinstance(rows, slice):  # a slice holds all flows of a slot, in order
            flow = columns.flow[rows]
            cycles_per_byte, cpu_hz = cycles_per_byte[flow], cpu_hz[flow]
        if self.jobs:
            return columns.local_work[rows], columns.edge_work[rows], cpu_hz
        work = columns.size_bytes[rows] * cycles_per_byte
        return work, work, cpu_hz

    def _local_need_s(self, tasks: Mapping[str, Any]) -> Floats:
        """Return how long the local parts of tasks run at full speed, s, given columns of these tasks."""
        cycles_per_byte = self.system.cycles_per_byte[tasks["task_class"]]
        work = tasks["local_work"] if self.jobs else tasks["size_bytes"] * cycles_per_byte
        local = computing.local_part(work, tasks["offloading_ratio"])
        return np.asarray(computing.execution_delay_s(local, self.system.cpu_hz[tasks["vehicle"]]))

    def _leave_cpus(self, rows: Ints, upload_bytes: Floats) -> None:
        """Let tasks whose local part ends at a known time go on: to their uplink, or home."""
        columns = self.columns
        uploads = upload_bytes > 0
        if not every(uploads):
            home = rows[~uploads]
            columns.done[home] = columns.local_end[home]
            self._complete(home)
            rows, upload_bytes = rows[uploads], upload_bytes[uploads]
        if rows.size:
            self.radio.uplink.add(rows, columns.local_end, upload_bytes)

    def _end_remote(self, rows: Ints, at: Ints) -> None:
        """Note when the part beyond the vehicle ends of tasks whose local part may last longer."""
        columns = self.columns
        if not isinstance(self.cpus, OwnCpus):
            columns.remote_end[rows] = at
        columns.done[rows] = np.maximum(at, columns.local_end[rows])
        self._complete(rows)

    def _complete(self, rows: Ints) -> None:
        """Note that nothing has gone wrong with tasks; absent ones stay that."""
        outcome = self.columns.outcome
        if not self.columns.has_absent:
            outcome[rows] = Outcome.COMPLETED
            return
        outcome[rows] = np.where(outcome[rows] == Outcome.ABSENT, Outcome.ABSENT, Outcome.COMPLETED)

    def advance(self, now: int) -> None:
        """Bring every task up to `now`."""
        if now == self._advanced_to:
            return
        self._advanced_to = now
        self._advance_cpus(now)
        arrived = self.radio.uplink.take_arrived(now)
        if arrived.size:
            self._arrive(arrived)
        served, ends = self.queues.advance(now)
        if served.size:
            self._return_results(served, ends)
        if self.leaving.busy:
            self._return_results(*self.leaving.advance(now))

    def _advance_cpus(self, now: int) -> None:
        if isinstance(self.cpus, OwnCpus):
            return
        columns, ended = self.columns, self.cpus.advance(now)
        if not ended.size:
            return
        if self._parallel:
            columns.done[ended] = np.maximum(columns.local_end[ended], columns.remote_end[ended])
        else:
            self._leave_cpus(ended, columns.upload_left_bytes[ended])

    def _arrive(self, rows: Ints) -> None:
        columns = self.columns
        if self._uplink_lossy or self._uploads_all:
            at_edge = (columns.edge_cycles[rows] > 0) & ~columns.uplink_lost[rows]
            self._end_without_edge(rows[~at_edge])
            rows = rows[at_edge]
            if not rows.size:
                return
        index = as_slice(rows)
        task_class = columns.task_class[index]
        offloaded = columns.size_bytes[index] * columns.offloading_ratio[index]
        if self.system.has_transformer:  # in the bytes in which the queues count
            offloaded = columns.edge_cycles[index] / self.system.cycles_per_byte[task_class]
        self.arrived_bytes += np.bincount(task_class, weights=offloaded, minlength=self.system.num_class)
        self.queues.admit(rows)

    def _end_without_edge(self, rows: Ints) -> None:
        """End uploads that were lost, and those of purely local tasks that eq. 9 charges all the same."""
        columns = self.columns
        self._end_remote(rows, columns.arrive[rows])
        lost = columns.edge_cycles[rows] > 0
        columns.outcome[rows[lost]] = Outcome.DROPPED_UPLINK
        columns.arrive[rows[lost]] = NEVER

    def _return_results(self, rows: Ints, ends: Ints) -> None:
        columns = self.columns
        columns.served[rows] = ends
        done = ends + columns.result_latency[rows]
        if self._parallel:
            self._end_remote(rows, done)
        else:
            columns.done[rows] = done
            columns.outcome[rows] = Outcome.COMPLETED
        if self._result_lossy:
            columns.outcome[rows[columns.result_lost[rows]]] = Outcome.DROPPED_RESULT

    def backlogs(self, now: int) -> tuple[Floats, Floats] | None:
        """Return `cpu_backlog_cycles` and `uplink_backlog_bytes`, or None if nothing waits anywhere."""
        if not self.cpus.busy(now) and not self.radio.uplink.busy:
            return None
        return self.cpu_backlog_cycles(now), self.uplink_backlog_bytes(now)

    def cpu_backlog_cycles(self, now: int) -> Floats:
        """Return the local work that waits or runs at `now`, to which the plane has been advanced, [N], cycles."""
        rows, left_s = self.cpus.left(now)
        if not rows.size:
            return self._no_backlog
        vehicle = self.columns.vehicle[rows]
        hz = self.columns.local_hz[rows] if self.jobs else self.system.cpu_hz[vehicle]
        cycles: Floats = np.bincount(vehicle, weights=left_s * hz, minlength=self.system.num_vehicle).astype(np.float64)
        return cycles

    def uplink_backlog_bytes(self, now: int) -> Floats:
        """Return what waits to be sent or is being sent at `now`, [N], bytes."""
        return self.radio.uplink.backlog_bytes(now)

    def take_arrived_bytes(self) -> Floats:
        """Return the bytes per class [K] that reached the server since the last call."""
        arrived, self.arrived_bytes = self.arrived_bytes, np.zeros(self.system.num_class)
        return arrived

    def take_finished(self, now: int) -> tuple[dict[str, NDArray[np.generic]], Ints]:
        """Hand out the rows that have ended by `now` and forget them; also return the renumbering of the others."""
        columns = self.columns
        finished = columns.done[: columns.num_row] <= now
        rows = self._take(finished & (columns.outcome[: columns.num_row] != Outcome.ABSENT), now)
        renumbered = columns.compact(~finished)
        self.cpus.renumber(renumbered)
        self.radio.uplink.renumber(renumbered)
        self.queues.renumber(renumbered)
        self.leaving.renumber(renumbered)
        return rows, renumbered

    def take_unfinished(self, num_row: int, now: int) -> dict[str, NDArray[np.generic]]:
        """Hand out what is still in flight in the first `num_row` rows, at the end `now` of a run."""
        columns = self.columns
        present = columns.outcome[: columns.num_row] != Outcome.ABSENT
        rows = self._take((np.arange(columns.num_row) < num_row) & present, now)
        rows["outcome"] = np.full(len(rows["slot"]), Outcome.IN_FLIGHT, dtype=np.int8)
        return rows

    def _take(self, chosen: Mask, now: int) -> dict[str, NDArray[np.generic]]:
        """Hand out rows, with the CPU time that their local parts have left where they were cut short."""
        rows: dict[str, Any] = self.columns.take(chosen)
        if isinstance(self.cpus, OwnCpus):
            ends = np.where(rows["start"] < NEVER, rows["local_end"], 0)
            until = np.minimum(rows["done"], now)
            if some(ends > until):
                rows["local_left_s"] = self.cpus.left_s(rows, until)
            else:  # the usual case, at a fraction of the cost
                rows["local_left_s"] = np.zeros(len(ends))
        return rows

    def settle(self, now: int) -> None:
        """Charge what is in progress for the time up to `now`, to which the plane has been advanced."""
        self.cpus.settle(now)
        if self.jobs:
            self.radio.settle(now)
            if isinstance(self.queues, Slices):
                self.queues.settle(now)
                self.leaving.settle(now)
