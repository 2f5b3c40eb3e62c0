"""Measures the CPU time of a simulation, the speed of raw SimPy at the same time, and memory."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from simpy.core import Environment
from simpy.events import ProcessGenerator

from sim.runs.run import run
from sim.scenario.scenario import Scenario

_NUM_PROCESS = 10


@dataclass(frozen=True)
class RunCost:
    """CPU seconds of one run.

    Parameters
    ----------
    setup_s : from the scenario to the first slot
    simulation_s : all slots, writing the trace included
    """

    setup_s: float
    simulation_s: float


def raw_timeouts_per_s(num_timeout: int) -> float:
    """Return the number of timeouts that plain SimPy handles per CPU second, with 10 processes that only wait."""
    env = Environment()

    def wait() -> ProcessGenerator:
        while True:
            yield env.timeout(1)

    for _ in range(_NUM_PROCESS):
        env.process(wait())
    begin = time.process_time()
    env.run(until=num_timeout // _NUM_PROCESS)
    return num_timeout / (time.process_time() - begin)


def run_cost(scenario: Scenario, policy: str, seed: int) -> RunCost:
    """Run a scenario with its trace in a temporary directory and return its cost."""
    begin = time.process_time()
    started: list[float] = []

    def progress(_: int) -> None:
        # The first call is made when the world is set up and its first slot begins.
        if not started:
            started.append(time.process_time())

    with tempfile.TemporaryDirectory(prefix="twin-bench-") as directory:
        run(scenario, policy=policy, seed=seed, out=Path(directory) / "run", progress=progress)
        end = time.process_time()
    return RunCost(started[0] - begin, end - started[0])


def peak_growth_bytes(scenario: Scenario, policy: str, seed: int, since_slots: tuple[int, ...]) -> list[int]:
    """Return the growth of this process's peak memory during a run since each of some slots, bytes."""
    peaks: list[int] = []

    def progress(done: int) -> None:
        while len(peaks) < len(since_slots) and done >= since_slots[len(peaks)]:
            peaks.append(peak_bytes())

    with tempfile.TemporaryDirectory(prefix="twin-bench-") as directory:
        run(scenario, policy=policy, seed=seed, out=Path(directory) / "run", progress=progress)
    # Linux computes the peak from counters of its processors, so that it differs a little each time.
    last = peak_bytes()
    return [max(last - peak, 0) for peak in peaks]


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage, this does not count the parent's memory before exec
        line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
