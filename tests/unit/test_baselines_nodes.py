"""The baselines on several nodes with joint allocation: shares of each node, and no decision that needs repair."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.errors import InputError
from policies.baselines import most_offloaded
from policies.feasible import JOINT_FIELDS, project
from policies.registry import make
from sim import Scenario, run
from tests.support.nodes import OWN, make_snapshot
from tests.support.snapshots import decide
from tests.support.snapshots import make_snapshot as make_pair
from twin.decision import Decision

NODE_HZ = np.array([1.41e9, 2e9, 1.41e9, 1.41e9, 1.41e9])
POOL_HZ = 20e6
MODES = ("paper", "corrected")


def joint(decision: Decision) -> list[Floats]:
    """Return frequencies, powers and bandwidths, which must be there."""
    given: list[Any] = [getattr(decision, name) for name in JOINT_FIELDS]
    assert all(isinstance(values, np.ndarray) for values in given)
    return given


def by_node(values: Floats, node: NDArray[np.int64]) -> Floats:
    """Sum over the vehicles of each node."""
    return np.array([values[node == index].sum() for index in range(5)])


@pytest.mark.parametrize("mode", MODES)
def test_edge_equal_divides_each_node_equally_and_uses_all_of_it(mode: str) -> None:
    snapshot = make_snapshot(mode)
    node, decision = snapshot.serving_node, decide("edge-equal", snapshot)
    hz, power_w, bandwidth_hz = joint(decision)
    occupied = np.array([True, True, False, True, True])
    allocation_hz = decision.compute_allocation_hz[:, 0]
    np.testing.assert_allclose(by_node(allocation_hz, node), NODE_HZ * occupied, rtol=1e-12)
    np.testing.assert_allclose(by_node(bandwidth_hz, node), POOL_HZ * occupied, rtol=1e-12)
    for index in np.flatnonzero(occupied):
        for values in (allocation_hz, bandwidth_hz):
            assert np.ptp(values[node == index]) == 0.0
    assert not allocation_hz[node < 0].any()
    assert not bandwidth_hz[node < 0].any()
    np.testing.assert_array_equal(hz, 1.3e9)
    np.testing.assert_array_equal(power_w, 20.0)
    np.testing.assert_array_equal(decision.offloading_ratio[node >= 0], 31 / 32)  # the first layer stays


def test_edge_equal_leaves_out_who_has_no_task() -> None:
    snapshot = make_snapshot(away=False)
    first = np.flatnonzero(snapshot.serving_node == 0)
    snapshot.size_bytes[first[0]] = 0.0
    decision = decide("edge-equal", snapshot)
    bandwidth_hz = joint(decision)[2]
    for values, whole in ((decision.compute_allocation_hz[:, 0], NODE_HZ[0]), (bandwidth_hz, POOL_HZ)):
        assert values[first[0]] == 0.0
        np.testing.assert_allclose(values[first[1:]], whole / (len(first) - 1), rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_local_only_offloads_nothing_at_full_speed(mode: str) -> None:
    """In mode "paper" even who sends nothing is charged for the radio, and so holds an equal share."""
    snapshot = make_snapshot(mode)
    decision = decide("local-only", snapshot)
    hz, power_w, bandwidth_hz = joint(decision)
    assert not decision.offloading_ratio.any()
    assert not decision.compute_allocation_hz.any()
    np.testing.assert_array_equal(hz, 1.3e9)
    np.testing.assert_array_equal(power_w, 20.0)
    occupied = np.array([1, 1, 0, 1, 1]) if mode == "paper" else np.zeros(5)
    np.testing.assert_allclose(by_node(bandwidth_hz, snapshot.serving_node), POOL_HZ * occupied, rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["local-only", "edge-equal", "random"])
def test_no_decision_needs_repair_where_all_are_in_reach(name: str, mode: str) -> None:
    for seed in range(20):
        snapshot = make_snapshot(mode, seed=seed, away=False)
        decision = decide(name, snapshot, seed)
        _, repaired = project(snapshot.system, decision, snapshot.estimation_bias_hz, snapshot.serving_node)
        assert not repaired


def test_random_draws_whole_layers_and_everything_in_its_range() -> None:
    snapshot = make_snapshot(away=False)
    policy = make("random")
    policy.reset(snapshot.system, 3)
    decisions = [policy.decide(snapshot) for _ in range(400)]
    local = np.stack([32 * (1 - decision.offloading_ratio) for decision in decisions]).ravel()
    values, counts = np.unique(local, return_counts=True)
    assert values.tolist() == list(range(1, 33))
    # Uniform over 1 to 32 layers: each count is binomial.
    spread = np.sqrt(local.size / 32 * (31 / 32))
    assert np.abs(counts - local.size / 32).max() < 5 * spread
    hz, power_w, bandwidth_hz = (np.stack(values) for values in zip(*map(joint, decisions), strict=True))
    for drawn, low, high in ((hz, 0.0, 1.3e9), (power_w, 0.01, 20.0)):
        assert ((drawn > low) & (drawn <= high)).all()
        assert abs(drawn.mean() - 0.5 * (low + high)) < 4.5 * (high - low) / np.sqrt(12 * drawn.size)
    for one in bandwidth_hz:
        sums = by_node(one, snapshot.serving_node)
        assert (sums <= POOL_HZ).all()
        np.testing.assert_allclose(sums[[0, 1, 3, 4]], 0.999 * POOL_HZ, rtol=1e-9)


def test_random_uses_the_capacity_of_each_node() -> None:
    snapshot = make_snapshot(away=False)
    decision = decide("random", snapshot, 5)
    sums = by_node(decision.compute_allocation_hz[:, 0], snapshot.serving_node)
    np.testing.assert_allclose(sums, NODE_HZ * [1, 1, 0, 1, 1], rtol=1e-9)


def test_random_is_reproducible() -> None:
    snapshot = make_snapshot()
    first, again, other = (decide("random", snapshot, seed) for seed in (5, 5, 6))
    for one, two, three in zip(joint(first), joint(again), joint(other), strict=True):
        np.testing.assert_array_equal(one, two)
        assert (one != three).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["local-only", "edge-equal", "random"])
def test_a_run_needs_neither_repair_nor_fallback(name: str, mode: str) -> None:
    scenario = Scenario.load("llm6g", [OWN, f"model.mode={mode}", "time.num_slot=8"])
    summary = run(scenario, policy=name, seed=4).summary
    assert summary["decisions"] == 8
    assert summary["decisions_repaired"] == summary["fallbacks"] == 0
    assert summary["tasks_generated"] == 160
    local = summary["layers_local_mean"]
    assert {"local-only": local == 32, "edge-equal": local == 1, "random": 10 < local < 23}[name]


def test_a_transformer_keeps_its_first_layer_and_other_tasks_none() -> None:
    assert most_offloaded(make_snapshot().system).tolist() == [31 / 32]
    assert most_offloaded(Scenario.load("dtecn").system()).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["greedy-latency", "greedy-cost", "p2-exact", "p2-slsqp"])
def test_policies_that_decide_no_layers_say_so(name: str) -> None:
    with pytest.raises(InputError) as caught:
        make(name).reset(make_snapshot().system, 0)
    assert (caught.value.where, caught.value.key) == ("--policy", name)
    assert "dtecn" in caught.value.accepted


def test_greedy_cost_weighs_the_energy_of_the_vehicles_own_node() -> None:
    """Two vehicles that differ in nothing but the node: one has a server that takes a thousand times the energy."""
    snapshot = make_pair([[20e3, 40e3], [20e3, 40e3]], [1e-10, 1e-10], 0.0, "vehicles.kappa=1e-25")
    frugal = snapshot.system.server
    hungry = frugal.model_copy(update={"kappa": 1e3 * frugal.kappa})
    names = ("node_hz", "node_num_core", "node_flop_per_cycle", "node_bandwidth_hz")
    arrays: dict[str, Any] = {name: np.repeat(getattr(snapshot.system, name), 2) for name in names}
    for servers in ((frugal, hungry), (hungry, frugal)):
        kappa = np.array([server.kappa for server in servers])
        system = replace(snapshot.system, servers=servers, node_kappa=kappa, **arrays)
        two = replace(snapshot, system=system, serving_node=np.array([0, 1]))
        offloads = decide("greedy-cost", two).offloading_ratio.any(axis=1)
        assert offloads.tolist() == [servers[0] is frugal, servers[1] is frugal]
