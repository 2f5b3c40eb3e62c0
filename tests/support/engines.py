"""Comparison of the engine of the product with the plain engine, row by row."""

from __future__ import annotations

import math

import numpy as np

from sim.runs.run import RunResult
from tests.oracle.engine import OracleResult
from tests.property.families import Case

WAITING = ("cpu_backlog_cycles", "uplink_backlog_bytes")


def compare(case: Case, result: RunResult, oracle: OracleResult) -> None:
    """Assert that both engines tell the same story."""
    table = result.table("tasks")
    for name, expected in oracle.task_rows(case.scenario).items():
        values = table[name].to_pylist()
        found = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
        assert found == expected, name
    compare_decisions(result, oracle, case.scenario.server.discipline)
    slots = result.table("slots")
    backlog_bytes = np.sum(oracle.backlog_bytes, axis=1)
    for name, rows in (("backlog_bytes", backlog_bytes), ("arrived_bytes", oracle.arrived_bytes)):
        np.testing.assert_allclose(slots[name].to_pylist(), rows, rtol=1e-9, atol=1e-6, err_msg=name)
    vehicles = result.table("vehicles")
    for name in WAITING:
        found = vehicles[name].to_numpy()
        np.testing.assert_allclose(found, np.ravel(getattr(oracle, name)), rtol=1e-9, atol=1e-3, err_msg=name)
    counted = {fate: result.summary[f"messages_{fate.replace(' ', '_')}"] for fate in oracle.messages}
    assert counted == dict(oracle.messages)


def compare_decisions(result: RunResult, oracle: OracleResult, discipline: str) -> None:
    table, twin = result.table("decisions"), result.table("twin")
    for name in ("slot", "decided_ns", "latency_ns", "fallback", "repaired"):
        assert table[name].to_pylist() == [getattr(item, name) for item in oracle.decisions], name
    for name, attribute in (
        ("estimated_size_bytes", "size_bytes"),
        ("offloading_ratio", "offloading_ratio"),
        ("compute_allocation_hz", "compute_allocation_hz"),
    ):
        assert table[name].to_pylist() == [getattr(item, attribute).ravel().tolist() for item in oracle.decisions], name
    if discipline == "slices":
        found = table["estimated_flow_backlog_cycles"].to_pylist()
        waits = [item.flow_backlog_cycles for item in oracle.decisions]
        assert found == [cycles.ravel().tolist() if cycles.any() else [] for cycles in waits]
    for name in WAITING:
        found = twin[f"estimated_{name}"].to_numpy()
        expected = np.ravel([getattr(item, name) for item in oracle.decisions])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-3, err_msg=name)
    for name, attribute in (
        ("age_of_information_s", "age_s"),
        ("estimated_x_m", "x_m"),
        ("estimated_channel_gain", "channel_gain"),
    ):
        found = twin[name].to_numpy()
        expected = np.array([getattr(item, attribute) for item in oracle.decisions]).reshape(-1)
        assert found.tolist() == expected.astype(found.dtype).tolist(), name
