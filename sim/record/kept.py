"""Decisions that are kept in memory, with what they rest on."""

from __future__ import annotations

from twin.cloud import Deliberation
from twin.snapshot import TwinSnapshot


class KeptDecisions:
    """An observer of the cloud that keeps what the twin knew and decided.

    every : keep the decisions of slots 0, `every`, 2 `every`, ..
    """

    def __init__(self, every: int = 1) -> None:
        self.deliberations: list[Deliberation] = []
        self._every = every

    def decided(self, deliberation: Deliberation) -> None:
        """Keep a decision if it is one of those."""
        if deliberation.snapshot.slot % self._every == 0:
            self.deliberations.append(deliberation)

    @property
    def snapshots(self) -> list[TwinSnapshot]:
        """What the twin knew when it took the decisions that are kept."""
        return [deliberation.snapshot for deliberation in self.deliberations]
