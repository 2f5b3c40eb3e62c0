"""Books of a run: what became of the tasks of every slot, and the totals of the summary.

Sums over tasks are sums of integers (nanoseconds, and a fine unit of energy): they do not depend on the order in which
tasks end or on how often the books are written to disk, and neither does the digest of a trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.columns.fleet import VehicleStates
from physical.columns.tasks import Outcome
from physical.model import energy, objective, qos
from physical.system import System
from physical.ticks import NEVER, NS_PER_S, ns_from_ticks
from sim.record.delays import DelayCounts
from sim.record.stability import RESOURCES, Waiting

_ENERGIES = ("local", "transmit", "edge")
_COUNTS = (
    *("completed", "late", "dropped", "missed", "upload_ns", "num_split", "layers_local"),
    *(f"{kind}_units" for kind in _ENERGIES),
    *(f"{kind}_high" for kind in _ENERGIES),
)
_HIGH_BITS = 40
_HIGH = float(1 << _HIGH_BITS)
_BY_CLASS = ("counted", "delay_ns", "qos_delay_ns")


@dataclass
class Totals:
    """Sums over everything that has been emitted."""

    num_slot: int = 0
    num_slot_counted: int = 0
    by_task: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            (
                *("generated", "counted", "completed", "late", "dropped", "missed", "in_flight", "delay_s"),
                *("upload_s", "num_split", "layers_local", "energy_local_j", "energy_transmit_j"),
            ),
            0.0,
        )
    )
    by_slot: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("objective", "penalty", "drift", "qos", "energy_edge_j", "backlog_bytes"), 0.0
        )
    )


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

    A task counts with its delay t, in mode "corrected" with a QoS of at least the floor u (`objective.qos_floor`):
    ``max(1 - t / T, u)``. One that is dropped counts as missed, with the delay at which the QoS reaches the floor,
    (1 - u) T, or its age when it was dropped, whichever is longer (2 T at least by the weighted cost, with which u is
    always -1). A task in flight at the end of the run counts as missed, with its age, if that is beyond the deadline,
    and not at all otherwise. By the weighted cost, time counts for all tasks of a slot at the mean of those that count.

    The penalty of a slot is what its tasks bring: QoS, energy and misses, or the weighted cost. The objective adds the
    drift that has happened: a slot is held back until the backlog at the start of the next one is known, or at the end
    of the run.
    """

    def __init__(self, system: System) -> None:
        self.totals = Totals()
        self._system = system
        self._deadline_ns = _in_ns(system.deadline_s)
        self._lost_ns = _in_ns(qos.floor_delay_s(system.deadline_s, system.objective.qos_floor))
        self._longest_ns = np.full_like(self._lost_ns, NEVER) if system.model.mode == "paper" else self._lost_ns
        self._units_per_j = _units_per_j(system)
        self.delays = DelayCounts(self._deadline_ns)
        self._first = 0
        self._closed: list[ClosedSlot] = []
        self._backlog: list[list[Floats]] = [[] for _ in range(system.num_node)]
        self._states: list[VehicleStates] = []
        self._waiting = Waiting(system)
        self._waiting_s: Floats = np.zeros((0, len(RESOURCES)))
        self._emitted: dict[str, list[Floats]] = {"penalty": [], "waiting": []}
        self._sums: dict[str, Ints] = {name: np.zeros(0, dtype=np.int64) for name in _COUNTS}
        self._sums |= {name: np.zeros((0, system.num_class), dtype=np.int64) for name in _BY_CLASS}

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

    def add_tasks(self, rows: dict[str, Any], joules: dict[str, Floats], age_ns: Ints) -> NDArray[np.int8]:
        """Count ended or censored tasks; return their outcomes with LATE told from COMPLETED.

        rows : recorded columns of the data plane
        joules : what each spent, J: "local" on its vehicle, and where jobs are metered "transmit" and "edge"
        age_ns : time from generation to the end, or to the end of the run for tasks in flight, ns
        """
        outcome: NDArray[np.int8] = rows["outcome"].copy()
        deadline_ns = self._deadline_ns[rows["task_class"]]
        over = age_ns > deadline_ns
        outcome[(outcome == Outcome.COMPLETED) & over] = Outcome.LATE
        dropped = outcome >= Outcome.DROPPED_UPLINK
        counted = (outcome != Outcome.IN_FLIGHT) | over
        ended = outcome != Outcome.IN_FLIGHT
        finished = ended & ~dropped
        index = rows["slot"] - self._first
        self._extend(int(index[-1]) + 1)
        self._count("completed", index[outcome == Outcome.COMPLETED])
        self._count("late", index[outcome == Outcome.LATE])
        self._count("dropped", index[dropped])
        self._count("missed", index[dropped | (over & counted)])
        for kind, spent_j in joules.items():
            # In two parts: one burst, or one upload of hours, may take thousands of times what slots usually take.
            units = np.rint(spent_j * self._units_per_j)
            high = np.floor(units / _HIGH)
            _add_runs([self._sums[f"{kind}_high"]], index, high.astype(np.int64))
            _add_runs([self._sums[f"{kind}_units"]], index, (units - high * _HIGH).astype(np.int64))
        if self._system.has_transformer:
            self._add_layers(rows, index)
        if self._system.has_transformer or self._system.cost is not None:
            self._add_uploads(rows, index, counted)
        delay_ns = age_ns
        if dropped.any():
            delay_ns = np.where(dropped, np.maximum(age_ns, self._lost_ns[rows["task_class"]]), age_ns)
        qos_delay_ns = delay_ns
        if delay_ns.max() > self._longest_ns.min():
            qos_delay_ns = np.minimum(delay_ns, self._longest_ns[rows["task_class"]])
        for task_class in range(self._system.num_class):
            mine = rows["task_class"] == task_class
            self.delays.add(task_class, age_ns[mine & finished], int(np.count_nonzero(mine & ended)))
            chosen = mine & counted
            index_chosen = index[chosen]
            self._sums["counted"][:, task_class] += np.bincount(index_chosen, minlength=len(self._sums["counted"]))
            totals = [self._sums["delay_ns"][:, task_class], self._sums["qos_delay_ns"][:, task_class]]
            if qos_delay_ns is delay_ns:
                _add_runs(totals, index_chosen, delay_ns[chosen])
            else:
                for total, values in zip(totals, (delay_ns, qos_delay_ns), strict=True):
                    _add_runs([total], index_chosen, values[chosen])
        return outcome

    def _add_layers(self, rows: dict[str, Any], index: Ints) -> None:
        """Count local layers of the tasks that were started."""
        num_layer = self._system.num_layer[rows["task_class"]]
        ratio = rows["offloading_ratio"]
        split = (num_layer > 0) & ~np.isnan(ratio)
        local = np.rint((1.0 - ratio[split]) * num_layer[split]).astype(np.int64)
        self._sums["num_split"] += np.bincount(index[split], minlength=len(self._sums["num_split"]))
        _add_runs([self._sums["layers_local"]], index[split], local)

    def _add_uploads(self, rows: dict[str, Any], index: Ints, counted: Mask) -> None:
        """Count the time that uploads took, of the tasks that count."""
        sent = counted & (rows["arrive"] < NEVER) & (rows["arrive"] <= rows["done"])
        upload_ns = ns_from_ticks(rows["arrive"][sent]) - ns_from_ticks(rows["local_end"][sent])
        _add_runs([self._sums["upload_ns"]], index[sent], upload_ns)

    def _extend(self, num_slot: int) -> None:
        missing = num_slot - len(self._sums["completed"])
        if missing > 0:
            for name, sums in self._sums.items():
                self._sums[name] = np.concatenate([sums, np.zeros((missing, *sums.shape[1:]), dtype=np.int64)])

    def _count(self, name: str, index: Ints) -> None:
        self._sums[name] += np.bincount(index, minlength=len(self._sums[name]))

    def emit(self, *, final: bool = False) -> dict[str, Any] | None:
        """Return the rows of the next complete slots, if there are any.

        Complete is a slot whose next backlog is known and all of whose tasks have ended, or are in flight for good.
        """
        self._weigh()
        num_known = min(len(self._closed), min(map(len, self._backlog)) - 1)
        if num_known <= 0:
            return None
        self._extend(num_known)
        ended = (self._sums["completed"] + self._sums["late"] + self._sums["dropped"])[:num_known]
        open_slots = np.flatnonzero(ended < np.array([slot.num_task for slot in self._closed[:num_known]]))
        num = int(open_slots[0]) if open_slots.size and not final else num_known
        if not num:
            return None
        taken = {name: sums[:num] for name, sums in self._sums.items()}
        rows = self._rows(num, taken)
        self._sums = {name: sums[num:] for name, sums in self._sums.items()}
        self._closed = self._closed[num:]
        self._backlog = [reported[num:] for reported in self._backlog]
        self._waiting_s = self._waiting_s[num:]
        self._first += num
        self._add_to_totals(rows, taken)
        return rows

    def _weigh(self) -> None:
        """Weigh what waited in the slots closed since the last time; their states are parts of large blocks."""
        begin, end = len(self._waiting_s), len(self._closed)
        if begin < end:
            backlog_bytes = np.stack([np.stack(reported[begin:end]) for reported in self._backlog], axis=1)
            self._waiting_s = np.concatenate([self._waiting_s, self._waiting.weigh(self._states, backlog_bytes)])
            self._states.clear()

    def _rows(self, num: int, sums: dict[str, Ints]) -> dict[str, Any]:
        """Return the rows of the next `num` slots."""
        system, closed = self._system, self._closed[:num]
        backlog = np.sum([np.stack(reported[: num + 1]) for reported in self._backlog], axis=0)
        num_task = np.array([slot.num_task for slot in closed])
        energies_j = {kind: _joined(sums, kind) / self._units_per_j for kind in _ENERGIES}
        energies_j["edge"] = energies_j["edge"] + np.array([slot.energy_edge_j for slot in closed])
        energy_j = energies_j["local"] + energies_j["transmit"] + energies_j["edge"]
        by_class = sums["counted"]
        counted = by_class.sum(axis=1)
        delay_s = sums["delay_ns"].sum(axis=1) / NS_PER_S
        with np.errstate(invalid="ignore", divide="ignore"):  # a slot without counted tasks has no means: NaN
            # QoS is linear in the delay up to the floor's: a class's mean is that of its mean delay.
            qos_delay_s = sums["qos_delay_ns"] / NS_PER_S / by_class
            class_qos = np.where(by_class > 0, qos.qos(qos_delay_s, system.deadline_s), 0.0)
            mean_qos = (by_class * class_qos).sum(axis=1) / counted
            miss_ratio = sums["missed"] / counted
            delay_s_mean = delay_s / counted
            counted_s = delay_s - (sums["upload_ns"] / NS_PER_S if system.model.mode == "paper" else 0.0)
            time_s = counted_s / counted * num_task
        drift = objective.realised_drift(backlog[:-1], backlog[1:], system.backlog_unit_bytes)
        if system.cost is None:
            penalty = objective.penalty(mean_qos, energy_j, miss_ratio, system.objective)
            value = objective.p2(drift, mean_qos, energy_j, miss_ratio, system.objective)
        else:
            penalty = value = objective.weighted_cost(time_s, energy_j, *system.cost_weights)
        ended = sums["completed"] + sums["late"] + sums["dropped"]
        return {
            "slot": np.arange(self._first, self._first + num, dtype=np.int32),
            "objective": value,
            "penalty": penalty,
            "drift": drift,
            "qos": mean_qos,
            "delay_s_mean": delay_s_mean,
            "deadline_miss_ratio": miss_ratio,
            **{f"energy_{kind}_j": spent_j for kind, spent_j in energies_j.items()},
            "backlog_bytes": backlog[:-1],
            "arrived_bytes": np.stack([slot.arrived_bytes for slot in closed]),
            "service_bytes": np.stack([slot.service_bytes for slot in closed]),
            **{f"waiting_{name}_s": self._waiting_s[:num, index] for index, name in enumerate(RESOURCES)},
            "num_completed": sums["completed"].astype(np.int32),
            "num_late": sums["late"].astype(np.int32),
            "num_dropped": sums["dropped"].astype(np.int32),
            "num_in_flight": (num_task - ended).astype(np.int32),
        }

    def _add_to_totals(self, rows: dict[str, Any], sums: dict[str, Ints]) -> None:
        totals = self.totals
        self._emitted["penalty"].append(rows["penalty"])
        self._emitted["waiting"].append(np.stack([rows[f"waiting_{name}_s"] for name in RESOURCES], axis=1))
        totals.num_slot += len(rows["slot"])
        has_tasks = sums["counted"].sum(axis=1) > 0
        totals.num_slot_counted += int(has_tasks.sum())
        for name in ("counted", "completed", "late", "dropped", "missed", "num_split", "layers_local"):
            totals.by_task[name] += int(sums[name].sum())
        totals.by_task["in_flight"] += int(rows["num_in_flight"].sum())
        totals.by_task["delay_s"] += _sum(sums["delay_ns"]) / NS_PER_S
        totals.by_task["upload_s"] += _sum(sums["upload_ns"]) / NS_PER_S
        totals.by_task["generated"] += int(
            sum(rows[f"num_{name}"].sum() for name in ("completed", "late", "dropped", "in_flight"))
        )
        totals.by_task["energy_transmit_j"] += float(rows["energy_transmit_j"].sum())
        totals.by_task["energy_local_j"] += float(rows["energy_local_j"].sum())
        for name in ("objective", "penalty", "drift", "qos"):
            totals.by_slot[name] += float(rows[name][has_tasks].sum())
        totals.by_slot["energy_edge_j"] += float(rows["energy_edge_j"].sum())
        totals.by_slot["backlog_bytes"] += float(rows["backlog_bytes"].sum())


def _joined(sums: dict[str, Ints], kind: str) -> Floats:
    """Return the units of energy of each slot as floats, rounded once."""
    units = sums[f"{kind}_units"]
    carried = units >> _HIGH_BITS
    joined: Floats = (sums[f"{kind}_high"] + carried) * _HIGH + (units - (carried << _HIGH_BITS))
    return joined


def _sum(values: Ints) -> int:
    """Return the exact sum, which int64 need not hold: delays of many slots of a run that lags behind."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


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
