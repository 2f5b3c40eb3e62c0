"""Comparisons: paired statistics, resuming after a kill, and the same table from any number of workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from physical.errors import InputError
from sim import Scenario, compare, run
from sim.studies.compare import SEEDS_CHECKED, parse_policies, parse_precision, parse_seeds, parse_warmup
from sim.studies.evaluation import MEASURED
from sim.studies.jobs import Finished, Job
from sim.studies.pool import Pool
from tests.support.command import HEARING_TWIN, twin

POLICIES = ("local-only", "edge-equal", "random")
SEEDS = (0, 1, 2, 3)


def small() -> Scenario:
    return Scenario.load("dtecn-congested", ["time.num_slot=20", "vehicles.num_vehicle=3"])


@pytest.mark.full
def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    """Means and intervals against SciPy's t interval, on runs that were made here; what the store keeps of a run."""
    comparison = compare(small(), POLICIES, SEEDS, tmp_path, baseline="edge-equal", num_worker=2)
    own = {policy: [run(small(), policy=policy, seed=seed) for seed in SEEDS] for policy in POLICIES}
    assert set(comparison.differences) == {"local-only", "random"}
    for metric in ("penalty_mean", "energy_j_mean"):
        values = {policy: np.array([one.summary[metric] for one in runs]) for policy, runs in own.items()}
        for policy in comparison.differences:
            difference = values[policy] - values["edge-equal"]
            low, high = stats.t.interval(0.95, len(SEEDS) - 1, difference.mean(), stats.sem(difference))
            found = comparison.differences[policy][metric]
            np.testing.assert_allclose([found.low, found.high], [low, high])
    table = pq.read_table(tmp_path / "runs.parquet")
    assert table.num_rows == len(POLICIES) * len(SEEDS)
    assert json.loads((tmp_path / "compare.json").read_text())["baseline"] == "edge-equal"
    kept = [row for file in (tmp_path / "runs").iterdir() for row in pq.read_table(file).to_pylist()]
    stored = {(row["policy"], row["seed"]): row for row in kept}
    assert len(stored) == len(kept) == len(POLICIES) * len(SEEDS)
    for policy, runs in own.items():
        for seed, one in zip(SEEDS, runs, strict=True):
            row = stored[policy, seed]
            assert row["slot_penalty"] == one.table("slots").column("penalty").to_pylist()
            assert {key: row[key] for key in one.summary if key not in MEASURED} == {
                key: value for key, value in one.summary.items() if key not in MEASURED
            }


@pytest.mark.full
def test_workers_and_resuming_do_not_change_the_table(tmp_path: Path) -> None:
    one = compare(small(), POLICIES, SEEDS, tmp_path / "one", num_worker=1)
    two = compare(small(), POLICIES, SEEDS, tmp_path / "two", num_worker=2)
    assert one.to_dict() == two.to_dict()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "runs").iterdir()}
    removed = sorted(kept)[3]
    removed.unlink()
    assert compare(small(), POLICIES, SEEDS, tmp_path / "one").to_dict() == two.to_dict()
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "runs").iterdir()}
    assert {path for path in kept if again[path] != kept[path]} == {removed}


@pytest.mark.full
def test_killed_comparison_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL as soon as two runs are finished; the second start keeps those and gives the table of a quiet start."""
    arguments = ["compare", "dtecn-congested", "--policies", ",".join(POLICIES), "--seeds", "0..3", "--slots", "150"]
    command = [sys.executable, "-m", "sim.cli", *arguments, "--json", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, str(tmp_path / "killed")], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("killed/runs/*.parquet"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/runs/*.parquet")}
    assert 2 <= len(finished) < 12
    tables = []
    for name in ("killed", "quiet"):
        done = subprocess.run(
            [*command, str(tmp_path / name)], env=environment, capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        reused = found.pop("runs_reused")
        assert reused == (len(finished) if name == "killed" else 0)
        tables.append({key: value for key, value in found.items() if key != "directory"})
    assert tables[0] == tables[1]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.full
def test_interrupted_comparison_stops_at_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = ["compare", "dtecn-congested", "--policies", ",".join(POLICIES), "--seeds", "0..99", "--slots", "150"]
    with subprocess.Popen(
        [*HEARING_TWIN, *arguments, "--workers", "2", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.startswith("twin: interrupted; finished runs are kept")
    assert err.count("\n") == 1
    deadline = time.monotonic() + 10
    while group_exists(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not group_exists(process.pid), "a worker is left"


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_comparison(how: signal.Signals, tmp_path: Path) -> None:
    """Only the main process gets the signal, as from a cluster that cancels a job."""
    arguments = ["compare", "dtecn-congested", "--policies", "edge-equal,random", "--seeds", "0..99", "--slots", "150"]
    with subprocess.Popen(
        [*HEARING_TWIN, *arguments, "--workers", "2", "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(how)
        process.wait(60)
    deadline = time.monotonic() + 30
    while group_exists(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_exists(process.pid), "a worker is left"


def group_exists(process_group: int) -> bool:
    """Tell whether any process of a group is left."""
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("text", ["", "a..b", "1..", "-1", "1,1", "0..2,1", "5..4"])
def test_bad_seeds_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["", ",", "random,random"])
def test_bad_policies_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--policies"):
        parse_policies(text)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policies.*no-such"):
        compare(small(), ("random", "no-such"), (0,), tmp_path)
    with pytest.raises(InputError, match="--baseline"):
        compare(small(), ("random",), (0,), tmp_path, baseline="local-only")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        compare(small(), ("random",), (0,), tmp_path / "file")


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "auto,3"])
def test_bad_warmup_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--warmup"):
        parse_warmup(text)


@pytest.mark.parametrize("text", ["", "0", "-1%", "100%", "nan", "half", "5 %%"])
def test_bad_precision_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--precision"):
        parse_precision(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--warmup", "20"), "--warmup: 20 slots cannot be cut (accepted: auto, or 0 to 19: something must stay"),
        (("--precision", "1%", "--seeds-max", "1"), "--seeds-max: is less than the 2 seeds given"),
        (("--seeds-max", "9"), "--seeds-max: goes with --precision only"),
        (("--precision", "1"), "--precision: '1' is no precision (accepted: for example 0.5% or 0.005)"),
    ],
)
def test_rules_that_make_no_sense_are_one_line(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    arguments = ("compare", "dtecn", "--slots", "20", "--policies", "random", "--seeds", "0,1", "--out", tmp_path)
    assert words in twin(*arguments, *options).complaint()


def test_a_result_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "compare.json").mkdir()
    arguments = ("compare", "dtecn", "--slots", "2", "--policies", "random", "--seeds", "0", "--out", tmp_path)
    assert f"--out: {tmp_path / 'compare.json'} is a directory" in twin(*arguments).complaint()


def test_a_sweep_over_lengths_takes_no_other_length(tmp_path: Path) -> None:
    """Its points would all have that length, and their values would say otherwise."""
    arguments = ("sweep", "dtecn", "--slots", "3", "--policies", "random", "--seeds", "0", "--out", tmp_path / "sweep")
    words = "--slots, --grid time.num_slot: are given both (accepted: one of them)"
    assert words in twin(*arguments, "--grid", "time.num_slot=1,2").complaint()
    assert not (tmp_path / "sweep").exists()


class Made:
    """Stands in for the workers: the penalty of a run is that of its policy, a share of the seed's, and noise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, noise: float, unstable: tuple[str, ...] = ()) -> None:
        self.noise = noise
        self.unstable = unstable
        self.jobs: list[Job] = []
        monkeypatch.setattr(Pool, "finish", self.finish)

    def finish(self, jobs: list[Job], progress: Callable[[int], None]) -> dict[Job, Finished]:
        self.jobs += jobs
        progress(len(jobs))
        return {job: self.run(job) for job in jobs}

    def run(self, job: Job) -> Finished:
        generator = np.random.default_rng((job.seed, *job.entrant.name.encode()))
        level = 1.0 + np.random.default_rng(job.seed).normal() + self.noise * generator.normal()
        return Finished({"stable": job.entrant.name not in self.unstable}, np.full(20, level))


def seeds_of(made: Made, policy: str) -> list[int]:
    return [job.seed for job in made.jobs if job.entrant.name == policy]


def test_precision_adds_seeds_until_it_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From seeds 3 to 5 on: ten before the first check, then more, each run once, numbered on, until the half-width by
    SciPy is the asked part of |baseline| + 1; the check before would not have done.
    """
    made = Made(monkeypatch, noise=0.3)
    told: list[tuple[int, int]] = []
    found = compare(
        small(), ("local-only", "random"), (3, 4, 5), tmp_path, precision=0.03, seeds_max=999,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    count = len(found.seeds)
    assert found.seeds == tuple(range(3, 3 + count))
    assert count > SEEDS_CHECKED
    for policy in ("local-only", "random"):
        assert seeds_of(made, policy) == list(found.seeds)
    values = {policy: found.penalties(policy) for policy in found.policies}
    difference = values["random"] - values["local-only"]
    half_width = stats.t.ppf(0.975, count - 1) * stats.sem(difference)
    scale = abs(values["local-only"].mean()) + 1
    assert found.precision_reached == pytest.approx(half_width / scale)
    assert half_width <= 0.03 * scale
    first = difference[:SEEDS_CHECKED]
    assert stats.t.ppf(0.975, SEEDS_CHECKED - 1) * stats.sem(first) > 0.03 * (abs(values["local-only"][:10].mean()) + 1)
    assert told[0] == (20, 20)  # ten seeds, two policies
    assert told[-1] == (2 * count, 2 * count)
    assert not any("precision" in note for note in found.notes())
    written = json.loads((tmp_path / "compare.json").read_text("utf-8"))
    assert written["precision"] == {"asked": 0.03, "reached": found.precision_reached}


def test_precision_is_checked_from_ten_seeds_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However good two seeds are; and given ones stay."""
    made = Made(monkeypatch, noise=0.0)
    found = compare(small(), ("local-only", "random"), (0, 7), tmp_path, precision=0.01)
    assert found.seeds == (0, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    assert seeds_of(made, "random") == list(found.seeds)


def test_precision_ends_at_seeds_max(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Made(monkeypatch, noise=1.0)
    found = compare(small(), ("local-only", "random"), (0,), tmp_path, precision=0.001, seeds_max=23)
    assert len(found.seeds) == 23
    assert any("precision of 0.10% is not reached" in note for note in found.notes())


def test_precision_does_not_wait_for_the_unstable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody stable is left to compare with the baseline: ten seeds, and a note."""
    Made(monkeypatch, noise=1.0, unstable=("random",))
    found = compare(small(), ("local-only", "random"), (0,), tmp_path, precision=0.001, seeds_max=40)
    assert len(found.seeds) == SEEDS_CHECKED
    assert any("is not reached: unknown" in note for note in found.notes())
    names = ("local-only", "edge-equal", "random")
    both = compare(small(), names, (0,), tmp_path, precision=0.001, seeds_max=40)
    assert len(both.seeds) == 40
