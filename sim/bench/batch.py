"""`twin bench batch`: speed of the batch engine as a ratio to raw SimPy measured next to it, and memory."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from statistics import median
from typing import Any

import numpy as np

from sim.bench.report import Report
from sim.bench.timing import peak_bytes, raw_timeouts_per_s
from sim.learn.batch import BatchEnvironment
from sim.scenario.scenario import Scenario

_SCENARIO, _NUM_VEHICLE = "dtecn-congested", 10
# Vehicle-slots per raw timeout; the goal holds from a number of vehicles on.
_GOAL, _GOAL_FROM = 1.5, 10_000
_SEED = 1
# The first blocks of inputs fill the allocator's pools. Memory that still grows after them would grow for ever.
_MEMORY_ENVIRONMENTS, _MEMORY_SINCE, _MEMORY_SLOTS = 1_000, 300, 3_000

Steps = Callable[[int], None]


@dataclass
class _EnvironmentSeries:
    """The repeats of one way to step and one number of environments."""

    kind: str
    num_environment: int
    steps: Steps
    num_slot: int
    rates_per_s: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def goal(self) -> float | None:
        reached_from = self.kind == "NumPy" and self.num_environment * _NUM_VEHICLE >= _GOAL_FROM
        return _GOAL if reached_from else None

    def add(self, spent_s: float, raw_per_s: float) -> None:
        self.rates_per_s.append(self.num_environment * _NUM_VEHICLE * self.num_slot / spent_s)
        self.ratios.append(self.rates_per_s[-1] / raw_per_s)

    def values(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "num_environment": self.num_environment,
            "num_vehicle": _NUM_VEHICLE,
            "num_slot": self.num_slot,
            "vehicle_slots_per_s": median(self.rates_per_s),
            "ratio": median(self.ratios),
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
            "goal": self.goal,
        }


def _memory_growth_bytes() -> int:
    """Run in another process, because the peak memory of this one comes from other runs."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(memory_growth_bytes, _MEMORY_ENVIRONMENTS, _MEMORY_SINCE, _MEMORY_SLOTS).result()


@dataclass(frozen=True)
class BatchEffort:
    """The amount of work for a measurement.

    Parameters
    ----------
    num_environment : numbers of environments that are stepped together
    run_s : approximate time of a measured run, s
    num_repeat : number of repeats of each run
    raw_timeouts : number of timeouts of raw SimPy with which a run is compared
    memory_growth_bytes : measures the growth of a long run's memory
    """

    num_environment: tuple[int, ...] = (10, 100, 1_000, 10_000)
    run_s: float = 0.5
    num_repeat: int = 3
    raw_timeouts: int = 500_000
    memory_growth_bytes: Callable[[], int] = _memory_growth_bytes


def measure(effort: BatchEffort | None = None) -> Report:
    """Measure all ways and sizes in turn, raw SimPy before and after each.

    effort : how long, and how often; by default as long as numbers to be told need
    """
    effort = effort or BatchEffort()
    growth_bytes = effort.memory_growth_bytes()
    kinds = _kinds(effort.num_environment)
    series = [_trial(kind, make, count, effort.run_s) for kind, (make, counts) in kinds.items() for count in counts]
    raw = [raw_timeouts_per_s(effort.raw_timeouts)]
    for _ in range(effort.num_repeat):
        for one in series:
            spent_s = _cpu_s(one.steps, one.num_slot)
            raw.append(raw_timeouts_per_s(effort.raw_timeouts))
            one.add(spent_s, (raw[-2] + raw[-1]) / 2)
    return _report([one.values() for one in series], median(raw), growth_bytes)


def _kinds(num_environment: tuple[int, ...]) -> dict[str, tuple[Callable[[int], Steps], tuple[int, ...]]]:
    """Return the ways to step and their numbers of environments; torch only where it is installed."""
    kinds: dict[str, tuple[Callable[[int], Steps], tuple[int, ...]]] = {
        "NumPy": (_numpy_steps, num_environment),
        # These inputs are slow to set up; they are meant for comparison with runs.
        "NumPy, inputs of events": (_event_steps, num_environment[:2]),
    }
    if importlib.util.find_spec("torch") is not None:
        kinds["torch, forward"] = (partial(_torch_steps, backward=False), num_environment)
        kinds["torch, forward and backward"] = (partial(_torch_steps, backward=True), num_environment)
    return kinds


def _trial(kind: str, make: Callable[[int], Steps], num_environment: int, run_s: float) -> _EnvironmentSeries:
    """Find how many slots take about `run_s` on this machine."""
    steps = make(num_environment)
    steps(10)
    num_trial = 20
    spent_s = max(_cpu_s(steps, num_trial), 1e-6)
    return _EnvironmentSeries(kind, num_environment, steps, max(num_trial, round(num_trial * run_s / spent_s)))


def _cpu_s(steps: Steps, num_slot: int) -> float:
    begin = time.process_time()
    steps(num_slot)
    return time.process_time() - begin


def _numpy_steps(num_environment: int) -> Steps:
    return _constant_steps(BatchEnvironment(Scenario.load(_SCENARIO), num_environment, _SEED))


def _event_steps(num_environment: int) -> Steps:
    return _constant_steps(BatchEnvironment(Scenario.load(_SCENARIO), num_environment, _SEED, inputs="event"))


def _constant_steps(environment: BatchEnvironment) -> Steps:
    """Offload half of everything to equal shares, because the time of a decision is not measured here."""
    ratio, allocation_hz = _decision(environment)

    def steps(num_slot: int) -> None:
        for _ in range(num_slot):
            environment.step(ratio, allocation_hz)

    return steps


def _decision(environment: BatchEnvironment) -> tuple[Any, Any]:
    shape = environment.observe().size_bytes.shape
    share_hz = environment.system.server.frequency_hz / (shape[1] * shape[2])
    return np.full(shape, 0.5), np.full(shape, share_hz)


def _torch_steps(num_environment: int, *, backward: bool) -> Steps:
    environment = BatchEnvironment(Scenario.load(_SCENARIO), num_environment, _SEED, library="torch")
    like = environment.observe().size_bytes
    ratio, allocation_hz = (like.new_tensor(values).requires_grad_(backward) for values in _decision(environment))

    def steps(num_slot: int) -> None:
        for _ in range(num_slot):
            outcome = environment.step(ratio, allocation_hz)
            if backward:
                ratio.grad = allocation_hz.grad = None
                outcome.objective.sum().backward()

    return steps


def memory_growth_bytes(num_environment: int, since_slot: int, num_slot: int) -> int:
    """Return the growth of this process's peak memory from a slot to the end, bytes."""
    steps = _numpy_steps(num_environment)
    steps(since_slot)
    before = peak_bytes()
    steps(num_slot - since_slot)
    return max(peak_bytes() - before, 0)


def _report(values: list[dict[str, Any]], raw_per_s: float, growth_bytes: int) -> Report:
    columns = ("arrays", "environments", "vehicles", "slots", "vehicle-slots/s", "ratio", "range", "goal", "reached")
    rows = []
    for one in values:
        goal = one["goal"]
        reached = "" if goal is None else "yes" if one["ratio"] >= goal else "no"
        ratios = f"{one['ratio_min']:.2f} - {one['ratio_max']:.2f}"
        sizes = (one["num_environment"], one["num_vehicle"], one["num_slot"], round(one["vehicle_slots_per_s"]))
        rows.append((one["kind"], *sizes, f"{one['ratio']:.2f}", ratios, f"{goal or ''}", reached))
    notes = (
        f"raw SimPy: {raw_per_s / 1e6:.2f} million timeouts per CPU second; ratio: vehicle-slots per raw timeout",
        "what decides is not counted",
        f"growth of the peak memory from slot {_MEMORY_SINCE} until slot {_MEMORY_SLOTS}, {_MEMORY_ENVIRONMENTS} "
        f"environments: {growth_bytes / 2**20:+.1f} MiB",
    )
    memory = {
        "num_environment": _MEMORY_ENVIRONMENTS,
        "num_slot": _MEMORY_SLOTS,
        "growth_bytes_since_slot": {str(_MEMORY_SINCE): growth_bytes},
    }
    title = f"Batch engine, {_SCENARIO}, CPU time"
    return Report(
        title, columns, tuple(rows), notes, {"raw_timeouts_per_s": raw_per_s, "runs": values, "memory": memory}
    )
