"""Studies on Dask's workers, here and elsewhere: the same numbers as in one process, whatever dies on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from physical.errors import InputError
from physical.system import System
from policies.baselines import EdgeEqual
from sim import Scenario, compare, sweep
from sim.studies.evaluation import MEASURED
from sim.studies.executors.on_dask import DaskRunner
from sim.studies.failures import RunsFailedError
from sim.studies.pool import silent
from sim.studies.sweep import Point
from tests.support.command import HEARING_TWIN, environment, twin, wait_until
from tests.support.dask_cluster import TREE, scheduler, worker

psutil = pytest.importorskip("psutil", reason="comes with the extra dask")
pytest.importorskip("distributed", reason="needs the extra dask")

GRID = {"server.frequency_hz": ["40 GHz", "60 GHz"]}
POLICIES = ["edge-equal", "random"]
# A script without `if __name__ == "__main__"`; its own text must not run again in workers.
SCRIPT = """
import json, sys
from sim import Scenario, sweep
open("started", "a").write("x")
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
scenario = Scenario.load("dtecn", ["vehicles.num_vehicle=3", f"time.num_slot={words['slots']}"])
workers = None if "scheduler" in words else 2
found = sweep(scenario, ["edge-equal", "random"], {"server.frequency_hz": ["40 GHz", "60 GHz"]}, range(10),
              words["out"], executor="dask", num_worker=workers, scheduler=words.get("scheduler"),
              tell=lambda line: print(line, flush=True))
print(json.dumps([row for point in found for row in point.rows()]))
print(sum(point.comparison.num_reused for point in found))
"""


def small(num_slot: int = 5, *settings: str) -> Scenario:
    return Scenario.load("dtecn", ["vehicles.num_vehicle=3", f"time.num_slot={num_slot}", *settings])


def told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what has to be the same, as it is in JSON: all but wall times."""
    found: list[dict[str, Any]] = json.loads(json.dumps(rows))
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in found]


def rows_of(points: list[Point]) -> list[dict[str, Any]]:
    return told([row for point in points for row in point.rows()])


class Started:
    """A command in a process of its own, with the processes that it starts."""

    def __init__(self, folder: Path, *words: object) -> None:
        command = [*map(str, words)]
        paths = environment(PYTHONPATH=str(TREE))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, env=paths, stdout=pipe, stderr=pipe, text=True)

    def processes(self) -> list[Any]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def workers(self) -> list[Any]:
        """Return Dask's workers."""
        found = []
        for process in self.processes():
            try:
                found += [process] * ("spawn_main" in " ".join(process.cmdline()))
            except psutil.NoSuchProcess:
                continue
        return found

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; fail if the process ends before."""

        def is_so() -> bool:
            assert self.process.poll() is None, self.process.communicate()
            return condition()

        wait_until(is_so)

    def end(self) -> tuple[str, str]:
        return self.process.communicate(timeout=120)


def study(folder: Path, *, as_text: bool = False, **words: object) -> Started:
    """Start the study of `SCRIPT`, as a file or as a text of the command line."""
    script = folder / "study.py"
    script.write_text(SCRIPT, "utf-8")
    start = ["-c", SCRIPT] if as_text else [script]
    return Started(folder, sys.executable, *start, *(word for pair in words.items() for word in pair))


def are_gone(processes: list[Any]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def num_kept(out: Path) -> int:
    return len(list((out / "runs").glob("[!.]*.parquet")))


def are_at_work(command: Started, out: Path, number: int) -> bool:
    return num_kept(out) >= number and len(command.workers()) == 2


def test_the_table_is_the_same_whatever_dies(tmp_path: Path) -> None:
    """Both workers, one after the other, then the client; the next one finishes what is left."""
    out, num_slot = tmp_path / "out", 120
    first = study(tmp_path, slots=num_slot, out=out)
    for number in (2, 8):
        first.wait_for(partial(are_at_work, first, out, number))
        victim = first.workers()[0]
        victim.kill()
        first.wait_for(partial(are_gone, [victim]))
    first.wait_for(lambda: num_kept(out) >= 16)
    left = first.processes()
    first.process.kill()
    printed, complaints = first.end()
    wait_until(lambda: are_gone(left))
    assert printed.startswith("dashboard: http://127.0.0.1:")
    assert (printed.count("\n"), complaints) == (1, "")
    kept = num_kept(out)
    assert 16 <= kept < 40
    printed, complaints = study(tmp_path, as_text=True, slots=num_slot, out=out).end()
    assert complaints == ""
    _, table, reused = printed.splitlines()
    assert int(reused) == kept
    assert (tmp_path / "started").read_text("utf-8") == "xx"
    assert told(json.loads(table)) == rows_of(sweep(small(num_slot), POLICIES, GRID, range(10)))


def test_ctrl_c_leaves_no_process_and_a_study_that_goes_on(tmp_path: Path) -> None:
    words = ["compare", "dtecn", "--policies", "random", "--seeds", "0..99", "--slots", "200", "--out", "out"]
    command = Started(tmp_path, *HEARING_TWIN, *words, "--executor", "dask", "--workers", "2", "--quiet")
    command.wait_for(lambda: num_kept(tmp_path / "out") >= 2)
    left = command.processes()
    assert len(command.workers()) == 2
    command.process.send_signal(signal.SIGINT)
    _, complaints = command.end()
    assert command.process.returncode == 130
    wait_until(lambda: are_gone(left))  # the tracker of multiprocessing ends a moment later
    assert "finished runs are kept, the same command goes on" in complaints
    assert all(line.startswith("twin: ") or not line for line in complaints.splitlines()), complaints


class Dies(EdgeEqual):
    """Takes its worker along."""

    def reset(self, system: System, seed: int) -> None:
        os._exit(9)


@pytest.mark.slow
def test_a_run_that_kills_its_workers_fails_and_the_others_go_on(tmp_path: Path) -> None:
    mixed = {"dies": Dies, "lives": "edge-equal"}
    words = r"^dies with seed 0: its worker died 3 times .*; 1 of 2 runs failed; the others are kept"
    with pytest.raises(RunsFailedError, match=words):
        compare(small(), mixed, [0], tmp_path, executor="dask", num_worker=2)
    assert num_kept(tmp_path) == 1


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A scheduler that somebody has started, without workers."""
    with scheduler(tmp_path_factory.mktemp("cluster") / "scheduler") as file:
        yield file


# What a script does in a folder that no other process sees.
PRIVATE = """
import json, sys
from pathlib import Path
from sim import Scenario, sweep
POLICY = '''
from helper import PART
from policies import make
class Mine:
    def __init__(self, table="tables/part.txt"):
        self.part = PART * float(open(table).read())
    def reset(self, system, seed):
        self.inner = make("edge-equal")
        self.inner.reset(system, seed)
    def decide(self, snapshot):
        found = self.inner.decide(snapshot)
        return type(found)(found.offloading_ratio * self.part, found.compute_allocation_hz)
'''
RATES = "t_s,uplink_rate_bps" + chr(10) + "0,1e6" + chr(10) + "1,2e6" + chr(10)
files = {"policy.py": POLICY, "helper.py": "PART = 0.5", "tables/part.txt": "0.8", "rates.csv": RATES}
for name, text in files.items():
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)
scenario = Scenario.load("dtecn", ["vehicles.num_vehicle=3", "time.num_slot=5", "radio.rate_file=rates.csv"])
study = scenario, ["./policy.py:Mine", "edge-equal"], {"server.frequency_hz": ["40 GHz", "60 GHz"]}, range(10)
there = sweep(*study, executor="dask", scheduler=sys.argv[1])
print(json.dumps([[row for point in found for row in point.rows()] for found in (there, sweep(*study))]))
"""


def test_workers_get_the_files_that_they_do_not_see(by_hand: Path, tmp_path: Path) -> None:
    """A policy with a module beside it and a table, and a trace, in a folder that only the client's processes see."""
    enter = ["unshare", "--user", "--map-root-user", "--mount"]
    hide = f'mount -t tmpfs none "{tmp_path}" && cd "{tmp_path}" && exec "$@"'
    if not shutil.which("unshare") or subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets no user hide a folder from other processes")
    folders = [by_hand.parent / name for name in ("one", "two")]
    with worker(by_hand, folders[0]), worker(by_hand, folders[1]):
        words = ["sh", "-c", hide, "sh", sys.executable, "-c", PRIVATE, by_hand]
        printed, complaints = Started(tmp_path, *enter, *words).end()
        assert complaints == ""
        assert list(tmp_path.iterdir()) == []
        there, here = map(told, json.loads(printed))
        assert there == here
        assert len(there) == 40
        copies = [file for folder in folders for file in folder.rglob("vectwin/*") if file.is_file()]
        assert len(copies) == 2 * 4  # each file once for each worker
    assert not [file for folder in folders for file in folder.rglob("vectwin/*")]


@pytest.fixture(scope="module")
def other_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectwin's code with one more byte."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("physical", "policies", "sim", "traces", "twin", "vectwin"):
        shutil.copytree(TREE / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tree / "sim/runs/run.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    return tree


def test_a_worker_with_other_code_is_refused_before_the_first_run(
    by_hand: Path, other_tree: Path, tmp_path: Path
) -> None:
    words = ("compare", "dtecn", "--policies", "random", "--seeds", "0..3", "--slots", "2", "--out", tmp_path / "c")
    address = json.loads(by_hand.read_text("utf-8"))["address"]
    for number, (other, expected) in enumerate(
        {
            False: r"has vectwin \S+, too, but its files differ from those here \(accepted: the same files there",
            True: r"has no vectwin \(accepted: the same there as here: pip install",
        }.items()
    ):
        with worker(by_hand, by_hand.parent / f"bad{number}", tree=other_tree, has_vectwin=not other):
            done = twin(*words, "--executor", "dask", "--scheduler", address)
            line = done.err.splitlines()[-1]
            assert (done.code, done.out) == (2, "")
            assert re.search(rf"twin: --scheduler: worker tcp://127.0.0.1:\d+ {expected}", line), done.err
            assert num_kept(tmp_path / "c") == 0


@pytest.mark.slow
def test_a_worker_may_come_late_but_not_with_other_code(by_hand: Path, other_tree: Path, tmp_path: Path) -> None:
    """The client waits for the first one; the second one takes part; with the third one the study ends."""
    out = tmp_path / "out"
    command = study(tmp_path, slots=1_000, out=out, scheduler=by_hand)
    assert command.process.stdout is not None
    lines = [command.process.stdout.readline() for _ in range(2)]
    assert lines[1] == "no worker is connected; waiting for one (Ctrl-C ends this)\n"
    places = [by_hand.parent / name for name in ("early", "late", "wrong")]
    with worker(by_hand, places[0]):
        command.wait_for(lambda: num_kept(out) >= 2)
        with worker(by_hand, places[1]):
            command.wait_for(lambda: "'get_ready'" in (places[1] / "log").read_text("utf-8"))
            before = num_kept(out)
            command.wait_for(lambda: num_kept(out) >= before + 2)
            with worker(by_hand, places[2], tree=other_tree):
                _, complaints = command.end()
    problem = complaints.splitlines()[-1]
    assert "physical.errors.InputError: --scheduler: worker tcp://127.0.0.1" in problem
    assert "its files differ from those here" in problem
    assert before + 2 <= num_kept(out) < 40


@pytest.mark.parametrize(
    ("scheduler_", "problem"),
    [
        ("10.0.0.1:8786", "'10.0.0.1:8786' is no address of a scheduler"),
        ("tcp://10.0.0.1", "'tcp://10.0.0.1' is no address"),
        ("tcp://[::1]8786", "is no address"),
        ("nobody.json", "nobody.json cannot be read: No such file"),
        ("odd.json", "odd.json is no scheduler's file"),
    ],
)
def test_what_is_no_scheduler_is_said_at_once(
    scheduler_: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.json").write_text("[1]", "utf-8")
    with pytest.raises(InputError) as caught, DaskRunner(scheduler_, None, silent):
        pass
    assert problem in caught.value.problem
    assert caught.value.where == "--scheduler"
    assert caught.value.accepted.startswith("tcp://HOST:PORT, tls://HOST:PORT, or the FILE.json")


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_said(tmp_path: Path) -> None:
    """Nobody is there; somebody is, but says nothing; the scheduler ends during the study, whose runs are kept."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for port in (1, mute.getsockname()[1]):
            begin = time.monotonic()
            with pytest.raises(InputError, match=f"no scheduler answers at tcp://127.0.0.1:{port}"):
                compare(small(), POLICIES, [0], executor="dask", scheduler=f"tcp://127.0.0.1:{port}")
            assert 5 < time.monotonic() - begin < 25
    out = tmp_path / "out"
    with scheduler(tmp_path / "scheduler") as file, worker(file, tmp_path / "worker"):
        command = study(tmp_path, slots=400, out=out, scheduler=file)
        command.wait_for(lambda: num_kept(out) >= 2)
    _, complaints = command.end()
    assert re.search(r"InputError: --scheduler: the scheduler \S+ is gone \(accepted: the same command", complaints)
    assert 2 <= num_kept(out) < 40


def test_what_runs_here_imports_nothing_of_dask(tmp_path: Path) -> None:
    """Of the commands, and of a comparison in two processes."""
    text = """
import sys
from sim.cli import main
for words in ("run dtecn --slots 2", "compare dtecn --policies random --seeds 0,1 --slots 2 --workers 2 --out c"):
    try:
        main(words.split())
    except SystemExit as ended:
        assert not ended.code, words
    assert not {"dask", "distributed", "tornado", "bokeh"} & set(sys.modules), words
"""
    printed, complaints = Started(tmp_path, sys.executable, "-c", text).end()
    assert "random" in printed
    assert "Traceback" not in complaints
