"""Checks of products of a scenario's numbers, each of which is fine: what a run cannot count or hold is refused.

What single numbers may be is in `physical.quantity`.
"""

from __future__ import annotations

import math

from physical.columns.slices import UNITS_PER_BYTE
from physical.errors import InputError
from physical.model import qos, transformer
from physical.params import TaskClass
from physical.quantity import NUM_SLOT_MAX, SIZE_BYTES_MAX
from physical.ticks import HORIZON_NS, HORIZON_S, NS_PER_S, to_ns
from sim.scenario.tables import ScenarioTables
from sim.scenario.timeline import TaskBurst

_NUM_ENTERING_MAX = 100_000
_NUM_OCCURRENCE_MAX = 100_000
_NUM_NORMALISED_MAX = 100_000_000
_SUM_MAX = 2**62
_KAPPA_MIN = 1e-60


def check_ranges(scenario: ScenarioTables) -> None:
    """Refuse numbers that together go beyond the clock, or beyond what a run can count.

    Raises
    ------
    InputError : names the key to change, and what it takes
    """
    check_num_slot(scenario.time.num_slot, scenario.time.slot_duration_s, "time.num_slot")
    _check_entering(scenario)
    _check_periods(scenario)
    _check_sizes(scenario)
    _check_delays(scenario)
    _check_floor(scenario)
    _check_normalised(scenario)


def check_num_slot(num_slot: int, slot_duration_s: float, key: str, *, where: str = "") -> None:
    """Refuse more slots than the clock has room for.

    Raises
    ------
    InputError : names `key`, and the greatest number
    """
    in_time = HORIZON_NS // to_ns(slot_duration_s)
    if num_slot > min(in_time, NUM_SLOT_MAX):
        accepted = f"at most {in_time} of {slot_duration_s:g} s: {HORIZON_S / 3600:.0f} hours, the clock's range"
        if in_time > NUM_SLOT_MAX:
            accepted = f"at most {NUM_SLOT_MAX}, what a machine holds"
        raise InputError(f"{num_slot} slots are too many", where=where, key=key, accepted=accepted)


def _check_entering(scenario: ScenarioTables) -> None:
    """Refuse a road so short, or a run so long, that more vehicles enter than a run can hold."""
    kind = scenario.mobility
    if kind.trace is not None or kind.everybody_stays:
        return
    num_vehicle = kind.crowd(scenario.run_size()).num_vehicle
    if num_vehicle > _NUM_ENTERING_MAX:
        problem = f"lets {num_vehicle} vehicles enter, which is too many"
        key = "mobility.ends" if "ends" in type(kind).model_fields else "mobility"
        raise InputError(problem, key=key, accepted=f"at most {_NUM_ENTERING_MAX} in a run")


def _check_periods(scenario: ScenarioTables) -> None:
    """Refuse periodic events that happen so often, one or all together, that a run would do nothing else."""
    end_s = scenario.time.num_slot * scenario.time.slot_duration_s
    total, most_often = 0.0, (0.0, 0, 0.0)
    for index, event in enumerate(scenario.timeline):
        if event.every_s is None:
            continue
        span_s = min(end_s, end_s if event.until_s is None else event.until_s) - event.at_s
        total += max(span_s / event.every_s, 0.0)
        most_often = max(most_often, (span_s / event.every_s, index, span_s))
    if total > _NUM_OCCURRENCE_MAX:
        times, index, span_s = most_often
        others = total - times
        most = _NUM_OCCURRENCE_MAX - others if others < 0.5 * _NUM_OCCURRENCE_MAX else 0.5 * _NUM_OCCURRENCE_MAX
        accepted = f"at least {span_s / most:.3g} s: {_NUM_OCCURRENCE_MAX} events in a run"
        problem = f"{scenario.timeline[index].every_s:g} s is too often"
        raise InputError(problem, key=f"timeline.{index}.every_s", accepted=accepted)


def _check_sizes(scenario: ScenarioTables) -> None:
    """Refuse tasks that may have more bytes than can be counted, however many bursts meet."""
    for index, task in enumerate(scenario.tasks):
        size_bytes = _units_max(task) * task.bytes_per_unit
        if size_bytes > SIZE_BYTES_MAX:
            key = f"tasks.{index}.{'transformer' if task.size_bytes is None else 'size_bytes'}"
            raise InputError(f"makes tasks of {size_bytes:g} B", key=key, accepted=f"at most {SIZE_BYTES_MAX:g} B")
        logs = _burst_logs(scenario, task)
        if math.log2(size_bytes) + sum(logs.values()) > math.log2(SIZE_BYTES_MAX):
            key = max(logs, key=lambda one: logs[one])
            problem = f"makes tasks {task.name!r} larger than can be counted"
            raise InputError(problem, key=key, accepted=f"all bursts together at most {SIZE_BYTES_MAX / size_bytes:g}")
        _check_waiting(scenario, index, 2.0 ** sum(logs.values()))


def _burst_logs(scenario: ScenarioTables, task: TaskClass) -> dict[str, float]:
    """Return by how many powers of two each kind of burst makes a task larger at most."""
    logs = {} if scenario.bursts is None else {"bursts.size_factor": math.log2(max(scenario.bursts.size_factor, 1.0))}
    for number, event in enumerate(scenario.timeline):
        if isinstance(event, TaskBurst) and event.task in {None, task.name}:
            # A burst that is longer than its period meets those before it.
            at_once = 1 if event.every_s is None else math.ceil(event.duration_s / event.every_s)
            logs[f"timeline.{number}.size_factor"] = at_once * math.log2(max(event.size_factor, 1.0))
    return logs


def _check_waiting(scenario: ScenarioTables, index: int, factor: float) -> None:
    """Refuse tasks of which a flow cannot count as many as may wait: one of each slot, in parts of a byte."""
    if all(node.server.discipline != "slices" for node in scenario.nodes):
        return
    task, num_slot = scenario.tasks[index], scenario.time.num_slot
    most = _SUM_MAX / UNITS_PER_BYTE / num_slot
    size_bytes = task.units[1] * task.bytes_per_unit * factor
    if task.transformer is not None:  # what waits is counted in mean tasks at the first node
        size_bytes *= _work_ratio(scenario, task, factor)
    if size_bytes > most:
        key = f"tasks.{index}.{'size_bytes' if task.transformer is None else 'num_token'}"
        problem = f"makes tasks of {size_bytes:g} B, of which {num_slot} slots cannot be counted while they wait"
        raise InputError(problem, key=key, accepted=f"at most {most:g} B with so many slots, bursts included")


def _work_ratio(scenario: ScenarioTables, task: TaskClass, factor: float) -> float:
    """Return how much more work a byte of the longest prompt is, at the slowest node, than of the mean at the first."""
    assert task.transformer is not None
    low, high = task.units
    hidden, batch = task.transformer.hidden_size, task.transformer.batch_size
    mean, longest = 0.5 * (low + high), high * factor
    flop = [float(transformer.layer_flops(tokens, hidden, batch)) / tokens for tokens in (mean, longest)]
    speeds = [node.server.gpu.flop_per_clock_cycle for node in scenario.nodes if node.server.gpu is not None]
    return flop[1] / flop[0] * (speeds[0] / min(speeds))


def _units_max(task: TaskClass) -> float:
    if task.requests is None:
        return task.units[1]
    from traces.exogenous.requests import NUM_TOKEN_MAX  # most scenarios read no such file

    return NUM_TOKEN_MAX


def _check_delays(scenario: ScenarioTables) -> None:
    """Refuse so many tasks in a slot that their delays, as long as the run, could not be added up."""
    run_ns = scenario.time.num_slot * to_ns(scenario.time.slot_duration_s)
    num_task = (scenario.vehicles.num_vehicle or 1) * len(scenario.tasks)
    if num_task * run_ns > _SUM_MAX:
        problem = f"{num_task} tasks in a slot are too many in {run_ns / NS_PER_S:g} s"
        accepted = f"at most {_SUM_MAX // run_ns // len(scenario.tasks)} in so long a run"
        raise InputError(problem, key="vehicles.num_vehicle", accepted=accepted)


def _check_normalised(scenario: ScenarioTables) -> None:
    """Refuse a cost in units of the mean local task where that costs no energy, or takes too long to find."""
    if scenario.cost is None or not scenario.cost.is_normalised(scenario.model.mode):
        return
    if max(scenario.vehicles.kappa) < _KAPPA_MIN:
        problem = "lets local tasks cost nothing, and [cost] counts energy in units of their mean"
        accepted = f"{_KAPPA_MIN:g} or more, or cost.normalise = false"
        raise InputError(problem, key="vehicles.kappa", accepted=accepted)
    num_vehicle = (scenario.vehicles.num_vehicle or 1) * len(scenario.tasks)
    for index, task in enumerate(scenario.tasks):
        low, high = task.units
        if task.transformer is not None and (high - low + 1) * num_vehicle > _NUM_NORMALISED_MAX:
            problem = f"{[low, high]} has too many lengths, of which [cost] takes the mean for each vehicle"
            accepted = f"at most {_NUM_NORMALISED_MAX // num_vehicle} lengths, or cost.normalise = false"
            raise InputError(problem, key=f"tasks.{index}.num_token", accepted=accepted)


def _check_floor(scenario: ScenarioTables) -> None:
    """Refuse a floor of the QoS at which lost tasks count with times that the clock does not know."""
    num_task = (scenario.vehicles.num_vehicle or 1) * len(scenario.tasks)
    limit_s = min(HORIZON_S, _SUM_MAX / num_task / NS_PER_S)
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
