"""Turns what happened into the rows of the trace, a block of slots at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.model import computing, energy, slot, split, units
from physical.plane.columns import Outcome
from physical.plane.fleet import AWAY, VehicleStates
from physical.plane.ticks import NEVER, NS_PER_S, ns_from_ticks, ticks_from_ns
from physical.system import System
from sim.ledger import Ledger
from sim.prompts import rows_of
from traces.digest import mix
from traces.schema import OUTCOME
from traces.writer import TraceWriter
from twin.cloud import Deliberation

Floats = NDArray[np.float64]

_OUTCOMES = pa.array(
    [
        "in flight",
        "completed",
        "late",
        "dropped: uplink",
        "dropped: result",
        "dropped: handover",
        "dropped: vehicle left",
    ]
)
_CUT_SHORT = (Outcome.DROPPED_HANDOVER, Outcome.DROPPED_LEFT)
_JOINT = ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")
_STAGES = {
    "started_ns": "start",
    "local_end_ns": "local_end",
    "upload_end_ns": "upload_end",
    "arrived_ns": "arrive",
    "service_begin_ns": "serve",
    "service_end_ns": "served",
    "done_ns": "done",
}


@dataclass
class DecisionTotals:
    """Sums over decisions, for the summary."""

    num: int = 0
    repaired: int = 0
    fallbacks: int = 0
    objective_predicted: float = 0.0
    age_s: float = 0.0
    prompts: int = 0
    guarded: int = 0


class Recorder:
    """Collects what the world tells it and writes it to the trace when flushed.

    keep_outcomes : remember the objective of every slot that is complete, for `take_outcomes`
    """

    def __init__(
        self,
        system: System,
        node_names: list[str],
        writer: TraceWriter,
        slot_duration_ns: int,
        *,
        keep_outcomes: bool = False,
    ) -> None:
        self.ledger = Ledger(system)
        self.decisions = DecisionTotals()
        self.policy_wall_s: list[float] = []
        self._system = system
        self._node_names = pa.array(node_names)
        self._writer = writer
        self._slot_duration_ns = slot_duration_ns
        self._states: list[tuple[int, VehicleStates]] = []
        self._deliberations: list[tuple[Deliberation, VehicleStates]] = []
        self._events: list[tuple[int, str, int, str]] = []
        self._keep_outcomes = keep_outcomes
        self._outcomes: list[tuple[int, float]] = []

    def begin_slot(self, slot_index: int, states: VehicleStates) -> None:
        """Record the true states of a slot."""
        self._states.append((slot_index, states))

    def decided(self, deliberation: Deliberation, truth: VehicleStates) -> None:
        """Record a decision, and what was true when it was made."""
        self._deliberations.append((deliberation, truth))
        ruling = deliberation.ruling
        self.policy_wall_s.append(ruling.wall_s)
        if ruling.fallback:
            snapshot = deliberation.snapshot
            self.event(snapshot.time_ns, "fallback", snapshot.slot, ruling.fallback)

    def event(self, time_ns: int, kind: str, slot_index: int, detail: str) -> None:
        """Record something that is not part of every slot."""
        self._events.append((time_ns, kind, slot_index, detail))

    def flush(self, tasks: dict[str, Any], end_ns: int, *, final: bool = False) -> None:
        """Write all that is complete, with the tasks that have ended (or, finally, those still in flight)."""
        self._write_tasks(tasks, end_ns)
        self._write_vehicles()
        self._write_decisions()
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
        joules = self._energies_j(tasks, end_ns)
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
                "outcome": pa.DictionaryArray.from_arrays(pa.array(outcome), _OUTCOMES).cast(OUTCOME),
            },
        )

    def _energies_j(self, tasks: dict[str, Any], end_ns: int) -> dict[str, Floats]:
        """Return what tasks [num_row] spent, of unfinished ones what they used until the end; write the jobs."""
        system, vehicle = self._system, tasks["vehicle"]
        metered = "edge_j" in tasks
        ratio = np.nan_to_num(tasks["offloading_ratio"], nan=1.0)  # a held task has used nothing
        hz = np.nan_to_num(tasks["local_hz"], nan=1.0) if metered else system.cpu_hz[vehicle]
        work = tasks["local_work"] if metered else tasks["size_bytes"] * system.cycles_per_byte[tasks["task_class"]]
        cycles = computing.local_part(work, ratio)
        end = np.minimum(tasks["done"], ticks_from_ns(end_ns))
        unfinished = tasks["local_end"] > end
        if unfinished.any():
            need_s = computing.execution_delay_s(cycles, hz)
            left_s = np.where(unfinished, (ns_from_ticks(tasks["local_end"]) - ns_from_ticks(end)) / NS_PER_S, 0.0)
            done = np.clip(1.0 - left_s / np.maximum(need_s, 1e-300), 0.0, 1.0)
            cycles = np.where(unfinished, cycles * done, cycles)
        joules = {"local": energy.local_energy_j(cycles, hz, system.kappa_vehicle[vehicle])}
        if metered:
            joules |= {"transmit": tasks["transmit_j"], "edge": tasks["edge_j"]}
            self._write_jobs(tasks, joules)
        return joules

    def _write_jobs(self, tasks: dict[str, Any], joules: dict[str, Floats]) -> None:
        system, task_class = self._system, tasks["task_class"]
        num_layer, ratio = system.num_layer[task_class], tasks["offloading_ratio"]
        is_split = num_layer > 0
        held = np.isnan(ratio)
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
                **{f"energy_{kind}_j": spent_j for kind, spent_j in joules.items()},
            },
        )

    def _write_vehicles(self) -> None:
        if not self._states:
            return
        count = self._system.num_vehicle
        slots = np.array([index for index, _ in self._states], dtype=np.int32)
        states = [state for _, state in self._states]
        serving = np.concatenate([state.serving_node for state in states])
        index = pa.array(serving.astype(np.int32), mask=serving < 0)
        node = pa.DictionaryArray.from_arrays(index, self._node_names)
        self._add_present(
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
            },
        )
        self._states.clear()

    def _write_decisions(self) -> None:
        if not self._deliberations:
            return
        deliberations = [deliberation for deliberation, _ in self._deliberations]
        snapshots = [deliberation.snapshot for deliberation in deliberations]
        rulings = [deliberation.ruling for deliberation in deliberations]
        beliefs = {
            name: np.stack([getattr(snapshot, name) for snapshot in snapshots])
            for name in (
                "x_m",
                "y_m",
                "speed_mps",
                "heading_rad",
                *(("serving_node",) if self._system.num_node > 1 else ()),
                "channel_gain",
                "age_of_information_s",
                "size_bytes",
                "backlog_bytes",
                "estimation_bias_hz",
            )
        }
        ratio = np.stack([ruling.decision.offloading_ratio for ruling in rulings])
        allocation_hz = np.stack([ruling.decision.compute_allocation_hz for ruling in rulings])
        joint = {name: _stacked([getattr(ruling.decision, name) for ruling in rulings]) for name in _JOINT}
        predicted = self._predicted(beliefs, ratio, allocation_hz, joint)
        slots = np.array([snapshot.slot for snapshot in snapshots], dtype=np.int32)
        totals = self.decisions
        totals.num += len(slots)
        totals.objective_predicted += float(predicted.sum())
        totals.age_s += self._mean_age_s(beliefs["age_of_information_s"])
        totals.repaired += sum(ruling.repaired for ruling in rulings)
        totals.fallbacks += sum(bool(ruling.fallback) for ruling in rulings)
        diagnostics = [ruling.diagnostics for ruling in rulings]
        self._writer.add(
            "decisions",
            {
                "slot": slots,
                "decided_ns": [snapshot.time_ns for snapshot in snapshots],
                "latency_ns": [deliberation.latency_ns for deliberation in deliberations],
                "belief_digest": _belief_digest(beliefs),
                "estimated_size_bytes": beliefs["size_bytes"],
                "estimated_backlog_bytes": beliefs["backlog_bytes"],
                "offloading_ratio": ratio,
                "compute_allocation_hz": allocation_hz,
                **joint,
                "objective_predicted": predicted,
                "repaired": [ruling.repaired for ruling in rulings],
                "fallback": [bool(ruling.fallback) for ruling in rulings],
                "feasible": [item.feasible for item in diagnostics],
                "objective": [item.objective for item in diagnostics],
                "lower_bound": [item.lower_bound for item in diagnostics],
                "gap": [item.gap for item in diagnostics],
                "num_token": [item.num_token for item in diagnostics],
                "num_binding": [item.num_binding for item in diagnostics],
                "capacity_price": [item.capacity_price for item in diagnostics],
                "policy_wall_s": [ruling.wall_s for ruling in rulings],
                "solve_wall_s": [item.solve_s for item in diagnostics],
            },
        )
        if (prompts := rows_of(slots.tolist(), diagnostics)) is not None:
            self._writer.add("prompts", prompts)
            totals.prompts += len(prompts["slot"])
            totals.guarded += sum(prompts["guarded"])
        self._write_twin(slots, beliefs)
        self._deliberations.clear()

    def _mean_age_s(self, age_s: Floats) -> float:
        """Return the sum over decisions of the mean age over the vehicles in the scene, s; `age_s` : [decisions, N]."""
        present = np.stack([truth.serving_node != AWAY for _, truth in self._deliberations])
        if present.all():
            return float(age_s.mean(axis=1).sum())
        counted = np.maximum(present.sum(axis=1), 1)
        return float((np.where(present, age_s, 0.0).sum(axis=1) / counted).sum())

    def _predicted(
        self, beliefs: dict[str, Floats], ratio: Floats, allocation_hz: Floats, joint: dict[str, Any]
    ) -> Floats:
        """Return the objective as it follows from beliefs and decisions, [num_decision]."""
        system = self._system
        predicted: Floats
        if system.cost is not None:
            predicted = split.split_step(
                system,
                beliefs["size_bytes"],
                system.decided_rate_bps(joint["bandwidth_hz"], joint["transmit_power_w"], beliefs["channel_gain"]),
                np.stack([deliberation.snapshot.serving_node for deliberation, _ in self._deliberations]),
                ratio,
                allocation_hz,
                joint["transmit_power_w"],
                joint["local_frequency_hz"],
            ).objective
            return predicted
        predicted = slot.slot_step(
            system,
            beliefs["size_bytes"],
            system.uplink_rate_bps(beliefs["channel_gain"]),
            ratio,
            allocation_hz,
            beliefs["backlog_bytes"],
            beliefs["estimation_bias_hz"],
            beliefs["serving_node"].astype(np.int64) if "serving_node" in beliefs else None,
        ).objective
        return predicted

    def _write_twin(self, slots: NDArray[np.int32], beliefs: dict[str, Floats]) -> None:
        count = self._system.num_vehicle
        truths = [truth for _, truth in self._deliberations]
        x_m, y_m, gain = (
            np.stack([getattr(truth, name) for truth in truths]) for name in ("x_m", "y_m", "channel_gain")
        )
        estimated_x_m, estimated_y_m = beliefs["x_m"], beliefs["y_m"]
        self._add_present(
            "twin",
            np.concatenate([truth.serving_node for truth in truths]) != AWAY,
            {
                "slot": np.repeat(slots, count),
                "vehicle": np.tile(np.arange(count, dtype=np.int32), len(slots)),
                "age_of_information_s": beliefs["age_of_information_s"].reshape(-1),
                "estimation_bias_hz": beliefs["estimation_bias_hz"][..., 0].reshape(-1),
                "estimated_x_m": estimated_x_m.reshape(-1),
                "estimated_y_m": estimated_y_m.reshape(-1),
                "estimated_channel_gain": beliefs["channel_gain"].reshape(-1),
                "position_error_m": np.hypot(estimated_x_m - x_m, estimated_y_m - y_m).reshape(-1),
                "channel_gain_error_db": np.round(units.linear_to_db(beliefs["channel_gain"] / gain), 6).reshape(-1),
            },
        )

    def _add_present(self, table: str, present: NDArray[np.bool_], columns: dict[str, Any]) -> None:
        """Add the rows of vehicles that are in the scene; `present` is a mask over rows."""
        if not present.all():
            chosen = pa.array(present)
            columns = {
                name: values.filter(chosen) if isinstance(values, pa.Array) else values[present]
                for name, values in columns.items()
            }
        self._writer.add(table, columns)


def _stacked(arrays: list[Floats | None]) -> Floats:
    """Stack one array per decision; empty ones where the system fixes the field."""
    return np.stack([np.empty(0) if values is None else values for values in arrays])


def _nullable(ticks: NDArray[np.int64]) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.MaskedArray(ns_from_ticks(ticks), mask=ticks >= NEVER)


def _belief_digest(beliefs: dict[str, Floats]) -> NDArray[np.uint64]:
    """Return 64 bits per decision that change with anything the policy saw."""
    total = np.zeros(len(beliefs["x_m"]), dtype=np.uint64)
    for values in beliefs.values():
        flat = np.ascontiguousarray(values.reshape(len(total), -1)) + 0.0
        position = mix(np.arange(1, flat.shape[1] + 1, dtype=np.uint64))
        total = mix(total + mix(flat.view(np.uint64) ^ position).sum(axis=1, dtype=np.uint64))
    return total
