"""A kind of estimator in a package of its own: positions are extrapolated, but not for long."""

import numpy as np

from physical.quantity import Seconds
from twin.estimators import Estimates, Estimator, EstimatorKind, Heard, Knowledge


class Capped(EstimatorKind):
    """Positions go on from the last report for a while, then stay; sizes and channels are those of the report.

    horizon_s : how long positions go on
    """

    horizon_s: Seconds = 0.3

    def estimator(self, known: Knowledge) -> Estimator:
        """Make the estimator."""
        return _CappedEstimator(self.horizon_s, known.system.slot_duration_s)


class _CappedEstimator:
    def __init__(self, horizon_s: float, slot_s: float) -> None:
        self._horizon_s, self._slot_s = horizon_s, slot_s

    def estimate(self, heard: Heard) -> Estimates:
        """Return what the twin takes for the present: sizes [N, K], positions and gains [N]."""
        states = heard.states
        way_m = states.speed_mps * np.minimum(heard.num_missed * self._slot_s, self._horizon_s)
        x_m = states.x_m + way_m * np.cos(states.heading_rad)
        y_m = states.y_m + way_m * np.sin(states.heading_rad)
        return Estimates(states.size_bytes, x_m, y_m, states.channel_gain)
