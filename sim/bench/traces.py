"""`twin bench traces`: what writing the trace costs, as a share of a run's time, and what the trace weighs."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from policies.guarded import GuardedPolicy
from policies.registry import make
from sim.bench import kernel
from sim.bench.report import Report
from sim.engine.start import begin
from sim.inputs.streams import Streams
from sim.scenario.scenario import Scenario
from traces.reader import Trace
from traces.schema import TABLES
from traces.writer import TraceWriter

# By number of vehicles: slots that take about a second, few enough for a part not to be overdue.
_NUM_SLOT = {10: 5_000, 100: 1_500, 1_000: 400}
_GOALS = {1_000: 0.20}
_POLICY = "edge-equal"
_SEED = 1
_NUM_REPEAT = 5


class _Dropping:
    """Takes the rows in place of a trace's writer, and drops them."""

    overdue = False

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Make nothing."""

    def add(self, name: str, columns: Mapping[str, Any]) -> None:
        """Drop the rows."""

    def close_part_if_due(self) -> None:
        """Have no part."""

    def close(self, status: str, summary: Mapping[str, Any]) -> None:
        """Complete nothing."""


@dataclass(frozen=True)
class _BenchCost:
    """Seconds from the first slot until the trace is closed: of the processor, and by the clock on the wall."""

    cpu_s: float
    wall_s: float

    def share(self, of: _BenchCost) -> _BenchCost:
        """Return what this costs beyond another, in parts of this."""
        return _BenchCost(1.0 - of.cpu_s / self.cpu_s, 1.0 - of.wall_s / self.wall_s)


@dataclass(frozen=True)
class _TraceOnDisk:
    """What is on disk after a run."""

    num_row: int
    num_task: int
    task_bytes: int
    total_bytes: int
    read_s: float


@dataclass
class _TraceSeries:
    """The repeats of one number of vehicles."""

    num_vehicle: int
    num_slot: int
    writing: list[_BenchCost] = field(default_factory=list)
    digesting: list[_BenchCost] = field(default_factory=list)
    write_s: list[float] = field(default_factory=list)
    traces: list[_TraceOnDisk] = field(default_factory=list)

    def add(self) -> None:
        """Run with the trace on disk, with digests only, and with neither."""
        scenario = kernel.scenario("table1", self.num_vehicle, self.num_slot)
        with tempfile.TemporaryDirectory(prefix="twin-bench-") as directory:
            out = Path(directory) / "run"
            on_disk = _cost(scenario, TraceWriter(out, scenario.trace.part_rows, scenario.trace.part_seconds))
            self.traces.append(_weigh(out))
        in_digest = _cost(
            scenario, TraceWriter(None, scenario.trace.part_rows, scenario.trace.part_seconds, keep=False)
        )
        dropped = _cost(scenario, _Dropping())
        self.writing.append(on_disk.share(dropped))
        self.digesting.append(in_digest.share(dropped))
        self.write_s.append(on_disk.cpu_s - dropped.cpu_s)

    def values(self) -> dict[str, Any]:
        trace = self.traces[0]
        shares = [cost.cpu_s for cost in self.writing]
        write_s = median(self.write_s)
        return {
            "num_vehicle": self.num_vehicle,
            "num_slot": self.num_slot,
            "share": median(shares),
            "share_min": min(shares),
            "share_max": max(shares),
            "share_wall": median(cost.wall_s for cost in self.writing),
            "share_digest": median(cost.cpu_s for cost in self.digesting),
            "goal": _GOALS.get(self.num_vehicle),
            "bytes_per_task": trace.task_bytes / trace.num_task,
            "bytes_per_vehicle_slot": trace.total_bytes / (self.num_vehicle * self.num_slot),
            # Noise may make a short run without its trace the longer one.
            "rows_per_s": trace.num_row / write_s if write_s > 0 else None,
            "read_s": median(trace.read_s for trace in self.traces),
        }


def measure(num_slot_of: Mapping[int, int] = _NUM_SLOT, num_repeat: int = _NUM_REPEAT) -> Report:
    """Measure all sizes in turn, repeat by repeat.

    num_slot_of : slots by number of vehicles
    """
    series = [_TraceSeries(num_vehicle, num_slot) for num_vehicle, num_slot in num_slot_of.items()]
    for _ in range(num_repeat):
        for one in series:
            one.add()
    return _report([one.values() for one in series])


def _cost(scenario: Scenario, writer: TraceWriter | _Dropping) -> _BenchCost:
    policy = GuardedPolicy(make(_POLICY), make(scenario.policy.fallback))
    engine = begin(scenario, policy, Streams(_SEED), writer)
    writer.open({"scenario": scenario.model_dump(mode="json"), "policy": _POLICY, "seed": _SEED})
    gc.collect()
    gc.disable()  # as good as off in `run`, too
    try:
        begin_s = time.process_time(), time.perf_counter()
        engine.run()
        writer.close("complete", {})
        return _BenchCost(time.process_time() - begin_s[0], time.perf_counter() - begin_s[1])
    finally:
        gc.enable()


def _weigh(directory: Path) -> _TraceOnDisk:
    begin_s = time.process_time()
    tables = {name: Trace(directory).table(name) for name in TABLES}
    read_s = time.process_time() - begin_s
    size = {name: sum(path.stat().st_size for path in (directory / name).glob("*")) for name in TABLES}
    num_row = sum(table.num_rows for table in tables.values())
    return _TraceOnDisk(num_row, tables["tasks"].num_rows, size["tasks"], sum(size.values()), read_s)


def _report(values: list[dict[str, Any]]) -> Report:
    columns = (
        *("vehicles", "slots", "writing", "range", "goal", "reached", "by the clock", "digests only"),
        *("B/task", "B/vehicle-slot", "rows/s", "reading, s"),
    )
    rows = []
    for one in values:
        goal = one["goal"]
        reached = "" if goal is None else "yes" if one["share"] <= goal else "no"
        rows.append(
            (
                *(one["num_vehicle"], one["num_slot"]),
                *(f"{one['share']:.1%}", f"{one['share_min']:.1%} - {one['share_max']:.1%}"),
                *("" if goal is None else f"{goal:.0%}", reached),
                *(f"{one['share_wall']:.1%}", f"{one['share_digest']:.1%}"),
                *(round(one["bytes_per_task"], 1), round(one["bytes_per_vehicle_slot"], 1)),
                *("" if one["rows_per_s"] is None else round(one["rows_per_s"]), round(one["read_s"], 2)),
            )
        )
    notes = (
        f"{_POLICY}; writing: share of the CPU time from the first slot to the closed trace that a run saves "
        "whose rows are dropped before they are converted",
        "traces in the system's temporary directory, left to the operating system to bring to the disk; "
        "B/task: table tasks alone; B/vehicle-slot: all tables; reading: all tables, in order of their keys",
    )
    return Report("Writing the trace", columns, tuple(rows), notes, {"runs": values})
