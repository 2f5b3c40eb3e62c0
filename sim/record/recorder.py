"""Turns what happened into the rows of the trace, a block of slots at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from physical.arrays import Floats, Ints
from physical.columns.fleet import AWAY, VehicleStates
from physical.columns.tasks import Outcome
from physical.model import computing, energy
from physical.system import System
from physical.ticks import NEVER, ns_from_ticks, ticks_from_ns
from sim.record.decisions import DecisionRecorder, add_present
from sim.record.slots import Ledger
from traces import arrays
from traces.sink import Sink
from twin.cloud import Deliberation

_OUTCOMES = (
    *("in flight", "completed", "late"),
    *("dropped: uplink", "dropped: result", "dropped: handover", "dropped: vehicle left"),
)
_CUT_SHORT = (Outcome.DROPPED_HANDOVER, Outcome.DROPPED_LEFT)
_STAGES = {
    "started_ns": "start",
    "local_end_ns": "local_end",
    "upload_end_ns": "upload_end",
    "arrived_ns": "arrive",
    "service_begin_ns": "serve",
    "service_end_ns": "served",
    "done_ns": "done",
}


class Recorder:
    """Collects what the world tells it and writes it to the trace when flushed.

    keep_outcomes : remember the objective of every slot that is complete, for `take_outcomes`: with its drift, as what
        a decision leaves in the queues is part of what it brings
    """

    def __init__(
        self,
        system: System,
        node_names: list[str],
        writer: Sink,
        slot_duration_ns: int,
        *,
        keep_outcomes: bool = False,
    ) -> None:
        self.ledger = Ledger(system)
        self.decisions = DecisionRecorder(system, writer)
        self._system = system
        self._node_names = node_names
        self._writer = writer
        self._slot_duration_ns = slot_duration_ns
        self._states: list[tuple[int, VehicleStates]] = []
        self._truths: dict[int, VehicleStates] = {}  # of slots in which a decision may have begun that is still made
        self._events: list[tuple[int, str, int, str]] = []
        self._keep_outcomes = keep_outcomes
        self._outcomes: list[tuple[int, float]] = []

    def name_vehicles(self, names: Sequence[str], kinds: Sequence[str]) -> None:
        """Record which vehicle of a trace is which, [N] each; "" for a kind that is not told."""
        known = list(dict.fromkeys(kinds))
        codes = np.array([known.index(kind) for kind in kinds], dtype=np.int32)
        told = np.ma.MaskedArray(codes, mask=[not kind for kind in kinds])
        vehicle = np.arange(len(names), dtype=np.int32)
        rows = {"vehicle": vehicle, "vehicle_id": list(names), "kind": arrays.Coded(told, known)}
        self._writer.add("entities", rows)

    def begin_slot(self, slot_index: int, states: VehicleStates) -> None:
        """Record the true states of a slot."""
        self._states.append((slot_index, states))
        self._truths[slot_index] = states

    def decided(self, deliberation: Deliberation) -> None:
        """Record a decision, and what was true when the twin began to make it."""
        decided_in = deliberation.snapshot.time_ns // self._slot_duration_ns
        for older in [slot for slot in self._truths if slot < decided_in]:
            del self._truths[older]
        self.decisions.add(deliberation, self._truths[decided_in])
        if reason := deliberation.ruling.fallback:
            snapshot = deliberation.snapshot
            self.event(snapshot.time_ns, "fallback", snapshot.slot, reason)

    def event(self, time_ns: int, kind: str, slot_index: int, detail: str) -> None:
        """Record something that is not part of every slot."""
        self._events.append((time_ns, kind, slot_index, detail))

    def flush(self, tasks: dict[str, Any], end_ns: int, *, final: bool = False) -> None:
        """Write all that is complete, with the tasks that have ended (or, finally, those still in flight)."""
        self._write_tasks(tasks, end_ns)
        self._write_vehicles()
        self.decisions.flush()
        rows = self.ledger.emit(final=final)
        if rows is not None:
            self._writer.add("slots", rows)
            if self._keep_outcomes:
                self._outcomes += zip(rows["slot"].tolist(), rows["objective"].tolist(), strict=True)
        if self._events:
            times, kinds, slots, details = zip(*self._events, strict=True)
            self._writer.add("events", {"time_ns": times, "kind": kinds, "slot": slots, "detail": details})
            self._events.clear()
        self._writer.close_part_if_due()

    def take_outcomes(self) -> list[tuple[int, float]]:
        """Return slot and realised objective of the slots that flushes have found complete since the last call."""
        taken, self._outcomes = self._outcomes, []
        return taken

    def _write_tasks(self, tasks: dict[str, Any], end_ns: int) -> None:
        if not len(tasks["slot"]):
            return
        generated_ns = tasks["slot"].astype(np.int64) * self._slot_duration_ns
        done_ns = np.where(tasks["done"] < NEVER, ns_from_ticks(tasks["done"]), end_ns)
        in_flight = tasks["outcome"] == Outcome.IN_FLIGHT
        age_ns = np.where(in_flight, end_ns, done_ns) - generated_ns
        joules = self._energies_j(tasks)
        if in_flight.any():  # what is still on its way at the end of the run has not arrived
            tasks["arrive"] = np.where(tasks["arrive"] <= ticks_from_ns(end_ns), tasks["arrive"], NEVER)
        outcome = self.ledger.add_tasks(tasks, joules, age_ns)
        stages = {name: _nullable(tasks[column]) for name, column in _STAGES.items()}
        if in_flight.any():
            end = ticks_from_ns(end_ns)  # not in rounded ns: a stage may end a fraction of one later
            for name, column in _STAGES.items():
                stages[name] = np.ma.masked_where(
                    (tasks[column] > end) | np.ma.getmaskarray(stages[name]), stages[name].data
                )
        cut_short = np.isin(outcome, _CUT_SHORT)
        if cut_short.any():  # what was planned for later did not take place
            for name, column in _STAGES.items():
                planned = cut_short & (tasks[column] > tasks["done"])
                stages[name] = np.ma.masked_where(planned | np.ma.getmaskarray(stages[name]), stages[name].data)
        ratio = tasks["offloading_ratio"]
        self._writer.add(
            "tasks",
            {
                "slot": tasks["slot"],
                "vehicle": tasks["vehicle"],
                "task_class": tasks["task_class"],
                "size_bytes": tasks["size_bytes"],
                "offloading_ratio": ratio,
                "generated_ns": generated_ns,
                **stages,
                "outcome": arrays.Coded(outcome, _OUTCOMES),
            },
        )

    def _energies_j(self, tasks: dict[str, Any]) -> dict[str, Floats]:
        """Return what tasks [num_row] spent, of unfinished ones what they used until the end; write the jobs.

        Only what is billed job by job: with another rule than "job", the servers' energy is that of their power.
        """
        system, vehicle = self._system, tasks["vehicle"]
        metered = "edge_j" in tasks
        ratio = np.nan_to_num(tasks["offloading_ratio"], nan=1.0)  # a held task has used nothing
        hz = np.nan_to_num(tasks["local_hz"], nan=1.0) if metered else system.cpu_hz[vehicle]
        work = tasks["local_work"] if metered else tasks["size_bytes"] * system.cycles_per_byte[tasks["task_class"]]
        cycles = computing.local_part(work, ratio)
        cycles = np.maximum(cycles - tasks["local_left_s"] * hz, 0.0)  # what has not run costs nothing
        joules = {"local": energy.local_energy_j(cycles, hz, system.kappa_vehicle[vehicle])}
        if system.joint:
            joules["transmit"] = tasks["transmit_j"]
        if system.model.edge_energy_rule == "job":
            joules["edge"] = tasks["edge_j"]
        if metered:
            self._write_jobs(tasks, joules)
        return joules

    def _write_jobs(self, tasks: dict[str, Any], joules: dict[str, Floats]) -> None:
        system, task_class = self._system, tasks["task_class"]
        num_layer, ratio = system.num_layer[task_class], tasks["offloading_ratio"]
        is_split = num_layer > 0
        held = np.isnan(ratio)
        unbilled = np.ma.MaskedArray(np.zeros(len(ratio)), mask=True)
        layers = np.rint((1.0 - np.nan_to_num(ratio)) * num_layer).astype(np.int32)
        self._writer.add(
            "jobs",
            {
                "slot": tasks["slot"],
                "vehicle": tasks["vehicle"],
                "task_class": task_class,
                "num_token": np.where(is_split, tasks["size_bytes"] / system.bytes_per_token[task_class], 0).astype(
                    np.int64
                ),
                "layers_local": np.ma.MaskedArray(layers, mask=held | ~is_split),
                "local_frequency_hz": np.ma.MaskedArray(tasks["local_hz"], mask=held),
                **{f"energy_{kind}_j": joules.get(kind, unbilled) for kind in ("local", "transmit", "edge")},
            },
        )

    def _write_vehicles(self) -> None:
        if not self._states:
            return
        count = self._system.num_vehicle
        slots = np.array([index for index, _ in self._states], dtype=np.int32)
        states = [state for _, state in self._states]
        serving = np.concatenate([state.serving_node for state in states])
        node = arrays.Coded(np.ma.MaskedArray(serving.astype(np.int32), mask=serving < 0), self._node_names)
        add_present(
            self._writer,
            "vehicles",
            serving != AWAY,
            {
                "slot": np.repeat(slots, count),
                "vehicle": np.tile(np.arange(count, dtype=np.int32), len(slots)),
                "x_m": np.concatenate([state.x_m for state in states]),
                "y_m": np.concatenate([state.y_m for state in states]),
                "speed_mps": np.concatenate([state.speed_mps for state in states]),
                "channel_gain": np.concatenate([state.channel_gain for state in states]),
                "uplink_rate_bps": np.concatenate([state.uplink_rate_bps for state in states]),
                "serving_node": node,
                "cpu_backlog_cycles": np.concatenate([state.cpu_backlog_cycles for state in states]),
                "uplink_backlog_bytes": np.concatenate([state.uplink_backlog_bytes for state in states]),
            },
        )
        self._states.clear()


def _nullable(ticks: Ints) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.MaskedArray(ns_from_ticks(ticks), mask=ticks >= NEVER)
