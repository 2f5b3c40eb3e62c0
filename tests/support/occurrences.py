"""What really happened in a run, counted from its recorded tables: what makes it worth comparing."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask
from physical.ticks import to_ns
from sim.runs.run import RunResult
from sim.scenario.scenario import Scenario
from tests.support.tables import Columns, columns

AWAY, NO_NODE = -2, -1
EVENTS = ("link", "bias", "burst", "policy", "node-up", "vehicle-leaves", "vehicle-enters")


class Records:
    """The tables of a run; times are ns, NaN for what has not taken place.

    scenario, result : of the run
    """

    def __init__(self, scenario: Scenario, result: RunResult) -> None:
        self.scenario, self.result = scenario, result
        self.system = scenario.system()
        self.slot_ns = to_ns(scenario.time.slot_duration_s)
        self.num_slot: int = result.summary["slots"]
        self.tasks = self.table("tasks")
        self.slot, self.vehicle = self.tasks["slot"], self.tasks["vehicle"]
        self.outcome: NDArray[np.str_] = self.tasks["outcome"].astype(str)
        self.offloads: Mask = np.nan_to_num(self.tasks["offloading_ratio"].astype(float)) > 0

    def table(self, name: str) -> Columns:
        """Return a table as arrays."""
        return columns(self.result.table(name))

    def at(self, stage: str) -> Floats:
        """Return when tasks reached a stage, [tasks]."""
        times: Floats = self.tasks[f"{stage}_ns"].astype(np.float64)
        return times

    def until(self, stage: str) -> Floats:
        """Return when tasks reached a stage, or until when they can have been on their way to it, [tasks]."""
        reached, done = self.at(stage), self.at("done")
        ended = np.where(np.isnan(done), self.num_slot * self.slot_ns, done)
        return np.where(np.isnan(reached), ended, reached)

    @property
    def sent_from(self) -> Floats:
        """When uploads could begin, [tasks]."""
        return self.at("local_end" if self.scenario.model.order == "sequential" else "started")

    @cached_property
    def node(self) -> Ints:
        """Serving nodes at slot starts, [T, N]."""
        found = np.full((self.num_slot, self.system.num_vehicle), AWAY)
        rows = self.table("vehicles")
        index = {node.name: place for place, node in enumerate(self.scenario.nodes)} | {None: NO_NODE}
        found[rows["slot"], rows["vehicle"]] = [
            index[name] for name in self.result.table("vehicles")["serving_node"].to_pylist()
        ]
        return found

    @cached_property
    def moves(self) -> list[tuple[int, int]]:
        """Slots with whose start a vehicle left a node for another one, or for none, and the vehicle."""
        before, after = self.node[:-1], self.node[1:]
        moved = np.argwhere((before >= 0) & (after != before) & (after != AWAY))
        return [(int(slot) + 1, int(vehicle)) for slot, vehicle in moved]

    def carried(self, begin: Floats, end: Floats) -> bool:
        """Tell whether a task was in a stage while its vehicle left a node."""
        return any(
            bool(((self.vehicle == who) & (begin < slot * self.slot_ns) & (end > slot * self.slot_ns)).any())
            for slot, who in self.moves
        )

    def several(self, begin: Floats, end: Floats) -> bool:
        """Tell whether two tasks of one vehicle were in a stage, or waited for it, at once."""
        kept = (begin < end) & ~np.isnan(begin)
        order = np.lexsort((begin[kept], self.vehicle[kept]))
        who, since, until = self.vehicle[kept][order], begin[kept][order], end[kept][order]
        return bool(((who[1:] == who[:-1]) & (since[1:] < until[:-1])).any())

    def has_columns(self, name: str) -> bool:
        """Tell whether a table has rows."""
        return bool(self.result.table(name).num_rows)


def of_tasks(records: Records) -> dict[str, bool]:
    """Tell what happened to tasks on their way."""
    started, local_end, upload_end = (records.at(name) for name in ("started", "local_end", "upload_end"))
    sent = ~np.isnan(upload_end)
    uploads = np.where(sent, records.sent_from, np.nan)
    queued = records.at("service_begin") > records.at("arrived")
    cpu, uplink = records.system.cpu, records.system.uplink
    computing = records.several(started, records.until("local_end"))
    sending = records.several(uploads, records.until("upload_end"))
    discipline = records.scenario.server.discipline
    backlog = np.array(records.result.table("slots")["backlog_bytes"].to_pylist(), dtype=float)
    return {
        "carry-over": bool((backlog.sum(axis=-1) > 0).sum() > 1),
        "a queue of several": bool(queued.any()),
        f"a queue of several: {discipline}": bool(queued.any()),
        "held over slots": bool((started >= (records.slot + 1) * records.slot_ns).any()),
        "never started": bool(np.isnan(started).any()),
        "upload over slots": bool((upload_end // records.slot_ns > uploads // records.slot_ns).any()),
        **{f"several on a CPU: {rule}": computing and cpu == rule for rule in ("per-task", "in-turn", "sharing")},
        **{f"several on an uplink: {rule}": sending and uplink == rule for rule in ("each", "in-turn", "sharing")},
        "local and sent at once": bool((uploads < local_end).any()),
        **{outcome: bool((records.outcome == outcome).any()) for outcome in ("completed", "late", "in flight")},
        **{f"dropped: {way}": bool((records.outcome == f"dropped: {way}").any()) for way in ("uplink", "result")},
    }


def of_decisions(records: Records) -> dict[str, bool]:
    """Tell what happened to the twin: late news, skipped slots, decisions that were not the policy's."""
    decisions, twin = records.table("decisions"), records.table("twin")
    slot_ns, slots = records.slot_ns, decisions["slot"]
    decided = dict(zip(slots.tolist(), decisions["decided_ns"].tolist(), strict=True))
    age_ns = twin["age_of_information_s"].astype(float) * 1e9
    sampled_ns = np.array([decided[slot] for slot in twin["slot"].tolist()]) - age_ns
    latency_ns = decisions["latency_ns"].astype(float)
    measured = records.scenario.twin.decision.latency == "measured"
    return {
        "late reports": bool((age_ns > 1.01 * slot_ns).any()),
        "reports of later slots": bool((sampled_ns > (twin["slot"] + 0.5) * slot_ns).any()),
        "skipped slots": bool((np.diff(slots) > 1).any()),
        "fallbacks": bool(decisions["fallback"].any()),
        "repairs": bool(decisions["repaired"].any()),
        "decisions that take time": bool((latency_ns > 0).any()),
        "measured latency": measured and bool((latency_ns > 0).any()),
        "joint": any(len(hz) for hz in decisions["local_frequency_hz"]),
    }


def of_messages(records: Records) -> dict[str, bool]:
    """Tell what became of reports and commands."""
    rows, slot_ns = records.table("messages"), records.slot_ns
    kind, delivered = rows["kind"], rows["delivered_ns"].astype(float)
    lost = np.isnan(delivered)
    late = delivered >= (rows["slot"] + 1) * slot_ns
    present = records.node != AWAY
    entries = np.argwhere(present[1:] & ~present[:-1]) + np.array([1, 0])
    command = kind == "command"
    caught = [
        command & (rows["vehicle"] == who) & (rows["sent_ns"] < slot * slot_ns) & (delivered > slot * slot_ns)
        for slot, who in entries.tolist()
    ]
    kinds = {name: kind == name for name in ("report", "command", "server-report", "server-command")}
    return {
        **{f"{name} lost": bool((lost & mine).any()) for name, mine in kinds.items()},
        **{f"{name} late": bool((late & mine).any()) for name, mine in kinds.items()},
        "messages in flight": bool((delivered > records.num_slot * slot_ns).any()),
        "entries": bool(len(entries)),
        "an entry while a command is on its way": any(bool(found.any()) for found in caught),
    }


def of_world(records: Records) -> dict[str, bool]:
    """Tell who went where, what was lost on the way, and which files were followed."""
    events, done, rule = records.table("events"), records.at("done"), records.system.model.handover
    down_ns = events["time_ns"][events["kind"] == "node-down"] if len(events["time_ns"]) else []
    handover = records.outcome == "dropped: handover"
    by_failure = handover & np.isin(done, down_ns)
    work = records.carried(records.at("arrived"), records.until("service_end"))
    uploads = records.carried(records.sent_from, np.where(records.offloads, records.until("upload_end"), np.nan))
    affected = {"drop": bool((handover & ~by_failure).any()), "forward": work, "finish": work}
    jobs, vehicles = records.table("jobs"), records.table("vehicles")
    traced = records.has_columns("entities")
    asked = any(task.requests is not None for task in records.scenario.tasks)
    return {
        "handovers": bool(records.moves),
        **{f"handover of work: {name}": rule == name and affected[name] for name in affected},
        "uploads carried over a handover": uploads,
        "work carried over a handover": work,
        "several nodes": bool(records.node.max() > 0),
        "out of range": bool((records.node == NO_NODE).any()),
        "a node goes down": bool(len(down_ns)),
        "work dropped with its node": bool(by_failure.any()),
        "a vehicle leaves with work": bool((records.outcome == "dropped: vehicle left").any()),
        "mobility trace": traced,
        "request trace": asked and len(records.slot) > 0,
        "link trace": records.scenario.radio.rate_file is not None and len(set(vehicles["uplink_rate_bps"])) > 1,
        "transformer": records.has_columns("jobs") and bool((jobs["num_token"] > 0).any()),
        "no task": len(records.slot) < int((records.node != AWAY).sum()) * records.system.num_class,
        **{f"event {kind}": bool((events["kind"] == kind).any()) for kind in EVENTS},
    }


def occurrences(scenario: Scenario, result: RunResult) -> Counter[str]:
    """Count what makes a run worth comparing: 1 for each kind of trouble that it really contains, 0 for the others."""
    records = Records(scenario, result)
    found = dict.fromkeys(("nothing was recorded",), not len(records.slot))
    for tell in (of_tasks, of_decisions, of_messages, of_world):
        found |= tell(records)
    return Counter({name: int(present) for name, present in found.items()})
