"""`p2-exact` where tasks stay at home: what their allocations drain, and tasks that are not there or cannot be sent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.p2 import check, make_snapshot, make_system, random_decision, random_slot, run, score


@pytest.mark.parametrize("bias_hz", [0.0, -3e8, 3e8, 1.2e9])
def test_draining_an_idle_task_pays_for_its_true_speed(bias_hz: float) -> None:
    """Nothing can be sent: P2 gains s per Hz of true speed y >= bias and pays e3 y^3, best at sqrt(s / (3 e3)).

    Where the bias alone costs more than it drains, nothing is allocated.
    """
    chosen = []
    for backlog in (0.05, 0.5, 20.0):
        system = make_system(1, 1, {"capacity": "effective"}, weights={"energy_weight": 5.0})
        snapshot = make_snapshot(system, np.random.default_rng(3), bias_hz, backlog, rate_bps=100.0)
        decision, found = run(snapshot)
        check(snapshot)
        gain = 0.1 * float(snapshot.backlog_bytes[0]) / system.backlog_unit_bytes**2 * 0.1 / 2e3
        cubic = 5.0 * 0.1 * 1.85e-28 / 2**2
        y = min(max(np.sqrt(gain / (3 * cubic)), bias_hz), 6e9)
        worth = gain * y - cubic * y**3
        idle = float(score(snapshot, np.zeros((1, 1)), np.zeros((1, 1))))
        assert found.objective == pytest.approx(idle - max(worth, 0.0), rel=1e-9)
        expected_hz = y - bias_hz if worth > 0 else 0.0
        assert float(decision.compute_allocation_hz[0, 0]) == pytest.approx(expected_hz, rel=1e-6, abs=1.0)
        chosen.append(worth > 0)
    assert chosen[-1]


def test_certificates_where_tasks_are_missing() -> None:
    """Of vehicles that are away or out of reach, and of classes that have nothing to do."""
    for seed in range(40):
        rng = np.random.default_rng([seed, 9])
        snapshot = random_slot(rng)
        away = rng.random(snapshot.system.num_vehicle) < 0.3
        there = (rng.random(snapshot.size_bytes.shape) < 0.8) & ~away[:, np.newaxis]
        gain = np.where(away, 0.0, snapshot.channel_gain)
        gone = away | (rng.random(len(away)) < 0.2)
        size_bytes, node = snapshot.size_bytes * there, np.where(gone, -1, 0)
        snapshot = replace(snapshot, size_bytes=size_bytes, channel_gain=gain, serving_node=node)
        found = check(snapshot)
        decision, _ = run(snapshot)
        sent = there & ~gone[:, np.newaxis]
        assert not decision.offloading_ratio[~sent].any()
        for _ in range(8):
            other = random_decision(snapshot, rng)
            ratio, share_hz = sent * other.offloading_ratio, ~gone[:, np.newaxis] * other.compute_allocation_hz
            assert found.lower_bound <= float(score(snapshot, ratio, share_hz))
