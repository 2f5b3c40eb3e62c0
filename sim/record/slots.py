"""The table `slots`: what became of the tasks of every slot, and what the slot is worth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.goals import Brought, goal_of
from physical.model import objective, qos
from physical.states import VehicleStates
from physical.system import System
from physical.task_rows import TaskRows
from physical.ticks import NS_PER_S
from sim.record.delays import DelayCounts
from sim.record.stability import RESOURCES, Waiting
from sim.record.task_sums import SlotSums, TaskSums
from sim.record.tasks import Spent
from sim.record.totals import Totals


class ClosedSlot(NamedTuple):
    """What is known of a slot at its end.

    arrived_bytes, service_bytes : [K], what reached the servers and what they offered during the slot
    energy_edge_j : J, of servers that are not metered job by job
    num_task : tasks generated
    """

    arrived_bytes: Floats
    service_bytes: Floats
    energy_edge_j: float
    num_task: int


class Ledger:
    """Gathers outcomes by the slot that generated the task, and emits slots in order once all their tasks have ended.

    The penalty of a slot is what its tasks bring: QoS, energy and misses, or the weighted cost; `TaskSums` tells what
    counts. The objective adds the drift that has happened: a slot is held back until the backlog at the start of the
    next one is known, or at the end of the run.

    totals : over all slots that were emitted
    """

    def __init__(self, system: System) -> None:
        self.totals = Totals()
        self._goal = goal_of(system)
        self._system = system
        self._tasks = TaskSums(system)
        self._closed: list[ClosedSlot] = []
        self._backlog: list[list[Floats]] = [[] for _ in range(system.num_node)]
        self._states: list[VehicleStates] = []
        self._waiting = Waiting(system)
        self._waiting_s: Floats = np.zeros((0, len(RESOURCES)))
        self._emitted: dict[str, list[Floats]] = {"penalty": [], "waiting": []}

    @property
    def delays(self) -> DelayCounts:
        """Delays of all tasks that have ended, counted."""
        return self._tasks.delays

    @property
    def slot_penalty(self) -> Floats:
        """Penalty of every slot that was emitted, [slots]; NaN for slots without a task that counts."""
        return np.concatenate([np.zeros(0), *self._emitted["penalty"]])

    @property
    def waiting_s(self) -> Floats:
        """What waited for each of `stability.RESOURCES` at the start of every slot that was emitted, [slots, 3], s."""
        return np.concatenate([np.zeros((0, len(RESOURCES))), *self._emitted["waiting"]])

    def report_backlog(self, node: int, backlog_bytes: Floats) -> None:
        """Take note of the queues of a node, [K], at the start of its next slot, and at the end of the run."""
        self._backlog[node].append(backlog_bytes)

    def close_slot(self, slot: ClosedSlot, states: VehicleStates) -> None:
        """Take note of what the next slot brought, and of the true states at its start; its backlog is reported."""
        self._closed.append(slot)
        self._states.append(states)

    def add_tasks(self, tasks: TaskRows, spent: Spent, age_ns: Ints) -> NDArray[np.int8]:
        """Count ended or censored tasks; return their outcomes, as `TaskSums.add` does."""
        return self._tasks.add(tasks, spent, age_ns)

    def emit(self, *, final: bool = False) -> dict[str, Any] | None:
        """Return the rows of the next complete slots, if there are any.

        Complete is a slot whose next backlog is known and all of whose tasks have ended, or are in flight for good.
        """
        self._weigh()
        num_known = min(len(self._closed), min(map(len, self._backlog)) - 1)
        if num_known <= 0:
            return None
        ended = self._tasks.next(num_known).ended
        open_slots = np.flatnonzero(ended < np.array([slot.num_task for slot in self._closed[:num_known]]))
        num = int(open_slots[0]) if open_slots.size and not final else num_known
        if not num:
            return None
        first, sums = self._tasks.first, self._tasks.take(num)
        rows = self._rows(first, num, sums)
        self._closed = self._closed[num:]
        self._backlog = [reported[num:] for reported in self._backlog]
        self._waiting_s = self._waiting_s[num:]
        self._emitted["penalty"].append(rows["penalty"])
        self._emitted["waiting"].append(np.stack([rows[f"waiting_{name}_s"] for name in RESOURCES], axis=1))
        self.totals.add(rows, sums)
        return rows

    def _weigh(self) -> None:
        """Weigh what waited in the slots closed since the last time; their states are parts of large blocks."""
        begin, end = len(self._waiting_s), len(self._closed)
        if begin < end:
            backlog_bytes = np.stack([np.stack(reported[begin:end]) for reported in self._backlog], axis=1)
            self._waiting_s = np.concatenate([self._waiting_s, self._waiting.weigh(self._states, backlog_bytes)])
            self._states.clear()

    def _rows(self, first: int, num: int, sums: SlotSums) -> dict[str, Any]:
        """Return the rows of the next `num` slots, of which `first` is the first."""
        system, closed = self._system, self._closed[:num]
        backlog = np.sum([np.stack(reported[: num + 1]) for reported in self._backlog], axis=0)
        num_task = np.array([slot.num_task for slot in closed])
        local_j, transmit_j = sums.energy_j("local"), sums.energy_j("transmit")
        edge_j = sums.energy_j("edge") + np.array([slot.energy_edge_j for slot in closed])
        energy_j = local_j + transmit_j + edge_j
        counted = sums["counted"].sum(axis=1)
        delay_s = sums["delay_ns"].sum(axis=1) / NS_PER_S
        mean_qos = self._mean_qos(sums)
        with np.errstate(invalid="ignore", divide="ignore"):  # a slot without counted tasks has no means: NaN
            miss_ratio = sums["missed"] / counted
            delay_s_mean = delay_s / counted
            counted_s = delay_s - (sums.upload_s if system.model.mode == "paper" else 0.0)
            time_s = counted_s / counted * num_task
        drift = objective.realised_drift(backlog[:-1], backlog[1:], system.backlog_unit_bytes)
        value, penalty = self._goal.realised(Brought(drift, mean_qos, energy_j, miss_ratio, time_s))
        return {
            "slot": np.arange(first, first + num, dtype=np.int32),
            "objective": value,
            "penalty": penalty,
            "drift": drift,
            "qos": mean_qos,
            "delay_s_mean": delay_s_mean,
            "deadline_miss_ratio": miss_ratio,
            "energy_local_j": local_j,
            "energy_transmit_j": transmit_j,
            "energy_edge_j": edge_j,
            "backlog_bytes": backlog[:-1],
            "arrived_bytes": np.stack([slot.arrived_bytes for slot in closed]),
            "service_bytes": np.stack([slot.service_bytes for slot in closed]),
            **{f"waiting_{name}_s": self._waiting_s[:num, index] for index, name in enumerate(RESOURCES)},
            "num_completed": sums["completed"].astype(np.int32),
            "num_late": sums["late"].astype(np.int32),
            "num_dropped": sums["dropped"].astype(np.int32),
            "num_in_flight": (num_task - sums.ended).astype(np.int32),
        }

    def _mean_qos(self, sums: SlotSums) -> Floats:
        """Return the mean QoS of the tasks that count, [slots]; NaN where there is none.

        QoS is linear in the delay up to the floor's: a class's mean is that of its mean delay.
        """
        by_class = sums["counted"]
        with np.errstate(invalid="ignore", divide="ignore"):
            qos_delay_s = sums["qos_delay_ns"] / NS_PER_S / by_class
            class_qos = np.where(by_class > 0, qos.qos(qos_delay_s, self._system.deadline_s), 0.0)
            mean_qos: Floats = (by_class * class_qos).sum(axis=1) / by_class.sum(axis=1)
        return mean_qos
