"""Who decides when several policies do: one at first, others from some times on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from physical.errors import InputError
from physical.system import System
from twin.cloud import Decider
from twin.decision import Ruling
from twin.snapshot import TwinSnapshot


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
