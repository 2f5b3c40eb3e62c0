"""The contract of a policy."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from physical.system import System
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot


@runtime_checkable
class Policy(Protocol):
    """Decides once per slot from the twin's snapshot, and from nothing else.

    A policy is a class whose constructor arguments are its options; a dataclass is the short way to write one.
    `diagnostics` is optional: without it nothing is known but the decision.
    """

    def reset(self, system: System, seed: int) -> None:
        """Get ready for a run on `system`; draw random numbers from `seed` only."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Return the decision for the slot of `snapshot`."""


@runtime_checkable
class Explains(Protocol):
    """A policy that can tell more about its last decision."""

    def diagnostics(self) -> Diagnostics:
        """Return what is known about the last decision."""
