"""Turns what happened into the rows of the trace, a block of slots at a time."""

from __future__ import annotations

from collections.abc import Sequence

from physical.states import VehicleStates
from physical.system import System
from physical.task_rows import TaskRows
from sim.record.decisions import DecisionRecorder
from sim.record.slots import Ledger
from sim.record.tasks import ages_ns, spent_by, write_jobs, write_tasks
from sim.record.vehicles import write_names, write_vehicles
from traces.sink import Sink
from twin.cloud import Deliberation


class Recorder:
    """Collects what the world tells it and writes it to the trace when flushed.

    keep_outcomes : remember the objective of every slot that is complete, for `take_outcomes`: with its drift, as what
        a decision leaves in the queues is part of what it brings
    """

    def __init__(
        self,
        system: System,
        node_names: list[str],
        sink: Sink,
        slot_duration_ns: int,
        *,
        keep_outcomes: bool = False,
    ) -> None:
        self.ledger = Ledger(system)
        self.decisions = DecisionRecorder(system, sink)
        self._system = system
        self._node_names = node_names
        self._sink = sink
        self._slot_duration_ns = slot_duration_ns
        self._states: list[tuple[int, VehicleStates]] = []
        self._truths: dict[int, VehicleStates] = {}  # of slots in which a decision may have begun that is still made
        self._events: list[tuple[int, str, int, str]] = []
        self._keep_outcomes = keep_outcomes
        self._outcomes: list[tuple[int, float]] = []

    def name_vehicles(self, names: Sequence[str], kinds: Sequence[str]) -> None:
        """Record which vehicle of a trace is which, [N] each; "" for a kind that is not told."""
        write_names(self._sink, names, kinds)

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

    def flush(self, tasks: TaskRows, end_ns: int, *, final: bool = False) -> None:
        """Write all that is complete, with the tasks that have ended (or, finally, those still in flight)."""
        if len(tasks.slot):
            self._write_tasks(tasks, end_ns)
        if self._states:
            write_vehicles(self._sink, self._states, self._node_names)
            self._states.clear()
        self.decisions.flush()
        rows = self.ledger.emit(final=final)
        if rows is not None:
            self._sink.add("slots", rows)
            if self._keep_outcomes:
                self._outcomes += zip(rows["slot"].tolist(), rows["objective"].tolist(), strict=True)
        if self._events:
            times, kinds, slots, details = zip(*self._events, strict=True)
            self._sink.add("events", {"time_ns": times, "kind": kinds, "slot": slots, "detail": details})
            self._events.clear()
        self._sink.close_part_if_due()

    def take_outcomes(self) -> list[tuple[int, float]]:
        """Return slot and realised objective of the slots that flushes have found complete since the last call."""
        taken, self._outcomes = self._outcomes, []
        return taken

    def _write_tasks(self, tasks: TaskRows, end_ns: int) -> None:
        spent = spent_by(tasks, self._system)
        generated_ns, age_ns = ages_ns(tasks, self._slot_duration_ns, end_ns)
        outcome = self.ledger.add_tasks(tasks, spent, age_ns)
        if tasks.metered is not None:
            write_jobs(self._sink, tasks, tasks.metered, spent, self._system)
        write_tasks(self._sink, tasks, generated_ns, outcome, end_ns)
