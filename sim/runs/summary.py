"""The summary of a run: what each of its keys means, and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.record.stability import is_stable

if TYPE_CHECKING:
    from sim.engine.simulation import Simulation


@dataclass(frozen=True)
class SummaryKey:
    """One key of a summary.

    name : as the manifest and ``--json`` have it
    unit : of its value; "" for a number without one
    about : what it is, in a phrase; a mean over nothing is None
    when : in which runs it is; "" for all
    """

    name: str
    unit: str
    about: str
    when: str = ""


_PROMPTS = "with a transformer task"
_ANSWERS = "with answers of a language model"
_PACED = "with `--realtime`"

_ENTRIES = (
    SummaryKey("slots", "", "slots that were simulated"),
    SummaryKey(
        "penalty_mean", "", "realised penalty of a slot, mean over the slots with a task that counts: the headline"
    ),
    SummaryKey("drift_mean", "", "realised drift of the servers' backlog in a slot, mean over the same slots"),
    SummaryKey(
        "stable",
        "",
        "whether the work that waits has stopped growing on CPUs, uplinks and servers; None for less than 100 slots",
    ),
    SummaryKey("qos_mean", "", "mean QoS of a slot's tasks that count, mean over the slots that have any"),
    SummaryKey("delay_s_mean", "s", "delay from generation to result, mean over the tasks that count"),
    SummaryKey("energy_j_mean", "J", "energy of vehicles, radios and servers, mean over slots"),
    SummaryKey("energy_local_j", "J", "what vehicles spent on tasks, in the whole run"),
    SummaryKey("energy_transmit_j", "J", "what radios spent on tasks, in the whole run; 0 without joint allocation"),
    SummaryKey("energy_edge_j", "J", "what servers spent, in the whole run, as `model.edge_energy` counts it"),
    SummaryKey(
        "objective_mean", "", "realised objective of a slot, penalty plus beta times drift, mean over the same slots"
    ),
    SummaryKey(
        "objective_predicted_mean",
        "",
        "objective as it follows from the commands and from what the twin believed, mean over decisions; None where one"
        " is infinite",
    ),
    SummaryKey("completion_s_mean", "s", "the same as `delay_s_mean`, as the papers on prompts call it", _PROMPTS),
    SummaryKey("completion_compute_s_mean", "s", "the same without the time that uploads took", _PROMPTS),
    SummaryKey(
        "layers_local_mean", "", "layers that the vehicle ran, mean over the prompts that were started", _PROMPTS
    ),
    SummaryKey(
        "deadline_miss_ratio", "", "part of the tasks that count that were late, dropped, or in flight and overdue"
    ),
    SummaryKey("backlog_bytes_mean", "B", "true backlog of all servers and classes at a slot's start, mean over slots"),
    SummaryKey("tasks_generated", "", "tasks that appeared"),
    SummaryKey("tasks_completed", "", "tasks that ended in time"),
    SummaryKey("tasks_late", "", "tasks that ended after their deadline"),
    SummaryKey("tasks_dropped", "", "tasks that were lost: by a link, with a node or with their vehicle"),
    SummaryKey("tasks_in_flight", "", "tasks that had not ended at the end of the run"),
    SummaryKey("messages_sent", "", "control messages that were sent: reports and commands"),
    SummaryKey("messages_delivered", "", "control messages that arrived by the end of the run"),
    SummaryKey("messages_lost", "", "control messages that were lost"),
    SummaryKey("messages_in_flight", "", "control messages on their way at the end of the run"),
    SummaryKey(
        "twin_age_s_mean", "s", "age of what the twin knows of a vehicle, mean over vehicles, then over decisions"
    ),
    SummaryKey("decisions", "", "decisions that were sent"),
    SummaryKey("decision_ms_p50", "ms", "wall time that the policy takes to decide, median"),
    SummaryKey("decision_ms_p99", "ms", "wall time that the policy takes to decide, 99th percentile"),
    SummaryKey("decisions_repaired", "", "decisions that were not feasible and have been projected"),
    SummaryKey("gap_max", "", "largest certified gap of a decision; None if the policy certifies none"),
    SummaryKey("gap_model", "", "model for which the gap holds, in words", "with a policy that names one"),
    SummaryKey("decisions_guarded", "", "answers whose place a simple decision took", _ANSWERS),
    SummaryKey("fallbacks", "", "decisions that the fallback took"),
    SummaryKey("fallback_first", "", "slot of the first of these, and why", "with fallbacks"),
    SummaryKey("wall_s", "s", "wall time of the simulation"),
    SummaryKey("vehicle_slots_per_s", "1/s", "number of vehicles times slots, over the wall time"),
    SummaryKey("engine", "", "engine that has simulated: columns or events; the tables of both are equal"),
    SummaryKey("engine_reason", "", "why this engine: asked for, or what `auto` goes by"),
    SummaryKey("digest", "", "digest of all tables: equal runs have equal ones; wall times do not count"),
    SummaryKey("realtime_slips", "", "slots that began late", _PACED),
    SummaryKey("realtime_slip_s_max", "s", "by how much the latest of these was late", _PACED),
    SummaryKey("not_closed", "", "why the policy could not be closed", "with a policy whose `close` fails"),
)
ENTRIES = {entry.name: entry for entry in _ENTRIES}
"""The keys of a summary by name, in their order."""


def summary_of(engine: Simulation, wall_s: float) -> dict[str, Any]:
    """Return the summary of a run but for its digest, and for what only its caller knows."""
    totals, decisions = engine.recorder.ledger.totals, engine.recorder.decisions.totals
    tasks = totals.by_task
    num_slot = engine.num_slot_done
    wall_ms = np.array(engine.recorder.decisions.wall_s or [np.nan]) * 1e3

    def mean(total: float, count: float) -> float | None:
        return total / count if count and np.isfinite(total) else None

    of_layers = {}
    if engine.system.has_transformer:
        of_layers = {
            "completion_s_mean": mean(tasks["delay_s"], tasks["counted"]),
            "completion_compute_s_mean": mean(tasks["delay_s"] - tasks["upload_s"], tasks["counted"]),
            "layers_local_mean": mean(tasks["layers_local"], tasks["num_split"]),
        }
    energy_edge_j = totals.by_slot["energy_edge_j"]
    return {
        "slots": num_slot,
        "penalty_mean": mean(totals.by_slot["penalty"], totals.num_slot_counted),
        "drift_mean": mean(totals.by_slot["drift"], totals.num_slot_counted),
        "stable": is_stable(engine.recorder.ledger.waiting_s),
        "qos_mean": mean(totals.by_slot["qos"], totals.num_slot_counted),
        "delay_s_mean": mean(tasks["delay_s"], tasks["counted"]),
        "energy_j_mean": mean(tasks["energy_local_j"] + tasks["energy_transmit_j"] + energy_edge_j, totals.num_slot),
        "energy_local_j": tasks["energy_local_j"],
        "energy_transmit_j": tasks["energy_transmit_j"],
        "energy_edge_j": energy_edge_j,
        "objective_mean": mean(totals.by_slot["objective"], totals.num_slot_counted),
        "objective_predicted_mean": mean(decisions.objective_predicted, decisions.num),
        **of_layers,
        "deadline_miss_ratio": mean(tasks["missed"], tasks["counted"]),
        "backlog_bytes_mean": mean(totals.by_slot["backlog_bytes"], totals.num_slot),
        "tasks_generated": int(tasks["generated"]),
        "tasks_completed": int(tasks["completed"]),
        "tasks_late": int(tasks["late"]),
        "tasks_dropped": int(tasks["dropped"]),
        "tasks_in_flight": int(tasks["in_flight"]),
        "messages_sent": engine.messages.num_sent.total(),
        "messages_delivered": engine.messages.num_delivered.total(),
        "messages_lost": engine.messages.num_lost.total(),
        "messages_in_flight": engine.messages.num_in_flight(),
        "twin_age_s_mean": mean(decisions.age_s, decisions.num),
        "decisions": decisions.num,
        "decision_ms_p50": float(np.percentile(wall_ms, 50)) if decisions.num else None,
        "decision_ms_p99": float(np.percentile(wall_ms, 99)) if decisions.num else None,
        "decisions_repaired": decisions.repaired,
        "gap_max": decisions.gap_max if np.isfinite(decisions.gap_max) else None,
        **({"gap_model": "; ".join(sorted(decisions.models))} if decisions.models else {}),
        **({"decisions_guarded": decisions.guarded} if decisions.prompts else {}),
        "fallbacks": decisions.fallbacks,
        **({"fallback_first": decisions.first_fallback} if decisions.fallbacks else {}),
        "wall_s": wall_s,
        "vehicle_slots_per_s": engine.system.num_vehicle * num_slot / wall_s,
    }
