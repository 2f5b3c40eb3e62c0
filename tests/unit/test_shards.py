"""Shards of a study: who runs what, what a list of jobs tells, and what is put together again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.errors import InputError
from sim import Scenario, sweep
from sim.studies.collect import collect
from sim.studies.plan import Plan, plan_sweep
from sim.studies.shards import Shard, listing, parse_shard, run_shard
from tests.support.command import twin
from tests.support.study_folders import rows_of, tables_of

POLICIES = ("local-only", "random")
GRID = {"vehicles.num_vehicle": (2, 3)}
SEEDS = range(4)
# By hand: points, then policies, then seeds.
ORDER = [(policy, seed, point) for point in (2, 3) for policy in POLICIES for seed in SEEDS]


def small() -> Scenario:
    return Scenario.load("dtecn", ["time.num_slot=5"])


def planned(
    policies: Sequence[str] = POLICIES, grid: Mapping[str, Sequence[Any]] = GRID, seeds: Sequence[int] = SEEDS
) -> Plan:
    return plan_sweep(small(), policies, grid, seeds)


def kept(directory: Path) -> set[tuple[str, int, float]]:
    """Return policy, seed and mean penalty of the runs in a folder, as their files tell them."""
    rows = [pq.read_table(file).to_pylist()[0] for file in (directory / "runs").glob("*.parquet")]
    return {(row["policy"], row["seed"], row["penalty_mean"]) for row in rows}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep by one command."""
    out = tmp_path_factory.mktemp("whole") / "sweep"
    sweep(small(), POLICIES, GRID, SEEDS, out)
    return out


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep as three shards, each in its own folder of this one."""
    array = tmp_path_factory.mktemp("array")
    for index in range(3):
        run_shard(planned(), Shard(index, 3), array / f"part-{index}")
    return array


@given(st.integers(0, 50), st.integers(1, 60))
def test_shards_are_disjoint_and_complete(num_job: int, num: int) -> None:
    jobs = [f"job {position}" for position in range(num_job)]
    parts = [Shard(index, num).part(jobs) for index in range(num)]
    assert sorted(job for part in parts for job in part) == sorted(jobs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(jobs.index(job) % num == index for index, part in enumerate(parts) for job in part)


def test_a_shard_is_read() -> None:
    assert parse_shard(" 7/8 ") == Shard(7, 8)
    assert parse_shard("0/1000000").num == 1_000_000
    for text in ("", "1", "1/", "/3", "3/3", "-1/3", "1/0", "0/0", "1/3/5", "a/b", "0/1000001", "²/3", "1.0/3"):
        with pytest.raises(InputError) as told:
            parse_shard(text)
        accepted = "0/3 to 2/3: parts are counted from 0" if text.endswith("/3") else "for example 0/8 ... up to 7/8"
        assert str(told.value) == f"--shard: '{text}' is no part of a study (accepted: {accepted})"
    with pytest.raises(InputError, match=r"^--shard: '9{37}\.\.\.' is no part"):
        parse_shard("9" * 10_000 + "/3")


def test_jobs_are_listed(whole: Path, shards: Path, tmp_path: Path) -> None:
    rows = [*listing(planned())]
    assert [list(row) for row in rows] == [["index", "policy", "seed", "vehicles.num_vehicle", "key", "kept"]] * 16
    assert [(row["policy"], row["seed"], int(row["vehicles.num_vehicle"])) for row in rows] == ORDER
    assert [row["index"] for row in rows] == list(range(16))
    files = {file.stem for file in (whole / "runs").iterdir()}
    assert {row["key"] for row in rows} == files
    assert not any(row["kept"] for row in rows)
    assert all(row["kept"] for row in listing(planned(), whole))
    there = [row["index"] for row in listing(planned(), shards / "part-1") if row["kept"]]
    assert there == [1, 4, 7, 10, 13]
    assert not any(row["kept"] for row in listing(planned(), tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_the_same_scenario_at_two_points_is_one_job() -> None:
    """As in the plan, whose positions say to which shard a job belongs."""
    plan = planned(grid={"vehicles.num_vehicle": ["2", " 2", "3"]})
    rows = [*listing(plan)]
    assert [row["key"] for row in rows] == [job.key for job in plan.jobs]
    assert len(rows) == 16


def test_shards_give_the_table_of_one_sweep(whole: Path, shards: Path, tmp_path: Path) -> None:
    for index in range(3):
        of_shard = {(policy, seed) for policy, seed, _ in ORDER[index::3]}
        assert {(policy, seed) for policy, seed, _ in kept(shards / f"part-{index}")} == of_shard
        assert not list((shards / f"part-{index}").glob("*.*"))  # no table
    out = tmp_path / "out"
    assert collect(planned().jobs, [shards], out) == 16
    assert kept(out) == kept(whole)
    points = sweep(small(), POLICIES, GRID, SEEDS, out)
    assert [point.comparison.num_reused for point in points] == [8, 8]
    assert tables_of(out) == tables_of(whole)
    assert collect(planned().jobs, [shards, out], out) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_a_missing_shard_is_named(shards: Path, tmp_path: Path) -> None:
    """What was found stays; the shard that comes later completes it."""
    out, parts = tmp_path / "out", [shards / f"part-{index}" for index in range(3)]
    with pytest.raises(InputError) as told:
        collect(planned().jobs, [parts[0], parts[2]], out)
    assert str(told.value) == (
        "--collect: 5 of 16 runs are missing: local-only with seed 1 at vehicles.num_vehicle=2 (shard 1/3), random "
        "with seed 0 at vehicles.num_vehicle=2 (shard 1/3), random with seed 3 at vehicles.num_vehicle=2 (shard 1/3) "
        f"and 2 more (accepted: --shard 1/3 run again; what was found is kept in {out})"
    )
    assert kept(out) == kept(parts[0]) | kept(parts[2])
    assert collect(planned().jobs, [parts[1]], out) == 5


def test_a_source_that_is_none(shards: Path, tmp_path: Path) -> None:
    """Nothing is begun then."""
    (tmp_path / "empty" / "runs").mkdir(parents=True)
    (tmp_path / "file").touch()
    told = {
        "nowhere": "cannot be read: No such file or directory",
        "empty": "holds no runs of a study",
        "file": "cannot be read: Not a directory",
        "a\0b": "cannot be read: ",
    }
    for name, problem in told.items():
        with pytest.raises(InputError) as error:
            collect(planned().jobs, [shards, tmp_path / name], tmp_path / "out")
        line = str(error.value)
        assert line.startswith("--collect: ")
        assert line.count("--collect") == line.count("(accepted: ") == 1
        assert problem in line
        assert name.replace("\0", "\\x00") in line
        assert "\n" not in line
        assert not (tmp_path / "out").exists()


def test_a_shard_of_another_study_is_told(shards: Path, tmp_path: Path) -> None:
    other = planned(policies=["edge-equal"], seeds=[0])
    run_shard(other, Shard(0, 1), tmp_path / "other")
    with pytest.raises(
        InputError, match=r"16 of 16 runs are missing: .* 13 more; \S*other was written by another command \(acc"
    ):
        collect(planned().jobs, [tmp_path / "other"], tmp_path / "out")
    (mark,) = (tmp_path / "other" / "runs").glob("shard-0-of-1-*.json")
    mark.write_text(mark.read_text().replace('"code": "', '"code": "0'))
    with pytest.raises(InputError, match=r"; \S*other was run by vectwin \S+ with other code or libraries \(accepted"):
        collect(planned().jobs, [tmp_path / "other"], tmp_path / "out")
    # Another study in the same folder as a shard of this one is nothing to tell.
    run_shard(other, Shard(0, 1), shutil.copytree(shards / "part-0", tmp_path / "both"))
    with pytest.raises(InputError, match=r"10 of 16 .*more \(accepted: --shard 1/3, 2/3 run again; what was found is"):
        collect(planned().jobs, [tmp_path / "both"], tmp_path / "out")
    assert collect(other.jobs, [tmp_path / "both"], tmp_path / "out") == 2


def test_marks_that_are_none(shards: Path, tmp_path: Path) -> None:
    """Damaged marks, or shards of two splits, cost the shards' numbers in a message, and nothing else."""
    part = shutil.copytree(shards / "part-0", tmp_path / "part-0")
    run_shard(planned(), Shard(0, 2), part)
    with pytest.raises(InputError, match=r"5 of 16 runs .*accepted: the shards that lack them run again; what") as told:
        collect(planned().jobs, [part], tmp_path / "out")
    assert "(shard" not in str(told.value)
    for number, mark in enumerate((part / "runs").glob("*.json")):
        mark.write_bytes((b'{"study": ', b"\xff")[number])
    with pytest.raises(
        InputError, match=r"5 of 16 runs .*accepted: the shards that lack them run again; what was found"
    ):
        collect(planned().jobs, [part], tmp_path / "out")


def test_more_shards_than_jobs(tmp_path: Path) -> None:
    """Some have none, and say so; they are shards all the same."""
    plan = planned(policies=["local-only"], seeds=[0])
    done = [run_shard(plan, Shard(index, 4), tmp_path / str(index)) for index in range(4)]
    assert [str(one) for one in done] == [
        "shard 0/4: 1 run, 0 of them reused",
        "shard 1/4: 1 run, 0 of them reused",
        "shard 2/4: 0 runs, 0 of them reused",
        "shard 3/4: 0 runs, 0 of them reused",
    ]
    assert run_shard(plan, Shard(1, 4), tmp_path / "1").to_dict() == {"shard": "1/4", "runs": 1, "runs_reused": 1}
    assert collect(plan.jobs, [tmp_path / str(index) for index in range(4)], tmp_path / "out") == 2


def test_progress_is_that_of_the_shard(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_shard(planned(), Shard(2, 3), tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 5) for done in range(6)]
    collect(planned().jobs[2::3], [tmp_path], tmp_path / "out", lambda done, total: told.append((done, total)))
    assert told[-6:] == [(done, 5) for done in range(6)]


@pytest.mark.full
def test_the_command(whole: Path, tmp_path: Path) -> None:
    """Two shards of a comparison and their collection, as an array of jobs calls them."""
    words = ("compare", "dtecn", "--policies", "local-only,random", "--seeds", "0..2", "--slots", 5, "--json")
    for index in (0, 1):
        told = twin(*words, "--shard", f"{index}/2", "--out", tmp_path / f"part-{index}").json()
        assert (told["shard"], told["runs"], told["runs_reused"]) == (f"{index}/2", 3, 0)
    first = twin(*words, "--list-jobs", "--out", tmp_path / "part-0").json()["jobs"]
    assert [row["kept"] for row in first] == [True, False] * 3
    alone = twin(*words, "--out", tmp_path / "alone").json()
    line = twin(*words, "--collect", tmp_path / "part-1", "--out", tmp_path / "out").complaint()
    assert line.startswith(
        "twin: --collect: 3 of 6 runs are missing: local-only with seed 0 (shard 0/2), local-only wi"
    )
    assert not (tmp_path / "out" / "runs.parquet").exists()
    found = twin(*words, "--collect", tmp_path / "part-0", "--collect", tmp_path / "part-1", "--out", tmp_path / "out")
    told = found.json()
    assert told["runs_reused"] == 6
    assert {key: told[key] for key in alone if key not in ("directory", "runs_reused")} == {
        key: alone[key] for key in alone if key not in ("directory", "runs_reused")
    }
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "alone")
    assert "holds a comparison that did not end" in twin("report", tmp_path / "part-0").complaint()
    assert twin("report", tmp_path / "out").code == 0
