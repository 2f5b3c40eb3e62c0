"""Leftovers with `slices`: what they need is kept once, before new work, and policies decide about the rest."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.arrays import Floats
from policies.baselines import EdgeEqual
from policies.feasible import FLOOR, project, reserved_hz, rest_hz
from policies.guarded import GuardedPolicy
from policies.registry import make
from policies.scoring import command
from sim import Scenario, run
from tests.support import nodes
from tests.support.snapshots import EXAMPLE, SERVER_HZ, make_snapshot
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

SHAPE = (2, 2)
SLOT_S = 0.1
FLOOR_HZ = FLOOR * SERVER_HZ


def with_backlog(cycles: Any, bias_hz: Any = 0.0, *settings: str) -> TwinSnapshot:
    snapshot = make_snapshot(*EXAMPLE, 0.0, *settings)
    bias = np.broadcast_to(np.asarray(bias_hz, dtype=float), SHAPE)
    return dataclasses.replace(
        snapshot, flow_backlog_cycles=np.asarray(cycles, dtype=float), estimation_bias_hz=bias.copy()
    )


def true_hz(decision: Decision, bias_hz: Floats) -> Floats:
    share = decision.compute_allocation_hz
    return np.where(share > 0, np.maximum(share + bias_hz, 0.0), 0.0)


def test_by_hand() -> None:
    """2e9 and 1e9 cycles take 20 and 10 GHz for a slot; 30 GHz are left to share."""
    snapshot = with_backlog([[2e9, 0.0], [0.0, 1e9]])
    assert reserved_hz(snapshot).tolist() == [[20e9, 0.0], [0.0, 10e9]]
    assert rest_hz(snapshot).tolist() == [30e9]
    guarded = GuardedPolicy(EdgeEqual(), EdgeEqual())
    guarded.reset(snapshot.system, 0)
    ruling = guarded.rule(snapshot)
    assert not ruling.repaired
    np.testing.assert_allclose(ruling.decision.compute_allocation_hz, [[27.5e9, 7.5e9], [7.5e9, 17.5e9]], rtol=1e-12)


def test_a_flow_that_nobody_commands_gets_what_its_old_work_needs() -> None:
    """With a bias its true speed is what is reserved, or the bias, if that is faster."""
    nothing = Decision(np.zeros(SHAPE), np.zeros(SHAPE))
    for bias_hz, speed_hz in ((0.0, 20e9), (-3e9, 20e9), (3e9, 20e9), (25e9, 25e9 + FLOOR_HZ)):
        snapshot = with_backlog([[2e9, 0.0], [0.0, 0.0]], [[bias_hz, 0.0], [0.0, 0.0]])
        decision, repaired = command(snapshot, nothing)
        assert not repaired
        assert not decision.offloading_ratio.any()
        np.testing.assert_allclose(
            true_hz(decision, snapshot.estimation_bias_hz), [[speed_hz, 0.0], [0.0, 0.0]], rtol=1e-9
        )


def test_too_much_old_work_is_slowed_down_together_and_leaves_the_floors() -> None:
    snapshot = with_backlog([[20e9, 10e9], [0.0, 0.0]])
    reserved = reserved_hz(snapshot)
    assert reserved.sum() == pytest.approx(SERVER_HZ - 4 * FLOOR_HZ, rel=1e-12)
    assert reserved[0, 0] / reserved[0, 1] == pytest.approx(2.0, rel=1e-5)
    assert rest_hz(snapshot)[0] == pytest.approx(4 * FLOOR_HZ, rel=1e-6)
    decision, _ = command(snapshot, Decision(np.ones(SHAPE), np.full(SHAPE, 15e9)))
    assert true_hz(decision, np.zeros(SHAPE)).sum() == pytest.approx(SERVER_HZ, rel=1e-12)
    assert (decision.compute_allocation_hz - reserved >= FLOOR_HZ * (1 - 1e-6)).all()


def test_where_not_even_floors_fit_nothing_is_kept() -> None:
    assert not reserved_hz(with_backlog(np.full(SHAPE, 1e9), 16e9)).any()


def test_who_has_no_node_has_nothing_reserved() -> None:
    snapshot = dataclasses.replace(with_backlog(np.full(SHAPE, 1e8)), serving_node=np.array([0, -1]))
    np.testing.assert_allclose(reserved_hz(snapshot), [[1e9, 1e9], [0.0, 0.0]], rtol=1e-12)


@pytest.mark.full
@given(
    ratio=st.lists(st.floats(0, 1) | st.just(0.0), min_size=4, max_size=4),
    share=st.lists(st.floats(0, 60e9) | st.just(0.0), min_size=4, max_size=4),
    cycles=st.lists(st.floats(1.0, 5e9) | st.just(0.0), min_size=4, max_size=4),
    bias_hz=st.lists(st.floats(-5e9, 5e9) | st.just(0.0), min_size=4, max_size=4),
)
def test_old_and_new_work_fit_the_server(
    ratio: list[float], share: list[float], cycles: list[float], bias_hz: list[float]
) -> None:
    omega, wanted, backlog, bias = (np.array(values).reshape(SHAPE) for values in (ratio, share, cycles, bias_hz))
    snapshot = with_backlog(backlog, bias)
    reserved = reserved_hz(snapshot)
    assert ((reserved > 0) == (backlog > 0)).all()
    rest = rest_hz(snapshot) if backlog.any() else None
    alone, own = project(snapshot.system, Decision(omega, wanted), bias, snapshot.serving_node, rest)
    decision, repaired = command(snapshot, Decision(omega, wanted))
    assert repaired == own
    np.testing.assert_array_equal(decision.offloading_ratio, alone.offloading_ratio)
    speed = true_hz(decision, bias)
    assert speed.sum() <= SERVER_HZ * (1 + 1e-9)
    np.testing.assert_allclose(speed, true_hz(alone, bias) + reserved, rtol=1e-6, atol=1.0)


@pytest.mark.parametrize("name", ["edge-equal", "random", "greedy-latency", "greedy-cost", "p2-exact", "p2-slsqp"])
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_policies_see_the_rest_as_the_capacity(name: str, mode: str) -> None:
    for bias_hz in (0.0, -1e9, 1e9):
        snapshot = with_backlog([[2e9, 0.0], [5e8, 1e9]], bias_hz, f"model.mode={mode}")
        policy = make(name)
        policy.reset(snapshot.system, 3)
        own = policy.decide(snapshot)
        assert not command(snapshot, own)[1]
        counted_hz = own.compute_allocation_hz.sum() if mode == "paper" else true_hz(own, np.full(SHAPE, bias_hz)).sum()
        assert counted_hz <= (SERVER_HZ - 35e9 - (4 * bias_hz if mode == "paper" else 0.0)) * (1 + 1e-9)


@pytest.mark.parametrize("mode", ["paper", "corrected"])
@pytest.mark.parametrize("name", ["edge-equal", "random", "layers-exact", "ao-sqp-fp", "rlor", "rrlo"])
def test_policies_of_several_nodes_see_the_rest_of_each(name: str, mode: str) -> None:
    full = nodes.make_snapshot(mode, away=False)
    cycles = np.zeros((20, 1))
    cycles[full.serving_node == 1] = 1e8
    snapshot = dataclasses.replace(full, flow_backlog_cycles=cycles)
    num_busy = int((full.serving_node == 1).sum())
    rest = rest_hz(snapshot)
    assert rest[1] == pytest.approx(2e9 - num_busy * 1e8 / full.system.slot_duration_s)
    np.testing.assert_array_equal(np.delete(rest, 1), np.delete(full.system.node_hz, 1))
    policy = make(name)
    policy.reset(snapshot.system, 1)
    decision, repaired = command(snapshot, policy.decide(snapshot))
    assert not repaired
    sums = np.array([decision.compute_allocation_hz[full.serving_node == index].sum() for index in range(5)])
    assert (sums <= full.system.node_hz * (1 + 1e-9)).all()
    assert (decision.compute_allocation_hz[full.serving_node == 1] >= 1e8 / full.system.slot_duration_s).all()


def test_the_certificate_is_that_of_a_server_which_has_the_rest() -> None:
    """25 of 60 GHz left, and the power law of the same cores: the same decision, and a gap that holds for it."""
    snapshot = with_backlog([[2e9, 0.0], [5e8, 1e9]])
    system = snapshot.system
    small = dataclasses.replace(
        system, servers=(system.server.model_copy(update={"frequency_hz": 25e9}),), node_hz=np.array([25e9])
    )
    answers = []
    for case in (snapshot, dataclasses.replace(with_backlog(np.zeros(SHAPE)), system=small)):
        policy = make("p2-exact")
        policy.reset(case.system, 0)
        answers.append((policy.decide(case), policy.diagnostics()))  # type: ignore[attr-defined]  # p2-exact explains
    (one, told), (other, told_small) = answers
    np.testing.assert_allclose(one.offloading_ratio, other.offloading_ratio, atol=1e-6)
    np.testing.assert_allclose(one.compute_allocation_hz, other.compute_allocation_hz, rtol=1e-6)
    assert told.lower_bound == pytest.approx(told_small.lower_bound, rel=1e-8)
    assert told.gap <= 1e-8
    assert told.model == "eqs. 7-9, no waiting, no QoS floor"


def test_learned_policies_see_the_rest() -> None:
    pytest.importorskip("torch", reason="torch comes with the extra marl")
    system = Scenario.load("dtecn-congested", ["server.discipline=slices"]).system()
    rng = np.random.default_rng(2)
    zeros = np.zeros(system.num_vehicle)
    snapshot = TwinSnapshot(
        slot=0,
        time_ns=0,
        system=system,
        size_bytes=system.size_bytes_mean * rng.uniform(0.5, 1.5, (system.num_vehicle, system.num_class)),
        x_m=zeros,
        y_m=zeros,
        speed_mps=zeros,
        heading_rad=zeros,
        serving_node=zeros.astype(np.int64),
        channel_gain=np.full(system.num_vehicle, 1e-10),
        age_of_information_s=zeros,
        backlog_bytes=np.zeros(system.num_class),
        estimation_bias_hz=np.zeros((system.num_vehicle, system.num_class)),
        flow_backlog_cycles=np.full((system.num_vehicle, system.num_class), 1e8),
    )
    for name in ("apg", "maddpg", "ddpg"):
        policy = make(name)
        policy.reset(system, 0)
        own = policy.decide(snapshot)
        assert own.compute_allocation_hz.sum() > 0
        assert not command(snapshot, own)[1]


@pytest.mark.full
@pytest.mark.parametrize("name", ["greedy-cost", "greedy-latency"])
def test_nobody_starves_in_blackout(name: str) -> None:
    """Commands are late or lost there: what is left over still ends in a few slots of 0.1 s, not after a second."""
    tasks = run(Scenario.load("blackout", ["time.num_slot=150"]), policy=name, seed=0).table("tasks")
    begin_ns, end_ns = (
        tasks[f"service_{end}_ns"].to_numpy(zero_copy_only=False).astype(float) for end in ("begin", "end")
    )
    assert np.nanmax(end_ns - begin_ns) < 0.5e9
