"""The tables `tasks` and `jobs`: what became of tasks, and what each of them spent."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.model import computing, energy
from physical.system import System
from physical.task_rows import Metered, Outcome, TaskRows
from physical.ticks import NEVER, ns_from_ticks, ticks_from_ns
from traces import arrays
from traces.sink import Sink

_OUTCOMES = (
    *("in flight", "completed", "late"),
    *("dropped: uplink", "dropped: result", "dropped: handover", "dropped: vehicle left"),
)
_CUT_SHORT = (Outcome.DROPPED_HANDOVER, Outcome.DROPPED_LEFT)


class Spent(NamedTuple):
    """What tasks have spent, of unfinished ones until the end of the run; [num_row], J.

    transmit_j, edge_j : None where nobody meters radios, or servers, task by task
    """

    local_j: Floats
    transmit_j: Floats | None = None
    edge_j: Floats | None = None


def spent_by(tasks: TaskRows, system: System) -> Spent:
    """Return what tasks have spent, as far as it is billed task by task.

    With another rule than "job", the servers' energy is that of their power.
    """
    vehicle, metered = tasks.vehicle, tasks.metered
    ratio = np.nan_to_num(tasks.offloading_ratio, nan=1.0)  # a held task has used nothing
    hz = system.cpu_hz[vehicle] if metered is None else np.nan_to_num(metered.local_hz, nan=1.0)
    work = tasks.local_work
    if work is None:
        work = tasks.size_bytes * system.cycles_per_byte[tasks.task_class]
    cycles = computing.local_part(work, ratio)
    cycles = np.maximum(cycles - tasks.local_left_s * hz, 0.0)  # what has not run costs nothing
    local_j = energy.local_energy_j(cycles, hz, system.kappa_vehicle[vehicle])
    if metered is None:
        return Spent(local_j)
    return Spent(
        local_j,
        metered.transmit_j if system.joint else None,
        metered.edge_j if system.model.edge_energy_rule == "job" else None,
    )


def ages_ns(tasks: TaskRows, slot_duration_ns: int, end_ns: int) -> tuple[Ints, Ints]:
    """Return when tasks were generated, and how long after that they ended; those in flight, by `end_ns`."""
    generated_ns = tasks.slot.astype(np.int64) * slot_duration_ns
    done_ns = np.where(tasks.done < NEVER, ns_from_ticks(tasks.done), end_ns)
    in_flight = tasks.outcome == Outcome.IN_FLIGHT
    return generated_ns, np.where(in_flight, end_ns, done_ns) - generated_ns


def write_tasks(sink: Sink, tasks: TaskRows, generated_ns: Ints, outcome: NDArray[np.int8], end_ns: int) -> None:
    """Add rows to the table `tasks`.

    outcome : with LATE told from COMPLETED
    end_ns : until when the run has come
    """
    last = _last_ticks(tasks.done, outcome, ticks_from_ns(end_ns))
    sink.add(
        "tasks",
        {
            "slot": tasks.slot,
            "vehicle": tasks.vehicle,
            "task_class": tasks.task_class,
            "size_bytes": tasks.size_bytes,
            "offloading_ratio": tasks.offloading_ratio,
            "generated_ns": generated_ns,
            "started_ns": _until(tasks.start, last),
            "local_end_ns": _until(tasks.local_end, last),
            "upload_end_ns": _until(tasks.upload_end, last),
            "arrived_ns": _until(tasks.arrive, last),
            "service_begin_ns": _until(tasks.serve, last),
            "service_end_ns": _until(tasks.served, last),
            "done_ns": _until(tasks.done, last),
            "outcome": arrays.Coded(outcome, _OUTCOMES),
        },
    )


def _last_ticks(done: Ints, outcome: NDArray[np.int8], end: int) -> Ints | int:
    """Return the last tick at which anything has happened to tasks, [num_row] or one for all.

    What was planned for later did not take place: of tasks in flight beyond the end of the run (not in rounded ns: a
    stage may end a fraction of one later), and of tasks that were cut short beyond that.
    """
    in_flight, cut_short = outcome == Outcome.IN_FLIGHT, np.isin(outcome, _CUT_SHORT)
    if not in_flight.any() and not cut_short.any():
        return NEVER - 1
    return np.where(in_flight, end, np.where(cut_short, done, NEVER - 1))


def _until(ticks: Ints, last: Ints | int) -> np.ma.MaskedArray[Any, Any]:
    """Return times in ns, null where they are later than `last`."""
    return np.ma.MaskedArray(ns_from_ticks(ticks), mask=ticks > last)


def write_jobs(sink: Sink, tasks: TaskRows, metered: Metered, spent: Spent, system: System) -> None:
    """Add rows to the table `jobs`: what was decided for each task, and what it has spent."""
    task_class = tasks.task_class
    num_layer, ratio = system.num_layer[task_class], tasks.offloading_ratio
    is_split = num_layer > 0
    held = np.isnan(ratio)
    layers = np.rint((1.0 - np.nan_to_num(ratio)) * num_layer).astype(np.int32)
    num_token = np.where(is_split, tasks.size_bytes / system.bytes_per_token[task_class], 0)
    sink.add(
        "jobs",
        {
            "slot": tasks.slot,
            "vehicle": tasks.vehicle,
            "task_class": task_class,
            "num_token": num_token.astype(np.int64),
            "layers_local": np.ma.MaskedArray(layers, mask=held | ~is_split),
            "local_frequency_hz": np.ma.MaskedArray(metered.local_hz, mask=held),
            "energy_local_j": spent.local_j,
            "energy_transmit_j": _billed(spent.transmit_j, len(ratio)),
            "energy_edge_j": _billed(spent.edge_j, len(ratio)),
        },
    )


def _billed(joules: Floats | None, num_row: int) -> Floats | np.ma.MaskedArray[Any, Any]:
    """Return energy, null where it is not billed task by task."""
    return np.ma.MaskedArray(np.zeros(num_row), mask=True) if joules is None else joules
