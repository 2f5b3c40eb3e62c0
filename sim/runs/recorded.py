"""Decides again what was decided in a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from physical.arrays import Floats
from physical.system import System
from twin.cloud import Decider
from twin.decision import Ruling
from twin.messages import LOST_NS
from twin.snapshot import TwinSnapshot


class RecordedDecisions:
    """Decides what was decided, after the same time; the fallback decides where nothing is recorded.

    Parameters
    ----------
    rulings : by slot
    fallback : who decides where nothing is recorded
    takes_time : a decision after the last recorded one was still being made when the record ended, and stays so
    """

    wants_outcomes = False

    def __init__(self, rulings: dict[int, Ruling], fallback: Decider, *, takes_time: bool) -> None:
        self._rulings = rulings
        self._fallback = fallback
        self._complete_to = max(rulings, default=-1) if takes_time else None

    def reset(self, system: System, seed: int) -> None:
        """Learn the shape of decisions."""
        self._shape = (system.num_vehicle, system.num_class)
        self._fallback.reset(system, seed)

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return the recorded ruling."""
        ruling = self._rulings.get(snapshot.slot)
        size = self._shape[0] * self._shape[1]
        if ruling is None or ruling.decision.offloading_ratio.size != size:
            missing = self._fallback.rule_by_fallback(snapshot, "the record has no decision for this slot", 0.0)
            pending = self._complete_to is not None and snapshot.slot > self._complete_to
            return replace(missing, latency_ns=LOST_NS) if pending else missing
        decision = ruling.decision
        if decision.compute_allocation_hz.size != size:
            return self._fallback.rule_by_fallback(snapshot, "the recorded decision has another shape", 0.0)
        shaped = replace(
            decision,
            offloading_ratio=_as(decision.offloading_ratio, self._shape),
            compute_allocation_hz=_as(decision.compute_allocation_hz, self._shape),
        )
        return replace(ruling, decision=shaped)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        return self._fallback.rule_by_fallback(snapshot, reason, wall_s)

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Stay with the record."""

    def describe(self) -> dict[str, Any]:
        """Say nothing: the record's manifest does."""
        return {}

    def close(self) -> str:
        """Close the fallback."""
        return self._fallback.close()


def _as(values: Floats, shape: tuple[int, int]) -> Floats:
    return values.reshape(shape)
