"""Shards and folders of studies in trouble: killed, damaged, all at once, on full disks, where nobody may write."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sim import Scenario
from sim.studies.collect import collect
from sim.studies.plan import plan_sweep
from sim.studies.shards import Shard, run_shard
from tests.support.command import TWIN, Done, environment, twin, wait_until
from tests.support.study_folders import rows_of, runs_in, tables_of

GRID = {"vehicles.num_vehicle": (2, 3)}
POLICIES = ("local-only", "random")
SEEDS = range(4)
WORDS = ("sweep", "dtecn", "--policies", "local-only,random", "--seeds", "0..3", "--warmup", 0, "--json")
SMALL = (*WORDS, "--slots", 5, "--grid", "vehicles.num_vehicle=2,3")
_DROP_BOUND, _MAY_PASS_BY_PERMISSIONS = 24, (1, 2)  # of Linux: PR_CAPBSET_DROP; CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH

PLAN = plan_sweep(Scenario.load("dtecn", ["time.num_slot=5"]), POLICIES, GRID, SEEDS, 0)
JOBS = PLAN.jobs


def begin(*words: object) -> subprocess.Popen[str]:
    command = [*TWIN, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, err)


def within(limit: Callable[[], None], *words: object) -> Done:
    """Run the command line in a process that `limit` has prepared."""
    command = [*TWIN, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), timeout=120, preexec_fn=limit
    )
    return Done(done.returncode, done.stdout, done.stderr)


def small_files() -> None:
    """Let writing fail in the middle of a file, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))


def no_override() -> None:
    """Let permissions hold for root, too."""
    if os.geteuid() == 0:
        for capability in _MAY_PASS_BY_PERMISSIONS:
            if ctypes.CDLL(None).prctl(_DROP_BOUND, capability, 0, 0, 0):
                raise OSError("cannot be given up")


def results(done: Done) -> dict[str, Any]:
    """Return what a study prints but for where it is, and what it found there."""
    return {key: value for key, value in done.json().items() if key not in ("directory", "runs_reused")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep by one command, with the plan of `SMALL`."""
    out = tmp_path_factory.mktemp("whole") / "sweep"
    assert twin(*SMALL, "--out", out).code == 0
    return out


@pytest.fixture(scope="module")
def array(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep as three shards in folders beside each other."""
    folder = tmp_path_factory.mktemp("array")
    for index in range(3):
        run_shard(PLAN, Shard(index, 3), folder / str(index))
    return folder


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Make folders such that nobody may write there."""
    made: list[Path] = []

    def closed(folder: Path) -> Path:
        made.extend([folder, *(one for one in folder.rglob("*") if one.is_dir())])
        for one in made:
            one.chmod(0o555)
        return folder

    (tmp_path / "probe").mkdir()
    probe = closed(tmp_path / "probe")
    try:
        command = [sys.executable, "-c", f"open({str(probe / 'x')!r}, 'w')"]
        tried = subprocess.run(command, capture_output=True, check=False, preexec_fn=no_override)
    except subprocess.SubprocessError:
        pytest.skip("this root cannot give up writing everywhere")
    if tried.returncode == 0:
        pytest.skip("permissions do not hold here")
    yield closed
    for one in made:
        one.chmod(0o755)


def test_a_damaged_run_is_missing_and_named(whole: Path, array: Path, tmp_path: Path) -> None:
    """Cut, edited, or no file at all; where another folder has it whole, that one is taken."""
    parts, lost = shutil.copytree(array, tmp_path / "array"), sorted(runs_in(array / "1"))
    cut, edited, pipe = (parts / "1" / "runs" / name for name in lost[:3])
    cut.write_bytes(cut.read_bytes()[:-100])
    table = pq.read_table(edited)
    pq.write_table(table.set_column(table.column_names.index("penalty_mean"), "penalty_mean", [[-1.0]]), edited)
    pipe.unlink()
    os.mkfifo(pipe)
    line = twin(*SMALL, "--collect", parts, "--out", tmp_path / "out").complaint()
    assert line.startswith("twin: --collect: 3 of 16 runs are missing: ")
    assert all(str(file) in line.partition("; damaged: ")[2] for file in (cut, edited, pipe))
    assert line.endswith(f"(accepted: --shard 1/3 run again; what was found is kept in {tmp_path / 'out'})")
    kept = runs_in(tmp_path / "out")
    assert set(kept) == set(runs_in(whole)) - set(lost[:3])
    assert not list((tmp_path / "out").glob("*.parquet"))
    found = twin(*SMALL, "--collect", parts, "--collect", array, "--out", tmp_path / "out").json()
    assert found["runs_reused"] == 16
    assert kept.items() <= runs_in(tmp_path / "out").items()
    assert tables_of(tmp_path / "out") == tables_of(whole)


def test_a_damaged_run_that_was_collected_is_collected_again(whole: Path, array: Path, tmp_path: Path) -> None:
    collect(JOBS, [array], tmp_path)
    broken = tmp_path / "runs" / min(runs_in(tmp_path))
    broken.unlink()  # a hard link, which must not damage the shard
    broken.write_bytes(b"PAR1")
    assert collect(JOBS, [array], tmp_path) == 1
    assert collect(JOBS, [array], tmp_path) == 0
    assert set(runs_in(tmp_path)) == set(runs_in(whole))


def test_runs_behind_symbolic_links(array: Path, tmp_path: Path) -> None:
    """As data managers keep them; what is collected is a file of its own, also if the links go."""
    runs = tmp_path / "linked" / "0" / "runs"
    runs.mkdir(parents=True)
    for name in runs_in(array / "0"):
        (runs / name).symlink_to(os.path.relpath(array / "0" / "runs" / name, runs))
    assert collect(JOBS[0::3], [tmp_path / "linked"], tmp_path / "out") == 6
    shutil.rmtree(tmp_path / "linked")
    assert collect(JOBS[0::3], [array], tmp_path / "out") == 0


def test_a_killed_shard_goes_on(tmp_path: Path) -> None:
    """SIGKILL between two runs: collecting names what is missing; the same command ends it, and the table is right."""
    words = (*WORDS, "--slots", 150, "--grid", "vehicles.num_vehicle=2,3")
    process = begin(*words, "--shard", "0/2", "--out", tmp_path / "0")
    wait_until(lambda: len(runs_in(tmp_path / "0")) >= 2)
    process.kill()
    ended(process)
    before = runs_in(tmp_path / "0")
    assert 2 <= len(before) < 8
    assert twin(*words, "--shard", "1/2", "--out", tmp_path / "1").code == 0
    sources = ("--collect", tmp_path / "0", "--collect", tmp_path / "1", "--out", tmp_path / "out")
    line = twin(*words, *sources).complaint()
    assert f"{8 - len(before)} of 16 runs are missing" in line
    assert "(accepted: --shard 0/2 run again" in line
    again = twin(*words, "--shard", "0/2", "--out", tmp_path / "0").json()
    assert (again["runs"], again["runs_reused"]) == (8, len(before))
    assert before.items() <= runs_in(tmp_path / "0").items()
    assert twin(*words, *sources).json()["runs_reused"] == 16
    assert twin(*words, "--out", tmp_path / "alone").code == 0
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "alone")


def test_shards_share_a_folder(whole: Path, tmp_path: Path) -> None:
    """All at the same time, one of them twice, as some schedulers do; the folder is that of the study then."""
    indices = (0, 1, 2, 2)
    processes = [begin(*SMALL, "--shard", f"{index}/3", "--out", tmp_path) for index in indices]
    told = [ended(process) for process in processes]
    assert [done.code for done in told] == [0] * 4, told
    assert [done.json()["runs"] for done in told] == [6, 5, 5, 5]
    assert set(runs_in(tmp_path)) == set(runs_in(whole))
    assert len(list((tmp_path / "runs").iterdir())) == 16 + 3  # and a mark of each shard
    assert twin(*SMALL, "--collect", tmp_path, "--out", tmp_path).json()["runs_reused"] == 16
    assert rows_of(tmp_path) == rows_of(whole)


def test_a_failing_run_of_a_shard(tmp_path: Path) -> None:
    """It is told, the others are kept; whoever collects learns which shard has to run again."""
    words = ("compare", "llm6g", "--policies", "layers-exact,greedy-cost", "--seeds", "0,1", "--slots", 2, "--json")
    good = twin(*words, "--shard", "0/2", "--out", tmp_path / "0")
    assert good.code == 2, good
    assert "1 of 2 runs failed; the others are kept" in good.err.splitlines()[-1]
    assert twin(*words, "--shard", "1/2", "--out", tmp_path / "1").code == 2
    line = twin(*words, "--collect", tmp_path, "--out", tmp_path / "out").complaint()
    assert "2 of 4 runs are missing: greedy-cost with seed 0 (shard 0/2), greedy-cost with seed 1 (shard 1/2)" in line
    assert len(runs_in(tmp_path / "out")) == 2


LOGS = """
from policies.baselines import EdgeEqual


class Logs(EdgeEqual):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def reset(self, system, seed):
        super().reset(system, seed)
        with open(self.log, "a") as file:
            file.write(f"{seed}\\n")
"""


def test_a_policy_that_writes_its_own_input(tmp_path: Path) -> None:
    """Its runs have keys that nobody can ask for: the shard fails, rather than the collection much later."""
    (tmp_path / "logs.py").write_text(LOGS, "utf-8")
    (tmp_path / "log.txt").touch()
    words = ("--policies", f"{tmp_path / 'logs.py'}:Logs,log={tmp_path / 'log.txt'}", "--seeds", "0..3", "--slots", 2)
    line = twin("compare", "dtecn", *words, "--shard", "0/2", "--out", tmp_path / "0").complaint()
    assert line.startswith("twin: --shard: ")
    assert "its files changed while it ran (option log): it cannot be collected (accepted: policies that" in line


def test_folders_that_hold_something_else(array: Path, tmp_path: Path) -> None:
    """They are left as they are."""
    (tmp_path / "thesis.txt").touch()
    for words in (("--shard", "0/3"), ("--collect", array), ("--list-jobs",)):
        line = twin(*SMALL, *words, "--out", tmp_path).complaint()
        assert line.startswith(
            f"twin: {tmp_path}: is not empty: it holds thesis.txt (accepted: a new or empty director"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_two_studies_in_one_folder(tmp_path: Path) -> None:
    """Two sweeps and a comparison at the same time: all end well, and the table is that of one of them."""
    studies = {
        "one": ("sweep", "dtecn", "--policies", "local-only,random", "--grid", "vehicles.num_vehicle=2,3"),
        "two": ("sweep", "dtecn", "--policies", "random", "--grid", "vehicles.num_vehicle=3,4,5"),
        "three": ("compare", "dtecn", "--policies", "edge-equal,random"),
    }
    more = ("--seeds", "0..2", "--slots", 20, "--warmup", 0, "--json", "--out")
    processes = [begin(*words, *more, tmp_path / "together") for words in studies.values()]
    told = [ended(process) for process in processes]
    assert [done.code for done in told] == [0] * 3, told
    for (name, words), done in zip(studies.items(), told, strict=True):
        alone = results(twin(*words, *more, tmp_path / name))
        again = twin(*words, *more, shutil.copytree(tmp_path / "together", tmp_path / f"{name}-again"))
        assert results(done) == alone == results(again)
        assert again.json()["runs_reused"] == len(rows_of(tmp_path / name))
    kept = set().union(*(runs_in(tmp_path / name) for name in studies))
    assert set(runs_in(tmp_path / "together")) == kept
    assert tables_of(tmp_path / "together") in [tables_of(tmp_path / name) for name in studies]
    assert not list((tmp_path / "together").rglob("*.tmp"))


def test_another_study_at_work_is_told(tmp_path: Path) -> None:
    """By a line, and the study goes on; shards of one array expect each other."""
    fcntl = pytest.importorskip("fcntl", reason="locks of Unix")
    out = tmp_path / "out"
    assert twin(*SMALL, "--out", out).err == ""
    with (out / ".study.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        told = twin(*SMALL, "--fresh", "--out", out)
        shard = twin(*SMALL, "--fresh", "--shard", "0/3", "--out", out)
    assert told.code == shard.code == 0
    assert (
        told.err == f"twin: {out}: another study writes there, too; runs of both are kept, tables of the last to end\n"
    )
    assert shard.err == ""
    assert twin(*SMALL, "--fresh", "--out", out).err == ""


def test_a_full_disk(whole: Path, array: Path, tmp_path: Path) -> None:
    """One line that names the place; what was kept before is whole, and the same command goes on."""
    line = within(small_files, *SMALL, "--shard", "0/3", "--out", tmp_path / "0").complaint()
    assert line.startswith(f"twin: {tmp_path / '0' / 'runs'}")
    assert line.endswith("cannot be written: File too large")
    assert twin(*SMALL, "--shard", "0/3", "--out", tmp_path / "0").code == 0
    out = tmp_path / "out"
    line = within(small_files, *SMALL, "--collect", array, "--out", out).complaint()  # links need no room, tables do
    assert line.endswith("cannot be written: File too large")
    assert set(runs_in(out)) == set(runs_in(whole))
    assert not list(tmp_path.rglob("*.tmp"))
    assert twin(*SMALL, "--out", out).json()["runs_reused"] == 16
    assert rows_of(out) == rows_of(whole)


def test_a_full_disk_of_its_own(whole: Path, array: Path) -> None:
    """Where files cannot be linked they are copied, which a full disk ends."""
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == array.stat().st_dev:
        pytest.skip("there is no other file system at hand")
    with tempfile.TemporaryDirectory(dir=elsewhere) as made:
        out = Path(made) / "out"
        line = within(small_files, *SMALL, "--collect", array, "--out", out).complaint()
        assert line.startswith(f"twin: {out / 'runs'}")
        assert line.endswith("cannot be written: File too large")
        assert not runs_in(out)
        assert [path.name for path in out.iterdir()] == ["runs"]
        assert twin(*SMALL, "--collect", array, "--out", out).json()["runs_reused"] == 16
        assert rows_of(out) == rows_of(whole)


@pytest.mark.slow
def test_where_nobody_may_write(whole: Path, array: Path, tmp_path: Path, read_only: Callable[[Path], Path]) -> None:
    """One line, before any run; whatever only reads works: a list of jobs, and shards as sources."""
    shut = read_only(shutil.copytree(whole, tmp_path / "shut"))
    before = runs_in(shut)
    for words in ((), ("--shard", "0/3"), ("--collect", array)):
        line = within(no_override, *SMALL, *words, "--out", shut).complaint()
        assert line == f"twin: {shut}: cannot be written: Permission denied"
    (tmp_path / "closed").mkdir()
    line = within(no_override, *SMALL, "--shard", "0/3", "--out", read_only(tmp_path / "closed") / "new").complaint()
    assert line.endswith("new: cannot be written: Permission denied")
    jobs = within(no_override, *SMALL, "--list-jobs", "--out", shut).json()["jobs"]
    assert [row["kept"] for row in jobs] == [True] * 16
    sources = read_only(shutil.copytree(array, tmp_path / "sources"))
    told = within(no_override, *SMALL, "--collect", sources, "--out", tmp_path / "out")
    assert told.json()["runs_reused"] == 16
    assert rows_of(tmp_path / "out") == rows_of(whole)
    assert runs_in(shut) == before


def test_a_source_that_nobody_may_read(array: Path, tmp_path: Path, read_only: Callable[[Path], Path]) -> None:
    """It is named, and is not taken for an empty one."""
    shut = read_only(shutil.copytree(array, tmp_path / "array")) / "1" / "runs"
    shut.chmod(0o000)
    line = within(no_override, *SMALL, "--collect", tmp_path / "array", "--out", tmp_path / "out").complaint()
    assert line.startswith(f"twin: --collect: {tmp_path / 'array'} cannot be read: Permission denied (accepted: ")


def test_a_shard_is_no_whole_study(array: Path, tmp_path: Path) -> None:
    """A page needs a whole one; the same command without a shard completes it, and tables are there."""
    part = shutil.copytree(array / "0", tmp_path / "part")
    line = twin("report", part, "--out", tmp_path / "page.html").complaint()
    assert line == (
        f"twin: {part}: holds a comparison that did not end (accepted: a whole one: the same command completes it)"
    )
    assert twin(*SMALL, "--out", part).json()["runs_reused"] == 6
    assert twin("report", part, "--out", tmp_path / "page.html").code == 0
