"""`twin bench study`: what a study costs through worker processes and through Dask, against its runs in one process."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sim.bench.report import Report
from sim.scenario.scenario import Scenario
from sim.studies.compare import compare

NUM_RUN = 40
NUM_WORKER = 2
GOAL = 0.95
_NUM_SLOT = 50_000
"""So that a run takes 10 CPU seconds and more."""
_WAYS: dict[str, dict[str, Any]] = {
    "one process": {},
    f"local, {NUM_WORKER} workers": {"num_worker": NUM_WORKER},
    f"dask, {NUM_WORKER} workers": {"executor": "dask", "num_worker": NUM_WORKER},
}


def measure() -> Report:
    """Run the same study in three ways, each in a process of its own; and a study of tiny runs, which is the start."""
    found: dict[str, dict[str, float]] = {}
    for name, how in _WAYS.items():
        start = _timed(how, 2 * NUM_WORKER, 1)
        whole = _timed(how, NUM_RUN, _NUM_SLOT)
        found[name] = {key: whole[key] - start[key] for key in whole} | {f"start_{key}": start[key] for key in start}
    alone, *others = found.values()
    rows = [("one process", alone["cpu_s"], alone["wall_s"], alone["start_cpu_s"], alone["start_wall_s"], "", "")]
    for name, one in zip([*found][1:], others, strict=True):
        one["cpu_ratio"] = alone["cpu_s"] / one["cpu_s"]
        one["wall_ratio"] = alone["wall_s"] / (NUM_WORKER * one["wall_s"])
        costs = one["cpu_s"], one["wall_s"], one["start_cpu_s"], one["start_wall_s"]
        rows.append((name, *costs, f"{one['cpu_ratio']:.3f}", f"{one['wall_ratio']:.3f}"))
    notes = (
        f"{NUM_RUN} runs of dtecn with edge-equal, {_NUM_SLOT} slots each: {alone['cpu_s'] / NUM_RUN:.1f} CPU s a run",
        "the start is a study of tiny runs; it is taken off the other numbers. It counts imports, workers, their end",
        f"of linear: one process / all processes, CPU; one process / ({NUM_WORKER} * wall), wall. The goal is {GOAL}",
    )
    columns = ("way", "CPU s", "wall s", "start CPU s", "start wall s", "CPU, of linear", "wall, of linear")
    return Report("Studies: the cost of workers", columns, tuple(rows), notes, {"ways": found, "goal": GOAL})


def _timed(how: dict[str, Any], num_run: int, num_slot: int) -> dict[str, float]:
    """Run a study in a new process; return what it and its workers used [s]."""
    found = in_new_process("study", json.dumps(how), str(num_run), str(num_slot))
    return {"cpu_s": found["cpu_s"], "wall_s": found["wall_s"]}


def in_new_process(bench: str, *words: str) -> dict[str, Any]:
    """Run the module of a bench in a new process; return what it prints, and the wall time of the process [s]."""
    begin_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"sim.bench.{bench}", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    wall_s = time.perf_counter() - begin_s
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "wall_s": wall_s}


def _print_numbers(how: str, num_run: str, num_slot: str) -> None:
    """Run a study, and print the CPU seconds of this process and of its workers, which have ended.

    how : arguments of `sim.compare`, as JSON
    """
    scenario = Scenario.load("dtecn", [f"time.num_slot={num_slot}"])
    with tempfile.TemporaryDirectory() as folder:
        compare(scenario, ["edge-equal"], range(int(num_run)), Path(folder) / "study", **json.loads(how))
    sys.stdout.write(json.dumps({"cpu_s": cpu_s()}) + "\n")


def cpu_s() -> float:
    """Return the CPU seconds of this process and of those of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    _print_numbers(*sys.argv[1:])
