"""Checks of what a run is scored with: every value of `slots` and of the summary, from the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from physical.arrays import Floats
from tests.swarm.books import NO_NODE, Books, totals
from tests.swarm.facts import Facts

_SCORED = {"qos_mean", "penalty_mean", "objective_mean"}
_TOLD = {"not_closed"}
"""What went wrong after the run, which no table tells."""
_UNCHECKED = {"wall_s", "vehicle_slots_per_s", "digest"}


def _same(one: Any, other: Any, scale: float = 1.0) -> bool:
    return bool(
        np.allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-9, atol=1e-9 * scale, equal_nan=True)
    )


class Score:
    """What tasks bring to the slots that have generated them."""

    def __init__(self, books: Books, facts: Facts) -> None:
        rows = books.tasks
        self.num_slot, self.slot = books.num_slot, rows.get("slot", np.zeros(0, dtype=int))
        outcome = rows.get("outcome", np.zeros(0, dtype=object)).astype(str)
        classes = rows.get("task_class", np.zeros(0, dtype=int))
        generated = rows.get("generated_ns", np.zeros(0))
        flies, lost = outcome == "in flight", np.char.startswith(outcome.astype("U"), "dropped")
        done_ns = np.where(flies, books.end_ns, rows.get("done_ns", np.zeros(0)).astype(float))
        self.age_s = (done_ns - generated) * 1e-9
        deadline_s = facts.deadline_s[classes]
        over = done_ns - generated > facts.deadline_ns[classes]
        self.counted = ~flies | over
        self.missed = self.counted & (lost | over)
        self.delay_s = np.where(lost, np.maximum(self.age_s, (1.0 - facts.floor) * deadline_s), self.age_s)
        quality = 1.0 - self.delay_s / deadline_s
        self.quality = quality if facts.paper else np.maximum(quality, facts.floor)
        self.sent_s = np.zeros(len(self.slot))
        if books.has_tasks:
            sent = ~np.isnan(rows["arrived_ns"].astype(float)) & self.counted
            self.sent_s[sent] = ((rows["arrived_ns"] - rows["local_end_ns"].astype(float)) * 1e-9)[sent]
        self.num = np.bincount(self.slot, minlength=self.num_slot)
        self.num_counted = self.sums(self.counted)

    def sums(self, values: Any) -> Floats:
        """Sum values of the tasks that count, by slot."""
        return totals(self.slot, np.asarray(values, float) * self.counted, self.num_slot)

    def means(self, values: Any) -> Floats:
        """Return means over the tasks that count, by slot; NaN where there are none."""
        with np.errstate(invalid="ignore"):
            means: Floats = self.sums(values) / self.num_counted
        return means


def check_slots(books: Books, facts: Facts) -> Iterator[str]:
    """QoS, misses, delay, penalty, drift and objective of every slot follow from tasks, energies and backlog."""
    slots, score = books.slots, Score(books, facts)
    energy_j = slots["energy_local_j"] + slots["energy_transmit_j"] + slots["energy_edge_j"]
    expected = {
        "qos": score.means(score.quality),
        "deadline_miss_ratio": score.means(score.missed),
        "delay_s_mean": score.means(score.delay_s),
    }
    if books.scenario["cost"] is None:
        weights = facts.weights
        penalty = weights["deadline_price"] * expected["deadline_miss_ratio"] + weights["energy_weight"] * energy_j
        expected["penalty"] = penalty - weights["qos_weight"] * expected["qos"]
        expected["objective"] = slots["penalty"] + facts.beta * slots["drift"]
    else:
        omega, (time_unit_s, energy_unit_j) = books.scenario["cost"]["time_weight"], facts.time_unit
        time_s = score.means(score.delay_s - score.sent_s if facts.paper else score.delay_s) * score.num
        expected["penalty"] = omega * time_s / time_unit_s + (1 - omega) * energy_j / energy_unit_j
        expected["objective"] = slots["penalty"]
    backlog = books.matrix("backlog_bytes")
    for name, values in expected.items():
        scale = float(np.nanmax(np.abs(values), initial=1e-9)) + float(np.abs(slots["drift"]).max()) * facts.beta
        scale = scale if name in {"penalty", "objective"} else 1.0
        # Deadlines and floors are whole ns; what they make of a delay differs by as much.
        scale += (
            4.0 / float(facts.deadline_s.min()) * (1.0 + facts.weights["qos_weight"]) if name != "objective" else 0.0
        )
        if not _same(slots[name], values, scale):
            yield f"{name}: {slots[name].tolist()}, not {values.tolist()}"
    drift = (backlog[:-1] * (backlog[1:] - backlog[:-1])).sum(axis=1) / facts.backlog_unit**2
    if not _same(slots["drift"][:-1], drift, float(np.abs(drift).max(initial=1e-9))):
        yield f"drift: {slots['drift'][:-1].tolist()}, not {drift.tolist()}"


def check_waiting(books: Books, facts: Facts) -> Iterator[str]:
    """What waits counts in seconds of its own CPU, uplink and server."""
    slots = books.slots
    cpu_s = (np.nan_to_num(books.grid("cpu_backlog_cycles")) / facts.cpu_hz).sum(axis=1)
    if not _same(slots["waiting_cpu_s"], cpu_s, 1e-3):
        yield f"waiting_cpu_s: {slots['waiting_cpu_s'].tolist()}, not {cpu_s.tolist()}"
    backlog_s = (books.matrix("backlog_bytes") * facts.cycles_per_byte).sum(axis=1)
    low_s, high_s = backlog_s / facts.server_hz.max(), backlog_s / facts.server_hz.min()
    wrong = (slots["waiting_server_s"] < low_s * (1 - 1e-9)) | (slots["waiting_server_s"] > high_s * (1 + 1e-9))
    if wrong.any():
        yield f"waiting_server_s: {slots['waiting_server_s'].tolist()}, not {low_s.tolist()} to {high_s.tolist()}"
    if facts.joint:
        return
    rate, waits = np.nan_to_num(books.grid("uplink_rate_bps")), np.nan_to_num(books.grid("uplink_backlog_bytes"))
    sums, counts = np.cumsum(rate, axis=0), np.cumsum(rate > 0, axis=0)
    for slot in range(books.num_slot):
        everybody = sums[slot].sum() / max(counts[slot].sum(), 1)
        mean = np.where(counts[slot] > 0, sums[slot] / np.maximum(counts[slot], 1), everybody)
        uplink_s = float((8 * waits[slot] / np.where(mean > 0, mean, np.inf)).sum())
        if not _same(slots["waiting_uplink_s"][slot], uplink_s, 1e-3):
            yield f"waiting_uplink_s of slot {slot}: {slots['waiting_uplink_s'][slot]}, not {uplink_s}"
            return


def _stable(series: Floats) -> bool | None:
    """Tell from batches of 50 slots whether some series grows: its trend stands out, and it has not come to rest."""
    num_slot = len(series)
    if num_slot < 100:
        return None
    num_batch = min(max(num_slot // 50, 10), 40)
    length = num_slot // num_batch
    means = [
        series[num_slot - (num_batch - i) * length : num_slot - (num_batch - i - 1) * length].mean(axis=0)
        for i in range(num_batch)
    ]
    grows = False
    for values in np.array(means).T:
        steps = values[1:] - values[:-1]
        rise = values[-1] - values[num_batch // 2 - 1]
        grows |= bool(steps.sum() > 2 * np.sqrt((steps**2).sum()) and rise > 0.1 * values[-1])
    return not grows


def _of_tasks(books: Books, facts: Facts) -> dict[str, Any]:
    """Return the summary's values that follow from tasks and slots."""
    slots, score = books.slots, Score(books, facts)
    has = score.num_counted > 0
    counted = float(score.counted.sum())

    def mean(values: Floats) -> float | None:
        return float(values.mean()) if len(values) else None

    def per_task(total: float) -> float | None:
        return total / counted if counted else None

    total = {name: float(slots[f"energy_{name}_j"].sum()) for name in ("local", "transmit", "edge")}
    found: dict[str, Any] = {
        **{f"{name}_mean": mean(slots[name][has]) for name in ("penalty", "drift", "objective", "qos")},
        "slots": books.num_slot,
        "stable": _stable(np.stack([slots[f"waiting_{name}_s"] for name in ("cpu", "uplink", "server")], axis=1)),
        "delay_s_mean": per_task(float(score.delay_s[score.counted].sum())),
        "deadline_miss_ratio": per_task(float(score.missed.sum())),
        **{f"energy_{name}_j": spent for name, spent in total.items()},
        "energy_j_mean": sum(total.values()) / books.num_slot,
        "backlog_bytes_mean": float(books.matrix("backlog_bytes").sum()) / books.num_slot,
    }
    if facts.has_transformer:
        layers = books.jobs["layers_local"].astype(float) if books.has_tasks else np.zeros(0)
        layers = layers[~np.isnan(layers)]
        found["completion_s_mean"] = found["delay_s_mean"]
        found["completion_compute_s_mean"] = per_task(float((score.delay_s - score.sent_s)[score.counted].sum()))
        found["layers_local_mean"] = float(layers.mean()) if len(layers) else None
    return found


def _of_decisions(books: Books) -> dict[str, Any]:
    """Return the summary's values that follow from decisions."""
    rows, twin = books.table("decisions"), books.table("twin")
    num = len(rows.get("slot", ()))
    found: dict[str, Any] = {
        "decisions": num,
        "decisions_repaired": int(rows["repaired"].sum()) if num else 0,
        "fallbacks": int(rows["fallback"].sum()) if num else 0,
        "objective_predicted_mean": float(rows["objective_predicted"].mean()) if num else None,
        **{
            f"decision_ms_p{at}": float(np.percentile(rows["policy_wall_s"] * 1e3, at)) if num else None
            for at in (50, 99)
        },
    }
    predicted = found["objective_predicted_mean"]
    found["objective_predicted_mean"] = predicted if predicted is not None and np.isfinite(predicted) else None
    gaps = rows["gap"][~np.isnan(rows["gap"])] if num else np.zeros(0)
    found["gap_max"] = float(gaps.max()) if len(gaps) and np.isfinite(gaps.max()) else None
    ages = [twin["age_of_information_s"][twin["slot"] == slot] for slot in rows.get("slot", ())] if twin else []
    total = sum(float(values.mean()) if len(values) else 0.0 for values in ages)
    found["twin_age_s_mean"] = total / num if num else None
    if models := sorted({str(name) for name in rows.get("model", ()) if name}):
        found["gap_model"] = "; ".join(models)
    if found["fallbacks"]:
        events = books.table("events")
        first = int(rows["slot"][rows["fallback"].astype(bool)].min())
        told = [
            detail
            for slot, kind, detail in zip(events["slot"], events["kind"], events["detail"], strict=True)
            if kind == "fallback" and slot == first
        ]
        found["fallback_first"] = f"slot {first}: {told[0] if told else ''}"
    return found


def check_summary(books: Books, facts: Facts) -> Iterator[str]:
    """Every key is there, and equal to what the tables give."""
    expected = _of_tasks(books, facts) | _of_decisions(books)
    if (messages := books.messages) is not None:
        delivered = [rows["delivered_ns"].astype(float) for rows in messages.values()]
        times = np.concatenate(delivered)
        expected["messages_sent"] = len(times)
        expected["messages_lost"] = int(np.isnan(times).sum())
        expected["messages_delivered"] = int((times <= books.end_ns).sum())
        expected["messages_in_flight"] = int((times > books.end_ns).sum())
    engine = books.manifest["engine"]
    expected |= {"engine": engine["name"], "engine_reason": engine["why"]}
    told = books.summary
    counts = {f"tasks_{name}" for name in ("generated", "completed", "late", "dropped", "in_flight")}
    counts |= {f"messages_{name}" for name in ("sent", "delivered", "lost", "in_flight")}
    if missing := (set(expected) | counts | _UNCHECKED) - set(told):
        yield f"keys are missing: {sorted(missing)}"
    if more := set(told) - set(expected) - counts - _UNCHECKED - _TOLD:
        yield f"keys that nobody knows: {sorted(more)}"
    for name, value in expected.items():
        found = told.get(name)
        if value is None or found is None or isinstance(value, bool | str):
            right = found == value
        else:
            # Deadlines and floors are whole ns.
            slack = (
                4.0 if name.startswith(("delay", "completion")) else 4.0 / facts.deadline_s.min() * (name in _SCORED)
            )
            right = _same(found, value, 1e-6 * max(abs(value), 1e-6) + slack)
        if not right:
            yield f"{name}: {found}, not {value}"
    if told["messages_sent"] != told["messages_delivered"] + told["messages_lost"] + told["messages_in_flight"]:
        yield "messages: sent are not those that are delivered, lost or in flight"
    if told["digest"] != books.manifest["digest"] or not told["wall_s"] > 0:
        yield "digest or wall time"


def check_attached(books: Books, facts: Facts) -> Iterator[str]:
    """Who is attached has a gain; a node that is down serves nobody at a slot's start."""
    rows = books.table("vehicles")
    if rows and (np.isnan(rows["channel_gain"]) | (rows["channel_gain"] < 0)).any():
        yield "a gain that is none"
    down = np.zeros((books.num_slot, len(books.node_names)), dtype=bool)
    for time_ns, event in books.occurrences("node-down", "node-up"):
        down[books.first_slot(time_ns) :, books.node_names.index(event["node"])] = event["kind"] == "node-down"
    for slot in range(books.num_slot):
        serving = books.node[slot][books.node[slot] > NO_NODE]
        if down[slot][serving].any():
            yield f"slot {slot}: a node that is down serves"
            return
