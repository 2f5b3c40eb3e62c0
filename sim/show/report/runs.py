"""A run as a report reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.errors import InputError
from physical.model import qos
from physical.system import System
from sim.record.stability import RESOURCES, is_stable
from sim.runs.replay import RecordedRun


class ReportedRun:
    """One run of a report.

    Parameters
    ----------
    directory : of the run
    index : place in the report
    name : its name in the report; by default its policy and seed
    colour : index of its colour; by default its place

    Raises
    ------
    InputError : see `RecordedRun`
    """

    def __init__(self, directory: Path, index: int, name: str = "", colour: int | None = None) -> None:
        self.recorded = RecordedRun(directory)
        self.index = index
        self.colour = index if colour is None else colour
        self.scenario = self.recorded.scenario
        self.slot_s = self.scenario.time.slot_duration_s
        self.num_slot = self.recorded.num_slot
        self.name = name or f"{self.recorded.policy}, seed {self.recorded.seed}"

    @property
    def class_names(self) -> list[str]:
        """Names of the task classes."""
        return [task.name for task in self.scenario.tasks]

    @cached_property
    def system(self) -> System:
        """Constants of the simulated system."""
        return self.scenario.system()

    @property
    def is_whole(self) -> bool:
        """Whether the run has come to an end and written its summary."""
        return isinstance(self.recorded.trace.manifest.get("summary"), dict)

    def table(self, name: str) -> pa.Table:
        """Return a table, in the order of its key."""
        return self.recorded.tables[name]

    def column(self, table: str, name: str) -> Floats:
        """Return a column of numbers as floats; NaN for null."""
        column = self.table(table).column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy(), dtype=np.float64)

    def lists(self, table: str, name: str) -> Floats:
        """Return a column of lists of equal length as an array, [rows, length]."""
        column = self.table(table).column(name).combine_chunks()
        values = np.asarray(column.flatten(), dtype=np.float64)
        return values.reshape(len(column), -1) if len(column) else np.zeros((0, 0))

    @cached_property
    def slot_time_s(self) -> Floats:
        """Begin of every slot of the table `slots`, s."""
        return self.column("slots", "slot") * self.slot_s

    @cached_property
    def decision_time_s(self) -> Floats:
        """When each decision was made, s."""
        return self.column("decisions", "decided_ns") / 1e9

    @cached_property
    def outcome(self) -> NDArray[np.int8]:
        """Outcome of each task: 0 in flight, 1 in time, 2 late, 3 dropped."""
        column = self.table("tasks").column("outcome")
        texts = pa.compute.dictionary_encode(column.cast(pa.string())).combine_chunks()
        codes = {"in flight": 0, "completed": 1, "late": 2}
        of_text = np.array([codes.get(text, 3) for text in texts.dictionary.to_pylist()] or [0], dtype=np.int8)
        found: NDArray[np.int8] = of_text[texts.indices.to_numpy()]
        return found

    @cached_property
    def task_class(self) -> Ints:
        """Class of each task."""
        found: Ints = self.table("tasks").column("task_class").to_numpy()
        return found

    @cached_property
    def delay_s(self) -> Floats:
        """Time from each task's appearance to its end, s; NaN where it has none."""
        found: Floats = self.column("tasks", "done_ns") / 1e9 - self.column("tasks", "generated_ns") / 1e9
        return found

    def over_vehicles(self, name: str, *, absolute: bool = False) -> tuple[Floats, Floats, Floats]:
        """Return time, mean and maximum over vehicles of a column of the table `twin`, [decisions]."""
        slot, values = self.table("twin").column("slot").to_numpy(), self.column("twin", name)
        values = np.abs(values) if absolute else values
        decided = dict(zip(self.table("decisions").column("slot").to_pylist(), self.decision_time_s, strict=True))
        slots, begin = np.unique(slot, return_index=True)
        if not slots.size:
            return np.zeros(0), np.zeros(0), np.zeros(0)
        count = np.diff(np.append(begin, len(slot)))
        time_s = np.array([decided.get(one, one * self.slot_s) for one in slots.tolist()])
        return time_s, np.add.reduceat(values, begin) / count, np.maximum.reduceat(values, begin)

    def size_errors(self) -> tuple[Floats, Floats, Floats]:
        """Return time, mean and largest relative error of the twin's task sizes (absolute values), [decisions]."""
        tasks, num_class = self.table("tasks"), len(self.class_names)
        slot = tasks.column("slot").to_numpy()
        place = tasks.column("vehicle").to_numpy().astype(np.int64) * num_class + tasks.column("task_class").to_numpy()
        true_bytes = self.column("tasks", "size_bytes")
        estimated = self.lists("decisions", "estimated_size_bytes")
        decided = self.table("decisions").column("slot").to_numpy()
        mean, largest = np.full(len(decided), np.nan), np.full(len(decided), np.nan)
        begins, ends = np.searchsorted(slot, decided), np.searchsorted(slot, decided, side="right")
        for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            if begin < end:
                error = np.abs(estimated[row][place[begin:end]] / true_bytes[begin:end] - 1.0)
                mean[row], largest[row] = error.mean(), error.max()
        return self.decision_time_s, mean, largest

    def summary(self) -> dict[str, Any]:
        """Return the summary; for a run that was killed, it is computed from the recorded slots."""
        if self.is_whole:
            return dict(self.recorded.trace.manifest["summary"])
        outcome = self.outcome
        found: dict[str, Any] = {"slots": self.num_slot}
        counted = np.isfinite(self.column("slots", "penalty"))
        for name in ("penalty", "drift", "objective", "qos"):
            found[f"{name}_mean"] = _mean(self.column("slots", name)[counted])
        waiting = [self.column("slots", f"waiting_{name}_s") for name in RESOURCES]
        found["stable"] = is_stable(np.stack(waiting, axis=1))
        for key in ("energy_local_j", "energy_transmit_j", "energy_edge_j"):
            found[key] = float(self.column("slots", key).sum())
        spent = [found[key] for key in ("energy_local_j", "energy_transmit_j", "energy_edge_j")]
        found["energy_j_mean"] = sum(spent) / self.num_slot
        found |= self._of_tasks()
        found["backlog_bytes_mean"] = _mean(self.lists("slots", "backlog_bytes").sum(axis=1))
        found["tasks_generated"] = len(outcome)
        for code, key in enumerate(("tasks_in_flight", "tasks_completed", "tasks_late", "tasks_dropped")):
            found[key] = int((outcome == code).sum())
        found["twin_age_s_mean"] = _mean(self.column("twin", "age_of_information_s"))
        found["decisions"] = self.table("decisions").num_rows
        found["decisions_repaired"] = int(self.column("decisions", "repaired").sum())
        found["fallbacks"] = int(self.column("decisions", "fallback").sum())
        return found

    def _of_tasks(self) -> dict[str, float | None]:
        """Return mean delay and share of misses as the ledger of a run computes them, see `sim.record.slots.Ledger`."""
        end_s, deadline_s = self.num_slot * self.slot_s, self.system.deadline_s[self.task_class]
        lost_s = qos.floor_delay_s(deadline_s, self.system.objective.qos_floor)
        age_s = np.where(self.outcome == 0, end_s - self.column("tasks", "generated_ns") / 1e9, self.delay_s)
        counted = (self.outcome > 0) | (age_s > deadline_s)
        missed = (self.outcome == 3) | (age_s > deadline_s)
        delay_s = np.where(self.outcome == 3, np.maximum(age_s, lost_s), age_s)
        return {"delay_s_mean": _mean(delay_s[counted]), "deadline_miss_ratio": _mean(missed[counted].astype(float))}

    def summary_number(self, key: str) -> float | None:
        """Return a number of the summary, or None if it has no such number."""
        value = self.summary().get(key)
        return None if value is None else float(value)

    def events(self) -> Iterator[tuple[float, str, str]]:
        """Yield time (s), kind and detail of all events; repaired and guarded decisions are events too."""
        rows = self.table("events").to_pylist()
        yield from ((row["time_ns"] / 1e9, row["kind"], row["detail"]) for row in rows)
        slots = self.column("decisions", "slot")
        for time_s, slot in zip(*self._where("repaired", slots), strict=True):
            yield time_s, "repair", f"decision of slot {slot:.0f} made feasible"
        guarded = set(np.asarray(self.column("prompts", "slot"))[self.column("prompts", "guarded") > 0].tolist())
        for time_s, slot in zip(self.decision_time_s.tolist(), slots.tolist(), strict=True):
            if slot in guarded:
                yield time_s, "guard", f"answer of the model for slot {slot:.0f} replaced"

    def _where(self, flag: str, slots: Floats) -> tuple[list[float], list[float]]:
        chosen = self.column("decisions", flag) > 0
        return self.decision_time_s[chosen].tolist(), slots[chosen].tolist()


def open_runs(directories: Sequence[Path]) -> list[ReportedRun]:
    """Open the runs of a report, and name them by their policies, and by seed or folder if names would be equal.

    Raises
    ------
    InputError : there is no run, or one cannot be read
    """
    if not directories:
        raise InputError("is missing", where="RUN", accepted="directories of runs")
    runs = [ReportedRun(directory, index) for index, directory in enumerate(directories)]
    if len(runs) > 1 and len({run.recorded.seed for run in runs}) == 1:
        for run in runs:
            run.name = run.recorded.policy
    for name in {run.name for run in runs}:
        alike = [run for run in runs if run.name == name]
        if len(alike) > 1:
            for run in alike:
                run.name = f"{name} ({run.index + 1}: {run.recorded.trace.directory.name})"
    return runs


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
