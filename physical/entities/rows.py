"""Tasks as they are recorded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.entities.task import Task
from physical.system import System
from physical.task_rows import Metered, TaskRows
from physical.ticks import NEVER


def rows_of(tasks: Iterable[Task], system: System) -> TaskRows:
    """Return tasks as they are recorded."""
    tasks = sorted(tasks, key=lambda task: task.row)
    is_metered = system.joint or system.has_transformer or system.model.edge_energy_rule == "job"

    def ticks(times: Iterable[int | None]) -> Ints:
        return np.array([NEVER if time is None else time for time in times], dtype=np.int64)

    def floats(values: Iterable[float | None]) -> Floats:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def small(values: Iterable[int]) -> NDArray[np.int32]:
        return np.array(list(values), dtype=np.int32)

    services = [task.service for task in tasks]
    return TaskRows(
        slot=small(task.slot for task in tasks),
        vehicle=small(task.vehicle for task in tasks),
        task_class=small(task.task_class for task in tasks),
        size_bytes=floats(task.size_bytes for task in tasks),
        offloading_ratio=floats(task.offloading_ratio for task in tasks),
        start=ticks(task.started for task in tasks),
        local_end=ticks(task.local_end for task in tasks),
        upload_end=ticks(None if task.sending is None else task.sending.ended for task in tasks),
        arrive=ticks(task.arrived for task in tasks),
        serve=ticks(None if request is None else request.begun for request in services),
        served=ticks(None if request is None else request.ended for request in services),
        done=ticks(task.done for task in tasks),
        outcome=np.array([task.outcome for task in tasks], dtype=np.int8),
        local_left_s=floats(task.local_left_s for task in tasks),
        local_work=floats(task.local_work for task in tasks) if system.has_transformer else None,
        metered=Metered(
            floats(task.local_hz for task in tasks),
            floats(task.charged_j + (0.0 if task.sending is None else task.sending.joules) for task in tasks),
            floats(0.0 if request is None else request.joules for request in services),
        )
        if is_metered
        else None,
    )
