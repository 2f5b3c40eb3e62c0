"""Checks of products of a scenario's numbers, each of which is fine: what integers of a run cannot hold is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from physical.errors import InputError
from physical.model import qos
from physical.plane.ticks import HORIZON_NS, HORIZON_S, NS_PER_S, to_ns
from physical.quantity import SIZE_BYTES_MAX
from sim.timeline import TaskBurst

if TYPE_CHECKING:
    from physical.params import TaskClass
    from sim.scenario import Scenario

_NUM_VEHICLE_MAX = 1_000_000
_NUM_OCCURRENCE_MAX = 1_000_000
_SUM_NS_MAX = 2**62


def check_ranges(scenario: Scenario) -> None:
    """Refuse numbers that together go beyond the clock, or beyond what a run can count.

    Raises
    ------
    InputError : names the key to change, and what it takes
    """
    if (scenario.vehicles.num_vehicle or 0) > _NUM_VEHICLE_MAX:
        accepted = f"at most {_NUM_VEHICLE_MAX}"
        raise InputError(f"{scenario.vehicles.num_vehicle} is too many", key="vehicles.num_vehicle", accepted=accepted)
    _check_clock(scenario)
    if scenario.mobility.ends == "renew" and scenario.num_vehicle > _NUM_VEHICLE_MAX:
        problem = f"lets {scenario.num_vehicle} vehicles enter, which is too many"
        raise InputError(problem, key="mobility.ends", accepted=f"at most {_NUM_VEHICLE_MAX} in a run")
    _check_periods(scenario)
    _check_sizes(scenario)
    _check_floor(scenario)


def check_num_slot(num_slot: int, slot_duration_s: float, key: str, *, where: str = "") -> None:
    """Refuse more slots than the clock has room for.

    Raises
    ------
    InputError : names `key`, and the greatest number
    """
    most = HORIZON_NS // to_ns(slot_duration_s)
    if num_slot > most:
        accepted = f"at most {most} of {slot_duration_s:g} s: {HORIZON_S / 3600:.0f} hours, the clock's range"
        raise InputError(f"{num_slot} slots are too many", where=where, key=key, accepted=accepted)


def _check_clock(scenario: Scenario) -> None:
    slot_duration_s = scenario.time.slot_duration_s
    if to_ns(slot_duration_s) < 1:
        problem = f"{slot_duration_s:g} s is too short"
        raise InputError(problem, key="time.slot_duration_s", accepted="at least 1 ns, the clock's step")
    check_num_slot(scenario.time.num_slot, slot_duration_s, "time.num_slot")


def _check_periods(scenario: Scenario) -> None:
    """Refuse periodic events that happen so often that they could not be listed."""
    end_s = scenario.time.num_slot * scenario.time.slot_duration_s
    for index, event in enumerate(scenario.timeline):
        if event.every_s is None:
            continue
        span_s = min(end_s, end_s if event.until_s is None else event.until_s) - event.at_s
        if span_s / event.every_s > _NUM_OCCURRENCE_MAX:
            accepted = f"at least {span_s / _NUM_OCCURRENCE_MAX:g} s: {_NUM_OCCURRENCE_MAX} times in a run"
            raise InputError(f"{event.every_s:g} s is too often", key=f"timeline.{index}.every_s", accepted=accepted)


def _check_sizes(scenario: Scenario) -> None:
    """Refuse tasks that may have more bytes than can be counted, however many bursts meet."""
    for index, task in enumerate(scenario.tasks):
        size_bytes = _units_max(task) * task.bytes_per_unit
        if size_bytes > SIZE_BYTES_MAX:
            key = f"tasks.{index}.{'transformer' if task.size_bytes is None else 'size_bytes'}"
            raise InputError(f"makes tasks of {size_bytes:g} B", key=key, accepted=f"at most {SIZE_BYTES_MAX:g} B")
        factors = {"bursts.size_factor": scenario.bursts.size_factor} if scenario.bursts is not None else {}
        logs = {key: math.log2(max(factor, 1.0)) for key, factor in factors.items()}
        for number, event in enumerate(scenario.timeline):
            if isinstance(event, TaskBurst) and event.task in {None, task.name}:
                # A burst that is longer than its period meets those before it.
                at_once = 1 if event.every_s is None else math.ceil(event.duration_s / event.every_s)
                logs[f"timeline.{number}.size_factor"] = at_once * math.log2(max(event.size_factor, 1.0))
        if math.log2(size_bytes) + sum(logs.values()) > math.log2(SIZE_BYTES_MAX):
            key = max(logs, key=lambda one: logs[one])
            problem = f"makes tasks {task.name!r} larger than can be counted"
            raise InputError(problem, key=key, accepted=f"all bursts together at most {SIZE_BYTES_MAX / size_bytes:g}")


def _units_max(task: TaskClass) -> float:
    if task.requests is None:
        return task.units[1]
    from traces.exogenous.requests import NUM_TOKEN_MAX  # most scenarios read no such file

    return NUM_TOKEN_MAX


def _check_floor(scenario: Scenario) -> None:
    """Refuse a floor of the QoS at which lost tasks count with times that the clock does not know."""
    num_task = (scenario.vehicles.num_vehicle or 1) * len(scenario.tasks)
    limit_s = min(HORIZON_S, _SUM_NS_MAX / num_task / NS_PER_S)
    floor = scenario.objective.qos_floor
    for index, task in enumerate(scenario.tasks):
        if float(qos.floor_delay_s(task.deadline_s, floor)) <= limit_s:
            continue
        if task.deadline_s <= limit_s and "qos_floor" in scenario.objective.model_fields_set:
            problem = f"counts a lost task {task.name!r} with {1.0 - floor:g} deadlines"
            accepted = f">= {1.0 - limit_s / task.deadline_s:.6g}"
            raise InputError(problem, key="objective.qos_floor", accepted=accepted)
        problem = f"{task.deadline_s:g} s is too long; a lost task counts with {1.0 - floor:g} deadlines"
        accepted = f"at most {int(limit_s / (1.0 - floor))} s with so many vehicles"
        raise InputError(problem, key=f"tasks.{index}.deadline_s", accepted=accepted)
