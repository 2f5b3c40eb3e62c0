"""Books of a run: what became of the tasks of every slot, and the totals of the summary.

Sums over tasks are sums of integers (nanoseconds, and a fine unit of energy): they do not depend on the order in which
tasks end or on how often the books are written to disk, and neither does the digest of a trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.model import energy, objective, qos
from physical.plane.columns import Outcome
from physical.plane.ticks import NS_PER_S
from physical.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COUNTS = ("completed", "late", "dropped", "missed", "energy_units")
_BY_CLASS = ("counted", "delay_ns")


@dataclass
class Totals:
    """Sums over everything that has been emitted."""

    num_slot: int = 0
    num_slot_counted: int = 0
    by_task: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("counted", "completed", "late", "dropped", "missed", "in_flight", "delay_s", "energy_local_j"), 0.0
        )
    )
    by_slot: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("objective", "qos", "energy_edge_j", "backlog_bytes"), 0.0)
    )


class Ledger:
    """Gathers outcomes by the slot that generated the task, and emits slots in order once all their tasks have ended.

    A task that is dropped counts as missed, with the deadline or its age when it was dropped as its delay, whichever is
    longer. A task in flight at the end of the run counts as missed, with its age, if that is beyond the deadline, and
    not at all otherwise.
    """

    def __init__(self, system: System) -> None:
        self.totals = Totals()
        self._system = system
        self._deadline_ns = np.rint(system.deadline_s * NS_PER_S).astype(np.int64)
        self._per_slot = system.num_vehicle * system.num_class
        self._units_per_j = _units_per_j(system)
        self._first = 0
        self._closed: list[tuple[Floats, Floats, Floats, float]] = []
        self._sums: dict[str, Ints] = {name: np.zeros(0, dtype=np.int64) for name in _COUNTS}
        self._sums |= {name: np.zeros((0, system.num_class), dtype=np.int64) for name in _BY_CLASS}

    def close_slot(self, backlog_bytes: Floats, arrived_bytes: Floats, service_bytes: Floats, edge_j: float) -> None:
        """Take note of the queues [K] and the edge energy of the next slot."""
        self._closed.append((backlog_bytes, arrived_bytes, service_bytes, edge_j))

    def add_tasks(self, rows: dict[str, Any], local_j: Floats, age_ns: Ints) -> NDArray[np.int8]:
        """Count ended or censored tasks; return their outcomes with LATE told from COMPLETED.

        rows : recorded columns of the data plane
        local_j : energy that each spent on its vehicle, J
        age_ns : time from generation to the end, or to the end of the run for tasks in flight, ns
        """
        outcome: NDArray[np.int8] = rows["outcome"].copy()
        deadline_ns = self._deadline_ns[rows["task_class"]]
        over = age_ns > deadline_ns
        outcome[(outcome == Outcome.COMPLETED) & over] = Outcome.LATE
        dropped = outcome >= Outcome.DROPPED_UPLINK
        counted = (outcome != Outcome.IN_FLIGHT) | over
        index = rows["slot"] - self._first
        self._extend(int(index[-1]) + 1)
        self._count("completed", index[outcome == Outcome.COMPLETED])
        self._count("late", index[outcome == Outcome.LATE])
        self._count("dropped", index[dropped])
        self._count("missed", index[dropped | (over & counted)])
        _add_runs(self._sums["energy_units"], index, np.rint(local_j * self._units_per_j).astype(np.int64))
        delay_ns = np.where(dropped, np.maximum(age_ns, deadline_ns), age_ns)
        for task_class in range(self._system.num_class):
            chosen = (rows["task_class"] == task_class) & counted
            index_chosen = index[chosen]
            self._sums["counted"][:, task_class] += np.bincount(index_chosen, minlength=len(self._sums["counted"]))
            _add_runs(self._sums["delay_ns"][:, task_class], index_chosen, delay_ns[chosen])
        return outcome

    def _extend(self, num_slot: int) -> None:
        missing = num_slot - len(self._sums["completed"])
        if missing > 0:
            for name, sums in self._sums.items():
                self._sums[name] = np.concatenate([sums, np.zeros((missing, *sums.shape[1:]), dtype=np.int64)])

    def _count(self, name: str, index: Ints) -> None:
        self._sums[name] += np.bincount(index, minlength=len(self._sums[name]))

    def emit(self, *, final: bool = False) -> dict[str, Any] | None:
        """Return the rows of the next complete slots (at the end of the run: of all closed ones), if there are any."""
        self._extend(len(self._closed))
        ended = (self._sums["completed"] + self._sums["late"] + self._sums["dropped"])[: len(self._closed)]
        open_slots = np.flatnonzero(ended < self._per_slot)
        num = int(open_slots[0]) if open_slots.size and not final else len(self._closed)
        if not num:
            return None
        closed, self._closed = self._closed[:num], self._closed[num:]
        taken = {name: sums[:num] for name, sums in self._sums.items()}
        self._sums = {name: sums[num:] for name, sums in self._sums.items()}
        rows = self._rows(closed, taken)
        self._first += num
        self._add_to_totals(rows, taken)
        return rows

    def _rows(self, closed: list[tuple[Floats, Floats, Floats, float]], sums: dict[str, Ints]) -> dict[str, Any]:
        backlog, arrived, service = (np.stack([entry[part] for entry in closed]) for part in range(3))
        energy_edge_j = np.array([entry[3] for entry in closed])
        by_class = sums["counted"]
        counted = by_class.sum(axis=1)
        delay_s = sums["delay_ns"] / NS_PER_S
        with np.errstate(invalid="ignore", divide="ignore"):  # a slot without counted tasks has no means: NaN
            # QoS is linear in the delay: a class's mean is that of its mean delay.
            class_qos = np.where(by_class > 0, qos.qos(delay_s / by_class, self._system.deadline_s), 0.0)
            mean_qos = (by_class * class_qos).sum(axis=1) / counted
            miss_ratio = sums["missed"] / counted
            delay_s_mean = delay_s.sum(axis=1) / counted
        drift = objective.drift(backlog, arrived, service, self._system.backlog_unit_bytes)
        energy_local_j = sums["energy_units"] / self._units_per_j
        energy_j = energy_local_j + energy_edge_j
        ended = sums["completed"] + sums["late"] + sums["dropped"]
        return {
            "slot": np.arange(self._first, self._first + len(closed), dtype=np.int32),
            "objective": objective.p2(drift, mean_qos, energy_j, miss_ratio, self._system.objective),
            "drift": drift,
            "qos": mean_qos,
            "delay_s_mean": delay_s_mean,
            "deadline_miss_ratio": miss_ratio,
            "energy_local_j": energy_local_j,
            "energy_edge_j": energy_edge_j,
            "backlog_bytes": backlog,
            "arrived_bytes": arrived,
            "service_bytes": service,
            "num_completed": sums["completed"].astype(np.int32),
            "num_late": sums["late"].astype(np.int32),
            "num_dropped": sums["dropped"].astype(np.int32),
            "num_in_flight": (self._per_slot - ended).astype(np.int32),
        }

    def _add_to_totals(self, rows: dict[str, Any], sums: dict[str, Ints]) -> None:
        totals = self.totals
        totals.num_slot += len(rows["slot"])
        has_tasks = sums["counted"].sum(axis=1) > 0
        totals.num_slot_counted += int(has_tasks.sum())
        for name in ("counted", "completed", "late", "dropped", "missed"):
            totals.by_task[name] += int(sums[name].sum())
        totals.by_task["in_flight"] += int(rows["num_in_flight"].sum())
        totals.by_task["delay_s"] += int(sums["delay_ns"].sum()) / NS_PER_S
        totals.by_task["energy_local_j"] += float(rows["energy_local_j"].sum())
        totals.by_slot["objective"] += float(rows["objective"][has_tasks].sum())
        totals.by_slot["qos"] += float(rows["qos"][has_tasks].sum())
        totals.by_slot["energy_edge_j"] += float(rows["energy_edge_j"].sum())
        totals.by_slot["backlog_bytes"] += float(rows["backlog_bytes"].sum())


def _units_per_j(system: System) -> float:
    """Return a power of two so fine that no task's energy loses digits, and so coarse that a slot's sum fits int64."""
    cycles = 2.0 * float((system.size_bytes_mean * system.cycles_per_byte).max())
    task_j = float(energy.local_energy_j(cycles, system.cpu_hz, system.kappa_vehicle).max())
    slot_j = task_j * system.num_vehicle * system.num_class
    return 2.0 ** (50 - math.ceil(math.log2(slot_j))) if slot_j > 0 else 1.0


def _add_runs(total: Ints, index: Ints, values: Ints) -> None:
    """Add `values` to ``total[index]``; `index` ascends, as rows of tasks do by slot."""
    if index.size:
        begin = np.flatnonzero(np.diff(index, prepend=-1))
        total[index[begin]] += np.add.reduceat(values, begin)
