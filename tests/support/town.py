"""Eight vehicles at rest between three nodes, and the books of a run that must balance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from physical.ticks import to_ns
from sim import RunResult, Scenario

SLOT_NS = 100_000_000
NUM_SLOT = 14
NEVER_NS = 2**62
STAGES = ("generated", "started", "local_end", "upload_end", "arrived", "service_begin", "service_end")
RAGGED = ("serving_node", "estimated_flow_backlog_cycles")
Columns = dict[str, NDArray[Any]]

# Eight vehicles at rest between three nodes; an upload takes some 5 ms, and its service some 70 ms.
TOWN: dict[str, Any] = {
    "time": {"slot_duration_s": 0.1, "num_slot": NUM_SLOT},
    "vehicles": {"num_vehicle": 8, "cpu_hz": 1e9, "kappa": 1e-27, "transmit_power_w": 0.2},
    "mobility": {"kind": "stationary", "length_m": 1200.0},
    "radio": {"bandwidth_hz": 10e6, "noise_w": 1e-14, "fading": "none", "shadowing_std_db": 0.0},
    "base_station": {"position_m": [0, 40]},
    "server": {"frequency_hz": 10e9, "num_core": 20, "kappa": 1e-30},
    "rsus": [{"name": "west", "position_m": [-500, 12]}, {"name": "east", "position_m": [500, 12]}],
    "tasks": [
        {"name": "a", "size_bytes": [20_000, 30_000], "cycles_per_byte": 3000, "deadline_s": 0.1},
        {"name": "b", "size_bytes": [5_000, 9_000], "cycles_per_byte": 3000, "deadline_s": 0.1},
    ],
    "trace": {"messages": True},
}


def columns(result: RunResult, name: str) -> Columns:
    """Return a table as arrays; null times are far in the future."""
    table = result.table(name)
    found = {}
    for column in table.column_names:
        values = table[column]
        if column.endswith("_ns"):
            values = pc.fill_null(values, NEVER_NS)
        found[column] = np.array(values.to_pylist(), dtype=object if column in RAGGED else None)
    return found


def check_books(result: RunResult, scenario: Scenario) -> None:
    """Check conservation of tasks and messages, energies, the order of stages, and the list of events."""
    tasks, slots, summary = columns(result, "tasks"), columns(result, "slots"), result.summary
    num_slot = scenario.time.num_slot
    there = columns(result, "vehicles")
    present = set(zip(there["slot"].tolist(), there["vehicle"].tolist(), strict=True))
    owners = list(zip(tasks["slot"].tolist(), tasks["vehicle"].tolist(), strict=True))
    if all(task.requests is None for task in scenario.tasks):
        assert Counter(owners) == Counter({owner: len(scenario.tasks) for owner in present})
    ends = {"completed": "completed", "late": "late", "dropped": "dropped", "in flight": "in_flight"}
    outcome = tasks["outcome"].astype(str)
    total = 0
    for word, name in ends.items():
        is_so = np.char.startswith(outcome, word)
        assert slots[f"num_{name}"].tolist() == np.bincount(tasks["slot"][is_so], minlength=num_slot).tolist(), name
        assert summary[f"tasks_{name}"] == int(is_so.sum())
        total += int(is_so.sum())
    assert total == len(outcome) == summary["tasks_generated"]
    fates = [summary[f"messages_{fate}"] for fate in ("delivered", "lost", "in_flight")]
    assert summary["messages_sent"] == sum(fates)
    assert min(fates) >= 0
    for name in ("energy_local_j", "energy_transmit_j", "energy_edge_j"):
        assert (slots[name] >= 0).all(), name
    check_stages(tasks, scenario)
    happenings = [(h.time_ns, h.event.kind, h.describe()) for h in scenario.timeline_of_run().happenings]
    listed = [(row["time_ns"], row["kind"], row["detail"]) for row in result.table("events").to_pylist()]
    assert Counter(row for row in listed if row[1] != "fallback") == Counter(happenings)


def check_stages(tasks: dict[str, NDArray[Any]], scenario: Scenario) -> None:
    """Check that stages that took place follow each other, and that none comes after the end."""
    end_ns = scenario.time.num_slot * to_ns(scenario.time.slot_duration_s)
    latest = tasks["generated_ns"]
    for name in STAGES[1:]:
        at = tasks[f"{name}_ns"]
        took_place = at < NEVER_NS
        assert (at[took_place] >= latest[took_place]).all(), name
        assert (at[took_place] <= np.minimum(tasks["done_ns"], end_ns)[took_place]).all(), name
        if name != "local_end" or scenario.model.order == "sequential":
            latest = np.where(took_place, at, latest)
    outcome = tasks["outcome"].astype(str)
    assert ((tasks["done_ns"] == NEVER_NS) == (outcome == "in flight")).all()
    left = outcome == "dropped: vehicle left"
    assert (tasks["done_ns"][left] % to_ns(scenario.time.slot_duration_s) == 0).all()
