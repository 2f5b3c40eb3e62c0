"""`nearest-case` and `mean-case`: what any policy that learns in context has to beat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from physical.nodes import at_node
from physical.system import System
from policies.cases.memory import CaseMemory
from policies.feasible import JOINT_FIELDS
from policies.scoring import fit
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


@dataclass
class CaseBased(ABC):
    """Decides by cases and nothing else; subclasses say how.

    Parameters
    ----------
    file : case set to begin with; "" for none
    teacher : policy that decides as long as there are fewer than `start` cases
    start : number of cases to begin with
    grow : slots that it decided become cases, see `CaseMemory`
    """

    file: str = ""
    teacher: str = "p2-exact"
    start: int = 16
    grow: bool = True
    memory: CaseMemory = field(init=False, repr=False)

    _name = ""

    def __post_init__(self) -> None:
        """Check the options."""
        if self.start < 1 and not self.file:
            raise ValueError(f"start {self.start} without a file leaves nothing to decide by")
        self.memory = CaseMemory(
            file=self.file,
            teacher=self.teacher,
            start=self.start,
            capacity=max(self.start, 64),
            grow=self.grow,
            owner=self._name,
        )

    def reset(self, system: System, seed: int) -> None:
        """Begin with the cases of the file, or with none."""
        self.memory.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Let the teacher decide, or decide by cases."""
        taught = self.memory.teach(snapshot)
        if taught is not None:
            return taught
        decision = fit(snapshot, self._of_cases(snapshot))
        self.memory.decided(snapshot, decision)
        return decision

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Complete the cases of some slots, or make cases of them."""
        self.memory.learn(outcomes)

    @abstractmethod
    def _of_cases(self, snapshot: TwinSnapshot) -> Decision:
        """Return a decision that need not fit the present capacity."""


@dataclass
class NearestCase(CaseBased):
    """Copies the decision of the case that is most like the slot, cut to the present capacity."""

    _name = "nearest-case"

    def _of_cases(self, snapshot: TwinSnapshot) -> Decision:
        return self.memory.choose(snapshot, 1)[-1].decision


@dataclass
class MeanCase(CaseBased):
    """Decides the mean of all cases: of their ratios and of their shares of the server, cut to the present capacity.

    Where policies decide frequency, power and bandwidth, too, it takes the mean of those.
    """

    _name = "mean-case"

    def reset(self, system: System, seed: int) -> None:
        """Begin with the cases of the file, or with none."""
        super().reset(system, seed)
        self._mean_version = -1
        if len(self.memory.cases):
            self._update_mean()

    def _update_mean(self) -> None:
        self._mean, self._mean_version = self._mean_share(), self.memory.version

    def _of_cases(self, snapshot: TwinSnapshot) -> Decision:
        """Return the mean; a vehicle's shares are of the capacity of its node, then and now."""
        if self._mean_version != self.memory.version:
            self._update_mean()
        system, mean = snapshot.system, self._mean
        return Decision(
            mean.offloading_ratio,
            mean.compute_allocation_hz * at_node(system.node_hz, snapshot.serving_node),
            *(getattr(mean, name) for name in JOINT_FIELDS),
        )

    def _mean_share(self) -> Decision:
        """Return the mean of all decisions, with shares of the nodes' capacities in place of allocations."""
        cases = list(self.memory.cases)
        system = self.memory.cases.system
        shares = [
            case.decision.compute_allocation_hz / at_node(system.node_hz, case.snapshot.serving_node) for case in cases
        ]
        joint = {}
        for name in JOINT_FIELDS if system.spectrum is not None else ():
            joint[name] = np.mean([getattr(case.decision, name) for case in cases], axis=0)
        ratio = np.mean([case.decision.offloading_ratio for case in cases], axis=0)
        return Decision(ratio, np.mean(shares, axis=0), **joint)
