"""Each check notices what is wrong with tables that are changed a little."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sim import Scenario, run
from tests.swarm.books import Books, read_tables
from tests.swarm.checks import CHECKS, violations

Tables = dict[str, pa.Table]
PLAIN = [
    *("model.handover=drop", "server.discipline=fifo", "vehicles.cpu=in-turn", "radio.uplink=sharing"),
    *("network.access.latency_s=0.002", "network.backhaul.latency_s=0.003", "network.access.loss=0.05"),
    *("vehicles.num_vehicle=4", "time.num_slot=30", "policy.name=random", "twin.bias.position_m=2.0"),
    "trace.messages=true",
]
JOINT = [
    *("vehicles.num_vehicle=5", "time.num_slot=8", "time.slot_duration_s=0.5", "policy.name=random"),
    "trace.messages=true",
]
EVENT = [
    {"kind": "node-down", "node": "base-station", "at_s": 1.0},
    {"kind": "node-up", "node": "base-station", "at_s": 1.2},
]


@dataclass(frozen=True)
class Recorded:
    manifest: dict[str, Any]
    tables: Tables
    folder: Path

    def books(self, tables: Tables | None = None, **summary: Any) -> Books:
        manifest = self.manifest | {"summary": self.manifest["summary"] | summary}
        return Books(manifest, self.tables if tables is None else tables, self.folder)


def _record(folder: Path, preset: str, settings: list[str], **tables: Any) -> Recorded:
    scenario = Scenario.load(preset, settings).model_dump(mode="json") | tables
    run(Scenario.from_dict(scenario), seed=4, out=folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return Recorded(manifest, read_tables(folder), folder)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Recorded]:
    folder = tmp_path_factory.mktemp("swarm")
    return {
        "plain": _record(folder / "plain", "dtecn-congested", PLAIN),
        "slices": _record(
            folder / "slices", "dtecn-congested", [*PLAIN, "server.discipline=slices", "vehicles.cpu=per-task"]
        ),
        "joint": _record(folder / "joint", "llm6g", JOINT),
        "down": _record(folder / "down", "dtecn-congested", PLAIN, timeline=EVENT),
    }


@pytest.mark.parametrize("name", ["plain", "slices", "joint", "down"])
def test_a_run_as_it_is_has_nothing_wrong(recorded: Mapping[str, Recorded], name: str) -> None:
    assert violations(recorded[name].books()) == []


def _changed(tables: Tables, table: str, column: str, change: Callable[[list[Any]], list[Any]]) -> Tables:
    rows = tables[table]
    place = rows.column_names.index(column)
    values = rows.column(column)
    plain = values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values
    made = pa.chunked_array([pa.array(change(plain.to_pylist()), plain.type).cast(plain.type)])
    if pa.types.is_dictionary(values.type):
        made = made.dictionary_encode().cast(values.type)
    return tables | {table: rows.set_column(place, rows.schema.field(column), made)}


def _all(factor: float, more: float = 0.0) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [None if value is None else type(value)(value * factor + more) for value in values]


def _lists(factor: float, more: float = 0.0) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [[item * factor + more for item in value] for value in values]


def _one(value: Any, index: int = 0) -> Callable[[list[Any]], list[Any]]:
    """Change one value that is there: the `index`-th of these."""

    def change(values: list[Any]) -> list[Any]:
        known = [row for row, found in enumerate(values) if found is not None]
        values[known[index]] = value(values[known[index]]) if callable(value) else value
        return values

    return change


def _swapped(one: str, other: str) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [other if value == one else value for value in values]


CASES: list[tuple[str, str, str, str, Callable[[list[Any]], list[Any]]]] = [
    ("numbers", "plain", "slots", "drift", _one(np.inf)),
    ("numbers", "plain", "twin", "channel_gain_error_db", _one(np.nan)),
    ("numbers", "plain", "vehicles", "uplink_rate_bps", _one(np.nan)),
    ("presence", "plain", "tasks", "vehicle", _one(lambda value: (value + 1) % 4)),
    ("presence", "plain", "vehicles", "vehicle", _all(0, 0)),
    ("schema", "plain", "vehicles", "vehicle", _all(0, 0)),
    ("sizes", "plain", "tasks", "size_bytes", _all(100.0)),
    ("stages", "plain", "tasks", "started_ns", _one(lambda value: -1)),
    ("stages", "plain", "tasks", "local_end_ns", _all(1, -(10**9))),
    ("stages", "plain", "tasks", "service_begin_ns", _all(1, 10**9)),
    ("stages", "plain", "tasks", "generated_ns", _all(1, 1)),
    ("outcomes", "plain", "tasks", "outcome", _swapped("completed", "late")),
    ("outcomes", "plain", "tasks", "outcome", _swapped("late", "completed")),
    ("outcomes", "plain", "tasks", "outcome", _swapped("dropped: uplink", "dropped: vehicle left")),
    ("outcomes", "joint", "tasks", "offloading_ratio", _all(0.99)),
    ("counts", "plain", "tasks", "outcome", _swapped("completed", "late")),
    ("counts", "plain", "slots", "num_late", _all(1, 1)),
    ("passages", "plain", "tasks", "upload_end_ns", _all(1, 10)),
    ("passages", "plain", "tasks", "done_ns", _all(1, 10)),
    ("cpus", "plain", "tasks", "started_ns", _all(1, 100_000)),
    ("cpus", "plain", "tasks", "local_end_ns", _all(1, 100_000)),
    ("cpus", "slices", "tasks", "local_end_ns", _all(1, 10)),
    ("rates", "plain", "vehicles", "uplink_rate_bps", _all(1.001)),
    ("uplinks", "plain", "tasks", "upload_end_ns", _all(1, -100_000)),
    ("uplinks", "plain", "tasks", "upload_end_ns", _all(1, 100_000)),
    ("servers", "plain", "tasks", "service_begin_ns", _all(1, -(10**7))),
    ("arrivals", "plain", "slots", "arrived_bytes", _lists(1.001)),
    ("backlogs", "plain", "vehicles", "cpu_backlog_cycles", _all(3.0)),
    ("backlogs", "plain", "vehicles", "uplink_backlog_bytes", _all(0.0)),
    ("backlogs", "plain", "slots", "backlog_bytes", _lists(0.5)),
    ("backlogs", "slices", "vehicles", "cpu_backlog_cycles", _all(1.01)),
    ("local_energy", "plain", "slots", "energy_local_j", _all(1.01)),
    ("local_energy", "joint", "jobs", "energy_local_j", _all(1.01)),
    ("radio_energy", "plain", "slots", "energy_transmit_j", _all(1.0, 1e-3)),
    ("radio_energy", "joint", "jobs", "energy_transmit_j", _all(1.01)),
    ("edge_energy", "joint", "jobs", "energy_edge_j", _all(1.01)),
    ("edge_energy", "plain", "slots", "energy_edge_j", _all(1e3)),
    ("server_speeds", "plain", "slots", "energy_edge_j", _all(1.001)),
    ("server_speeds", "slices", "slots", "service_bytes", _lists(1.001)),
    ("server_speeds", "slices", "tasks", "service_end_ns", _all(1, 10_000)),
    ("slots: qos", "plain", "slots", "qos", _all(1.0, 1e-4)),
    ("slots: penalty", "plain", "slots", "penalty", _all(1.0, 1e-4)),
    ("slots: penalty", "joint", "slots", "penalty", _all(1.001)),
    ("slots: drift", "plain", "slots", "drift", _all(1.001)),
    ("slots: objective", "plain", "slots", "objective", _all(1.001)),
    ("slots: deadline_miss_ratio", "plain", "slots", "deadline_miss_ratio", _all(0.9)),
    ("slots: delay_s_mean", "plain", "slots", "delay_s_mean", _all(1.001)),
    ("waiting", "plain", "slots", "waiting_cpu_s", _all(1.001)),
    ("waiting", "plain", "slots", "waiting_uplink_s", _all(1.001)),
    ("waiting", "plain", "slots", "waiting_server_s", _all(1.001)),
    ("attached", "down", "vehicles", "channel_gain", _one(-1.0)),
    ("messages", "plain", "messages", "delivered_ns", _all(1, 10)),
    ("messages", "plain", "messages", "sent_ns", _all(1, 1)),
    ("ages", "plain", "twin", "age_of_information_s", _all(1.0, 1e-9)),
    ("beliefs", "plain", "twin", "estimated_x_m", _all(1.0, 1e-3)),
    ("beliefs", "plain", "twin", "estimated_channel_gain", _all(1.001)),
    ("beliefs", "plain", "twin", "estimated_cpu_backlog_cycles", _all(1.001)),
    ("beliefs", "plain", "decisions", "estimated_size_bytes", _lists(1.001)),
    ("beliefs", "plain", "decisions", "estimated_backlog_bytes", _lists(1.001)),
    ("beliefs", "plain", "twin", "estimation_bias_hz", _all(1.0, 1.0)),
    ("errors", "plain", "twin", "position_error_m", _all(1.0, 1e-3)),
    ("errors", "plain", "twin", "channel_gain_error_db", _all(1.0, 1e-3)),
    ("decisions", "plain", "decisions", "offloading_ratio", _lists(1.0, 0.9)),
    ("decisions", "plain", "decisions", "compute_allocation_hz", _lists(1.01)),
    ("decisions", "joint", "decisions", "transmit_power_w", _lists(2.0)),
    ("decisions", "joint", "decisions", "local_frequency_hz", _lists(2.0)),
    ("decisions", "joint", "decisions", "bandwidth_hz", _lists(9.0)),
    ("decisions", "plain", "decisions", "latency_ns", _all(1, 1)),
    ("commands", "plain", "tasks", "started_ns", _one(lambda value: value + 1)),
    ("commands", "plain", "tasks", "offloading_ratio", _one(0.125)),
    ("events", "down", "events", "time_ns", _all(1, 1)),
]


@pytest.mark.parametrize(("check", "case", "table", "column", "change"), CASES)
def test_a_change_is_noticed(
    recorded: Mapping[str, Recorded],
    check: str,
    case: str,
    table: str,
    column: str,
    change: Callable[[list[Any]], list[Any]],
) -> None:
    books = recorded[case].books(_changed(recorded[case].tables, table, column, change))
    found = [one for one in violations(books, [check.partition(":")[0]]) if "cannot be checked" not in one.told]
    assert any(one.check.startswith(check) for one in found), found


def test_every_check_is_seen_to_fail() -> None:
    assert {check.partition(":")[0] for check, *_ in CASES} | {"summary"} == set(CHECKS)


def test_every_key_of_the_summary_is_checked(recorded: Mapping[str, Recorded]) -> None:
    summary = recorded["plain"].manifest["summary"]
    assert violations(recorded["plain"].books(wall_s=0.0), ["summary"])
    for key, value in summary.items():
        if key in {"wall_s", "vehicle_slots_per_s"}:  # of the machine
            continue
        other = (
            f"{value}?"
            if isinstance(value, str)
            else -1
            if value is None
            else not value
            if value is True
            else value * 1.01 - 1
        )
        found = violations(recorded["plain"].books(None, **{key: other}), ["summary", "counts"])
        assert found, key
    missing = {key: value for key, value in summary.items() if key != "qos_mean"}
    manifest = recorded["plain"].manifest | {"summary": missing}
    assert violations(Books(manifest, recorded["plain"].tables, recorded["plain"].folder), ["summary"])
    assert violations(recorded["plain"].books(more=1), ["summary"])


def test_a_lost_row_is_noticed(recorded: Mapping[str, Recorded]) -> None:
    for table in ("tasks", "slots", "vehicles", "events"):
        case = recorded["down"]
        fewer = case.tables | {table: case.tables[table].slice(1)}
        assert violations(case.books(fewer)), table
