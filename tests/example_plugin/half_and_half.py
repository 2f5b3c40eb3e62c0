"""A policy in a package of its own: every task is cut at the same place."""

from dataclasses import dataclass

import numpy as np

from physical.system import System
from policies.baselines import share_equally
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


@dataclass
class HalfAndHalf:
    """The same part of every task is offloaded; the server is shared equally."""

    ratio: float = 0.5

    def reset(self, system: System, seed: int) -> None:
        """Nothing to prepare."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Cut all tasks."""
        ratio = np.full(snapshot.size_bytes.shape, self.ratio)
        return Decision(ratio, share_equally(snapshot, ratio > 0))
