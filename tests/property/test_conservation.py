"""Whatever happens, nothing vanishes and nothing comes from nowhere: the books of a run balance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from physical.model import computing, energy, objective
from physical.plane.ticks import NS_PER_S, to_ns
from policies.feasible import FLOOR
from sim.simulation import RunResult
from tests.property.families import Case, case_of, cases

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]


def columns(table: pa.Table) -> Columns:
    """Return a table as arrays; lists become [rows, length], a null time becomes NaN."""
    arrays = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        arrays[name] = np.array(values) if table.num_rows and isinstance(values[0], list) else table[name].to_numpy()
    return arrays


def check_tasks_are_conserved(summary: dict[str, Any], tasks: Columns, slots: Columns, case: Case) -> None:
    scenario = case.scenario
    num_task = scenario.time.num_slot * scenario.vehicles.num_vehicle * len(scenario.tasks)
    assert len(tasks["slot"]) == num_task == summary["tasks_generated"]
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
    cycles = computing.local_cycles(tasks["size_bytes"], cycles_per_byte, np.nan_to_num(tasks["offloading_ratio"]))
    vehicle = tasks["vehicle"]
    joules = energy.local_energy_j(cycles, system.cpu_hz[vehicle], system.kappa_vehicle[vehicle])
    whole_j = np.bincount(tasks["slot"], weights=joules, minlength=len(slots["slot"]))
    ended = slots["num_in_flight"] == 0
    np.testing.assert_allclose(slots["energy_local_j"][ended], whole_j[ended], rtol=1e-9)
    assert (slots["energy_local_j"] <= whole_j * (1 + 1e-9)).all()


def check_objective(summary: dict[str, Any], tasks: Columns, slots: Columns, case: Case) -> None:
    """The objective of every slot, and its mean, follow from the tables."""
    scenario, system = case.scenario, case.scenario.system()
    num_slot = scenario.time.num_slot
    end_ns = num_slot * to_ns(scenario.time.slot_duration_s)
    outcome = tasks["outcome"].astype(str)
    deadline_ns = np.array([to_ns(task.deadline_s) for task in scenario.tasks])[tasks["task_class"]]
    age_ns = np.where(outcome == "in flight", end_ns, tasks["done_ns"].astype(float)) - tasks["generated_ns"]
    dropped = np.char.startswith(outcome, "dropped")
    counted = (outcome != "in flight") | (age_ns > deadline_ns)
    delay_s = np.where(dropped, np.maximum(age_ns, deadline_ns), age_ns) / NS_PER_S
    missed = counted & (dropped | (age_ns > deadline_ns))

    def mean(values: NDArray[Any]) -> Floats:
        slot = tasks["slot"][counted]
        with np.errstate(invalid="ignore"):
            sums = np.bincount(slot, weights=values[counted], minlength=num_slot)
            means: Floats = sums / np.bincount(slot, minlength=num_slot)
        return means

    np.testing.assert_allclose(slots["delay_s_mean"], mean(delay_s), rtol=1e-9)
    np.testing.assert_allclose(slots["deadline_miss_ratio"], mean(missed), rtol=1e-9)
    task_qos = 1.0 - delay_s / system.deadline_s[tasks["task_class"]]
    np.testing.assert_allclose(slots["qos"], mean(task_qos), rtol=1e-9, atol=1e-9)
    drift = objective.drift(
        slots["backlog_bytes"], slots["arrived_bytes"], slots["service_bytes"], system.backlog_unit_bytes
    )
    energy_j = slots["energy_local_j"] + slots["energy_edge_j"]
    p2 = objective.p2(drift, mean(task_qos), energy_j, mean(missed), system.objective)
    np.testing.assert_allclose(slots["objective"], p2, rtol=1e-9, atol=1e-9)
    for name in ("objective", "qos"):
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
@given(cases())
def test_the_books_balance(case: Case) -> None:
    check_books(case, case.run())


@pytest.mark.full
def test_the_books_balance_in_every_family() -> None:
    for seed in range(200):
        case = case_of(seed)
        check_books(case, case.run())
