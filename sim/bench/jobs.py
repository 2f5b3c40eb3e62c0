"""`twin bench jobs`: what one more run costs a study, by 10 000 tiny runs, and whether memory grows with them."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from sim.bench.report import Report
from sim.bench.study import cpu_s, in_new_process
from sim.scenario.scenario import Scenario
from sim.studies.sweep import sweep

NUM_JOB = 10_000
NUM_WORKER = 2
_NUM_POINT = 100
_LOOKS = (0.1, 0.5, 1.0)
_DASK = f"dask, {NUM_WORKER} workers"
_WAYS: dict[str, dict[str, Any]] = {
    "one process": {},
    f"local, {NUM_WORKER} workers": {"num_worker": NUM_WORKER},
    _DASK: {"executor": "dask", "num_worker": NUM_WORKER},
}


def measure(num_job: int = NUM_JOB) -> Report:
    """Run the same sweep in three ways, each in a process of its own.

    num_job : number of runs, a multiple of the number of points
    """
    found = {name: in_new_process("jobs", json.dumps(how), str(num_job)) for name, how in _WAYS.items()}
    alone = found["one process"]
    rows = []
    for name, one in found.items():
        num_worker = 1 if one is alone else NUM_WORKER
        one["per_job_ms"] = 1e3 * num_worker * one["jobs_s"] / num_job
        one["overhead_ms"] = one["per_job_ms"] - 1e3 * alone["jobs_s"] / num_job
        rss = [round(one["rss_mb"][str(look)]) for look in _LOOKS]
        client = 1e3 * one["client_cpu_s"] / num_job
        rows.append((name, one["per_job_ms"], "" if one is alone else one["overhead_ms"], client, one["table_s"], *rss))
    looks = [f"MB at {look:.0%}" for look in _LOOKS]
    notes = (
        f"{num_job} runs of 2 vehicles and 2 slots at {_NUM_POINT} points of a sweep into a folder",
        "ms a job: workers x wall time from the first result to the last, by number of results",
        "MB: memory of this command; of the scheduler, which is a process of its own, it was "
        + " / ".join(f"{one:.0f}" for one in found[_DASK]["scheduler_mb"].values()),
        "table: wall time after the last run, in which all results are read back, evaluated and written",
    )
    columns = ("way", "ms a job", "ms above one process", "client's CPU ms a job", "table s", *looks)
    return Report("Studies: the cost of one more run", columns, tuple(rows), notes, {"num_job": num_job, "ways": found})


def _print_numbers(how: str, num_job: str) -> None:
    """Run a sweep of tiny runs, and print what it took.

    how : arguments of `sim.sweep`, as JSON
    """
    looks: dict[int, float] = {}
    of_scheduler: dict[int, float] = {}
    times: list[float] = []

    def look(done: int, total: int) -> None:
        if done in (1, total):
            times.append(time.perf_counter())
        for part in _LOOKS:
            if done == round(part * total):
                looks[done] = _rss_mb("self")
                of_scheduler[done] = sum(_rss_mb(pid) for pid in _schedulers())

    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario.load("dtecn", ["time.num_slot=2", "vehicles.num_vehicle=2"])
        grid = {"server.frequency_hz": [40e9 + 1e8 * index for index in range(_NUM_POINT)]}
        seeds = range(int(num_job) // _NUM_POINT)
        begin_cpu_s = time.process_time()
        sweep(scenario, ["edge-equal"], grid, seeds, Path(folder) / "study", progress=look, **json.loads(how))
        end_s = time.perf_counter()
    client_cpu_s = time.process_time() - begin_cpu_s
    (begin, last), *_ = pairwise(times)
    told = {
        "jobs_s": last - begin,
        "table_s": end_s - last,
        "client_cpu_s": client_cpu_s,
        "cpu_s": cpu_s(),
        "rss_mb": {str(part): looks[round(part * int(num_job))] for part in _LOOKS},
        "scheduler_mb": {str(part): of_scheduler[round(part * int(num_job))] for part in _LOOKS},
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _rss_mb(process: str) -> float:
    """Return the present memory of a process, as Linux counts it."""
    pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _schedulers() -> list[str]:
    """Return the processes of Dask's schedulers that this one has started."""
    children = [pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text("ascii").split()]
    return [pid for pid in children if b"dask_local" in Path(f"/proc/{pid}/cmdline").read_bytes()]


if __name__ == "__main__":
    _print_numbers(*sys.argv[1:])
