"""Results of large studies: read back from their folder when needed; tables are the same as with all in memory."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from sim import Scenario, compare, sweep
from sim.studies.comparison import Comparison
from sim.studies.jobs import Finished, Job
from sim.studies.plan import plan_comparison
from sim.studies.results import Results, Runs
from sim.studies.store import Store
from sim.studies.sweep import Point
from sim.studies.tables import SweepTables, write_comparison, write_runs
from tests.support.process import at_work, with_value
from traces import atomic

SMALL = Scenario.load("dtecn", ["time.num_slot=4", "vehicles.num_vehicle=2"])
POLICIES = ("local-only", "edge-equal")
GRID: dict[str, list[Any]] = {"vehicles.num_vehicle": [1, 2], "server.frequency_hz": ["40 GHz", 5e10]}


def finished(job: Job, **summary: Any) -> Finished:
    return Finished({"penalty_mean": 1.0, **summary}, np.array([1.0, np.nan]), {"counts": [[1]], "ended": [1]}, job.key)


def held(num: int) -> AbstractContextManager[None]:
    """Let so few results stay in memory."""
    return with_value("sim.studies.results:IN_MEMORY", num)


def in_chunks(num: int) -> AbstractContextManager[None]:
    """Let so few rows become columns at once."""
    return with_value("sim.studies.tables:_CHUNK", num)


def stored(num: int, folder: Path, most: int) -> tuple[list[Job], Results]:
    """Return jobs with their results, as a study has them."""
    place = Store(folder)
    found, jobs = Results(place), plan_comparison(SMALL, ["local-only"], range(num)).jobs
    with held(most):
        for job in jobs:
            place.put(job, finished(job, number=job.seed))
            found.add(job, finished(job, number=job.seed))
    return jobs, found


# -------------------------------------------------------------------------------------------------------------- results


def test_results_are_a_mapping(tmp_path: Path) -> None:
    """Whether a job has one is told without its file; `reused` is what the study knows, not the file."""
    jobs, found = stored(6, tmp_path, most=3)
    (other,) = plan_comparison(SMALL, ["edge-equal"], [0]).jobs
    assert list(found) == jobs
    assert len(found) == 6
    assert [found[job].summary["number"] for job in jobs] == list(range(6))
    assert [found[job].reused for job in jobs] == [False] * 6
    for job in jobs:
        np.testing.assert_array_equal(found[job].slot_penalty, [1.0, np.nan])
        assert found[job].delays == {"counts": [[1]], "ended": [1]}
    with pytest.raises(KeyError):
        found[other]
    for file in (tmp_path / "runs").iterdir():
        file.unlink()
    assert jobs[5] in found
    assert other not in found


def test_runs_are_a_sequence(tmp_path: Path) -> None:
    jobs, found = stored(4, tmp_path, most=1)
    runs = Runs(jobs, found)
    assert len(runs) == 4
    assert [run.summary["number"] for run in runs] == [0, 1, 2, 3]
    assert runs[-1].summary["number"] == 3
    assert [run.summary["number"] for run in runs[1:3]] == [1, 2]
    assert [run.summary["number"] for run in reversed(runs)] == [3, 2, 1, 0]
    with pytest.raises(IndexError):
        runs[4]


def test_what_changed_while_it_ran_stays_in_memory(tmp_path: Path) -> None:
    """The store has it under another key, and does not know what changed."""
    job, *_ = plan_comparison(SMALL, ["local-only"], [0]).jobs
    found = Results(Store(tmp_path))
    with held(0):
        found.add(job, Finished({}, np.zeros(1), key="other", changed=("option file",)))
    assert found[job].changed == ("option file",)


@pytest.mark.parametrize("harm", ["gone", "edited"])
def test_a_result_that_has_gone_is_one_line(harm: str, tmp_path: Path) -> None:
    """Also in the middle of a study: somebody tidies up between the last run and the tables."""
    jobs, found = stored(4, tmp_path, most=3)
    file = Store(tmp_path).path_of(jobs[3].key)
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="was there and is not any more") as told:
        found[jobs[3]]
    assert told.value.where == str(file)

    def tidy(done: int, total: int) -> None:
        if done == total:
            for path in (tmp_path / "study" / "runs").iterdir():
                path.unlink()

    with (
        held(3),
        pytest.raises(InputError, match=r"was there and is not any more \(accepted: the same command again\)"),
    ):
        compare(SMALL, POLICIES, range(3), tmp_path / "study", progress=tidy)


# ---------------------------------------------------------------------------------------------------------- same tables


def plain(compared: Comparison) -> dict[str, Any]:
    """Return everything that a comparison says, but wall times."""
    rows = [{key: value for key, value in row.items() if not _is_time(key)} for row in compared.rows()]
    return {
        "told": compared.to_dict(),
        "rows": rows,
        "notes": compared.notes(),
        "penalties": {policy: compared.penalties(policy).tolist() for policy in compared.policies},
        "reused": compared.num_reused,
        "delays": {policy: [run.delays for run in runs] for policy, runs in compared.runs.items()},
        "lengths": {policy: len(runs) for policy, runs in compared.runs.items()},
    }


def _is_time(key: str) -> bool:
    return key in ("wall_s", "vehicle_slots_per_s") or key.startswith("decision_ms")


def by_point(points: list[Point]) -> list[dict[str, Any]]:
    return [{"values": point.values, "scenario": point.scenario, **plain(point.comparison)} for point in points]


def written(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """Return the statistics as they are, and the rows but wall times."""
    (statistics,) = (*folder.glob("compare.json"), *folder.glob("sweep.json"))
    rows = pq.read_table(folder / "runs.parquet").to_pylist()
    return statistics.read_bytes(), [{key: row[key] for key in row if not _is_time(key)} for row in rows]


def test_a_sweep_is_the_same_from_memory_and_from_files(tmp_path: Path) -> None:
    """New and reused, three results in memory of sixteen."""
    whole = sweep(SMALL, POLICIES, GRID, (0, 1), tmp_path / "whole")
    again = sweep(SMALL, POLICIES, GRID, (0, 1), tmp_path / "whole")
    with held(3), in_chunks(3):
        few = sweep(SMALL, POLICIES, GRID, (0, 1), tmp_path / "few")
        assert by_point(few) == by_point(whole)
        assert written(tmp_path / "few") == written(tmp_path / "whole")
        few_again = sweep(SMALL, POLICIES, GRID, (0, 1), tmp_path / "few")
    assert by_point(few_again) == by_point(again)
    assert [point.comparison.num_reused for point in few_again] == [4] * 4
    assert written(tmp_path / "few") == written(tmp_path / "whole")


def test_a_comparison_is_the_same_from_memory_and_from_files(tmp_path: Path) -> None:
    """Also one that adds seeds to reach a precision: no run of an earlier round is lost or run again."""
    words: dict[str, Any] = {"precision": 0.002, "seeds_max": 14, "warmup": 0}
    whole = compare(SMALL, POLICIES, (0, 1), tmp_path / "whole", **words)
    with held(3):
        few = compare(SMALL, POLICIES, (0, 1), tmp_path / "few", **words)
    assert len(few.seeds) > 10
    assert plain(few) == plain(whole)
    assert written(tmp_path / "few") == written(tmp_path / "whole")


# -------------------------------------------------------------------------------------------------------------- tables

ROWS: list[dict[str, Any]] = [
    {"policy": "a", "seed": 0, "first_null": None, "text": None, "number": 1, "flag": None},
    {"policy": "a", "seed": 1, "first_null": None, "text": None, "number": 2, "flag": None},
    {"policy": "a", "seed": 2, "first_null": 0.5, "text": None, "number": 3.5, "flag": None},
    {"policy": "b", "seed": 0, "first_null": None, "text": "späte\u2028Zeile", "flag": True, "new": 7},
    {"policy": "b", "seed": 1, "first_null": 1e300, "text": None, "number": None, "flag": False, "new": None},
]
REPORT: dict[str, Any] = {
    "mean": {"a": {"x": 1.5, "y": None}},
    "notes": ["one\u2028line", "é\x85"],
    "empty": [],
    "n": {},
}


def expected() -> pa.Table:
    """Return the rows as Arrow makes a table of all of them at once; each row has all keys."""
    keys = list(dict.fromkeys(key for row in ROWS for key in row))
    return pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in ROWS])


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 1_000])
def test_rows_are_the_same_in_chunks_of_any_size(chunk: int, tmp_path: Path) -> None:
    """A column may be null at first, whole before it is not, and missing before or after."""
    with in_chunks(chunk):
        write_runs(iter(ROWS), tmp_path / "runs.parquet")
        write_comparison(iter(ROWS), REPORT, tmp_path / "study")
    found = pq.read_table(tmp_path / "runs.parquet")
    assert found.equals(expected())
    assert found.column_names == expected().column_names
    assert pq.read_table(tmp_path / "study" / "runs.parquet").equals(expected())
    text = (tmp_path / "study" / "compare.json").read_text("utf-8")
    assert text == json.dumps(REPORT, indent=2) + "\n"


@pytest.mark.parametrize("chunk", [1, 3, 1_000])
@pytest.mark.parametrize("num_point", [1, 3])
def test_points_are_written_as_one_list(chunk: int, num_point: int, tmp_path: Path) -> None:
    taken = SweepTables(tmp_path)
    reports = [{**REPORT, "point": number} for number in range(num_point)]
    with in_chunks(chunk):
        for report in reports:
            taken.add(iter(ROWS), report)
    assert not list(tmp_path.iterdir())
    taken.write()
    assert (tmp_path / "sweep.json").read_text("utf-8") == json.dumps(reports, indent=2) + "\n"
    assert pq.read_table(tmp_path / "runs.parquet").equals(pa.concat_tables([expected()] * num_point))


def test_values_of_a_grid_that_are_texts_at_some_points(tmp_path: Path) -> None:
    """The column is of texts at all; one of numbers that are whole at some points is of floats."""
    points = sweep(SMALL, ["local-only"], GRID | {"vehicles.num_vehicle": [1]}, (0,), tmp_path)
    assert len(points) == 2
    assert pq.read_table(tmp_path / "runs.parquet")["server.frequency_hz"].to_pylist() == ["40 GHz", "50000000000.0"]
    sweep(SMALL, ["local-only"], {"server.frequency_hz": [40_000_000_000, 4.5e10]}, (0,), tmp_path / "b")
    assert pq.read_table(tmp_path / "b" / "runs.parquet")["server.frequency_hz"].to_pylist() == [4e10, 4.5e10]


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    """A NaN is no JSON: nothing is written."""
    with pytest.raises(ValueError, match="JSON"):
        write_comparison(ROWS, {"x": math.nan}, tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        SweepTables(tmp_path).add(ROWS, {"x": math.nan})
    assert not list(tmp_path.glob("*.*"))


# ----------------------------------------------------------------------------------------------------------- full disks


class Full:
    """A file of which writing, or the last buffer, fails."""

    def __init__(self, file: Any, name: str, fails: str) -> None:
        self._file = file
        self._name = name
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        if name == self._fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._name)
        return getattr(self._file, name)


@pytest.mark.parametrize("fails", ["write", "flush"])
@pytest.mark.parametrize("victim", ["runs.parquet", "compare.json"])
def test_a_full_disk_leaves_the_old_pair(fails: str, victim: str, tmp_path: Path) -> None:
    """Never a new file beside an old one, wherever the disk is full."""
    write_comparison(ROWS, REPORT, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"runs.parquet", "compare.json", ".tables.lock"}

    @contextmanager
    def full(path: Path) -> Iterator[Any]:
        with atomic.whole_file(path) as file:
            yield Full(file, str(path), fails) if path.name == victim else file

    with with_value("sim.studies.tables:whole_file", full), pytest.raises(InputError, match="No space left on device"):
        write_comparison(ROWS[:2], REPORT | {"more": 1}, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def full_disk() -> None:
    raise InputError("cannot be written: No space left on device", where="--out")


def test_a_study_that_ended_before_its_tables_goes_on(tmp_path: Path) -> None:
    """Its folder holds runs and a lock, and nothing else."""
    with at_work("sim.studies.compare:write_comparison", full_disk), pytest.raises(InputError, match="No space left"):
        compare(SMALL, POLICIES, (0,), tmp_path)
    (tmp_path / ".tables.lock").touch()
    assert compare(SMALL, POLICIES, (0,), tmp_path).num_reused == 2


def test_a_full_disk_while_runs_are_kept(tmp_path: Path) -> None:
    """One line; the runs before are kept, and the same call goes on."""
    num = [0]

    def full(rows: pa.Table, path: Path, **options: bool) -> None:
        num[0] += 1
        if num[0] == 3:
            full_disk()
        atomic.write_whole(rows, path, **options)

    with with_value("sim.studies.store:write_whole", full), pytest.raises(InputError, match="No space left on device"):
        compare(SMALL, POLICIES, (0, 1), tmp_path)
    assert compare(SMALL, POLICIES, (0, 1), tmp_path).num_reused == 2
