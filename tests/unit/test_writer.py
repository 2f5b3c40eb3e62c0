"""Traces on disk: parts, manifest, units, order of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from sim import RunResult, run
from tests.support.process import renames
from tests.support.scenarios import make_scenario
from traces.reader import Trace
from traces.schema import SCHEMA_VERSION, TABLES
from traces.writer import TraceWriter

pytestmark = pytest.mark.full  # files and processes; the quick loop has test_reader.py

SETTINGS = (
    "trace.messages=true",
    "time.num_slot=30",
    "network.backhaul.loss=0.2",
    'network.access.latency_s={kind="exponential", mean_s=0.03}',
    "server.frequency_hz=4e9",
    "twin.decision.latency=0.03",
    "twin.decision.deadline_s=0.02",
)


def recorded(out: Path | None, *settings: str) -> RunResult:
    """Return a run with losses, lateness, waiting, fallbacks and messages."""
    return run(make_scenario(*SETTINGS, *settings), policy="edge-equal", seed=3, out=out)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "one"
    # Small parts, so that there are several; they close when slots are flushed.
    recorded(directory, "trace.part_rows=40", "trace.part_seconds=1e-9")
    return directory


def test_there_are_several_parts_and_nothing_half_written(trace: Path) -> None:
    assert len(list((trace / "tasks").glob("part-*.parquet"))) > 3
    files = [path for path in trace.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".json"}
    # Jobs are recorded where they are metered one by one, which they are not here; names where a trace gives them.
    assert {path.name for path in trace.iterdir()} == {"manifest.json", *TABLES} - {"jobs", "prompts", "entities"}


@pytest.mark.parametrize("name", TABLES)
def test_reading_gives_the_schema_with_units(trace: Path, name: str) -> None:
    table = Trace(trace).table(name)
    for column in TABLES[name].columns:
        field = table.schema.field(column.name)
        assert field.type == column.type
        assert field.metadata == {b"unit": column.unit.encode()}
    assert table.schema.metadata[b"vectwin_schema"] == str(SCHEMA_VERSION).encode()
    for path in (trace / name).glob("*.parquet"):  # and so does whoever reads a part without us
        assert pq.read_schema(path).field(TABLES[name].columns[-1].name).metadata[b"unit"] is not None


@pytest.mark.parametrize("name", ["tasks", "slots", "vehicles", "twin", "decisions"])
def test_rows_come_in_the_order_of_the_key_and_keys_are_unique(trace: Path, name: str) -> None:
    table = Trace(trace).table(name)
    keys = list(zip(*(table.column(key).to_pylist() for key in TABLES[name].key), strict=True))
    assert keys == sorted(set(keys))
    assert keys


@pytest.mark.parametrize("name", ["events", "messages"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_tables_with_text_in_their_key_can_be_read(trace: Path, name: str, in_memory: bool) -> None:
    table = recorded(None).table(name) if in_memory else Trace(trace).table(name)
    keys = list(zip(*(table.column(key).to_pylist() for key in TABLES[name].key), strict=True))
    assert keys == sorted(keys)
    assert keys


def test_a_run_on_disk_and_one_in_memory_are_the_same(trace: Path) -> None:
    memory = recorded(None)
    assert Trace(trace).manifest["digest"] == memory.summary["digest"]
    for name in ("tasks", "slots", "vehicles", "twin"):
        disk = Trace(trace).table(name)
        for column in TABLES[name].columns:
            one, other = disk.column(column.name).to_pylist(), memory.table(name).column(column.name).to_pylist()
            np.testing.assert_array_equal(np.array(one, dtype=object), np.array(other, dtype=object))


def test_the_manifest_tells_what_was_run(trace: Path) -> None:
    manifest = json.loads((trace / "manifest.json").read_text())
    assert {
        "schema_version",
        "status",
        "scenario",
        "policy",
        "seed",
        "versions",
        "digest",
        "digests",
        "summary",
    } <= set(manifest)
    assert (manifest["schema_version"], manifest["status"]) == (SCHEMA_VERSION, "complete")
    assert (manifest["policy"], manifest["seed"]) == ("edge-equal", 3)
    assert set(manifest["digests"]) == set(TABLES)
    assert manifest["scenario"]["network"]["backhaul"]["loss"] == 0.2
    assert {"python", "vectwin", "numpy", "pyarrow"} <= set(manifest["versions"])
    assert manifest["summary"]["digest"] == manifest["digest"]
    assert manifest["summary"]["tasks_generated"] == Trace(trace).table("tasks").num_rows == 30 * 6


def test_no_table_mismatches_its_digest(trace: Path) -> None:
    assert Trace(trace).mismatches() == []


def test_a_directory_that_holds_a_run_is_not_overwritten(trace: Path) -> None:
    before = (trace / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="holds a run already"):
        recorded(trace)
    assert (trace / "manifest.json").read_bytes() == before


def test_a_directory_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        recorded(tmp_path / "file" / "run")


def test_parts_and_manifest_appear_under_their_name_only_when_complete(tmp_path: Path) -> None:
    """What is renamed is a whole file: every rename is from a .tmp, whose content is complete at that time."""
    renamed: list[str] = []

    def check(source: Path, target: Path) -> None:
        assert Path(source).name.endswith(".tmp")
        if str(target).endswith(".parquet"):
            assert pq.read_table(source).num_rows > 0
        else:
            json.loads(Path(source).read_text())
        renamed.append(Path(target).name)

    with renames(check):
        recorded(tmp_path / "run")
    files = [path.name for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert set(files) == set(renamed)


def test_a_killed_run_keeps_its_closed_parts(tmp_path: Path) -> None:
    """The writer simply stops: no close, and a half-written part lies about."""
    writer = TraceWriter(tmp_path, part_rows=1, part_seconds=1e9)
    writer.open({"scenario": {}, "policy": "x", "seed": 0})
    row = {
        "time_ns": np.array([7], dtype=np.int64),
        "kind": ["fallback"],
        "slot": np.array([1], dtype=np.int32),
        "detail": ["because"],
    }
    writer.add("events", row)
    writer.close_part()
    writer.add("events", row)
    (tmp_path / "events" / "part-00001.parquet.7.tmp").write_bytes(b"half")
    trace = Trace(tmp_path)
    assert trace.manifest["status"] == "running"
    assert pq.read_table(tmp_path / "events" / "part-00000.parquet").num_rows == 1
    assert trace.table("tasks").num_rows == 0
    assert trace.mismatches() == []


def test_empty_additions_leave_no_files(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, part_rows=1, part_seconds=1e9)
    writer.open({})
    none = np.zeros(0)
    writer.add("events", {"time_ns": none, "kind": [], "slot": none, "detail": []})
    writer.close("complete", {})
    assert [path.name for path in tmp_path.rglob("*")] == ["manifest.json"]


def test_masked_values_become_null_and_lists_keep_their_rows() -> None:
    writer = TraceWriter(None, 1000, 1e9)
    writer.open({})
    columns: dict[str, Any] = {column.name: np.zeros(2) for column in TABLES["slots"].columns}
    columns |= {"slot": [0, 1], "backlog_bytes": [[1.0, 2.0], [3.0, 4.0]]}
    columns |= {name: [[0.0, 0.0]] * 2 for name in ("arrived_bytes", "service_bytes")}
    writer.add("slots", columns)
    assert writer.tables["slots"][0].column("backlog_bytes").to_pylist() == [[1.0, 2.0], [3.0, 4.0]]
    writer.add(
        "messages",
        {
            "slot": [0, 1],
            "kind": ["report", "command"],
            "vehicle": [0, 1],
            "sent_ns": [5, 6],
            "delivered_ns": np.ma.MaskedArray([8, 9], mask=[True, False]),
        },
    )
    assert writer.tables["messages"][0].column("delivered_ns").to_pylist() == [None, 9]


def test_dictionary_columns_are_dictionaries_in_memory_too() -> None:
    rows = recorded(None)._tables["messages"][0]
    assert pa.types.is_dictionary(rows.schema.field("kind").type)


def test_a_trace_in_memory_is_overdue_once_per_interval() -> None:
    """Otherwise every slot after the first interval would be flushed on its own."""
    now = 0.0
    writer = TraceWriter(None, part_rows=10, part_seconds=5.0, now_s=lambda: now)
    now = 5.5
    assert writer.overdue
    writer.close_part_if_due()
    assert not writer.overdue
