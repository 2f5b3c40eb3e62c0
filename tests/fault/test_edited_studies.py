"""Folders of comparisons and sweeps that were edited: a page says in a line what is wrong, a command runs it again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim import compare, sweep
from sim.scenario.scenario import Scenario
from sim.studies.store import Store, read_row
from tests.support.command import Done, twin

_SHORT = Scenario.load("dtecn", ["time.num_slot=4", "vehicles.num_vehicle=2"])
_POLICIES = ["local-only", "edge-equal"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("studies") / "one"
    compare(_SHORT, _POLICIES, seeds=[1, 2], out=directory)
    return directory


@pytest.fixture
def edited(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "edited"))


def _report(directory: Path) -> Done:
    return twin("report", directory, "--maps", 0)


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        told[key] = value

    return change


_WRONG: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("seeds: null is not what belongs here (accepted: a list)", _set("seeds", None)),
    ("seeds: holds the same twice", _set("seeds", [1, 1])),
    ("seeds.0: -1 is out of range", _set("seeds", [-1, 2])),
    ("seeds.1: true is not what belongs here (accepted: an integer)", _set("seeds", [1, True])),
    ("seeds.1: an integer of 1329 bits is ", _set("seeds", [1, 10**400])),
    ("seeds: is empty (accepted: at least one)", _set("seeds", [])),
    ("policies: holds the same twice", _set("policies", ["local-only", "local-only"])),
    ("policies.0: {} is not what belongs here (accepted: a text)", _set("policies", [{}])),
    ("baseline: 'nobody' is not compared (accepted: local-only, edge-equal)", _set("baseline", "nobody")),
    ("baseline: is missing", lambda told: told.pop("baseline")),
    ("results.local-only: does not fit the seeds (accepted: 2 keys, one per seed)", _set("results", {})),
    ("results: [] is not what belongs here (accepted: a table)", _set("results", [])),
    ("texts.local-only: is missing", _set("texts", {})),
    ("warmup_slots: 1.5 is not what belongs here", _set("warmup_slots", 1.5)),
    ("warmup_slots: 4 cannot be cut", lambda told: told.update(warmup_rule="given", warmup_slots=4)),
    ("precision: null is not what belongs here (accepted: a table)", _set("precision", None)),
    ('precision.asked: "x" is not what', _set("precision", {"asked": "x"})),
    ("values: 3 is not what belongs here (accepted: a table)", _set("values", 3)),
    ("scenario: 3 is not what belongs here (accepted: a table)", _set("scenario", 3)),
    ("scenario.radio: 3 is not a table", lambda told: told["scenario"].update(radio=3)),
]


@pytest.mark.parametrize(("said", "change"), _WRONG, ids=[said[:40] for said, _ in _WRONG])
def test_a_wrong_key_is_named(said: str, change: Callable[[dict[str, Any]], Any], edited: Path) -> None:
    file = edited / "compare.json"
    told = json.loads(file.read_text("utf-8"))
    change(told)
    file.write_text(json.dumps(told), "utf-8")
    assert _report(edited).complaint().startswith(f"twin: {file}: {said}")


def test_points_of_a_sweep_belong_together(tmp_path: Path) -> None:
    sweep(_SHORT, _POLICIES, {"time.num_slot": [2, 3]}, seeds=[1], out=tmp_path / "s")
    file = tmp_path / "s" / "sweep.json"
    told = json.loads(file.read_text("utf-8"))
    assert _report(tmp_path / "s").code == 0
    changes: tuple[tuple[Callable[[Any], Any], str], ...] = (
        (lambda points: points[1].update(values={"x": "1"}), "1: differs from the first point"),
        (lambda points: points[1].update(values={}), "holds no points of a grid"),
        (lambda points: points[1].update(baseline="nobody"), "1.baseline: 'nobody' is not compared"),
        (lambda points: points[1].update(seeds="x"), '1.seeds: "x" is not what belongs here (accepted: a list)'),
        (lambda points: points.append(3), "2: 3 is not what belongs here"),
        (lambda points: points.clear(), "holds no points of a grid"),
    )
    for change, said in changes:
        points = json.loads(json.dumps(told))
        change(points)
        file.write_text(json.dumps(points), "utf-8")
        assert _report(tmp_path / "s").complaint().startswith(f"twin: {file}: {said}")


def _rows(edited: Path) -> list[Path]:
    return sorted((edited / "runs").glob("*.parquet"))


def _column(name: str, values: Any, kind: pa.DataType | None = None) -> Callable[[pa.Table], pa.Table]:
    return lambda row: row.set_column(row.schema.get_field_index(name), name, pa.array([values], kind))


def _twice(row: pa.Table) -> pa.Table:
    return pa.concat_tables([row, row])


_ROWS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a number": _column("energy_j_mean", 1.0),
    "a text": _column("energy_j_mean", "low"),
    "no number": _column("tasks_late", float("nan")),
    "a list": _column("tasks_late", [1, 2]),
    "a penalty less": _column("slot_penalty", [1.0, 2.0, 3.0]),
    "penalties of texts": _column("slot_penalty", ["a"] * 4),
    "no penalties": _column("slot_penalty", None, pa.list_(pa.float64())),
    "delays": _column("delays", '{"counts": [[1]], "ended": [1]}'),
    "delays of texts": _column("delays", '{"counts": ["x"], "ended": 3}'),
    "deep delays": _column("delays", "[" * 100_000),
    "delays null": _column("delays", "null"),
    "a column less": lambda row: row.drop_columns(["penalty_mean"]),
    "a column more": lambda row: row.append_column("x", pa.array([1])),
    "two rows": _twice,
    "no row": lambda row: row.slice(0, 0),
    "another key": _column("key", "0" * 24),
}


@pytest.mark.parametrize("change", _ROWS.values(), ids=_ROWS)
def test_a_result_that_was_edited_counts_as_none(
    change: Callable[[pa.Table], pa.Table], edited: Path, original: Path
) -> None:
    """A page says that it is not there; the command makes it again, as it was."""
    path = _rows(edited)[0]
    pq.write_table(change(pq.read_table(path)), path)
    assert read_row(path, path.stem) is None
    assert "lacks 1 run of" in _report(edited).complaint()
    found = compare(_SHORT, _POLICIES, seeds=[1, 2], out=edited)
    assert found.num_reused == 3
    told = [json.loads((one / "compare.json").read_text("utf-8"))["mean"] for one in (edited, original)]
    assert told[0] == told[1]


_UNSOUND = ("a text", "a list", "penalties of texts", "no penalties", "delays of texts", "deep delays", "delays null")


@pytest.mark.parametrize("name", _UNSOUND)
def test_results_without_a_seal_are_looked_at(name: str, edited: Path) -> None:
    """Those of an earlier version have none: a page takes what can be a result, a command nothing."""
    path = _rows(edited)[0]
    row = pq.read_table(path).drop_columns(["contents"])
    pq.write_table(row, path)
    assert read_row(path, path.stem) is not None
    assert Store(edited).get(path.stem) is None
    assert _report(edited).code == 0
    pq.write_table(_ROWS[name](row), path)
    assert read_row(path, path.stem) is None


@pytest.mark.parametrize("column", ["penalty_mean", "energy_j_mean", "energy_local_j", "stable", "tasks_generated"])
def test_a_page_of_results_that_lack_a_number(column: str, edited: Path) -> None:
    for path in _rows(edited):
        pq.write_table(pq.read_table(path).drop_columns(["contents", column]), path)
    assert _report(edited).code == 0


def test_what_is_no_file_is_not_waited_for(edited: Path) -> None:
    path = _rows(edited)[0]
    path.unlink()
    os.mkfifo(path)
    assert "lacks 1 run of" in _report(edited).complaint()
