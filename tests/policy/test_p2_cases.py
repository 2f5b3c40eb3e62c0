"""Slots to solve, and an oracle: every set of ratios, each with its exact allocation, scored by `slot_step`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.p2 import READINGS, Oracle, make_snapshot, make_system, random_decision, score


@pytest.mark.parametrize("reading", READINGS[::3], ids=lambda reading: "-".join(reading.values()))
def test_the_oracle_finds_the_best_allocation(reading: dict[str, str]) -> None:
    """No random allocation for the same ratios is better than the oracle's."""
    rng = np.random.default_rng(1)
    system = make_system(2, 2, reading, weights={"deadline_price": 0.0})
    snapshot = make_snapshot(system, rng, bias_hz=-1e8, backlog=0.3)
    oracle = Oracle(snapshot)
    for _ in range(20):
        decision = random_decision(snapshot, rng)
        ratio = decision.offloading_ratio
        allocation = np.where(ratio > 0, decision.compute_allocation_hz, 0.0)
        best = oracle.best(ratio[None], np.zeros((1, 2, 2), dtype=bool))[0]
        assert best <= float(score(snapshot, ratio, allocation)) + 1e-9
