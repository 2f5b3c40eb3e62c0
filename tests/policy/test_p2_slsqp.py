"""`p2-slsqp`: what a general solver finds is feasible, scored honestly, and never below the certified bound."""

from __future__ import annotations

import numpy as np
import pytest

from policies.feasible import project
from policies.optimal.p2_exact import P2Exact
from policies.optimal.p2_slsqp import P2Slsqp, _Smooth
from policies.optimal.tasks import read_tasks
from tests.support.p2 import READINGS, make_snapshot, make_system, score


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: "-".join(reading.values()))
def test_never_below_the_bound(reading: dict[str, str]) -> None:
    for seed, price in enumerate((0.0, 1.0, 10.0)):
        system = make_system(2, 3, reading, weights={"deadline_price": price})
        snapshot = make_snapshot(system, np.random.default_rng(seed), bias_hz=(0.0, -1e8, 1e8)[seed])
        exact, general = P2Exact(), P2Slsqp()
        for policy in (exact, general):
            policy.reset(system, 0)
        exact.decide(snapshot)
        decision, found = general.decide(snapshot), general.diagnostics()
        assert not project(system, decision, snapshot.estimation_bias_hz)[1]
        assert found.objective == score(snapshot, decision.offloading_ratio, decision.compute_allocation_hz)
        assert found.lower_bound <= found.objective
        assert found.objective >= exact.diagnostics().objective - 1e-9
        assert found.objective >= exact.diagnostics().lower_bound


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: "-".join(reading.values()))
def test_gradient(reading: dict[str, str]) -> None:
    rng = np.random.default_rng(5)
    smooth = _Smooth(read_tasks(make_snapshot(make_system(2, 3, reading), rng, bias_hz=-1e7)), smoothing=0.1)
    z = np.concatenate([rng.uniform(0.1, 0.9, 6), rng.uniform(0.3, 1.0, 6)])
    _, slope = smooth.value(z)
    for index in range(12):
        step = np.zeros(12)
        step[index] = 1e-6
        difference = (smooth.value(z + step)[0] - smooth.value(z - step)[0]) / 2e-6
        assert slope[index] == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_smooth_value_is_that_of_the_slot() -> None:
    """Away from the deadlines, with a narrow step."""
    rng = np.random.default_rng(6)
    system = make_system(2, 3, {"upload": "always"})
    snapshot = make_snapshot(system, rng, bias_hz=1e8)
    tasks = read_tasks(snapshot)
    ratio, allocation_hz = rng.uniform(0.1, 0.9, 6), rng.uniform(0.2, 1.0, 6) * 2e9
    smooth = _Smooth(tasks, smoothing=1e-6)
    value, _ = smooth.value(np.concatenate([ratio, allocation_hz / smooth.unit_hz]))
    expected = float(score(snapshot, ratio.reshape(2, 3), allocation_hz.reshape(2, 3)))
    assert value + tasks.constant == pytest.approx(expected, rel=1e-9)


def test_trust_region_method() -> None:
    system = make_system(2, 2)
    policy = P2Slsqp(method="trust-constr", max_iteration=30)
    policy.reset(system, 0)
    policy.decide(make_snapshot(system, np.random.default_rng(7)))
    assert policy.diagnostics().gap >= 0


def test_too_many_tasks_for_the_floors_stay_at_home() -> None:
    """By the rule "alloc" positive biases use up the server: no ratio but 0 is feasible."""
    system = make_system(2, 2, {"capacity": "alloc"}, server_hz=1e9)
    policy = P2Slsqp()
    policy.reset(system, 0)
    decision = policy.decide(make_snapshot(system, np.random.default_rng(8), bias_hz=3e8))
    assert not decision.offloading_ratio.any()
