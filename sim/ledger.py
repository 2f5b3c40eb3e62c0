"""Books of a run: what became of the tasks of every slot, and the totals of the summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.model import objective, qos
from physical.plane.columns import Outcome
from physical.plane.ticks import NS_PER_S
from physical.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SUMS = ("counted", "completed", "late", "dropped", "missed", "delay_s", "qos", "energy_local_j")


@dataclass
class Totals:
    """Sums over everything that has been emitted."""

    num_slot: int = 0
    num_slot_counted: int = 0
    by_task: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*_SUMS, "in_flight"), 0.0))
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
        self._first = 0
        self._closed: list[tuple[Floats, Floats, Floats, float]] = []
        self._sums: dict[str, Floats] = {name: np.zeros(0) for name in _SUMS}

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
        delay_s = np.where(dropped, np.maximum(age_ns, deadline_ns), age_ns) / NS_PER_S
        task_qos = qos.qos(delay_s, self._system.deadline_s[rows["task_class"]])
        sums = {
            "counted": counted,
            "completed": outcome == Outcome.COMPLETED,
            "late": outcome == Outcome.LATE,
            "dropped": dropped,
            "missed": dropped | (over & counted),
            "delay_s": np.where(counted, delay_s, 0.0),
            "qos": np.where(counted, task_qos, 0.0),
            "energy_local_j": local_j,
        }
        index = rows["slot"] - self._first
        for name, weights in sums.items():
            added: Floats = np.bincount(index, weights=weights, minlength=len(self._sums[name])).astype(np.float64)
            added[: len(self._sums[name])] += self._sums[name]
            self._sums[name] = added
        return outcome

    def emit(self, *, final: bool = False) -> dict[str, Any] | None:
        """Return the rows of the next complete slots (at the end of the run: of all closed ones), if there are any."""
        ended = self._sums["completed"] + self._sums["late"] + self._sums["dropped"]
        known = min(len(ended), len(self._closed))
        open_slots = np.flatnonzero(ended[:known] < self._per_slot)
        num = len(self._closed) if final else int(open_slots[0]) if open_slots.size else known
        if not num:
            return None
        closed, self._closed = self._closed[:num], self._closed[num:]
        taken = {
            name: np.concatenate([sums[:num], np.zeros(max(num - len(sums), 0))]) for name, sums in self._sums.items()
        }
        self._sums = {name: sums[num:] for name, sums in self._sums.items()}
        rows = self._rows(closed, taken)
        self._first += num
        self._add_to_totals(rows, taken)
        return rows

    def _rows(self, closed: list[tuple[Floats, Floats, Floats, float]], sums: dict[str, Floats]) -> dict[str, Any]:
        backlog, arrived, service = (np.stack([entry[part] for entry in closed]) for part in range(3))
        energy_edge_j = np.array([entry[3] for entry in closed])
        counted = sums["counted"]
        with np.errstate(invalid="ignore", divide="ignore"):  # a slot without counted tasks has no means: NaN
            mean_qos, miss_ratio = sums["qos"] / counted, sums["missed"] / counted
            delay_s_mean = sums["delay_s"] / counted
        drift = objective.drift(backlog, arrived, service, self._system.backlog_unit_bytes)
        energy_j = sums["energy_local_j"] + energy_edge_j
        ended = sums["completed"] + sums["late"] + sums["dropped"]
        return {
            "slot": np.arange(self._first, self._first + len(closed), dtype=np.int32),
            "objective": objective.p2(drift, mean_qos, energy_j, miss_ratio, self._system.objective),
            "drift": drift,
            "qos": mean_qos,
            "delay_s_mean": delay_s_mean,
            "deadline_miss_ratio": miss_ratio,
            "energy_local_j": sums["energy_local_j"],
            "energy_edge_j": energy_edge_j,
            "backlog_bytes": backlog,
            "arrived_bytes": arrived,
            "service_bytes": service,
            "num_completed": sums["completed"].astype(np.int32),
            "num_late": sums["late"].astype(np.int32),
            "num_dropped": sums["dropped"].astype(np.int32),
            "num_in_flight": (self._per_slot - ended).astype(np.int32),
        }

    def _add_to_totals(self, rows: dict[str, Any], sums: dict[str, Floats]) -> None:
        totals = self.totals
        totals.num_slot += len(rows["slot"])
        has_tasks = sums["counted"] > 0
        totals.num_slot_counted += int(has_tasks.sum())
        for name, values in sums.items():
            totals.by_task[name] += float(values.sum())
        totals.by_task["in_flight"] += float(rows["num_in_flight"].sum())
        totals.by_slot["objective"] += float(rows["objective"][has_tasks].sum())
        totals.by_slot["qos"] += float(rows["qos"][has_tasks].sum())
        totals.by_slot["energy_edge_j"] += float(rows["energy_edge_j"].sum())
        totals.by_slot["backlog_bytes"] += float(rows["backlog_bytes"].sum())
