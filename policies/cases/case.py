"""Cases: snapshots with the decisions that were taken on them and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats
from physical.nodes import at_node
from physical.system import System
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_SPREAD_MIN = 1e-9
"""A feature that varies less than this over a set is constant but for rounding."""


@dataclass(frozen=True)
class Case:
    """A decision with its circumstances.

    Parameters
    ----------
    snapshot : what the twin believed
    decision : what was decided, feasible
    objective : no unit, what the decision was expected to bring (`policies.scoring`)
    realised : no unit, objective of the slot in the event simulation; NaN if unknown
    origin : where the case comes from, for people: ``p2-exact dtecn seed=1 slot=12``
    capacity_price : no unit, price of the whole server that the decision rests on, as the policy says; NaN: unknown
    """

    snapshot: TwinSnapshot
    decision: Decision
    objective: float
    realised: float = math.nan
    origin: str = ""
    capacity_price: float = math.nan

    @property
    def score(self) -> float:
        """The realised objective, or the expected one where that is not known."""
        return self.objective if math.isnan(self.realised) else self.realised


def features(snapshot: TwinSnapshot) -> Floats:
    """Return what the likeness of two snapshots is judged by, [2 N K + N + K], no unit.

    Per vehicle, in its place: ``log(1 + size / class mean)``, ``log(1 + uplink rate / (bit/s))``, and the known bias in
    shares of its node's server; per class ``log(1 + backlog / unit)``.
    """
    system = snapshot.system
    return np.concatenate(
        [
            np.log1p(snapshot.size_bytes / system.size_bytes_mean).reshape(-1),
            np.log1p(snapshot.uplink_rate_bps),
            np.log1p(snapshot.backlog_bytes / system.backlog_unit_bytes),
            (snapshot.estimation_bias_hz / at_node(system.node_hz, snapshot.serving_node)).reshape(-1),
        ]
    )


class CaseSet:
    """Cases of one system, in the order in which they came.

    Parameters
    ----------
    system : what they are for
    cases : to begin with
    version : grows with each change
    """

    def __init__(self, system: System, cases: Iterable[Case] = ()) -> None:
        self.system = system
        self.version = 0
        self._cases: list[Case] = []
        self._features: list[Floats] = []
        self._scale: tuple[Floats, Floats, Floats] | None = None
        self._scale_version = -1
        for case in cases:
            self.append(case)

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self._cases)

    def __getitem__(self, index: int) -> Case:
        return self._cases[index]

    def append(self, case: Case) -> None:
        """Add a case at the end.

        Raises
        ------
        ValueError : a case of another number of vehicles or classes
        """
        shape = (self.system.num_vehicle, self.system.num_class)
        for values in (case.snapshot.size_bytes, case.decision.offloading_ratio):
            if values.shape != shape:
                raise ValueError(f"a case of {list(values.shape)} vehicles and classes does not fit {list(shape)}")
        self._cases.append(case)
        self._features.append(features(case.snapshot))
        self.version += 1

    def remove(self, index: int) -> None:
        """Forget a case."""
        del self._cases[index], self._features[index]
        self.version += 1

    def replace(self, old: Case, new: Case) -> None:
        """Put another account of the same slot in place of a case; nothing happens if that is gone."""
        for index, case in enumerate(self._cases):
            if case is old:
                self._cases[index] = new
                self.version += 1
                return

    def points(self) -> Floats:
        """Return the cases as points, [num_case, num_feature]: features less their mean, in standard deviations."""
        return self._scaled()[2]

    def distances(self, snapshot: TwinSnapshot) -> Floats:
        """Return how unlike a snapshot each case is, [num_case], no unit: the mean square over standardised features.

        Features are measured in their standard deviation over the set; one that is the same in all cases counts as it
        is.
        """
        if not self._cases:
            return np.empty(0)
        mean, spread, points = self._scaled()
        gap = points - (features(snapshot) - mean) / spread
        return np.asarray(np.mean(gap * gap, axis=1), dtype=np.float64)

    def _scaled(self) -> tuple[Floats, Floats, Floats]:
        """Return mean and spread of the features, both [num_feature], and the standardised ones."""
        if self._scale is None or self._scale_version != self.version:
            known = np.array(self._features)
            mean, spread = known.mean(axis=0), known.std(axis=0)
            spread = np.where(spread > _SPREAD_MIN, spread, 1.0)
            self._scale, self._scale_version = (mean, spread, (known - mean) / spread), self.version
        return self._scale
