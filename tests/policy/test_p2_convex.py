"""For fixed ratios P2 is convex: `p2-exact` and the brute-force oracle allocate as CVXPY with Clarabel does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from policies.optimal.p2_exact import P2Exact
from tests.support.p2 import READINGS, Oracle, make_snapshot, make_system, score
from twin.snapshot import TwinSnapshot

# Clarabel is asked for more digits than it can be sure of, so that shares agree to 1e-6; it warns where it is not sure.
pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate:UserWarning")


def clarabel_hz(snapshot: TwinSnapshot, ratio: Floats, in_time: NDArray[np.bool_]) -> Floats:
    """Return the best allocations for given ratios, [N, K]; tasks `in_time` must meet their deadlines.

    Scaled, or Clarabel is wrong: capacities count in parts C / M, the total in C.
    """
    cp: Any = pytest.importorskip("cvxpy", reason="cvxpy and clarabel are test dependencies")
    oracle = Oracle(snapshot)
    low_y, _ = oracle.speeds_hz(ratio[None], in_time[None])
    active = (ratio > 0).ravel()
    unit = oracle.capacity / ratio.size
    bias = oracle.bias.ravel() / unit
    v = cp.Variable(ratio.size)
    y = v if oracle.effective else v + bias
    work = (ratio * oracle.work).ravel()[active] / unit
    remote = (oracle.paid_s + ratio * oracle.upload_s).ravel()[active] + cp.multiply(work, cp.inv_pos(y[active]))
    local = ((1 - ratio) * oracle.local_s).ravel()[active]
    delay = cp.maximum(local, remote) if oracle.parallel else local + remote
    cost = oracle.q.ravel()[active] @ delay - (oracle.drain.ravel() * unit) @ v
    cost = cost + oracle.cubic * oracle.capacity**3 * cp.power(cp.sum(v) / ratio.size, 3)
    least_v = np.where(active, low_y.ravel() / unit - (0.0 if oracle.effective else bias), 0.0)
    limits = [v >= least_v, cp.sum(v) <= ratio.size]
    if oracle.effective and (oracle.bias > 0).any():
        limits.append(v[~active] == 0)  # an idle task with an allocation runs at its bias at least
    cp.Problem(cp.Minimize(cost), limits).solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
    )
    runs = active | (v.value > 1e-9)
    counted = np.where(runs, v.value * unit - (oracle.bias.ravel() if oracle.effective else 0.0), 0.0)
    allocation: Floats = np.maximum(counted, 0.0).reshape(ratio.shape)
    return allocation


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: "-".join(reading.values()))
def test_allocation_equals_clarabel(reading: dict[str, str]) -> None:
    """With the ratios and kept deadlines of `p2-exact`: the same cost to 1e-7 and shares of the server to 1e-6."""
    for seed, (bias_hz, price) in enumerate([(0.0, 0.0), (0.0, 1.0), (-1e8, 10.0), (1e8, 1.0)]):
        system = make_system(4, 3, reading, weights={"deadline_price": price}, server_hz=(10e9, 40e9)[seed % 2])
        snapshot = make_snapshot(system, np.random.default_rng(seed), bias_hz, backlog=0.1)
        policy = P2Exact()
        policy.reset(system, 0)
        decision = policy.decide(snapshot)
        ratio, allocation_hz = decision.offloading_ratio, decision.compute_allocation_hz
        in_time = _in_time(snapshot, ratio, allocation_hz) & (price > 0)
        other_hz = clarabel_hz(snapshot, ratio, in_time)
        value = float(score(snapshot, ratio, allocation_hz))
        # Clarabel's deadlines, and its capacity, hold to its tolerance only.
        lenient = replace(system, deadline_s=system.deadline_s * (1 + 4e-9))
        other = float(score(replace(snapshot, system=lenient), ratio, other_hz))
        assert value == pytest.approx(other, abs=1e-7)
        active = ratio > 0
        np.testing.assert_allclose(allocation_hz[active], other_hz[active], atol=1e-6 * system.server.frequency_hz)


def _in_time(snapshot: TwinSnapshot, ratio: Floats, allocation_hz: Floats) -> NDArray[np.bool_]:
    outcome = Oracle(snapshot)
    y = np.maximum(np.where(allocation_hz > 0, allocation_hz + snapshot.estimation_bias_hz, 1.0), 1.0)
    local = (1 - ratio) * outcome.local_s
    active = (ratio > 0) | (snapshot.system.model.upload_rule == "always")
    remote = np.where(active, outcome.paid_s, 0.0) + ratio * (outcome.upload_s + outcome.work / y)
    delay = np.maximum(local, remote) if outcome.parallel else local + remote
    in_time: NDArray[np.bool_] = delay <= snapshot.system.deadline_s * (1 + 1e-9)
    return in_time


@pytest.mark.parametrize("order", ["sequential", "parallel"])
def test_the_oracle_equals_clarabel_at_any_ratios(order: str) -> None:
    rng = np.random.default_rng(11)
    for capacity in ("alloc", "effective"):
        system = make_system(3, 3, {"order": order, "capacity": capacity}, weights={"deadline_price": 0.0})
        snapshot = make_snapshot(system, rng, bias_hz=-1e8, backlog=0.1)
        ratio = np.clip(rng.uniform(-0.5, 1.5, (3, 3)), 0.0, 1.0)
        nobody = np.zeros((3, 3), dtype=np.bool_)
        best = Oracle(snapshot).best(ratio[None], nobody[None])[0]
        assert best == pytest.approx(float(score(snapshot, ratio, clarabel_hz(snapshot, ratio, nobody))), abs=1e-6)
