"""The life of a task, for all tasks at once: from stage to stage, and how it ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from physical.arrays import Floats, Ints
from physical.columns.arrived_bytes import ArrivedBytes
from physical.columns.cpu import Cpus, OwnCpus, SharedCpus
from physical.columns.radio import Radios
from physical.columns.server_queues import ServerQueues
from physical.columns.task_models import TaskModel
from physical.columns.tasks import Rows, TaskColumns, as_index, as_slice
from physical.model import computing
from physical.model.arrays import every
from physical.system import System
from physical.task_rows import Outcome
from physical.ticks import NEVER


class LifeCycle:
    """Leads tasks on: local work -> uplink -> edge queue -> edge work -> result; times are ticks.

    cpus : local parts in progress
    uplink_lossy, result_lossy : whether the network loses any uploads or results
    """

    def __init__(
        self, columns: TaskColumns, system: System, tasks: TaskModel, radio: Radios, queues: ServerQueues
    ) -> None:
        self.uplink_lossy = self.result_lossy = False
        self.cpus: Cpus
        if system.cpu == "per-task":
            self.cpus = OwnCpus(columns)
        else:
            self.cpus = SharedCpus(columns, system.cpu)
        self._columns = columns
        self._system = system
        self._tasks = tasks
        self._radio = radio
        self._queues = queues
        self._cpu_hz = np.repeat(system.cpu_hz, system.num_class)
        self._in_parallel = system.model.order == "parallel"
        self._uploads_all = system.model.upload_rule == "always"
        self._arrived = ArrivedBytes(system.num_class)
        self._no_backlog = np.zeros(system.num_vehicle)

    def start(self, rows: Rows, at: Any, ratio: Floats, cpu_hz: Floats | None) -> None:
        """Start the tasks in `rows`; see `DataPlane.start`."""
        columns = self._columns
        local_work, edge_work = self._tasks.work_cycles(rows)
        if cpu_hz is None:  # a slice holds all flows of a slot, in order
            cpu_hz = self._cpu_hz if isinstance(rows, slice) else self._cpu_hz[columns.flow[rows]]
        need_s = computing.execution_delay_s(computing.local_part(local_work, ratio), cpu_hz)
        upload_bytes = self._system.upload_bytes(columns.size_bytes[rows], ratio, columns.task_class[rows])
        columns.start[rows] = at
        columns.offloading_ratio[rows] = ratio
        columns.edge_cycles[rows] = computing.edge_part(edge_work, ratio)
        if columns.is_metered:
            columns.local_hz[rows] = cpu_hz
            self._radio.charge(rows)
        ended, their_bytes = self.cpus.start(rows, at, need_s, upload_bytes)
        if self._in_parallel:
            self._start_uploads(as_index(rows), upload_bytes)
        else:
            self._leave_cpus(ended, their_bytes)

    def _start_uploads(self, rows: Ints, upload_bytes: Floats) -> None:
        """Let tasks send from their start on, while their local part runs; some have nothing to send."""
        start = self._columns.start
        uploads = upload_bytes > 0
        if not every(uploads):
            self._end_remote(rows[~uploads], start[rows[~uploads]])
            rows, upload_bytes = rows[uploads], upload_bytes[uploads]
        if rows.size:
            self._radio.uplink.add(rows, start, upload_bytes)

    def advance_cpus(self, now: int) -> None:
        """Let tasks go on whose local part has ended by `now` at a time that was not foreseen."""
        ended = self.cpus.advance(now)
        if not ended.size:
            return
        columns = self._columns
        if self._in_parallel:
            columns.done[ended] = np.maximum(columns.local_end[ended], columns.remote_end[ended])
        else:
            self._leave_cpus(ended, columns.upload_left_bytes[ended])

    def _leave_cpus(self, rows: Ints, upload_bytes: Floats) -> None:
        """Let tasks whose local part ends at a known time go on: to their uplink, or home."""
        columns = self._columns
        uploads = upload_bytes > 0
        if not every(uploads):
            home = rows[~uploads]
            columns.done[home] = columns.local_end[home]
            self._complete(home)
            rows, upload_bytes = rows[uploads], upload_bytes[uploads]
        if rows.size:
            self._radio.uplink.add(rows, columns.local_end, upload_bytes)

    def arrive(self, rows: Ints) -> None:
        """Put tasks whose upload has reached the server into its queues, or end them there."""
        columns = self._columns
        if self.uplink_lossy or self._uploads_all:
            at_edge = (columns.edge_cycles[rows] > 0) & ~columns.uplink_lost[rows]
            self._end_without_edge(rows[~at_edge])
            rows = rows[at_edge]
            if not rows.size:
                return
        index = as_slice(rows)
        self._arrived.add(columns.task_class[index].copy(), self._tasks.offloaded_bytes(index))
        self._queues.admit(rows)

    def _end_without_edge(self, rows: Ints) -> None:
        """End uploads that were lost, and those of purely local tasks that eq. 9 charges all the same."""
        columns = self._columns
        self._end_remote(rows, columns.arrive[rows])
        lost = columns.edge_cycles[rows] > 0
        columns.outcome[rows[lost]] = Outcome.DROPPED_UPLINK
        columns.arrive[rows[lost]] = NEVER

    def return_results(self, rows: Ints, ends: Ints) -> None:
        """Send the results of tasks back that servers have served."""
        columns = self._columns
        columns.served[rows] = ends
        done = ends + columns.result_latency[rows]
        if self._in_parallel:
            self._end_remote(rows, done)
        else:
            columns.done[rows] = done
            columns.outcome[rows] = Outcome.COMPLETED
        if self.result_lossy:
            columns.outcome[rows[columns.result_lost[rows]]] = Outcome.DROPPED_RESULT

    def _end_remote(self, rows: Ints, at: Ints) -> None:
        """Note when the part beyond the vehicle ends of tasks whose local part may last longer."""
        self._columns.done[rows] = self.cpus.together(rows, at)
        self._complete(rows)

    def _complete(self, rows: Ints) -> None:
        """Note that nothing has gone wrong with tasks; absent ones stay that."""
        outcome = self._columns.outcome
        if not self._columns.has_absent:
            outcome[rows] = Outcome.COMPLETED
            return
        outcome[rows] = np.where(outcome[rows] == Outcome.ABSENT, Outcome.ABSENT, Outcome.COMPLETED)

    def drop(self, rows: Ints, now: int, outcome: Outcome) -> None:
        """End tasks that have lost the part beyond their vehicle at `now`."""
        if self._in_parallel:
            self.cpus.remove_rows(rows, now)  # nobody goes on with half a task
        self._columns.done[rows] = now
        self._columns.outcome[rows] = outcome

    def cpu_backlog_cycles(self, now: int) -> Floats:
        """Return the local work that waits or runs at `now`, [N], cycles."""
        rows, left_s = self.cpus.left(now)
        if not rows.size:
            return self._no_backlog
        columns, count = self._columns, self._system.num_vehicle
        vehicle = columns.vehicle[rows]
        hz = columns.local_hz[rows] if columns.is_metered else self._system.cpu_hz[vehicle]
        cycles: Floats = np.bincount(vehicle, weights=left_s * hz, minlength=count).astype(np.float64)
        return cycles

    def take_arrived_bytes(self) -> Floats:
        """Return the bytes per class [K] that reached servers since the last call."""
        return self._arrived.take()
