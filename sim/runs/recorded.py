"""Who decides in a run: a guarded policy, what was recorded, or one until some time and then another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from physical.arrays import Floats
from physical.errors import InputError
from physical.system import System
from twin.cloud import DecisionMaker
from twin.decision import Ruling
from twin.messages import LOST_NS
from twin.snapshot import TwinSnapshot


class Decider(DecisionMaker, Protocol):
    """A decision maker that can be got ready for a run, and that may learn while it lasts."""

    def reset(self, system: System, seed: int) -> None:
        """Get ready for a run."""

    @property
    def wants_outcomes(self) -> bool:
        """Whether it wants to be told what slots realised."""

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Be told what slots realised, (slot, objective), once all their tasks have ended."""

    def describe(self) -> dict[str, Any]:
        """Return what the manifest says about who decides, beside the name."""

    def close(self) -> str:
        """Let go of processes and models, as the run has ended; return what went wrong, if anything did."""


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


class Swap(NamedTuple):
    """Who decides from `time_ns` on; `where` is what errors call the place that names it."""

    time_ns: int
    decider: Decider
    where: str


class SwitchedDecisions:
    """One decider at first, others from some times on.

    Parameters
    ----------
    first : who decides before the first swap
    swaps : in order of time; one decider may come in several times
    """

    def __init__(self, first: Decider, swaps: Sequence[Swap]) -> None:
        self._first = first
        self._swaps = swaps
        self._deciders = [first, *(swap.decider for swap in swaps)]
        self._times_ns = [swap.time_ns for swap in swaps]

    def reset(self, system: System, seed: int) -> None:
        """Get all ready, with the same seed: one that draws begins when it first decides."""
        self._first.reset(system, seed)
        for swap in {id(swap.decider): swap for swap in self._swaps}.values():
            try:
                swap.decider.reset(system, seed)
            except InputError as error:
                if error.where == "--policy":  # else it is a file of the policy's
                    error.where = swap.where
                raise

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return the ruling of who is in charge."""
        return self._in_charge(snapshot).rule(snapshot)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision of who is in charge."""
        return self._in_charge(snapshot).rule_by_fallback(snapshot, reason, wall_s)

    @property
    def wants_outcomes(self) -> bool:
        """Whether anybody wants to be told what slots realised."""
        return any(decider.wants_outcomes for decider in self._deciders)

    def describe(self) -> dict[str, Any]:
        """Return what the first one says."""
        return self._first.describe()

    def close(self) -> str:
        """Close all."""
        return "; ".join(dict.fromkeys(filter(None, [decider.close() for decider in self._deciders])))

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Tell all who want to know; each picks the slots that it decided."""
        for decider in {id(decider): decider for decider in self._deciders if decider.wants_outcomes}.values():
            decider.learn(outcomes)

    def _in_charge(self, snapshot: TwinSnapshot) -> Decider:
        return self._deciders[bisect_right(self._times_ns, snapshot.time_ns)]
