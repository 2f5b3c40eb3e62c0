"""Sums over the tasks of every slot.

They are sums of integers (nanoseconds, and a fine unit of energy): they do not depend on the order in which tasks end
or on how often the books are written to disk, and neither does the digest of a trace.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.model import energy, qos
from physical.system import System
from physical.task_rows import Outcome, TaskRows
from physical.ticks import NEVER, NS_PER_S, ns_from_ticks
from sim.record.delays import DelayCounts
from sim.record.tasks import Spent

_ENERGIES = ("local", "transmit", "edge")
_COUNTS = (
    *("completed", "late", "dropped", "missed", "upload_ns", "num_split", "layers_local"),
    *(f"{kind}_units" for kind in _ENERGIES),
    *(f"{kind}_high" for kind in _ENERGIES),
)
_HIGH_BITS = 40
_HIGH = float(1 << _HIGH_BITS)
_BY_CLASS = ("counted", "delay_ns", "qos_delay_ns")


class SlotSums:
    """What is summed over the tasks of each of some slots; arrays [slots], of classes [slots, K].

    counted, delay_ns, qos_delay_ns : of classes: how many tasks count, and their delays
    """

    def __init__(self, sums: dict[str, Ints], units_per_j: float) -> None:
        self._sums = sums
        self._units_per_j = units_per_j

    def __getitem__(self, name: str) -> Ints:
        """Return a sum by its name: one of tasks, in ns, layers, or of classes."""
        return self._sums[name]

    @property
    def ended(self) -> Ints:
        """How many tasks have ended, [slots]."""
        return self._sums["completed"] + self._sums["late"] + self._sums["dropped"]

    @property
    def delay_s(self) -> list[float]:
        """How long the tasks that count took, [slots], s; int64 need not hold the sum of a run that lags behind."""
        return [sum(delays_ns) / NS_PER_S for delays_ns in self._sums["delay_ns"].tolist()]

    @property
    def upload_s(self) -> Floats:
        """How long the uploads of tasks that count took, [slots], s."""
        upload_s: Floats = self._sums["upload_ns"] / NS_PER_S
        return upload_s

    def energy_j(self, kind: str) -> Floats:
        """Return what tasks have spent: "local", "transmit" or "edge", [slots], J, rounded once."""
        units = self._sums[f"{kind}_units"]
        carried = units >> _HIGH_BITS
        joined: Floats = (self._sums[f"{kind}_high"] + carried) * _HIGH + (units - (carried << _HIGH_BITS))
        return joined / self._units_per_j


class TaskSums:
    """Adds up tasks by the slot that generated them, for slots that are taken out in order.

    A task counts with its delay t, in mode "corrected" with a QoS of at least the floor u (`objective.qos_floor`):
    ``max(1 - t / T, u)``. One that is dropped counts as missed, with the delay at which the QoS reaches the floor,
    (1 - u) T, or its age when it was dropped, whichever is longer (2 T at least by the weighted cost, with which u is
    always -1). A task in flight at the end of the run counts as missed, with its age, if that is beyond the deadline,
    and not at all otherwise. By the weighted cost, time counts for all tasks of a slot at the mean of those that count.

    delays : of all tasks that have ended
    first : the first slot that has not been taken out
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._deadline_ns = _in_ns(system.deadline_s)
        self._lost_ns = _in_ns(qos.floor_delay_s(system.deadline_s, system.objective.qos_floor))
        self._longest_ns = np.full_like(self._lost_ns, NEVER) if system.model.mode == "paper" else self._lost_ns
        self._units_per_j = _units_per_j(system)
        self.delays = DelayCounts(self._deadline_ns)
        self.first = 0
        self._sums: dict[str, Ints] = {name: np.zeros(0, dtype=np.int64) for name in _COUNTS}
        self._sums |= {name: np.zeros((0, system.num_class), dtype=np.int64) for name in _BY_CLASS}

    def next(self, num_slot: int) -> SlotSums:
        """Return the sums of the next slots, as they stand."""
        self._extend(num_slot)
        return SlotSums({name: sums[:num_slot] for name, sums in self._sums.items()}, self._units_per_j)

    def take(self, num_slot: int) -> SlotSums:
        """Return the sums of the next slots, which are through."""
        taken = self.next(num_slot)
        self._sums = {name: sums[num_slot:] for name, sums in self._sums.items()}
        self.first += num_slot
        return taken

    def add(self, tasks: TaskRows, spent: Spent, age_ns: Ints) -> NDArray[np.int8]:
        """Count ended or censored tasks; return their outcomes with LATE told from COMPLETED.

        spent : by each of them
        age_ns : time from generation to the end, or to the end of the run for tasks in flight, ns
        """
        outcome: NDArray[np.int8] = tasks.outcome.copy()
        over = age_ns > self._deadline_ns[tasks.task_class]
        outcome[(outcome == Outcome.COMPLETED) & over] = Outcome.LATE
        dropped = outcome >= Outcome.DROPPED_UPLINK
        ended = outcome != Outcome.IN_FLIGHT
        counted = ended | over
        index = tasks.slot.astype(np.int64) - self.first
        self._extend(int(index[-1]) + 1)
        self._count("completed", index[outcome == Outcome.COMPLETED])
        self._count("late", index[outcome == Outcome.LATE])
        self._count("dropped", index[dropped])
        self._count("missed", index[dropped | (over & counted)])
        for kind, spent_j in zip(_ENERGIES, spent, strict=True):
            if spent_j is not None:
                self._add_energy(kind, index, spent_j)
        if self._system.has_transformer:
            self._add_layers(tasks, index)
        if self._system.has_transformer or self._system.cost is not None:
            self._add_uploads(tasks, index, counted)
        for task_class in range(self._system.num_class):
            mine = tasks.task_class == task_class
            self.delays.add(task_class, age_ns[mine & ended & ~dropped], int(np.count_nonzero(mine & ended)))
        self._add_delays(tasks.task_class, index, counted, age_ns, dropped)
        return outcome

    def _add_delays(
        self, task_class: NDArray[np.int32], index: Ints, counted: Mask, age_ns: Ints, dropped: Mask
    ) -> None:
        """Add the delays of the tasks that count, and those that make their QoS."""
        delay_ns = age_ns
        if dropped.any():
            delay_ns = np.where(dropped, np.maximum(age_ns, self._lost_ns[task_class]), age_ns)
        qos_delay_ns = delay_ns
        if delay_ns.max() > self._longest_ns.min():
            qos_delay_ns = np.minimum(delay_ns, self._longest_ns[task_class])
        for number in range(self._system.num_class):
            chosen = (task_class == number) & counted
            index_chosen = index[chosen]
            self._sums["counted"][:, number] += np.bincount(index_chosen, minlength=len(self._sums["counted"]))
            totals = [self._sums["delay_ns"][:, number], self._sums["qos_delay_ns"][:, number]]
            if qos_delay_ns is delay_ns:
                _add_runs(totals, index_chosen, delay_ns[chosen])
            else:
                for total, values in zip(totals, (delay_ns, qos_delay_ns), strict=True):
                    _add_runs([total], index_chosen, values[chosen])

    def _add_energy(self, kind: str, index: Ints, spent_j: Floats) -> None:
        """Add energy in two parts: one burst, or one upload of hours, may take thousands of times what is usual."""
        units = np.rint(spent_j * self._units_per_j)
        high = np.floor(units / _HIGH)
        _add_runs([self._sums[f"{kind}_high"]], index, high.astype(np.int64))
        _add_runs([self._sums[f"{kind}_units"]], index, (units - high * _HIGH).astype(np.int64))

    def _add_layers(self, tasks: TaskRows, index: Ints) -> None:
        """Count local layers of the tasks that were started."""
        num_layer, ratio = self._system.num_layer[tasks.task_class], tasks.offloading_ratio
        split = (num_layer > 0) & ~np.isnan(ratio)
        local = np.rint((1.0 - ratio[split]) * num_layer[split]).astype(np.int64)
        self._count("num_split", index[split])
        _add_runs([self._sums["layers_local"]], index[split], local)

    def _add_uploads(self, tasks: TaskRows, index: Ints, counted: Mask) -> None:
        """Count the time that uploads took, of the tasks that count."""
        sent = counted & (tasks.arrive < NEVER) & (tasks.arrive <= tasks.done)
        upload_ns = ns_from_ticks(tasks.arrive[sent]) - ns_from_ticks(tasks.local_end[sent])
        _add_runs([self._sums["upload_ns"]], index[sent], upload_ns)

    def _extend(self, num_slot: int) -> None:
        missing = num_slot - len(self._sums["completed"])
        if missing > 0:
            for name, sums in self._sums.items():
                self._sums[name] = np.concatenate([sums, np.zeros((missing, *sums.shape[1:]), dtype=np.int64)])

    def _count(self, name: str, index: Ints) -> None:
        self._sums[name] += np.bincount(index, minlength=len(self._sums[name]))


def _in_ns(duration_s: Floats) -> Ints:
    return np.rint(duration_s * NS_PER_S).astype(np.int64)


def _units_per_j(system: System) -> float:
    """Return a power of two so fine that no task's energy loses digits, and so coarse that a slot's sum fits int64."""
    sizes = np.broadcast_to(2.0 * system.size_bytes_mean, (system.num_vehicle, system.num_class))
    local, edge = system.work_cycles(sizes, np.zeros(system.num_vehicle, dtype=np.int64))
    cpu_hz, kappa = system.cpu_hz[:, np.newaxis], system.kappa_vehicle[:, np.newaxis]
    task_j = float(energy.local_energy_j(local, cpu_hz, kappa).max())
    if system.model.edge_energy_rule == "job":
        task_j += float(energy.local_energy_j(edge.max(), system.node_hz, system.node_kappa).max())
        task_j += float(energy.transmit_energy_j(system.transmit_power_w, system.slot_duration_s).max())
    slot_j = task_j * system.num_present * system.num_class
    return 2.0 ** (50 - math.ceil(math.log2(slot_j))) if slot_j > 0 else 1.0


def _add_runs(totals: list[Ints], index: Ints, values: Ints) -> None:
    """Add `values` to ``total[index]`` of each total; `index` ascends, as rows of tasks do by slot."""
    if index.size:
        begin = np.flatnonzero(np.diff(index, prepend=-1))
        sums = np.add.reduceat(values, begin)
        for total in totals:
            total[index[begin]] += sums
