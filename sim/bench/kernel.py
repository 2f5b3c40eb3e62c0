"""Speed of both engines as a ratio to raw SimPy measured next to them, and memory over a long run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median
from typing import Any

from physical.registry import EngineName
from sim.bench.report import Report
from sim.bench.timing import RunCost, peak_growth_bytes, raw_timeouts_per_s, run_cost
from sim.engine.choice import with_engine
from sim.scenario.scenario import Scenario

# By engine and number of vehicles: least vehicle-slots of Table I per raw timeout; slots of the trial run that tells
# how long the others are.
_GOALS: dict[EngineName, dict[int, float]] = {
    "columns": {10: 0.035, 100: 0.12, 1_000: 0.22, 10_000: 0.20},
    "events": {10: 0.006, 100: 0.006, 1_000: 0.006},
}
_TRIAL_SLOTS: dict[EngineName, dict[int, int]] = {
    "columns": {10: 300, 100: 100, 1_000: 20, 10_000: 4},
    "events": {10: 60, 100: 6, 1_000: 1},
}


@dataclass(frozen=True)
class _Family:
    """A scenario whose server (and spectrum, where vehicles share it) grows with the fleet: the load stays the same.

    vehicle_hz, vehicle_bandwidth_hz : what one more vehicle adds; None: bandwidth is each vehicle's own
    """

    scenario: str
    policy: str
    vehicle_hz: float
    vehicle_core: float = 1.0
    vehicle_bandwidth_hz: float | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def sized(self, num_vehicle: int, num_slot: int) -> Scenario:
        settings = {
            "vehicles.num_vehicle": num_vehicle,
            "server.frequency_hz": self.vehicle_hz * num_vehicle,
            "server.num_core": max(round(self.vehicle_core * num_vehicle), 1),
            "time.num_slot": num_slot,
            **self.settings,
        }
        if self.vehicle_bandwidth_hz is not None:
            settings["radio.bandwidth_hz"] = self.vehicle_bandwidth_hz * num_vehicle
        return Scenario.load(self.scenario, [f"{key}={value}" for key, value in settings.items()])


_FAMILIES = {
    "table1": _Family("dtecn", "edge-equal", 40e9),
    "stress": _Family(
        "dtecn",
        "edge-equal",
        12e9,  # less than the tasks need, so that work is carried over from slot to slot
        settings={
            "network.access.jitter_s": '"1 ms"',
            "network.backhaul.jitter_s": '"1 ms"',
            "network.access.loss": "0.01",
            "network.backhaul.loss": "0.01",
            **{f"tasks.{index}.size_bytes": "[100, 5000]" for index in range(3)},
        },
    ),
    # CPUs and uplinks that tasks share.
    "rush-hour": _Family("rush-hour", "greedy-cost", 4.5e9, 1.5, 8e6),
}
_MEASURED: tuple[tuple[str, EngineName], ...] = (
    ("table1", "columns"),
    ("stress", "columns"),
    ("rush-hour", "columns"),
    ("table1", "events"),
)
_SEED = 1
# The allocator's pools fill during the first blocks of slots; the second number tells whether anything goes on growing.
_MEMORY_VEHICLES, _MEMORY_SINCE, _MEMORY_SLOTS = 1_000, (200, 1_000), 2_000


@dataclass
class _KernelSeries:
    """The repeats of one family on one engine, with one number of vehicles."""

    family: str
    engine: EngineName
    num_vehicle: int
    num_slot: int
    costs: list[RunCost] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def rate_per_s(self, cost: RunCost) -> float:
        return self.num_vehicle * self.num_slot / cost.simulation_s

    def add(self, cost: RunCost, raw_per_s: float) -> None:
        self.costs.append(cost)
        self.ratios.append(self.rate_per_s(cost) / raw_per_s)

    def values(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "engine": self.engine,
            "num_vehicle": self.num_vehicle,
            "num_slot": self.num_slot,
            "setup_s": median(cost.setup_s for cost in self.costs),
            "vehicle_slots_per_s": median(map(self.rate_per_s, self.costs)),
            "ratio": median(self.ratios),
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
            "goal": _GOALS[self.engine][self.num_vehicle] if self.family == "table1" else None,
        }


def _memory_growth_bytes() -> list[int]:
    """Run in a process of its own: this one's peak tells about other runs."""
    long = scenario("table1", _MEMORY_VEHICLES, _MEMORY_SLOTS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_growth_bytes, long, _FAMILIES["table1"].policy, _SEED, _MEMORY_SINCE).result()


@dataclass(frozen=True)
class KernelEffort:
    """The amount of work for a measurement.

    Parameters
    ----------
    trial_slots : by engine and number of vehicles, slots of a run that tells how many take `run_s`
    run_s : approximate time of a measured run, s
    num_repeat : number of repeats of each run
    raw_timeouts : number of timeouts of raw SimPy with which a run is compared
    memory_growth_bytes : measures the growth of a long run's memory
    """

    trial_slots: Mapping[EngineName, Mapping[int, int]] = field(default_factory=lambda: _TRIAL_SLOTS)
    run_s: float = 2.5
    num_repeat: int = 3
    raw_timeouts: int = 1_000_000
    memory_growth_bytes: Callable[[], list[int]] = _memory_growth_bytes


def scenario(family: str, num_vehicle: int, num_slot: int, engine: EngineName = "columns") -> Scenario:
    """Return the scenario of a family, with a server that grows with the fleet."""
    return with_engine(_FAMILIES[family].sized(num_vehicle, num_slot), engine)


def measure(effort: KernelEffort | None = None) -> Report:
    """Measure all families and sizes in turn, raw SimPy before and after each run.

    effort : how long, and how often; by default as long as numbers to be told need
    """
    effort = effort or KernelEffort()
    growth_bytes = effort.memory_growth_bytes()
    series = list(_trials(effort))
    raw: list[float] = [raw_timeouts_per_s(effort.raw_timeouts)]
    for _ in range(effort.num_repeat):
        for one in series:
            of_family = scenario(one.family, one.num_vehicle, one.num_slot, one.engine)
            cost = run_cost(of_family, _FAMILIES[one.family].policy, _SEED)
            raw.append(raw_timeouts_per_s(effort.raw_timeouts))
            one.add(cost, (raw[-2] + raw[-1]) / 2)
    return _report([one.values() for one in series], median(raw), growth_bytes)


def _trials(effort: KernelEffort) -> Iterator[_KernelSeries]:
    """Find how many slots take about `run_s` on this machine."""
    for name, engine in _MEASURED:
        for num_vehicle, num_slot in effort.trial_slots[engine].items():
            cost = run_cost(scenario(name, num_vehicle, num_slot, engine), _FAMILIES[name].policy, _SEED)
            num_measured = max(num_slot, round(num_slot * effort.run_s / cost.simulation_s))
            yield _KernelSeries(name, engine, num_vehicle, num_measured)


def _report(values: list[dict[str, Any]], raw_per_s: float, growth_bytes: list[int]) -> Report:
    columns = ("family", "engine", "vehicles", "slots", "set-up, s", "vehicle-slots/s", "ratio", "range")
    rows = []
    for one in values:
        goal = one["goal"]
        reached = "" if goal is None else "yes" if one["ratio"] >= goal else "no"
        ratios = f"{one['ratio_min']:.4f} - {one['ratio_max']:.4f}"
        rates = (round(one["setup_s"], 2), round(one["vehicle_slots_per_s"]), f"{one['ratio']:.4f}", ratios)
        sizes = (one["family"], one["engine"], one["num_vehicle"], one["num_slot"])
        rows.append((*sizes, *rates, f"{goal or ''}", reached))
    growths = ", ".join(
        f"from slot {since}: {growth / 2**20:+.1f} MiB"
        for since, growth in zip(_MEMORY_SINCE, growth_bytes, strict=True)
    )
    notes = (
        f"raw SimPy: {raw_per_s / 1e6:.2f} million timeouts per CPU second; ratio: vehicle-slots per raw timeout",
        f"growth of the peak memory until slot {_MEMORY_SLOTS}, {_MEMORY_VEHICLES} vehicles: {growths}",
    )
    title = "Engines, CPU time with the trace written"
    memory = {
        "num_vehicle": _MEMORY_VEHICLES,
        "num_slot": _MEMORY_SLOTS,
        "growth_bytes_since_slot": dict(zip(map(str, _MEMORY_SINCE), growth_bytes, strict=True)),
    }
    return Report(
        title,
        (*columns, "goal", "reached"),
        tuple(rows),
        notes,
        {"raw_timeouts_per_s": raw_per_s, "runs": values, "memory": memory},
    )
