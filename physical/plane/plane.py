"""The pipeline of a task: local work -> uplink -> edge queue -> edge work -> result, for all tasks at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.model import computing, rate
from physical.plane.columns import Outcome, Rows, TaskColumns, as_slice
from physical.plane.fifo import Fifo
from physical.plane.slices import Slices
from physical.plane.ticks import NEVER, Floats, Ints, ticks_from_s
from physical.plane.uplink import Uplink
from physical.system import System


@dataclass(frozen=True)
class Fate:
    """What the network does to task data: latency in ticks ([B, N, K], or one for all), and which are lost."""

    latency: Ints | int
    lost: NDArray[np.bool_] | None


class DataPlane:
    """All tasks of all vehicles and the edge server's queues; times are ticks (see `physical.plane.ticks`).

    Whoever changes something at T calls ``advance(T)`` first: the plane is then exact up to and including T,
    with everything that ends at T ended before the change.
    """

    def __init__(self, system: System, *, shared_cpu: bool = False) -> None:
        self.system = system
        self.columns = TaskColumns(system.num_vehicle, system.num_class)
        self._cpu_free = np.zeros(system.num_vehicle, dtype=np.int64) if shared_cpu else None
        self._uplink = Uplink(self.columns, np.zeros(system.num_vehicle))
        discipline = Slices if system.server.discipline == "slices" else Fifo
        num_flow = system.num_vehicle * system.num_class
        self.queues: Slices | Fifo = discipline(self.columns, system.cycles_per_byte, num_flow)
        self.arrived_bytes = np.zeros(system.num_class)
        self._cycles_per_byte = np.tile(system.cycles_per_byte, system.num_vehicle)
        self._cpu_hz = np.repeat(system.cpu_hz, system.num_class)
        self._parallel = system.model.order == "parallel"
        self._uplink_lossy = self._result_lossy = False
        self._advanced_to = -1

    def append_slots(self, first_slot: int, size_bytes: Floats, uplink: Fate, result: Fate) -> None:
        """Append the tasks of a block of slots, `size_bytes` : [B, N, K], and what the network will do to them."""
        first_row = self.columns.append_slots(first_slot, size_bytes)
        rows = slice(first_row, self.columns.num_row)
        self.columns.uplink_latency[rows] = np.ravel(uplink.latency)
        self.columns.result_latency[rows] = np.ravel(result.latency)
        if uplink.lost is not None:
            self._uplink_lossy = True
            self.columns.uplink_lost[rows] = uplink.lost.reshape(-1)
        if result.lost is not None:
            self._result_lossy = True
            self.columns.result_lost[rows] = result.lost.reshape(-1)

    def set_uplink_rate(self, now: int, rate_bps: Floats) -> None:
        """Change the uplink rates [N] at `now`, to which the plane has been advanced."""
        self._advanced_to = -1
        self._uplink.set_rate(now, rate_bps)

    def set_service_rate(self, now: int, rate_hz: Floats) -> None:
        """Change the service rates [N, K] of the edge server at `now`, to which the plane has been advanced."""
        self._advanced_to = -1
        self.queues.set_rates(now, rate_hz)

    def start(self, rows: Rows, at: Any, offloading_ratio: Floats) -> None:
        """Start the tasks in `rows` at ticks `at` (one for all, or one per row) with their offloading ratios."""
        columns = self.columns
        self._advanced_to = -1
        size, cycles_per_byte, cpu_hz = columns.size_bytes[rows], self._cycles_per_byte, self._cpu_hz
        if not isinstance(rows, slice):  # a slice holds all flows of a slot, in order
            flow = columns.flow[rows]
            cycles_per_byte, cpu_hz = cycles_per_byte[flow], cpu_hz[flow]
        local_cycles = computing.local_cycles(size, cycles_per_byte, offloading_ratio)
        local = ticks_from_s(computing.execution_delay_s(local_cycles, cpu_hz))
        local_end = at + local if self._cpu_free is None else self._run_in_turn(columns.vehicle[rows], at, local)
        upload_bytes = rate.upload_bytes(size, offloading_ratio, self.system.model.upload_rule)
        columns.start[rows] = at
        columns.offloading_ratio[rows] = offloading_ratio
        columns.local_end[rows] = local_end
        columns.edge_cycles[rows] = computing.edge_cycles(size, cycles_per_byte, offloading_ratio)
        index = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        uploads = upload_bytes > 0
        if not uploads.all():
            local = index[~uploads]
            columns.done[local] = columns.local_end[local]
            columns.outcome[local] = Outcome.COMPLETED
            index, upload_bytes = index[uploads], upload_bytes[uploads]
        if index.size:
            since = columns.start if self._parallel else columns.local_end
            self._uplink.add(index, since, upload_bytes)

    def _run_in_turn(self, vehicle: NDArray[np.int32], at: Any, local: Ints) -> Ints:
        """Let the local parts of each vehicle share its CPU, one after the other in row order."""
        assert self._cpu_free is not None
        num_class = self.system.num_class
        owner = vehicle[::num_class]
        need = local.reshape(-1, num_class)
        begin = np.maximum(self._cpu_free[owner], np.broadcast_to(at, vehicle.shape)[::num_class])
        end = begin[:, np.newaxis] + np.cumsum(need, axis=1)
        self._cpu_free[owner] = end[:, -1]
        # A class without local work does not wait for the CPU.
        return np.where(need > 0, end, np.broadcast_to(at, vehicle.shape).reshape(need.shape)).reshape(-1)

    def advance(self, now: int) -> None:
        """Bring every task up to `now`."""
        if now == self._advanced_to:
            return
        self._advanced_to = now
        arrived = self._uplink.take_arrived(now)
        if arrived.size:
            self._arrive(arrived)
        served, ends = self.queues.advance(now)
        if served.size:
            self._return_results(served, ends)

    def _arrive(self, rows: Ints) -> None:
        columns = self.columns
        if self._uplink_lossy or self.system.model.upload_rule == "always":
            at_edge = (columns.edge_cycles[rows] > 0) & ~columns.uplink_lost[rows]
            self._end_without_edge(rows[~at_edge])
            rows = rows[at_edge]
            if not rows.size:
                return
        index = as_slice(rows)
        offloaded = columns.size_bytes[index] * columns.offloading_ratio[index]
        task_class = columns.task_class[index]
        self.arrived_bytes += np.bincount(task_class, weights=offloaded, minlength=self.system.num_class)
        self.queues.admit(rows)

    def _end_without_edge(self, rows: Ints) -> None:
        """End uploads that were lost, and those of purely local tasks that eq. 9 charges all the same."""
        columns = self.columns
        columns.done[rows] = np.maximum(columns.local_end[rows], columns.arrive[rows])
        lost = columns.edge_cycles[rows] > 0
        columns.outcome[rows] = np.where(lost, Outcome.DROPPED_UPLINK, Outcome.COMPLETED)
        columns.arrive[rows[lost]] = NEVER

    def _return_results(self, rows: Ints, ends: Ints) -> None:
        columns = self.columns
        columns.served[rows] = ends
        done = ends + columns.result_latency[rows]
        if self._parallel:
            done = np.maximum(done, columns.local_end[rows])
        columns.done[rows] = done
        columns.outcome[rows] = Outcome.COMPLETED
        if self._result_lossy:
            columns.outcome[rows[columns.result_lost[rows]]] = Outcome.DROPPED_RESULT

    def take_arrived_bytes(self) -> Floats:
        """Return the bytes per class [K] that reached the server since the last call."""
        arrived, self.arrived_bytes = self.arrived_bytes, np.zeros(self.system.num_class)
        return arrived

    def take_finished(self, now: int) -> tuple[dict[str, NDArray[np.generic]], Ints]:
        """Hand out the rows that have ended by `now` and forget them; also return the renumbering of the others."""
        columns = self.columns
        finished = columns.done[: columns.num_row] <= now
        rows = columns.take(finished)
        renumbered = columns.compact(~finished)
        self._uplink.renumber(renumbered)
        self.queues.renumber(renumbered)
        return rows, renumbered

    def take_unfinished(self, num_row: int) -> dict[str, NDArray[np.generic]]:
        """Hand out what is still in flight in the first `num_row` rows, at the end of a run."""
        rows = self.columns.take(np.arange(self.columns.num_row) < num_row)
        rows["outcome"] = np.full(num_row, Outcome.IN_FLIGHT, dtype=np.int8)
        return rows
