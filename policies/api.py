"""The contract of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from physical.system import System
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot


@runtime_checkable
class Policy(Protocol):
    """Decides once per slot from the twin's snapshot, and from nothing else.

    A policy is a class whose constructor arguments are its options; a dataclass is the short way to write one.
    `diagnostics` is optional: without it nothing is known but the decision.

    System and snapshots are copies for it alone; what it raises costs decisions, and what it changes in the process is
    put back. Python has no walls, though: a call that does not return stops the run, and what a policy does with
    `ctypes`, in threads, in processes of its own (`os.fork`) or in modules stays.
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


@runtime_checkable
class Describes(Protocol):
    """A policy with more to say about itself than its name and options."""

    def describe(self) -> dict[str, Any]:
        """Return plain data for the manifest of a run; asked once, after `reset`."""


@runtime_checkable
class Closes(Protocol):
    """A policy that holds more than memory: a process, a model."""

    def close(self) -> None:
        """Let go of it; called when a run has ended. After another `reset` the policy decides again."""


@runtime_checkable
class Learns(Protocol):
    """A policy that goes on learning in a run."""

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Be told what slots realised, once all their tasks have ended: (slot, realised objective), in order of slots.

        Only slots that the policy itself decided are told, not those of the fallback. The objective of a slot without
        tasks is NaN.
        """
