"""Whatever happens, nothing vanishes and nothing comes from nowhere: the books of a run balance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.model import computing, energy, objective
from physical.registry import EngineName
from physical.ticks import NS_PER_S, to_ns
from policies.feasible import FLOOR
from sim.runs.run import RunResult
from tests.property.families import Case, case_of, cases
from tests.property.layer_families import check_capacity_in_force, layer_case_of, layer_cases
from tests.support.tables import Columns, columns
from twin.params import ConstantBias


def check_tasks_are_conserved(summary: dict[str, Any], tasks: Columns, slots: Columns, case: Case) -> None:
    scenario = case.scenario
    num_task = len(tasks["slot"])
    assert num_task == summary["tasks_generated"]
    if not case.num_idle:
        assert num_task == scenario.time.num_slot * scenario.system().num_vehicle * len(scenario.tasks)
    ends = {"completed": "completed", "late": "late", "dropped": "dropped", "in flight": "in_flight"}
    total = 0
    for outcome, name in ends.items():
        is_so = np.char.startswith(tasks["outcome"].astype(str), outcome)
        by_slot = np.bincount(tasks["slot"][is_so], minlength=scenario.time.num_slot)
        assert slots[f"num_{name}"].tolist() == by_slot.tolist(), name
        assert summary[f"tasks_{name}"] == int(is_so.sum()), name
        total += int(is_so.sum())
    assert total == num_task


def check_messages_are_conserved(summary: dict[str, Any]) -> None:
    sent, delivered, lost, in_flight = (
        summary[f"messages_{fate}"] for fate in ("sent", "delivered", "lost", "in_flight")
    )
    assert sent == delivered + lost + in_flight
    assert min(delivered, lost, in_flight) >= 0


def check_work_is_conserved(tasks: Columns, slots: Columns, case: Case) -> None:
    """What arrives is served or waits, and no more is served than the server offers: in every slot and class."""
    cycles_per_byte = case.scenario.system().cycles_per_byte
    backlog, arrived, offered = slots["backlog_bytes"], slots["arrived_bytes"], slots["service_bytes"]
    tolerance = 1e-3 + 1e-9 * arrived.sum()
    served = backlog[:-1] + arrived[:-1] - backlog[1:]
    assert (served >= -tolerance).all()
    assert (served <= offered[:-1] + tolerance).all()
    reached = ~np.isnan(tasks["arrived_ns"].astype(float)) & (tasks["outcome"].astype(str) != "dropped: uplink")
    was_served = ~np.isnan(tasks["service_end_ns"].astype(float))
    offloaded = np.nan_to_num(tasks["offloading_ratio"]) * tasks["size_bytes"]
    for task_class, cycles in enumerate(cycles_per_byte):
        own = tasks["task_class"] == task_class
        served_cycles = cycles * offloaded[own & was_served].sum()
        assert served_cycles <= cycles * (offered[:, task_class].sum() + tolerance)
        # A lost upload that is still on its way in a parallel task looks as if it had reached the server.
        assert arrived[:, task_class].sum() <= offloaded[own & reached].sum() + tolerance
        assert arrived[:, task_class].sum() >= offloaded[own & was_served].sum() - tolerance


def check_stages_follow_each_other(tasks: Columns, case: Case) -> None:
    stage = {
        name: tasks[f"{name}_ns"].astype(float)
        for name in (
            "generated",
            "started",
            "local_end",
            "upload_end",
            "arrived",
            "service_begin",
            "service_end",
            "done",
        )
    }
    before_upload = "local_end" if case.scenario.model.order == "sequential" else "started"
    pairs = [
        ("generated", "started"),
        ("started", "local_end"),
        (before_upload, "upload_end"),
        ("upload_end", "arrived"),
        ("arrived", "service_begin"),
        ("service_begin", "service_end"),
        ("local_end", "done"),
    ]
    for earlier, later in pairs:
        took_place = ~np.isnan(stage[later])
        assert (stage[earlier][took_place] <= stage[later][took_place]).all(), (earlier, later)
    outcome = tasks["outcome"].astype(str)
    assert (np.isnan(stage["done"]) == (outcome == "in flight")).all()
    assert np.isnan(stage["service_begin"][outcome == "dropped: uplink"]).all()
    assert not np.isnan(stage["service_end"][outcome == "dropped: result"]).any()
    for name in ("arrived", "service_end"):
        ended = ~np.isnan(stage["done"]) & ~np.isnan(stage[name])
        assert (stage[name][ended] <= stage["done"][ended]).all(), name


def check_capacity(decisions: Columns, twin: Columns, case: Case) -> None:
    """As the capacity rule counts it, nobody gets what the server does not have, unless the floors alone exceed it.

    Rule "effective" only: an active flow with a positive bias runs at more than that bias, whatever it is allocated.
    Floors of idle flows come on top.
    """
    system = case.scenario.system()
    shape = (-1, system.num_vehicle, system.num_class)
    if not len(decisions["slot"]):
        return
    allocation_hz = decisions["compute_allocation_hz"].reshape(shape)
    ratio = decisions["offloading_ratio"].reshape(shape)
    bias_hz = np.broadcast_to(twin["estimation_bias_hz"].reshape(-1, system.num_vehicle, 1), allocation_hz.shape)
    server_hz = system.server.frequency_hz
    if system.model.capacity_rule == "alloc":
        used_hz = allocation_hz.sum(axis=(1, 2))
        capacity_hz = np.maximum(server_hz - bias_hz.sum(axis=(1, 2)), 0.0)
    else:
        used_hz = computing.edge_frequency_hz(allocation_hz, bias_hz).sum(axis=(1, 2))
        capacity_hz = np.full(len(used_hz), server_hz)
    floors_hz = FLOOR * server_hz * system.num_vehicle * system.num_class
    if system.model.capacity_rule == "effective":
        least_hz = np.where(ratio > 0, np.maximum(bias_hz, 0.0), 0.0).sum(axis=(1, 2))
        capacity_hz = np.maximum(capacity_hz, least_hz)
    assert (used_hz <= capacity_hz * (1 + 1e-9) + floors_hz).all()
    assert ((ratio >= 0) & (ratio <= 1)).all()
    assert (allocation_hz >= 0).all()
    assert (allocation_hz[ratio > 0] > 0).all()


def check_energy(tasks: Columns, slots: Columns, case: Case) -> None:
    assert (slots["energy_local_j"] >= 0).all()
    assert (slots["energy_edge_j"] >= 0).all()
    system = case.scenario.system()
    cycles_per_byte = system.cycles_per_byte[tasks["task_class"]]
    cycles = computing.local_part(tasks["size_bytes"] * cycles_per_byte, np.nan_to_num(tasks["offloading_ratio"]))
    vehicle = tasks["vehicle"]
    joules = energy.local_energy_j(cycles, system.cpu_hz[vehicle], system.kappa_vehicle[vehicle])
    whole_j = np.bincount(tasks["slot"], weights=joules, minlength=len(slots["slot"]))
    ended = slots["num_in_flight"] == 0
    np.testing.assert_allclose(slots["energy_local_j"][ended], whole_j[ended], rtol=1e-9)
    assert (slots["energy_local_j"] <= whole_j * (1 + 1e-9)).all()


def counted_delays(tasks: Columns, case: Case) -> tuple[NDArray[np.bool_], Floats, NDArray[np.bool_]]:
    """Return which tasks count, their delays in seconds, and which of them miss their deadline."""
    end_ns = case.scenario.time.num_slot * to_ns(case.scenario.time.slot_duration_s)
    outcome = tasks["outcome"].astype(str)
    deadline_ns = np.array([to_ns(task.deadline_s) for task in case.scenario.tasks])[tasks["task_class"]]
    age_ns = np.where(outcome == "in flight", end_ns, tasks["done_ns"].astype(float)) - tasks["generated_ns"]
    dropped = np.char.startswith(outcome, "dropped")
    counted = (outcome != "in flight") | (age_ns > deadline_ns)
    lost_ns = (1.0 - case.scenario.objective.qos_floor) * deadline_ns
    delay_s = np.where(dropped, np.maximum(age_ns, lost_ns), age_ns) / NS_PER_S
    return counted, delay_s, counted & (dropped | (age_ns > deadline_ns))


def slot_means(values: NDArray[Any], counted: NDArray[np.bool_], tasks: Columns, num_slot: int) -> Floats:
    """Return the mean over the tasks that count, of each slot; NaN without any."""
    slot = tasks["slot"][counted]
    with np.errstate(invalid="ignore"):
        sums = np.bincount(slot, weights=values[counted], minlength=num_slot)
        means: Floats = sums / np.bincount(slot, minlength=num_slot)
    return means


def check_objective(summary: dict[str, Any], tasks: Columns, slots: Columns, case: Case) -> None:
    """The objective of every slot, and its mean, follow from the tables."""
    system, num_slot = case.scenario.system(), case.scenario.time.num_slot
    counted, delay_s, missed = counted_delays(tasks, case)
    mean = partial(slot_means, counted=counted, tasks=tasks, num_slot=num_slot)
    np.testing.assert_allclose(slots["delay_s_mean"], mean(delay_s), rtol=1e-9)
    np.testing.assert_allclose(slots["deadline_miss_ratio"], mean(missed), rtol=1e-9)
    task_qos = 1.0 - delay_s / system.deadline_s[tasks["task_class"]]
    if system.model.mode == "corrected":
        task_qos = np.maximum(task_qos, system.objective.qos_floor)
    np.testing.assert_allclose(slots["qos"], mean(task_qos), rtol=1e-9, atol=1e-9)
    energy_j = slots["energy_local_j"] + slots["energy_transmit_j"] + slots["energy_edge_j"]
    if system.cost is None:
        value = objective.penalty(mean(task_qos), energy_j, mean(missed), system.objective)
    else:
        upload_s = np.nan_to_num((tasks["arrived_ns"] - tasks["local_end_ns"]).astype(float)) / NS_PER_S
        counted_s = delay_s - (upload_s if system.model.mode == "paper" else 0.0)
        num_task = np.bincount(tasks["slot"], minlength=num_slot)
        value = objective.weighted_cost(mean(counted_s) * num_task, energy_j, *system.cost_weights)
    np.testing.assert_allclose(slots["penalty"], value, rtol=1e-9, atol=1e-9)
    # The last slot's drift reaches to the end of the run, whose backlog no table has.
    backlog = slots["backlog_bytes"] / system.backlog_unit_bytes
    np.testing.assert_allclose(slots["drift"][:-1], (backlog[:-1] * np.diff(backlog, axis=0)).sum(axis=1), atol=1e-9)
    drift = system.objective.beta * slots["drift"] if system.cost is None else 0.0
    np.testing.assert_allclose(slots["objective"], value + drift, rtol=1e-9, atol=1e-9)
    for name in ("objective", "penalty", "qos"):
        expected = np.nanmean(slots[name]) if counted.any() else None
        assert summary[f"{name}_mean"] == (expected if expected is None else pytest.approx(expected, rel=1e-9))
    expected_s = float(delay_s[counted].mean()) if counted.any() else None
    assert summary["delay_s_mean"] == (expected_s if expected_s is None else pytest.approx(expected_s, rel=1e-9))


def check_books(case: Case, result: RunResult) -> None:
    tasks, slots, decisions, twin = (columns(result.table(name)) for name in ("tasks", "slots", "decisions", "twin"))
    check_tasks_are_conserved(result.summary, tasks, slots, case)
    check_messages_are_conserved(result.summary)
    check_work_is_conserved(tasks, slots, case)
    check_stages_follow_each_other(tasks, case)
    check_capacity(decisions, twin, case)
    check_energy(tasks, slots, case)
    check_objective(result.summary, tasks, slots, case)
    assert (np.diff(decisions["decided_ns"]) >= 0).all()
    assert (np.diff(decisions["slot"]) > 0).all()


@settings(max_examples=20)
@given(case=cases())
def test_the_books_balance(engine: EngineName, case: Case) -> None:
    check_books(case, case.run(engine))


@pytest.mark.full
def test_the_books_balance_in_every_family() -> None:
    for seed in range(80):  # tests/swarm has more of them
        case = case_of(seed)
        check_books(case, case.run())


def check_layer_energy(tasks: Columns, jobs: Columns, slots: Columns, case: Case) -> None:
    """Energies of jobs are those of their slots, and no more than full power for as long as they took."""
    system = case.scenario.system()
    # Without joint allocation the radio is free; by another rule than "job", servers are billed for their power.
    billed = {"local": True, "transmit": system.joint, "edge": system.model.edge_energy_rule == "job"}
    if not (system.has_transformer or billed["transmit"] or billed["edge"]):
        assert not len(jobs["slot"])
        return
    kinds = {kind for kind, is_billed in billed.items() if is_billed}
    assert all(np.isnan(jobs[f"energy_{kind}_j"]).all() for kind in billed.keys() - kinds)
    num_slot, vehicle = case.scenario.time.num_slot, tasks["vehicle"]
    for name in ("slot", "vehicle", "task_class"):
        assert (jobs[name] == tasks[name]).all()
    for kind in kinds:
        joules = jobs[f"energy_{kind}_j"]
        assert (joules >= 0).all()
        by_slot = np.bincount(tasks["slot"], weights=joules, minlength=num_slot)
        np.testing.assert_allclose(slots[f"energy_{kind}_j"], by_slot, rtol=1e-9, atol=1e-9, err_msg=kind)
    held = np.isnan(jobs["local_frequency_hz"])
    assert not any(jobs[f"energy_{kind}_j"][held].any() for kind in kinds)
    end_ns = num_slot * to_ns(case.scenario.time.slot_duration_s)

    def took_s(begin: str, end: str) -> Floats:
        """Return how long a stage took until now, s; 0 if it has not begun."""
        until = np.nan_to_num(tasks[f"{end}_ns"].astype(float), nan=end_ns)
        took: Floats = (np.nan_to_num(until - tasks[f"{begin}_ns"].astype(float)) + 2) / NS_PER_S  # each end is rounded
        return took

    most_w = {
        "local": system.kappa_vehicle[vehicle] * np.nan_to_num(jobs["local_frequency_hz"]) ** 3,
        "transmit": system.transmit_power_w[vehicle],
        "edge": np.full(len(vehicle), (system.node_kappa * system.node_hz**3).max()),
    }
    times_s = {
        "local": took_s("started", "local_end"),
        "transmit": took_s("local_end", "upload_end"),
        "edge": took_s("service_begin", "service_end"),
    }
    bounded = {"local"}
    if case.scenario.model.mode == "corrected":
        bounded.add("transmit")
    if (
        not case.faults and case.scenario.twin.bias.cpu_frequency_hz == ConstantBias()
    ):  # nothing runs faster than it may
        bounded.add("edge")
    for kind in bounded & kinds:
        assert (jobs[f"energy_{kind}_j"] <= most_w[kind] * times_s[kind] * (1 + 1e-9) + 1e-9).all(), kind


def check_layer_work(tasks: Columns, slots: Columns, serving_node: list[str | None], case: Case) -> None:
    """No more cycles are served than the servers offer."""
    system, num_slot = case.scenario.system(), case.scenario.time.num_slot
    names = {None: -1} | {node.name: index for index, node in enumerate(case.scenario.nodes)}
    node = np.array([names[name] for name in serving_node]).reshape(num_slot, -1)
    index = tasks["slot"], tasks["vehicle"], tasks["task_class"]
    size_bytes = np.zeros((num_slot, system.num_vehicle, system.num_class))
    size_bytes[index] = tasks["size_bytes"]
    cycles = np.nan_to_num(tasks["offloading_ratio"]) * system.work_cycles(size_bytes, node)[1][index]
    served = ~np.isnan(tasks["service_end_ns"].astype(float))
    by_class = np.bincount(tasks["task_class"][served], weights=cycles[served], minlength=system.num_class)
    offered = (slots["service_bytes"] * system.cycles_per_byte).sum(axis=0)
    assert (by_class <= offered * (1 + 1e-9) + 1.0).all()


def check_layer_decisions(decisions: Columns, case: Case) -> None:
    """Decisions keep to whole layers, and to what a vehicle and the pools have."""
    system = case.scenario.system()
    if not len(decisions["slot"]):
        return
    ratio = decisions["offloading_ratio"].reshape(-1, system.num_vehicle, system.num_class)
    assert ((ratio >= 0) & (ratio <= 1)).all()
    layers = ratio * system.num_layer
    np.testing.assert_allclose(layers, np.rint(layers), atol=1e-9)
    assert (layers[..., system.num_layer > 0] < system.num_layer[system.num_layer > 0]).all()
    hz, power_w, bandwidth_hz = (
        decisions[name].reshape(-1, system.num_vehicle)
        for name in ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")
    )
    assert ((hz > 0) & (hz <= system.cpu_hz)).all()
    assert ((power_w >= system.transmit_power_w_min) & (power_w <= system.transmit_power_w)).all()
    floors_hz = FLOOR * system.node_bandwidth_hz[0] * system.num_vehicle
    assert (bandwidth_hz >= 0).all()
    total_hz = system.node_bandwidth_hz.sum()
    assert (bandwidth_hz.sum(axis=1) <= total_hz * (1 + 1e-9) + floors_hz).all()


def check_layer_books(case: Case, result: RunResult) -> None:
    tasks, jobs, slots, decisions = (columns(result.table(name)) for name in ("tasks", "jobs", "slots", "decisions"))
    check_tasks_are_conserved(result.summary, tasks, slots, case)
    check_messages_are_conserved(result.summary)
    check_stages_follow_each_other(tasks, case)
    check_layer_energy(tasks, jobs, slots, case)
    check_layer_work(tasks, slots, result.table("vehicles")["serving_node"].to_pylist(), case)
    check_layer_decisions(decisions, case)
    check_capacity_in_force(case)
    check_objective(result.summary, tasks, slots, case)


@settings(max_examples=10)
@given(case=layer_cases())
def test_the_books_of_layers_balance(engine: EngineName, case: Case) -> None:
    check_layer_books(case, case.run(engine))


@pytest.mark.full
def test_the_books_of_layers_balance_in_every_family() -> None:
    for seed in range(30):
        case = layer_case_of(seed)
        check_layer_books(case, case.run())
