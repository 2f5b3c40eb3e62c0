"""Turns decisions into rows of the tables `decisions`, `prompts` and `twin`, and sums them up for the summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.goals import Known, goal_of
from physical.model import units
from physical.states import AWAY, VehicleStates
from physical.sums import added
from physical.system import System
from sim.record.prompts import rows_of
from sim.record.vehicles import add_present
from traces.arrays import of_numbers
from traces.digest import mix
from traces.sink import Sink
from twin.cloud import Deliberation
from twin.decision import Decision, Diagnostics, Ruling

_JOINT = ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")
_BELIEFS = (
    *("x_m", "y_m", "speed_mps", "heading_rad", "serving_node", "channel_gain", "age_of_information_s"),
    *("size_bytes", "backlog_bytes", "estimation_bias_hz"),
    *("cpu_backlog_cycles", "uplink_backlog_bytes", "flow_backlog_cycles"),
)


@dataclass
class DecisionTotals:
    """Sums over decisions, for the summary.

    gap_max : the largest certified gap; NaN if there is none
    models : for which models gaps hold, as policies say
    first_fallback : when the first decision was taken by the fallback, and why
    """

    num: int = 0
    repaired: int = 0
    fallbacks: int = 0
    objective_predicted: float = 0.0
    age_s: float = 0.0
    prompts: int = 0
    guarded: int = 0
    gap_max: float = np.nan
    models: set[str] = field(default_factory=set)
    first_fallback: str = ""


class DecisionRecorder:
    """Collects decisions, and writes them to the trace when flushed.

    totals : of all decisions that have been flushed
    wall_s : s, wall time that each decision took
    """

    def __init__(self, system: System, writer: Sink) -> None:
        self.totals = DecisionTotals()
        self.wall_s: list[float] = []
        self._system = system
        self._writer = writer
        self._deliberations: list[tuple[Deliberation, VehicleStates]] = []
        self._has_flows = system.discipline == "slices"
        # With one node, who is out of its range has no gain: the node tells nothing more.
        self._beliefs = [name for name in _BELIEFS if name != "serving_node" or system.num_node > 1]

    def add(self, deliberation: Deliberation, truth: VehicleStates) -> None:
        """Take a decision, and what was true when it was made."""
        self._deliberations.append((deliberation, truth))
        self.wall_s.append(deliberation.ruling.wall_s)

    def flush(self) -> None:
        """Write the decisions since the last time."""
        if not self._deliberations:
            return
        deliberations = [deliberation for deliberation, _ in self._deliberations]
        snapshots = [deliberation.snapshot for deliberation in deliberations]
        rulings = [deliberation.ruling for deliberation in deliberations]
        diagnostics = [ruling.diagnostics for ruling in rulings]
        beliefs = {name: _stacked(list(map(attrgetter(name), snapshots))) for name in self._beliefs}
        decided = {
            name: _stacked([getattr(ruling.decision, name) for ruling in rulings])
            for name in ("offloading_ratio", "compute_allocation_hz", *_JOINT)
        }
        predicted = self._predicted(beliefs, decided)
        slots = np.array([snapshot.slot for snapshot in snapshots], dtype=np.int32)
        self._writer.add(
            "decisions",
            {
                "slot": slots,
                "decided_ns": [snapshot.time_ns for snapshot in snapshots],
                "latency_ns": [deliberation.latency_ns for deliberation in deliberations],
                "belief_digest": _belief_digest(beliefs),
                "estimated_size_bytes": beliefs["size_bytes"],
                "estimated_backlog_bytes": beliefs["backlog_bytes"],
                "estimated_flow_backlog_cycles": self._waiting_flows(beliefs["flow_backlog_cycles"]),
                **decided,
                "objective_predicted": predicted,
                **_claims(rulings),
            },
        )
        if (prompts := rows_of(slots.tolist(), diagnostics)) is not None:
            self._writer.add("prompts", prompts)
            self.totals.prompts += len(prompts["slot"])
            self.totals.guarded += sum(prompts["guarded"])
        self._write_twin(slots, beliefs)
        self._sum_up(rulings, predicted, beliefs["age_of_information_s"])
        if not self.totals.first_fallback:
            reasons = zip(slots, (ruling.fallback for ruling in rulings), strict=True)
            self.totals.first_fallback = next((f"slot {slot}: {reason}" for slot, reason in reasons if reason), "")
        self._deliberations.clear()

    def _sum_up(self, rulings: list[Ruling], predicted: Floats, age_s: Floats) -> None:
        totals = self.totals
        totals.num += len(rulings)
        totals.objective_predicted = added(predicted.tolist(), totals.objective_predicted)
        totals.age_s = added(self._mean_age_s(age_s).tolist(), totals.age_s)
        totals.repaired += sum(ruling.repaired for ruling in rulings)
        totals.fallbacks += sum(bool(ruling.fallback) for ruling in rulings)
        diagnostics = [ruling.diagnostics for ruling in rulings]
        totals.gap_max = float(np.fmax.reduce([item.gap for item in diagnostics], initial=totals.gap_max))
        totals.models |= {item.model for item in diagnostics if item.model}

    def _mean_age_s(self, age_s: Floats) -> Floats:
        """Return the mean age over the vehicles in the scene, [decisions], s; `age_s` : [decisions, N]."""
        present = np.stack([truth.serving_node != AWAY for _, truth in self._deliberations])
        if present.all():
            return np.asarray(age_s.mean(axis=1))
        counted = np.maximum(present.sum(axis=1), 1)
        return np.asarray(np.where(present, age_s, 0.0).sum(axis=1) / counted)

    def _waiting_flows(self, cycles: Floats) -> Floats | pa.ListArray:
        """Return the backlog of flows, a list for each decision, which is empty where nothing waits."""
        if not self._has_flows or (cycles.strides[0] == 0 and not cycles[0].any()):
            return np.empty((len(cycles), 0))
        rows = cycles.reshape(len(cycles), -1)
        waits = rows.any(axis=1)
        if waits.all():
            return rows
        offsets = np.concatenate([[0], np.cumsum(waits * rows.shape[1])]).astype(np.int32)
        return pa.ListArray.from_arrays(of_numbers(offsets), of_numbers(rows[waits].reshape(-1)))

    def _predicted(self, beliefs: dict[str, Floats], decided: dict[str, Floats]) -> Floats:
        """Return the objective as it follows from beliefs and decisions, [num_decision].

        All at once, whoever has decided: a replay has the same decisions, but not what policies promised.
        """
        system, spectrum, gain = self._system, self._system.spectrum, beliefs["channel_gain"]
        decision = Decision(**decided)
        known = Known(
            beliefs["size_bytes"],
            system.uplink_rate_bps(gain)
            if spectrum is None
            else spectrum.rate_bps(decision.bandwidth_hz, decision.transmit_power_w, gain),
            np.stack([deliberation.snapshot.serving_node for deliberation, _ in self._deliberations]),
            beliefs["backlog_bytes"],
            beliefs["estimation_bias_hz"],
        )
        predicted: Floats = goal_of(system).outcome(system, known, decision).objective
        return predicted

    def _write_twin(self, slots: NDArray[np.int32], beliefs: dict[str, Floats]) -> None:
        count = self._system.num_vehicle
        truths = [truth for _, truth in self._deliberations]
        x_m, y_m, gain = (
            np.stack([getattr(truth, name) for truth in truths]) for name in ("x_m", "y_m", "channel_gain")
        )
        estimated_x_m, estimated_y_m = beliefs["x_m"], beliefs["y_m"]
        add_present(
            self._writer,
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
                "estimated_cpu_backlog_cycles": beliefs["cpu_backlog_cycles"].reshape(-1),
                "estimated_uplink_backlog_bytes": beliefs["uplink_backlog_bytes"].reshape(-1),
                "position_error_m": np.hypot(estimated_x_m - x_m, estimated_y_m - y_m).reshape(-1),
                "channel_gain_error_db": np.round(units.linear_to_db(beliefs["channel_gain"] / gain), 6).reshape(-1),
            },
        )


def _claims(rulings: Sequence[Ruling]) -> dict[str, Any]:
    """Return what policies say about their decisions, and what became of those, by column."""
    diagnostics: list[Diagnostics] = [ruling.diagnostics for ruling in rulings]
    own = ("feasible", "objective", "lower_bound", "gap", "model", "num_token", "num_binding", "capacity_price")
    return {
        "repaired": [ruling.repaired for ruling in rulings],
        "fallback": [bool(ruling.fallback) for ruling in rulings],
        **{name: list(map(attrgetter(name), diagnostics)) for name in own},
        "policy_wall_s": [ruling.wall_s for ruling in rulings],
        "solve_wall_s": [item.solve_s for item in diagnostics],
    }


def _stacked(arrays: list[Floats | None]) -> Floats:
    """Stack one array per decision; empty ones where the system fixes the field."""
    first = arrays[0]
    if first is None:
        return np.empty((len(arrays), 0))
    if len(set(map(id, arrays))) == 1:  # where nothing waits, for example
        return np.broadcast_to(first, (len(arrays), *first.shape))
    return np.array(arrays)


def _belief_digest(beliefs: dict[str, Floats]) -> NDArray[np.uint64]:
    """Return 64 bits per decision that change with anything the policy saw."""
    total = np.zeros(len(beliefs["x_m"]), dtype=np.uint64)
    for values in beliefs.values():
        rows = values[:1] if values.strides[0] == 0 else values  # where nothing waits, all slots have the same zeros
        flat = np.ascontiguousarray(rows.reshape(len(rows), -1)) + 0.0
        total = mix(total + (_scrambled_sum(flat) if flat.any() else _scrambled_sum_of_zeros(flat.shape[1])))
    return total


def _scrambled_sum(flat: Floats) -> NDArray[np.uint64]:
    """Return one number per row that changes with any of its numbers, and with their order."""
    position = mix(np.arange(1, flat.shape[1] + 1, dtype=np.uint64))
    sums: NDArray[np.uint64] = mix(flat.view(np.uint64) ^ position).sum(axis=1, dtype=np.uint64)
    return sums


@lru_cache(maxsize=8)
def _scrambled_sum_of_zeros(length: int) -> NDArray[np.uint64]:
    return _scrambled_sum(np.zeros((1, length)))
