"""Tables of a run that were edited: one line names the file, the column and what it takes, or the run is read."""

from __future__ import annotations

import csv
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from sim import run
from sim.runs.replay import RecordedRun, verify
from sim.scenario.scenario import Scenario
from tests.support.command import twin
from tests.support.edited import COMMANDS, READERS, call, edit_column, part_of, set_value
from traces.limits import Extent
from traces.reader import Trace
from traces.schema import TABLES

_SHORT = Scenario.load("dtecn", ["time.num_slot=4", "vehicles.num_vehicle=2", "trace.messages=true"])
NUM_SLOT, NUM_VEHICLE, NUM_CLASS = 4, 2, len(_SHORT.tasks)
NUM_FLOW = NUM_VEHICLE * NUM_CLASS
_FLOATS = pa.list_(pa.float64())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "one"
    run(_SHORT, policy="random", seed=1, out=directory)
    return directory


@pytest.fixture
def edited(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "edited"))


_VALUES: list[tuple[str, str, Any, str]] = [
    ("tasks", "slot", NUM_SLOT, f"{NUM_SLOT} is out of range (accepted: 0 to {NUM_SLOT - 1})"),
    ("tasks", "slot", -1, "-1 is out of range"),
    ("tasks", "vehicle", NUM_VEHICLE, f"{NUM_VEHICLE} is out of range (accepted: 0 to {NUM_VEHICLE - 1})"),
    ("tasks", "task_class", NUM_CLASS, f"{NUM_CLASS} is out of range (accepted: 0 to {NUM_CLASS - 1})"),
    ("tasks", "generated_ns", -(2**63), "-9223372036854775808 is out of range"),
    ("tasks", "done_ns", 2**62, "4611686018427387904 is out of range"),
    ("vehicles", "vehicle", 2**31 - 1, "2147483647 is out of range"),
    ("vehicles", "x_m", float("nan"), "nan is out of range"),
    ("vehicles", "y_m", 1e308, "1e+308 is out of range"),
    ("twin", "estimated_x_m", float("inf"), "inf is out of range"),
    ("twin", "slot", 99, "99 is out of range"),
    ("decisions", "slot", 4, "4 is out of range"),
    ("decisions", "latency_ns", -1, "-1 is out of range"),
    ("decisions", "offloading_ratio", [], f"has a list of 0 values (accepted: {NUM_FLOW})"),
    ("decisions", "offloading_ratio", [0.5] * (NUM_FLOW + 1), f"has a list of {NUM_FLOW + 1} values"),
    ("decisions", "offloading_ratio", [2.0] * NUM_FLOW, "2.0 is out of range (accepted: 0 to 1)"),
    ("decisions", "offloading_ratio", [float("nan")] * NUM_FLOW, "nan is out of range (accepted: 0 to 1)"),
    ("decisions", "compute_allocation_hz", [1e300] * NUM_FLOW, "1e+300 is out of range (accepted: 0 to 1e+30)"),
    ("decisions", "compute_allocation_hz", [None] * NUM_FLOW, "has a list with null in it"),
    ("decisions", "bandwidth_hz", [1.0], f"has a list of 1 values (accepted: {NUM_VEHICLE} or 0)"),
    ("decisions", "estimated_backlog_bytes", [0.0], f"has a list of 1 values (accepted: {NUM_CLASS})"),
    ("slots", "backlog_bytes", [0.0], f"has a list of 1 values (accepted: {NUM_CLASS})"),
    ("slots", "slot", 2**31 - 1, "2147483647 is out of range"),
    ("messages", "vehicle", -99, "-99 is out of range (accepted: -1 to 1)"),
    ("messages", "sent_ns", -5, "-5 is out of range"),
]


@pytest.mark.parametrize(
    ("table", "column", "value", "said"), _VALUES, ids=[f"{a}.{b}-{d[:20]}" for a, b, _, d in _VALUES]
)
def test_a_value_that_cannot_be_is_named(
    table: str, column: str, value: Any, said: str, edited: Path, original: Path
) -> None:
    path = edit_column(edited, table, column, set_value(0, value))
    for command in ("replay", "report"):
        assert call(command, edited, original).complaint().startswith(f"twin: {path}: {column}: {said}")


def _required() -> list[tuple[str, str]]:
    """Return the columns of which a run never has null: what else there is may be null, as `traces/schema.py` says."""
    may_be_null = {
        "tasks": ("started", "local_end", "upload_end", "arrived", "service_begin", "service_end", "done"),
        "vehicles": ("serving_node",),
        "messages": ("delivered",),
    }
    return [
        (name, column.name)
        for name in ("tasks", "slots", "vehicles", "twin", "decisions", "messages")
        for column in TABLES[name].columns
        if column.name.removesuffix("_ns") not in may_be_null.get(name, ())
    ]


@pytest.mark.parametrize(("table", "column"), _required(), ids=map(".".join, _required()))
def test_null_where_a_value_is_needed(table: str, column: str, edited: Path) -> None:
    path = edit_column(edited, table, column, set_value(-1, None))
    with pytest.raises(InputError, match="has a value that is null") as caught:
        RecordedRun(edited)
    assert (caught.value.where, caught.value.key) == (str(path), column)


_TYPES = [
    ("tasks", "slot", pa.int64()),
    ("tasks", "slot", pa.string()),
    ("tasks", "size_bytes", pa.float32()),
    ("tasks", "outcome", pa.int8()),
    ("vehicles", "x_m", pa.string()),
    ("decisions", "offloading_ratio", pa.float64()),
    ("decisions", "offloading_ratio", pa.list_(pa.int64())),
    ("decisions", "repaired", pa.int32()),
    ("slots", "backlog_bytes", pa.string()),
    ("slots", "slot", pa.timestamp("ns")),
]


@pytest.mark.parametrize(("table", "column", "kind"), _TYPES, ids=str)
def test_another_type_is_named_before_it_is_read(
    table: str, column: str, kind: pa.DataType, edited: Path, original: Path
) -> None:
    def change(values: list[Any]) -> list[Any]:
        if pa.types.is_string(kind):
            return [str(value) for value in values]
        return [[1] if pa.types.is_list(kind) else 1 for _ in values]

    path = edit_column(edited, table, column, change, kind)
    said = f"twin: {path}: {column}: has type {kind.__str__().replace('item', 'element')}"
    for command in ("report", "csv", "check"):
        assert call(command, edited, original).complaint().startswith(said)


@pytest.mark.parametrize(("table", "column"), [("tasks", "size_bytes"), ("tasks", "outcome"), ("decisions", "slot")])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_column_is_named(command: str, table: str, column: str, edited: Path, original: Path) -> None:
    path = part_of(edited, table)
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    assert call(command, edited, original).complaint().startswith(f"twin: {path}: {column}: is missing (accepted: ")


def test_a_column_that_is_there_twice(edited: Path, original: Path) -> None:
    path = part_of(edited, "slots")
    rows = pq.read_table(path)
    pq.write_table(rows.append_column("slot", rows.column("slot")), path)
    assert call("report", edited, original).complaint() == f"twin: {path}: slot: is there twice (accepted: int32)"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int16(), pa.string())], ids=str)
def test_texts_and_columns_as_another_tool_writes_them(kind: pa.DataType, edited: Path) -> None:
    """DuckDB and others know no dictionaries, and people add columns: all that the run has is still there."""
    before = Trace(edited).table("tasks").to_pylist()
    edit_column(edited, "tasks", "outcome", lambda values: values, kind)
    path = part_of(edited, "tasks")
    rows = pq.read_table(path)
    rows = rows.append_column("note", pa.array(["mine"] * rows.num_rows)).replace_schema_metadata({"table": "cars"})
    pq.write_table(rows, path, store_schema=False)
    assert Trace(edited).table("tasks").to_pylist() == before
    assert Trace(edited).mismatches() == []
    assert verify(edited).difference is None


@pytest.mark.parametrize("table", ["tasks", "slots", "vehicles", "twin", "decisions"])
def test_a_row_that_is_there_twice(table: str, edited: Path, original: Path) -> None:
    """In one part, or in two: the bound on the number of rows, or the key, tells."""
    path = part_of(edited, table)
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows.slice(1), rows.slice(1, 1)]), path)
    said = call("report", edited, original).complaint()
    assert said.startswith(f"twin: {edited / table}: slot ")
    assert said.endswith(": is there twice (accepted: one row of it)")
    pq.write_table(pa.concat_tables([rows, rows]), path)
    assert f"has {2 * rows.num_rows} rows (accepted: at most " in call("report", edited, original).complaint()


@pytest.mark.parametrize("command", COMMANDS)
def test_parts_of_two_tables_that_were_swapped(command: str, edited: Path, original: Path) -> None:
    first, second = part_of(edited, "decisions"), part_of(edited, "slots")
    first.rename(edited / "x")
    second.rename(first)
    (edited / "x").rename(second)
    said = call(command, edited, original).complaint()
    assert said.startswith(f"twin: {edited}/")
    assert ".parquet: " in said
    assert "is missing" in said


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _encrypted(path: Path) -> None:
    """Write the magic number of a file with an encrypted footer."""
    data = path.read_bytes()
    path.write_bytes(b"PARE" + data[4:-4] + b"PARE")


def _wrong_metadata(path: Path) -> None:
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[-8:-4], "little")
    data[-8 - size // 2 : -8 - size // 2 + 20] = b"\xff" * 20
    path.write_bytes(bytes(data))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _gone(path: Path) -> None:
    path.unlink()
    path.symlink_to("no-such-file")


def _outside(path: Path) -> None:
    other = path.parent.parent.parent / "outside.parquet"
    shutil.move(path, other)
    path.symlink_to(other)


_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncated, "cannot be read: "),
    "encrypted": (_encrypted, "cannot be read: "),
    "metadata": (_wrong_metadata, "cannot be read: "),
    "folder": (_folder, "is not a regular file"),
    "pipe": (_pipe, "is not a regular file"),
    "circle": (_circle, "cannot be read: "),
    "device": (_device, "is not a regular file"),
    "gone": (_gone, "cannot be read: No such file or directory"),
    "outside": (_outside, "is a link to a file outside the run (accepted: a copy of that file)"),
}


@pytest.mark.parametrize(("damage", "said"), _FILES.values(), ids=_FILES)
@pytest.mark.parametrize("command", ["report", "csv", "check"])
def test_a_part_that_is_no_file_of_ours(
    command: str, damage: Callable[[Path], None], said: str, edited: Path, original: Path
) -> None:
    path = part_of(edited, "slots")
    damage(path)
    assert call(command, edited, original).complaint().startswith(f"twin: {path}: {said}")


def test_a_link_within_the_run_is_followed(edited: Path) -> None:
    """So is one to the whole folder."""
    path = part_of(edited, "slots")
    path.rename(edited / "slots" / "kept")
    path.symlink_to("kept")
    (edited.parent / "link").symlink_to(edited)
    assert verify(edited.parent / "link").difference is None


def test_more_rows_than_there_can_be_are_not_read(edited: Path, original: Path) -> None:
    """A small file can hold ever so many equal rows: they are counted before they take any memory."""
    path = part_of(edited, "slots")
    row = pq.read_table(path).slice(0, 1)
    pq.write_table(row.take(pa.array(np.zeros(200_000, dtype=np.int64))), path)
    assert path.stat().st_size < 100_000
    said = f"twin: {path}: has 200000 rows (accepted: at most {NUM_SLOT} in this run)"
    assert call("report", edited, original).complaint() == said


def test_names_of_some_vehicles_only(edited: Path, original: Path) -> None:
    (edited / "entities").mkdir()
    rows = pa.table({"vehicle": [0], "vehicle_id": ["a"], "kind": [None]}, schema=TABLES["entities"].schema())
    pq.write_table(rows, edited / "entities" / "part-00000.parquet")
    said = call("perfetto", edited, original).complaint()
    assert said == f"twin: {edited / 'entities'}: names 1 vehicles (accepted: 2 of them, or none)"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e308])
@pytest.mark.parametrize(
    "column",
    ["slots.penalty", "slots.energy_local_j", "twin.age_of_information_s", "tasks.size_bytes", "vehicles.speed_mps"],
)
def test_numbers_that_nobody_reckons_with_are_gaps(column: str, value: float, edited: Path, original: Path) -> None:
    """They are another run's, which a replay tells; a page and an export show what there is, without a warning."""
    table, name = column.split(".")
    edit_column(edited, table, name, lambda values: [value] * len(values))
    assert call("report", edited, original).code == 0
    assert call("perfetto", edited, original).code == 0
    assert call("replay", edited, original).code == 1
    assert call("check", edited, original).code == 1


def test_a_difference_that_json_has_no_number_for(edited: Path) -> None:
    for value in (float("nan"), float("inf")):
        edit_column(edited, "slots", "drift", set_value(1, value))
        done = twin("replay", edited, "--json")
        assert (done.code, done.err) == (1, "")
        assert done.json()["difference"]["recorded"] == str(value)


def test_a_csv_file_of_values_that_cannot_be(edited: Path, original: Path) -> None:
    """It takes them as they are: nothing is reckoned with them."""
    edit_column(edited, "decisions", "offloading_ratio", set_value(0, [None, float("inf"), 0.5]))
    edit_column(edited, "slots", "backlog_bytes", set_value(0, None))
    assert call("csv", edited, original).code == 0
    with zipfile.ZipFile(edited.parent / "out.zip") as archive:
        (first, *_) = csv.DictReader(archive.read("decisions.csv").decode().splitlines())
    assert first["offloading_ratio"] == "[null,null,0.5]"
    assert call("check", edited, original).code == 1


def test_the_bounds_are_those_of_the_scenario() -> None:
    extent = Extent(num_slot=4, num_vehicle=2, num_class=3, num_node=5)
    assert extent.rows_max(TABLES["tasks"]) == 4 * 2 * 3
    assert extent.rows_max(TABLES["entities"]) == 2
    assert extent.rows_max(TABLES["events"]) is None
    assert extent.lengths("bandwidth_hz") == (2, 0)
    assert extent.lengths("offloading_ratio") == (6,)
    assert extent.range("messages", "vehicle") == (-5, 1)
    assert extent.range("events", "slot") is None


@pytest.mark.parametrize("command", READERS)
def test_nothing_is_refused_that_is_a_run(command: str, original: Path, edited: Path) -> None:
    assert call(command, edited, original).code == 0


def test_texts_that_would_fill_the_memory_are_not_read(edited: Path, original: Path) -> None:
    """One text of a megabyte, in 600 rows that point to it: 600 MB in a file of some kilobytes."""
    count = 600
    rows = {"time_ns": range(count), "kind": ["a"] * count, "slot": [0] * count, "detail": ["x" * 2**20] * count}
    (edited / "events").mkdir(exist_ok=True)
    path = edited / "events" / "part-00000.parquet"
    pq.write_table(pa.table(rows, schema=TABLES["events"].schema()), path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    for command in ("report", "csv"):
        assert call(command, edited, original).complaint().startswith(f"twin: {path}: cannot be read: texts of 629")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_no_file_can_have(command: str, original: Path) -> None:
    assert ": " in call(command, original / ("9" * 5_000), original).complaint()
