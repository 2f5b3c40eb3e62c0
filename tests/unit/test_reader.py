"""Damaged and foreign traces: one error that names the file, never wrong data in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from sim import run
from sim.runs.check import check
from sim.runs.replay import verify
from tests.support.scenarios import make_scenario
from traces.reader import Trace
from traces.schema import SCHEMA_VERSION, TABLES


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "one"
    run(make_scenario("time.num_slot=30"), policy="random", seed=1, out=directory)
    return directory


@pytest.fixture
def trace(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def part(trace: Path, table: str = "tasks") -> Path:
    return sorted((trace / table).glob("*.parquet"))[0]


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_part_is_named(trace: Path, keep: float) -> None:
    path = part(trace)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(InputError) as error:
        Trace(trace).table("tasks")
    assert error.value.where == str(path)
    assert "\n" not in str(error.value)
    assert Trace(trace).table("slots").num_rows == 30  # other tables can still be read


def test_a_part_that_is_something_else_is_named(trace: Path) -> None:
    part(trace).write_text("slot,vehicle\n1,2\n")
    with pytest.raises(InputError, match=r"part-\d+\.parquet: cannot be read"):
        Trace(trace).table("tasks")


@pytest.mark.parametrize("place", [0.1, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("table", ["tasks", "vehicles"])
def test_a_flipped_byte_is_never_read_as_good_data(trace: Path, original: Path, table: str, place: float) -> None:
    path = part(trace, table)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x5A
    path.write_bytes(data)
    damaged = Trace(trace)
    try:
        rows = damaged.table(table)
    except InputError as error:
        assert error.where == str(path)  # noqa: PT017 - one of two acceptable ends
    else:
        assert rows.equals(Trace(original).table(table)) or table in damaged.mismatches()


def test_a_missing_part_and_an_edited_value_show_as_mismatch(trace: Path) -> None:
    assert Trace(trace).mismatches() == []
    path = part(trace, "vehicles")
    rows = pq.read_table(path)
    speed = rows.schema.get_field_index("speed_mps")
    edited = rows.set_column(speed, rows.schema.field(speed), pa.array([99.0] * rows.num_rows))
    pq.write_table(edited, path)
    part(trace, "twin").unlink()
    assert Trace(trace).mismatches() == ["vehicles", "twin"]


def test_a_part_without_a_column_is_not_taken_for_nulls(trace: Path) -> None:
    path = part(trace, "slots")
    pq.write_table(pq.read_table(path).drop_columns(["drift"]), path)
    damaged = Trace(trace)
    try:
        damaged.table("slots")
    except InputError as error:
        assert error.where == str(path)  # noqa: PT017 - one of two acceptable ends
    else:
        assert "slots" in damaged.mismatches()


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, "1", None])
def test_another_schema_version_is_refused(trace: Path, version: Any) -> None:
    path = trace / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
    with pytest.raises(InputError) as error:
        Trace(trace)
    assert (error.value.where, error.value.key) == (str(path), "schema_version")
    assert error.value.accepted == "2, 3"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"status": "complete"}', "\x00\xff"])
def test_a_broken_manifest_is_named(trace: Path, text: str) -> None:
    (trace / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        Trace(trace)
    assert error.value.where == str(trace / "manifest.json")


def test_what_is_no_run_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="is not a run"):
            Trace(path)


def test_an_unknown_table_names_the_known_ones(original: Path) -> None:
    with pytest.raises(InputError) as error:
        Trace(original).table("cars")
    assert error.value.accepted == ", ".join(TABLES)


def test_a_run_without_messages_has_an_empty_table_of_them(original: Path) -> None:
    table = Trace(original).table("messages")
    assert table.num_rows == 0
    assert table.schema.names == [column.name for column in TABLES["messages"].columns]


def test_a_run_of_version_2_is_read_as_it_was_meant(trace: Path) -> None:
    """It had positions in single precision and no names of vehicles; digests of what it has are those of today."""
    digests = Trace(trace).manifest["digests"]
    for path in [*(trace / "vehicles").glob("*.parquet"), *(trace / "twin").glob("*.parquet")]:
        rows = pq.read_table(path)
        for index, name in enumerate(rows.schema.names):
            if name in ("x_m", "y_m", "estimated_x_m", "estimated_y_m"):
                rows = rows.set_column(index, name, rows.column(name).cast(pa.float32()))
        pq.write_table(rows, path)
    manifest = json.loads((trace / "manifest.json").read_text())
    manifest |= {"schema_version": 2, "digests": {key: value for key, value in digests.items() if key != "entities"}}
    (trace / "manifest.json").write_text(json.dumps(manifest))
    old = Trace(trace)
    assert old.table("entities").num_rows == 0
    assert old.mismatches() == []
    assert check(str(trace)).ok
    assert verify(trace).difference is None
