"""Comparisons: paired statistics, resuming after a kill, and the same table from any number of workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from physical.errors import InputError
from sim import Scenario, run
from sim.compare import compare, evaluate, parse_policies, parse_seeds
from tests.fault.command import HEARING_TWIN

POLICIES = ("local-only", "edge-equal", "random")
SEEDS = (0, 1, 2, 3)


def small() -> Scenario:
    return Scenario.load("dtecn-congested", ["time.num_slot=20", "vehicles.num_vehicle=3"])


@pytest.mark.full
def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    """Means and intervals against SciPy's t interval, on summaries that were made here."""
    comparison = compare(small(), POLICIES, SEEDS, tmp_path, baseline="edge-equal", num_worker=2)
    own = {
        policy: np.array([run(small(), policy=policy, seed=seed).summary["objective_mean"] for seed in SEEDS])
        for policy in POLICIES
    }
    assert set(comparison.differences) == {"local-only", "random"}
    for policy in comparison.differences:
        difference = own[policy] - own["edge-equal"]
        low, high = stats.t.interval(0.95, len(SEEDS) - 1, difference.mean(), stats.sem(difference))
        found = comparison.differences[policy]["objective_mean"]
        np.testing.assert_allclose([found.mean - found.half_width, found.mean + found.half_width], [low, high])
    table = pq.read_table(tmp_path / "runs.parquet")
    assert table.num_rows == len(POLICIES) * len(SEEDS)
    assert json.loads((tmp_path / "compare.json").read_text())["baseline"] == "edge-equal"


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
        while len(list(tmp_path.glob("killed/runs/*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/runs/*.json")}
    assert 2 <= len(finished) < 12
    tables = []
    for name in ("killed", "quiet"):
        done = subprocess.run(
            [*command, str(tmp_path / name)], env=environment, capture_output=True, text=True, check=True
        )
        tables.append({key: value for key, value in json.loads(done.stdout).items() if key != "directory"})
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
        while not list(tmp_path.glob("runs/*.json")) and time.monotonic() < deadline:
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
    with pytest.raises(InputError, match=r"--policies.*no-such"):
        compare(small(), ("random", "no-such"), (0,), tmp_path)
    with pytest.raises(InputError, match="--baseline"):
        compare(small(), ("random",), (0,), tmp_path, baseline="local-only")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        compare(small(), ("random",), (0,), tmp_path / "file")


def test_a_metric_of_one_policy_alone_is_kept() -> None:
    """A language model counts guarded decisions, others do not: no number for them, and no difference."""
    summaries = {
        "plain": [{"objective_mean": 1.0}] * 2,
        "guarded": [{"objective_mean": 2.0, "decisions_guarded": 3}] * 2,
    }
    found = evaluate(summaries, (0, 1), "plain")
    assert found.means["guarded"]["decisions_guarded"].mean == 3.0
    assert np.isnan(found.means["plain"]["decisions_guarded"].mean)
    assert np.isnan(found.differences["guarded"]["decisions_guarded"].mean)
    assert found.to_dict()["mean"]["plain"]["decisions_guarded"] == [None, None]
    assert found.differences["guarded"]["objective_mean"].mean == 1.0
