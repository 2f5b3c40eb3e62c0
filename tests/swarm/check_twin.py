"""Checks of messages, of what the twin believes, of what it decides, and of how vehicles follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from physical.arrays import Floats
from tests.swarm.books import AWAY, Books, Columns
from tests.swarm.facts import Facts

_WAYS = {
    "report": ("access", "backhaul"),
    "command": ("access", "backhaul"),
    "server-report": ("lan", "backhaul"),
    "server-command": ("lan", "backhaul"),
}


def check_messages(books: Books, facts: Facts) -> Iterator[str]:
    """Messages are sent when they can be, and take as long as their links take."""
    if books.messages is None:
        return
    interval = books.scenario["vehicles"]["report_interval"]
    for kind, rows in books.messages.items():
        slots, sent_ns = rows["slot"], rows["sent_ns"].astype(float)
        took_ns = rows["delivered_ns"].astype(float) - sent_ns
        bounds = {slot: facts.passage(slot, *_WAYS[kind]) for slot in set(slots.tolist())}
        low, high, lossy = (np.array([bounds[slot][i] for slot in slots.tolist()]) for i in range(3))
        wrong = (took_ns < low * 1e9 - 1) | (took_ns > high * 1e9 + 1)
        if wrong.any():
            told = f"{took_ns[wrong][0]} ns, not {low[wrong][0]} to {high[wrong][0]} s"
            yield f"{kind} of slot {slots[wrong][0]}: took {told}"
        lost = np.isnan(took_ns)
        if kind != "command" and (lost & ~lossy.astype(bool)).any():  # who is out of reach gets no command
            yield f"{kind} of slot {slots[lost][0]}: lost where nothing is lost"
        if kind.endswith("report"):
            expected = slots * float(books.slot_ns)
        else:
            at = [books.decided[slot]["decided_ns"] + books.decided[slot]["latency_ns"] for slot in slots.tolist()]
            expected = np.array(at, dtype=float)
        if (sent_ns != expected).any():
            yield f"{kind}: sent at {sent_ns[sent_ns != expected][0]}"
        if kind == "report" and not facts.comes_and_goes:
            due = [(slot, v) for slot in range(0, books.num_slot, interval) for v in range(books.num_vehicle)]
            if sorted(zip(slots.tolist(), rows["vehicle"].tolist(), strict=True)) != due:
                yield f"reports: {len(slots)}, not {len(due)}"
        if kind.startswith("server") and len(slots) % len(books.node_names):
            yield f"{kind}: {len(slots)} of {len(books.node_names)} nodes"


def _newest(rows: Columns, vehicle: int, now_ns: int) -> int:
    """Return the newest slot whose message of a vehicle or server has been delivered by a time; -1 if none."""
    told = (rows["vehicle"] == vehicle) & (rows["delivered_ns"].astype(float) <= now_ns)
    return int(rows["slot"][told].max(initial=-1))


def check_ages(books: Books, facts: Facts) -> Iterator[str]:
    """Age is the time since the newest report that has been delivered was sampled."""
    twin = books.table("twin")
    if books.messages is None or not twin:
        return
    for slot, vehicle, age_s in zip(twin["slot"], twin["vehicle"], twin["age_of_information_s"], strict=True):
        now_ns = int(books.decided[slot]["decided_ns"])
        sampled_ns = max(_newest(books.messages["report"], vehicle, now_ns), 0) * books.slot_ns
        if age_s != (now_ns - sampled_ns) / 1e9:
            yield f"vehicle {vehicle} in slot {slot}: {age_s} s, not {(now_ns - sampled_ns) / 1e9}"
            return


def check_beliefs(books: Books, facts: Facts) -> Iterator[str]:
    """With `hold`, an estimate is the truth of the newest report that was delivered, and the bias of the slot."""
    twin, params = books.table("twin"), books.scenario["twin"]
    if books.messages is None or not twin:
        return
    known = {slot: facts.frequency_bias(slot) for slot in set(twin["slot"].tolist())}
    slots = twin["slot"].tolist()
    if not params["bias"]["known"]:
        if twin["estimation_bias_hz"].any():
            yield "estimation_bias_hz: the twin knows what it is not told"
    elif all(values is not None for values in known.values()):
        expected = np.array([known[slot][vehicle] for slot, vehicle in zip(slots, twin["vehicle"], strict=True)])  # type: ignore[index]  # none is None here
        if not np.allclose(twin["estimation_bias_hz"], expected, rtol=1e-9):
            yield f"estimation_bias_hz: {twin['estimation_bias_hz'].tolist()}, not {expected.tolist()}"
    if params["estimator"] == "hold":
        yield from _held(books, facts, twin)
        yield from _held_sizes(books, facts)
    yield from _held_backlogs(books, facts)


_HELD = {
    "estimated_x_m": ("x_m", "position_m"),
    "estimated_y_m": ("y_m", ""),
    "estimated_channel_gain": ("channel_gain", "channel_gain_db"),
    "estimated_cpu_backlog_cycles": ("cpu_backlog_cycles", "cpu_backlog_cycles"),
    "estimated_uplink_backlog_bytes": ("uplink_backlog_bytes", "uplink_backlog_bytes"),
}


def _held(books: Books, facts: Facts, twin: Columns) -> Iterator[str]:
    assert books.messages is not None
    for column, (truth_name, bias_name) in _HELD.items():
        truth = books.grid(truth_name)
        for row, (slot, vehicle) in enumerate(zip(twin["slot"].tolist(), twin["vehicle"].tolist(), strict=True)):
            newest = _newest(books.messages["report"], vehicle, int(books.decided[slot]["decided_ns"]))
            # Positions are off along x only.
            bias = facts.bias(bias_name, slot, books.num_vehicle) if bias_name else np.zeros(books.num_vehicle)
            if newest < 0 or bias is None or np.isnan(truth[newest, vehicle]):
                continue
            value, more = truth[newest, vehicle], bias[vehicle]
            if bias_name == "channel_gain_db":
                expected = float(np.float32(value * 10 ** (more / 10)))
            elif bias_name in {"position_m", ""}:
                expected = value + more
            else:
                expected = max(value + more, 0.0)
            if not np.isclose(
                twin[column][row], expected, rtol=1e-6 if bias_name == "channel_gain_db" else 1e-12, atol=0.0
            ):
                told = f"{twin[column][row]}, not {expected} (of slot {newest})"
                yield f"{column} of vehicle {vehicle} in slot {slot}: {told}"
                break


def _held_sizes(books: Books, facts: Facts) -> Iterator[str]:
    assert books.messages is not None
    sizes = np.zeros((books.num_slot, books.num_vehicle, books.num_class))
    if books.has_tasks:
        sizes[books.tasks["slot"], books.tasks["vehicle"], books.tasks["task_class"]] = books.tasks["size_bytes"]
    for slot, row in books.decided.items():
        bias = facts.bias("task_size_bytes", slot, books.num_vehicle)
        if bias is None:
            return
        for vehicle in range(books.num_vehicle):
            newest = _newest(books.messages["report"], vehicle, int(row["decided_ns"]))
            if newest < 0:
                continue
            size = sizes[newest, vehicle]
            expected = np.where(size > 0, np.maximum(size + bias[vehicle], 1.0) if bias.any() else size, 0.0)
            if not np.allclose(row["estimated_size_bytes"][vehicle], expected, rtol=1e-12):
                told = f"{row['estimated_size_bytes'][vehicle]}, not {expected}"
                yield f"sizes of vehicle {vehicle} in slot {slot}: {told}"
                return


def _held_backlogs(books: Books, facts: Facts) -> Iterator[str]:
    """Check the believed backlog of the only server."""
    assert books.messages is not None
    if len(books.node_names) > 1:
        return
    held = books.matrix("backlog_bytes")
    for slot, row in books.decided.items():
        bias = facts.bias("server_backlog_bytes", slot, books.num_class)
        newest = _newest(books.messages["server-report"], -1, int(row["decided_ns"]))
        if bias is None:
            return
        expected = np.maximum((held[newest] if newest >= 0 else 0.0) + bias, 0.0)
        if not np.allclose(row["estimated_backlog_bytes"], expected, rtol=1e-12):
            yield f"backlog in slot {slot}: {row['estimated_backlog_bytes']}, not {expected} (of slot {newest})"
            return


def check_errors(books: Books, facts: Facts) -> Iterator[str]:
    """Errors are estimate minus truth at the time of the decision."""
    twin = books.table("twin")
    if not twin:
        return
    at = np.array([books.decided[slot]["decided_ns"] // books.slot_ns for slot in twin["slot"].tolist()]).astype(int)
    x_m, y_m, gain = (books.grid(name)[at, twin["vehicle"]] for name in ("x_m", "y_m", "channel_gain"))
    expected = np.hypot(twin["estimated_x_m"] - x_m, twin["estimated_y_m"] - y_m)
    if not np.allclose(twin["position_error_m"], expected, rtol=1e-6, atol=1e-6):
        yield f"position_error_m: {twin['position_error_m'].tolist()}, not {expected.tolist()}"
    with np.errstate(divide="ignore", invalid="ignore"):
        error_db = 10 * np.log10(twin["estimated_channel_gain"].astype(float) / gain)
    told = np.isfinite(error_db)
    if not np.allclose(twin["channel_gain_error_db"][told], error_db[told], rtol=0, atol=1e-5):
        yield f"channel_gain_error_db: {twin['channel_gain_error_db'].tolist()}, not {error_db.tolist()}"


def check_decisions(books: Books, facts: Facts) -> Iterator[str]:
    """Decisions are within their bounds and the capacity as the twin knows it, and take the time that they may."""
    for slot, row in books.decided.items():
        ratio, share_hz = row["offloading_ratio"], row["compute_allocation_hz"]
        if (ratio < 0).any() or (ratio > 1).any() or (share_hz < 0).any():
            yield f"slot {slot}: ratios {ratio.tolist()}, shares {share_hz.tolist()}"
        if facts.joint:
            yield from _radio(books, facts, slot, row)
        elif any(len(row[name]) for name in ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")):
            yield f"slot {slot}: decides what is fixed"
        if told := _over_capacity(books, facts, slot, share_hz):
            yield f"slot {slot}: {told}"
    yield from _times(books)


def _radio(books: Books, facts: Facts, slot: int, row: dict[str, Any]) -> Iterator[str]:
    hz, power_w, width_hz = (row[name] for name in ("local_frequency_hz", "transmit_power_w", "bandwidth_hz"))
    vehicles = books.scenario["vehicles"]
    if (hz <= 0).any() or (hz > facts.cpu_hz * (1 + 1e-12)).any():
        yield f"slot {slot}: frequencies {hz.tolist()}"
    least_w, most_w = vehicles["transmit_power_w_min"], vehicles["transmit_power_w"]
    if (power_w < least_w).any() or (power_w > most_w).any():
        yield f"slot {slot}: powers {power_w.tolist()}"
    pool_hz = books.scenario["radio"]["bandwidth_hz"] * len(books.node_names)
    if (width_hz < 0).any() or width_hz.sum() > pool_hz * (1 + 1e-9):
        yield f"slot {slot}: bandwidths {width_hz.tolist()} of {pool_hz}"


def _over_capacity(books: Books, facts: Facts, slot: int, share_hz: Floats) -> str:
    """Say by how much a decision is more than all servers have, as far as the twin knows the bias."""
    total_hz = float(facts.server_hz.sum())
    bias_hz = facts.frequency_bias(slot)
    if not books.scenario["twin"]["bias"]["known"]:
        bias_hz = np.zeros(books.num_vehicle)
    if bias_hz is None:
        return ""
    floors_hz = 1e-6 * facts.server_hz.max() * share_hz.size
    if not facts.effective:
        # Allocations and the biases of all flows; floors come on top where nothing is left.
        used_hz = float(share_hz.sum())
        if facts.comes_and_goes:  # of vehicles that are believed to be elsewhere nothing counts
            bias_hz = np.minimum(bias_hz, 0.0)
        total_hz = max(total_hz - float(bias_hz.sum()) * books.num_class, 0.0) if len(facts.servers) == 1 else np.inf
        floors_hz += float(np.maximum(-bias_hz, 0.0).sum()) * books.num_class
    else:
        used_hz = float(np.where(share_hz > 0, np.maximum(share_hz + bias_hz[:, np.newaxis], 0.0), 0.0).sum())
    return f"{used_hz} Hz of {total_hz}" if used_hz > (total_hz + floors_hz) * (1 + 1e-9) else ""


def _times(books: Books) -> Iterator[str]:
    params = books.scenario["twin"]
    latency, deadline_s = params["decision"]["latency"], params["decision"]["deadline_s"]
    free_ns = 0
    for slot, row in sorted(books.decided.items()):
        decided_ns, took_ns = int(row["decided_ns"]), int(row["latency_ns"])
        last_ns = max(slot * books.slot_ns + round(params["sync_window_s"] * 1e9), free_ns)
        if not slot * books.slot_ns <= decided_ns <= last_ns:
            yield f"slot {slot}: decided at {decided_ns}, by {last_ns} at latest"
        free_ns = decided_ns + took_ns
        late = deadline_s is not None and took_ns > round(deadline_s * 1e9)
        if took_ns < 0 or late or (latency == "zero" and took_ns):
            yield f"slot {slot}: took {took_ns} ns"
        if isinstance(latency, dict) and latency["kind"] == "constant":
            expected = round(latency["value_s"] * 1e9)
            expected = expected if deadline_s is None else min(expected, round(deadline_s * 1e9))
            if took_ns != expected:
                yield f"slot {slot}: took {took_ns} ns, not {expected}"


def check_commands(books: Books, facts: Facts) -> Iterator[str]:
    """Tasks start when a command for them arrives, or patience ends, with what that command or the last one says."""
    if books.messages is None or not books.has_tasks:
        return
    rule = books.scenario["twin"]["command"]
    tasks, told = books.tasks, books.messages["command"]
    patience_ns = round(rule["patience_s"] * 1e9)
    for vehicle in range(books.num_vehicle):
        mine = (told["vehicle"] == vehicle) & ~np.isnan(told["delivered_ns"].astype(float))
        arrivals = sorted(
            zip(told["delivered_ns"][mine].astype(int).tolist(), told["slot"][mine].tolist(), strict=True)
        )
        for row in np.flatnonzero(tasks["vehicle"] == vehicle):
            slot, begin_ns = int(tasks["slot"][row]), int(tasks["generated_ns"][row])
            release = next((entry for entry in arrivals if entry[1] >= slot and entry[0] >= begin_ns), None)
            due_ns, source = (np.inf, -1) if release is None else release
            if rule["missing"] != "wait" and due_ns > begin_ns + patience_ns:
                due_ns = begin_ns + patience_ns
                # Whoever is impatient follows the newest command of before, or none.
                source = (
                    max([s for at, s in arrivals if at <= due_ns], default=-1) if rule["missing"] == "previous" else -1
                )
            ended_ns = np.nan_to_num(float(tasks["done_ns"][row]), nan=float(books.end_ns))
            started = float(tasks["started_ns"][row])
            if np.isnan(started):
                if due_ns < ended_ns:
                    yield f"task {row} of vehicle {vehicle}: never started, and not at {due_ns}"
                    break
                continue
            index = tasks["task_class"][row]
            ratio = books.decided[source]["offloading_ratio"][vehicle, index] if source >= 0 else 0.0
            if started != due_ns or tasks["offloading_ratio"][row] != ratio:
                did = f"started at {started:.0f} with {tasks['offloading_ratio'][row]}"
                right = f"at {due_ns} with {ratio} (command of {source})"
                yield f"task {row} of vehicle {vehicle}: {did}, not {right}"
                break


def check_events(books: Books, facts: Facts) -> Iterator[str]:
    """Timed events are recorded when they happen, and fallbacks with every decision that was one."""
    rows = books.table("events")
    found = sorted(zip(rows.get("time_ns", ()), rows.get("kind", ()), rows.get("slot", ()), strict=True))
    expected = [(time_ns, event["kind"], time_ns // books.slot_ns) for time_ns, event in books.occurrences()]
    expected += [(row["decided_ns"], "fallback", slot) for slot, row in books.decided.items() if row["fallback"]]
    if found != sorted(expected):
        yield f"events: {found}, not {sorted(expected)}"
    if any(
        not str(detail).strip()
        for kind, detail in zip(rows.get("kind", ()), rows.get("detail", ()), strict=True)
        if kind == "fallback"
    ):
        yield "events: a fallback without a reason"
    if (entities := books.table("entities")) and (books.node[:, entities["vehicle"]] == AWAY).all(axis=0).any():
        yield "entities: a vehicle that is never there"
