"""The interface of environments for trainers: many independent copies of a system, one slot at a time."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from physical.closed_form.slot import SlotOutcome
from physical.model.arrays import Array
from physical.system import System


class Observation(NamedTuple):
    """The information at the start of a slot; B environments, N vehicles, K classes.

    size_bytes : [B, N, K], 0 where there is no task
    rate_bps : [B, N], uplink rates
    backlog_bytes : [B, K]
    estimation_bias_hz : [B, N, K]
    """

    size_bytes: Array
    rate_bps: Array
    backlog_bytes: Array
    estimation_bias_hz: Array


class Environment(Protocol):
    """B environments with the same system; all arrays are NumPy's, or all are torch's.

    system : constants, in that library
    """

    system: System

    def observe(self) -> Observation:
        """Return the present slot."""

    def step(self, offloading_ratio: Array, compute_allocation_hz: Array) -> SlotOutcome:
        """Decide the present slot, both [B, N, K], and go to the next one; the backlog is carried over.

        The outcome keeps its gradient; the backlog that is carried over does not.
        """

    def reset(self) -> None:
        """Start all environments again, each with its own random numbers."""
