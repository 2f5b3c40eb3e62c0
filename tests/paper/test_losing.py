"""Losing tasks never pays: the more messages and uploads are lost, the greater the penalty."""

from __future__ import annotations

import numpy as np
import pytest

from sim import Scenario, run

STUDENT_95 = 2.776  # of five seeds, four degrees of freedom


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "policy"), [("dtecn-congested", "edge-equal"), ("rush-hour", "edge-equal"), ("rush-hour", "p2-exact")]
)
def test_penalty_never_falls_with_loss(name: str, policy: str) -> None:
    means = []
    for loss in (0, 0.1, 0.3):
        scenario = Scenario.load(name, ["time.num_slot=100", f"network.access.loss={loss}"])
        means.append([run(scenario, policy=policy, seed=seed).summary["penalty_mean"] for seed in range(5)])
    for more in np.diff(np.array(means), axis=0):
        half_width = STUDENT_95 * more.std(ddof=1) / np.sqrt(5)
        assert more.mean() > -half_width
