"""For a given set of vehicles P1 of the llm6g paper is convex: V_f and V_b equal CVXPY with Clarabel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.optimal.layers import bandwidth, frequency
from policies.optimal.layers.cells import upload_links
from sim.bench import layers
from tests.policy.drops import make_drop

# Clarabel is asked for more digits than it can be sure of; it warns where it is not sure.
pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate:UserWarning")


@pytest.mark.parametrize(
    "num_vehicle", [20, pytest.param(200, marks=pytest.mark.full), pytest.param(2000, marks=pytest.mark.full)]
)
def test_frequency_equals_clarabel(num_vehicle: int) -> None:
    cp: Any = pytest.importorskip("cvxpy", reason="cvxpy and clarabel are test dependencies")
    problem = make_drop(6, num_vehicle, 1)
    cycles, owner = 31 * problem.edge_cycles, np.zeros(num_vehicle, dtype=np.int64)
    energy_price = problem.energy_weight * problem.node_kappa
    start_hz = frequency.free_hz(problem.time_weight, energy_price, problem.node_hz)
    hz, _ = frequency.share_hz(cycles, owner, start_hz, problem.node_hz, problem.time_weight)
    unit = problem.node_hz[0] / num_vehicle
    work = problem.time_weight * cycles / unit
    power = energy_price[0] * cycles * unit**2
    value = float((work * unit / hz + power * (hz / unit) ** 2).sum())
    f = cp.Variable(num_vehicle, pos=True)
    scale = float(work.mean())
    cost = (work / scale) @ cp.inv_pos(f) + (power / scale) @ cp.square(f)
    reference = cp.Problem(cp.Minimize(cost), [cp.sum(f) <= num_vehicle])
    reference.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    assert value == pytest.approx(scale * float(reference.value), rel=1e-8)


@pytest.mark.full
def test_bandwidth_equals_clarabel() -> None:
    """At fixed power the rate is a perspective: ``b ln(1 + c / b) = -rel_entr(b, b + c)``."""
    cp: Any = pytest.importorskip("cvxpy", reason="cvxpy and clarabel are test dependencies")
    problem = make_drop(7, 8, 1)
    one_w = np.ones(8)
    problem = replace(problem, power_min_w=one_w, power_max_w=one_w)
    links = upload_links(problem, np.arange(8))
    power_w, share_hz, _ = bandwidth.share_bandwidth(links, np.zeros(8, dtype=np.int64), problem.node_bandwidth_hz)
    value = float(links.cost(power_w, share_hz).sum())
    unit = problem.node_bandwidth_hz[0] / 8
    b = cp.Variable(8, pos=True)
    strength = links.gamma / unit
    weight = (links.time_weight + links.energy_weight) * links.bits * np.log(2) / unit
    scale = float((weight / np.log1p(strength)).sum())
    reference = cp.Problem(cp.Minimize((weight / scale) @ cp.inv_pos(-cp.rel_entr(b, b + strength))), [cp.sum(b) <= 8])
    reference.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    assert value == pytest.approx(scale * float(reference.value), rel=1e-7)


def test_bench_of_little() -> None:
    """Whatever the time they take: all gaps are certified, and Clarabel finds the same V_f."""
    pytest.importorskip("cvxpy", reason="cvxpy and clarabel are test dependencies")
    report = layers.measure({20: 2, 300: 2})
    small, large = report.values["sizes"]
    assert set(small["solvers"]) - set(large["solvers"]) == {"Sub-problem I, SLSQP"}
    for size in (small, large):
        assert abs(size["cvxpy_above"]) <= 1e-7
        assert all(size["solvers"][f"layers-exact, {mode}"]["gap_max"] <= 1e-9 for mode in ("corrected", "paper"))
    report = layers.measure({20: 1}, with_cvxpy=False)
    assert "CVXPY is missing: python -m pip install cvxpy clarabel" in report.notes
    assert all(len(row) == len(report.columns) for row in report.rows)
