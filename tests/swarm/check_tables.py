"""Checks of what rows there are and of the order of times in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.swarm.books import AWAY, KEYS, Books
from tests.swarm.facts import Facts
from traces.schema import TABLES

_UNCLAIMED = {"objective", "lower_bound", "gap", "capacity_price", "solve_wall_s"}
"""Of a decision: NaN where the policy tells nothing."""
_UNSCORED = {"objective", "penalty", "qos", "delay_s_mean", "deadline_miss_ratio"}
"""Of a slot: NaN where none of its tasks counts."""
_NULLABLE = {
    "tasks": {
        *("started_ns", "local_end_ns", "upload_end_ns", "arrived_ns"),
        *("service_begin_ns", "service_end_ns", "done_ns"),
    },
    "jobs": {"layers_local", "local_frequency_hz", "energy_transmit_j", "energy_edge_j"},
    "vehicles": {"serving_node"},
    "messages": {"delivered_ns"},
    "entities": {"kind"},
}
OUTCOMES = {
    *("in flight", "completed", "late"),
    *("dropped: uplink", "dropped: result", "dropped: handover", "dropped: vehicle left"),
}
_ORDER = ("generated", "started", "local_end", "upload_end", "arrived", "service_begin", "service_end", "done")


def check_schema(books: Books, facts: Facts) -> Iterator[str]:
    """Columns, types and units as they are told; keys that are unique."""
    for name, rows in books.arrow.items():
        told = TABLES[name].schema()
        if rows.column_names != told.names or [field.type for field in rows.schema] != [field.type for field in told]:
            yield f"{name}: columns {rows.schema}"
        elif [field.metadata for field in rows.schema] != [field.metadata for field in told]:
            yield f"{name}: other units"
        if name != "events":  # two things may happen at once
            columns = [rows.column(key).to_pylist() for key in KEYS[name]]
            doubles = [key for key, times in Counter(zip(*columns, strict=True)).items() if times > 1]
            if doubles:
                yield f"{name}: several rows of {KEYS[name]} {doubles[0]}"


def check_numbers(books: Books, facts: Facts) -> Iterator[str]:
    """No null, NaN or infinity but where it is told."""
    for name, rows in books.arrow.items():
        for column in rows.column_names:
            values = rows.column(column)
            if values.null_count and column not in _NULLABLE.get(name, set()):
                yield f"{name}.{column}: {values.null_count} nulls"
            if pa.types.is_list(values.type):
                values = pc.list_flatten(values)
            if not pa.types.is_floating(values.type):
                continue
            odd = pc.invert(pc.is_finite(values)).to_pylist()
            allowed = (name == "decisions" and column in _UNCLAIMED) or (name == "slots" and column in _UNSCORED)
            if (name, column) == ("tasks", "offloading_ratio"):
                held = [started is None for started in rows.column("started_ns").to_pylist()]
                odd = [bool(bad) != ok for bad, ok in zip(odd, held, strict=True)]
            elif (name, column) == ("decisions", "objective_predicted"):  # of a task that is believed never to end
                odd = [value is None or np.isnan(value) or value < -1e300 for value in values.to_pylist()]
            elif allowed:
                odd = [value is not None and np.isinf(value) for value in values.to_pylist()]
            if any(odd):
                row = odd.index(True)
                yield f"{name}.{column}: {values[row].as_py()} in row {row}"


def check_presence(books: Books, facts: Facts) -> Iterator[str]:
    """Everybody who is there has a row and one task of each class in every slot, and nobody else has."""
    scenario, tasks = books.scenario, books.tasks
    there = books.node != AWAY
    if scenario["mobility"]["file"] is None and scenario["mobility"]["ends"] == "wrap":
        expected = np.ones_like(there)
        seen = set()
        for time_ns, event in books.occurrences("vehicle-leaves", "vehicle-enters"):
            enters, vehicle = event["kind"] == "vehicle-enters", event["vehicle"]
            if vehicle not in seen:
                expected[:, vehicle] = not enters
                seen.add(vehicle)
            expected[books.first_slot(time_ns) :, vehicle] = enters
        if (expected != there).any():
            slot, vehicle = np.argwhere(expected != there)[0]
            yield f"vehicle {vehicle} in slot {slot}: there {expected[slot, vehicle]}, recorded {there[slot, vehicle]}"
    elif scenario["mobility"]["file"] is None and not books.occurrences("vehicle-leaves", "vehicle-enters"):
        count = scenario["vehicles"]["num_vehicle"]
        if (there.sum(axis=1) != count).any():
            yield f"{there.sum(axis=1).tolist()} vehicles, not {count}"
    has = np.zeros((*there.shape, books.num_class), dtype=bool)
    if books.has_tasks:
        has[tasks["slot"], tasks["vehicle"], tasks["task_class"]] = True
        if not (tasks["size_bytes"] > 0).all():
            yield "a task of no size"
    for index, task in enumerate(scenario["tasks"]):
        wrong = has[..., index] & ~there if task["requests"] is not None else has[..., index] != there
        if wrong.any():
            yield f"class {index}: tasks of {np.argwhere(wrong)[0].tolist()} (slot, vehicle)"
    slots = books.slots
    if slots and (slots["slot"].tolist() != list(range(books.num_slot))):
        yield f"slots {slots['slot'].tolist()}"


def check_sizes(books: Books, facts: Facts) -> Iterator[str]:
    """Sizes are whole units of the class's range, times what bursts there are."""
    tasks, bursts = books.tasks, books.scenario["bursts"]
    for index, task in enumerate(books.scenario["tasks"]):
        mine = tasks["task_class"] == index
        units = tasks["size_bytes"][mine]
        if task["transformer"] is not None:
            shape = task["transformer"]
            units = units / (shape["hidden_size"] * shape["batch_size"] * shape["bits_per_activation"] / 8)
        low, high = task["num_token"] or task["size_bytes"] or (1, 300)
        timed = np.ones(books.num_slot)
        for time_ns, event in books.occurrences("burst"):
            if event["task"] in {None, task["name"]}:
                last = books.first_slot(time_ns + round(event["duration_s"] * 1e9))
                timed[books.first_slot(time_ns) : last] *= event["size_factor"]
        factors = [1.0] if bursts is None else [1.0, bursts["size_factor"]]
        # Each of the two factors rounds to whole units, of which there is at least one.
        least = np.minimum.reduce([timed * low * factor for factor in factors])[tasks["slot"][mine]]
        most = np.maximum.reduce([timed * high * factor for factor in factors])[tasks["slot"][mine]]
        slack = 0.5 * timed[tasks["slot"][mine]] + 0.5
        wrong = (
            (units != np.rint(units))
            | (units < np.maximum(least - slack, 1.0))
            | (units > np.maximum(most, timed.max()) + slack)
        )
        if wrong.any():
            yield f"class {index}: {units[wrong][0]} units"


def check_stages(books: Books, facts: Facts) -> Iterator[str]:
    """Every time is after those that it rests on, and none is after the end."""
    tasks = books.tasks
    at = {name: tasks[f"{name}_ns"].astype(float) for name in _ORDER}
    if (at["generated"] != tasks["slot"] * float(books.slot_ns)).any():
        yield "generated_ns is not the slot's start"
    pairs = [("generated", "started"), ("started", "local_end"), ("started", "upload_end"), ("local_end", "done")]
    pairs += [("upload_end", "arrived"), ("arrived", "service_begin"), ("service_begin", "service_end")]
    pairs += [("service_end", "done"), ("upload_end", "done"), ("arrived", "done"), ("generated", "done")]
    if not facts.parallel:
        pairs.append(("local_end", "upload_end"))
    for before, after in pairs:
        wrong = at[before] > at[after]
        if wrong.any():
            row = int(np.argmax(wrong))
            yield f"{before} {at[before][row]:.0f} is after {after} {at[after][row]:.0f} in {_name(books, row)}"
    needed = [("local_end", "started"), ("upload_end", "started"), ("arrived", "upload_end")]
    needed += [("service_begin", "arrived"), ("service_end", "service_begin")]
    for after, before in needed:
        wrong = ~np.isnan(at[after]) & np.isnan(at[before])
        if wrong.any():
            yield f"{after} without {before} in {_name(books, int(np.argmax(wrong)))}"
    for name, times in at.items():
        if (times > books.end_ns).any():
            yield f"{name} after the end of the run in {_name(books, int(np.argmax(times > books.end_ns)))}"


def _name(books: Books, row: int) -> str:
    tasks = books.tasks
    key = ", ".join(f"{name} {tasks[name][row]}" for name in KEYS["tasks"])
    return f"task of {key} ({tasks['outcome'][row]})"


def check_outcomes(books: Books, facts: Facts) -> Iterator[str]:
    """An outcome says which stages there have been, and whether the deadline was met."""
    tasks = books.tasks
    outcome = tasks["outcome"].astype(str)
    for unknown in set(outcome.tolist()) - OUTCOMES:
        yield f"outcome {unknown!r}"
    was = {name: ~np.isnan(tasks[f"{name}_ns"].astype(float)) for name in _ORDER}
    finished = np.isin(outcome, ["completed", "late"])
    age_ns = tasks["done_ns"].astype(float) - tasks["generated_ns"]
    over = age_ns > facts.deadline_ns[tasks["task_class"]]
    ratio = np.nan_to_num(tasks["offloading_ratio"])
    edge, flies = facts.task_work[1] > 0, outcome == "in flight"
    lost = outcome == "dropped: uplink"
    rules = {
        "done and in flight": was["done"] == flies,
        "late but in time": (outcome == "late") & ~over,
        "completed but late": (outcome == "completed") & over,
        "ended without local work": finished & ~was["local_end"],
        "offloaded but not served": finished & edge & ~was["service_end"],
        "served but not offloaded": ~edge & was["service_begin"],
        "sent but nothing to send": (facts.sent_bytes == 0) & was["upload_end"],
        "lost on its way up, and there": lost & (was["arrived"] | ~was["upload_end"]),
        "result lost before it was made": (outcome == "dropped: result") & ~was["service_end"],
        "ratio outside [0, 1]": (ratio < 0) | (ratio > 1),
    }
    handover = books.scenario["model"]["handover"]
    leaves = books.occurrences("vehicle-leaves", "vehicle-enters")
    stays = books.scenario["mobility"]["file"] is None and books.scenario["mobility"]["ends"] == "wrap" and not leaves
    rules["dropped by no handover"] = (outcome == "dropped: handover") & (handover != "drop")
    rules["dropped by nobody who left"] = (outcome == "dropped: vehicle left") & stays
    lossy = np.array([facts.passage(slot, "access", "lan")[2] for slot in range(books.num_slot)])[tasks["slot"]]
    rules["lost where nothing is lost"] = (lost | (outcome == "dropped: result")) & ~lossy
    rules["no whole layers"] = _split_layers(books, facts)
    for problem, wrong in rules.items():
        if np.any(wrong):
            yield f"{problem}: {_name(books, int(np.argmax(wrong)))}"


def _split_layers(books: Books, facts: Facts) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which prompts are not cut at a whole layer, the first of which stays local."""
    layers = facts.num_layer[books.tasks["task_class"]]
    ratio = np.nan_to_num(books.tasks["offloading_ratio"])
    remote = ratio * layers
    wrong = (layers > 0) & ((np.abs(remote - np.rint(remote)) > 1e-9) | (remote > layers - 1 + 1e-9))
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = wrong
    return found


def check_passages(books: Books, facts: Facts) -> Iterator[str]:
    """Uploads and results take at least the least latency of their way, and at most the greatest."""
    tasks = books.tasks
    bounds = np.array([facts.passage(slot, "access", "lan")[:2] for slot in range(books.num_slot)])
    low_ns, high_ns = (bounds * 1e9)[tasks["slot"]].T
    for before, after in (("upload_end", "arrived"), ("service_end", "done")):
        took_ns = tasks[f"{after}_ns"].astype(float) - tasks[f"{before}_ns"].astype(float)
        if before == "service_end" and facts.parallel:  # done is later where the local part lasts longer
            high_ns = np.where(tasks["done_ns"] == tasks["local_end_ns"], np.inf, high_ns)
        if before == "service_end":
            took_ns = np.where(np.isin(tasks["outcome"].astype(str), ["dropped: vehicle left"]), np.nan, took_ns)
        wrong = (took_ns < low_ns - 2) | (took_ns > high_ns + 2)
        if wrong.any():
            row = int(np.argmax(wrong))
            told = f"{took_ns[row]:.0f} ns, not {low_ns[row]:.0f} to {high_ns[row]:.0f}"
            yield f"{before} to {after}: {told} in {_name(books, row)}"


def check_counts(books: Books, facts: Facts) -> Iterator[str]:
    """Every task has one outcome, and slots and summary count the same."""
    groups = {
        "completed": ["completed"],
        "late": ["late"],
        "dropped": [name for name in OUTCOMES if name.startswith("dropped")],
        "in_flight": ["in flight"],
    }
    total = 0
    for name, outcomes in groups.items():
        slots = np.zeros(books.num_slot, dtype=int)
        if books.has_tasks:
            mine = np.isin(books.tasks["outcome"].astype(str), outcomes)
            slots = np.bincount(books.tasks["slot"][mine], minlength=books.num_slot)
        total += int(slots.sum())
        if (books.slots[f"num_{name}"] != slots).any():
            yield f"slots.num_{name}: {books.slots[f'num_{name}'].tolist()}, not {slots.tolist()}"
        if books.summary[f"tasks_{name}"] != slots.sum():
            yield f"summary: tasks_{name} {books.summary[f'tasks_{name}']}, not {slots.sum()}"
    if books.summary["tasks_generated"] != total:
        yield f"summary: tasks_generated {books.summary['tasks_generated']}, not {total}"
