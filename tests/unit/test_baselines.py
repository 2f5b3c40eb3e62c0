"""The baselines by hand: a small example in scalars, from the equations and not from the model's functions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.arrays import Floats
from policies.feasible import project
from policies.registry import make
from tests.support.snapshots import EXAMPLE, SERVER_HZ, decide, make_snapshot
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


def true_hz(decision: Decision, bias_hz: float) -> Floats:
    share = decision.compute_allocation_hz
    return np.where(share > 0, share + bias_hz, 0.0)


def test_local_only() -> None:
    decision = decide("local-only", make_snapshot(*EXAMPLE, 0.0))
    assert not decision.offloading_ratio.any()
    assert not decision.compute_allocation_hz.any()


@pytest.mark.parametrize("bias_hz", [0.0, 1e9, -1e9])
def test_edge_equal_gives_every_task_the_same_and_uses_the_whole_capacity(bias_hz: float) -> None:
    effective = decide("edge-equal", make_snapshot(*EXAMPLE, bias_hz))
    np.testing.assert_array_equal(effective.offloading_ratio, 1.0)
    np.testing.assert_allclose(true_hz(effective, bias_hz), SERVER_HZ / 4, rtol=1e-12)
    literal = decide("edge-equal", make_snapshot(*EXAMPLE, bias_hz, "model.mode=paper"))
    np.testing.assert_allclose(literal.compute_allocation_hz, (SERVER_HZ - 4 * bias_hz) / 4, rtol=1e-12)
    assert literal.compute_allocation_hz.sum() + 4 * bias_hz == pytest.approx(SERVER_HZ, rel=1e-12)


def delays(snapshot: TwinSnapshot, bias_hz: float, rule: str) -> list[tuple[float, float]]:
    """Return (local, edge) delay of each task if it is run locally or offloaded at a quarter of the server."""
    capacity = snapshot.system.model.capacity_rule
    speed = SERVER_HZ / 4 if capacity == "effective" else (SERVER_HZ - 4 * bias_hz) / 4 + bias_hz
    found = []
    for n in range(2):
        snr = 0.2 * float(snapshot.channel_gain[n]) / 1e-14
        rate = round(20e6 * math.log(1 + snr) / math.log(2))
        for k in range(2):
            size, per_byte = float(snapshot.size_bytes[n, k]), (2000.0, 3000.0)[k]
            upload = 8 * size / rate if rate else math.inf
            local = size * per_byte / (1.5e9, 2.5e9)[n]
            if rule == "always":
                local += upload
            found.append((local, upload + size * per_byte / speed))
    return found


def costs(snapshot: TwinSnapshot, bias_hz: float, rule: str) -> list[tuple[float, float]]:
    """Return what each task adds to qos_weight (-U / 4) + energy + deadline price x miss / 4, locally and offloaded."""
    weights = snapshot.system.objective
    power_w = 20 * 1.85e-28 * (SERVER_HZ / 20) ** 3
    found = []
    for index, (local, edge) in enumerate(delays(snapshot, bias_hz, rule)):
        deadline = (0.04, 0.5)[index % 2]
        n = index // 2
        cycles = float(snapshot.size_bytes.flat[index]) * (2000.0, 3000.0)[index % 2]
        energies = (1e-27 * (1.5e9, 2.5e9)[n] ** 2 * cycles, power_w * 0.1 / 4)
        pair = [
            (weights.deadline_price * (delay > deadline) - weights.qos_weight * (1 - delay / deadline)) / 4
            + weights.energy_weight * energy
            for delay, energy in zip((local, edge), energies, strict=True)
        ]
        found.append((pair[0], pair[1]))
    return found


SNAPSHOTS = st.builds(
    lambda size, gain, bias, rule, capacity, price: (
        make_snapshot(
            size,
            [10.0**g for g in gain],
            bias,
            f"model.upload={rule}",
            "model.mode=paper",
            "model.edge_energy=energy",
            f"model.capacity={capacity}",
            f"objective.deadline_price={price}",
        ),
        bias,
        rule,
    ),
    st.lists(st.integers(1_000, 150_000), min_size=4, max_size=4),
    st.lists(st.floats(-14.5, -10), min_size=2, max_size=2),
    st.sampled_from([0.0, 2e9, -2e9]),
    st.sampled_from(["proportional", "whole", "always"]),
    st.sampled_from(["alloc", "effective"]),
    st.sampled_from([0.0, 1.0, 10.0]),
)


@pytest.mark.parametrize(("name", "values"), [("greedy-latency", delays), ("greedy-cost", costs)])
@given(case=SNAPSHOTS)
@settings(max_examples=60)
def test_greedy_offloads_exactly_what_is_better_at_an_equal_share(name: str, values: Any, case: Any) -> None:
    snapshot, bias_hz, rule = case
    decision = decide(name, snapshot)
    pairs = values(snapshot, bias_hz, rule)
    for ratio, (local, edge) in zip(decision.offloading_ratio.ravel(), pairs, strict=True):
        if abs(edge - local) > 1e-9 * abs(local):
            assert ratio == float(edge < local)
    offloaded = decision.offloading_ratio > 0
    np.testing.assert_array_equal(decision.compute_allocation_hz > 0, offloaded)
    if offloaded.any():
        shares = decision.compute_allocation_hz[offloaded]
        assert np.ptp(shares) <= 1e-6 * shares.max()
    projected, _ = project(snapshot.system, decision, snapshot.estimation_bias_hz)
    np.testing.assert_allclose(projected.compute_allocation_hz, decision.compute_allocation_hz, rtol=1e-9)


def test_greedy_latency_by_hand() -> None:
    """Vehicle 0: 225 Mbit/s, upload 0.7 and 1.4 ms; vehicle 1: 5.3 Mbit/s, 30 and 61 ms. Edge 2.7 and 8 ms."""
    decision = decide("greedy-latency", make_snapshot(*EXAMPLE, 0.0))
    # Locally 27 and 80 ms at 1.5 GHz, 16 and 48 ms at 2.5 GHz.
    assert decision.offloading_ratio.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    np.testing.assert_allclose(decision.compute_allocation_hz, [[30e9, 30e9], [0.0, 0.0]], rtol=1e-12)


def test_greedy_cost_weighs_energy_where_greedy_latency_does_not() -> None:
    """Locally 20 kB cost 0.09 J and 40 kB 0.27 J; a quarter of the server costs 2.5 J in a slot."""
    snapshot = make_snapshot(*EXAMPLE, 0.0)
    dear = dataclasses.replace(
        snapshot.system, objective=snapshot.system.objective.model_copy(update={"energy_weight": 10.0})
    )
    assert decide("greedy-latency", snapshot).offloading_ratio.any()
    assert not decide("greedy-cost", dataclasses.replace(snapshot, system=dear)).offloading_ratio.any()


@pytest.mark.parametrize("name", ["edge-equal", "greedy-latency", "greedy-cost"])
def test_baselines_do_not_see_the_backlog(name: str) -> None:
    one, other = (decide(name, make_snapshot(*EXAMPLE, 0.0, backlog=backlog)) for backlog in (0.0, 1e9))
    np.testing.assert_array_equal(one.offloading_ratio, other.offloading_ratio)
    np.testing.assert_array_equal(one.compute_allocation_hz, other.compute_allocation_hz)


@pytest.mark.parametrize("bias_hz", [0.0, 1e9, -1e9])
def test_random_is_reproducible_feasible_and_uses_the_capacity(bias_hz: float) -> None:
    snapshot = make_snapshot(*EXAMPLE, bias_hz)
    first, again, other = (decide("random", snapshot, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.offloading_ratio, again.offloading_ratio)
    np.testing.assert_array_equal(first.compute_allocation_hz, again.compute_allocation_hz)
    assert (first.offloading_ratio != other.offloading_ratio).all()
    _, repaired = project(snapshot.system, first, snapshot.estimation_bias_hz)
    assert not repaired
    assert true_hz(first, bias_hz).sum() == pytest.approx(SERVER_HZ, rel=1e-9)


def test_random_goes_on_from_slot_to_slot_and_starts_again_on_reset() -> None:
    snapshot = make_snapshot(*EXAMPLE, 0.0)
    policy = make("random")
    policy.reset(snapshot.system, 1)
    first, second = policy.decide(snapshot), policy.decide(snapshot)
    assert (first.offloading_ratio != second.offloading_ratio).all()
    policy.reset(snapshot.system, 1)
    np.testing.assert_array_equal(policy.decide(snapshot).offloading_ratio, first.offloading_ratio)


def test_random_ratios_are_uniform_and_shares_exchangeable() -> None:
    snapshot = make_snapshot(*EXAMPLE, 0.0)
    policy = make("random")
    policy.reset(snapshot.system, 2)
    decisions = [policy.decide(snapshot) for _ in range(2000)]
    ratio = np.stack([decision.offloading_ratio for decision in decisions])
    share = np.stack([decision.compute_allocation_hz for decision in decisions]) / SERVER_HZ
    assert abs(ratio.mean() - 0.5) < 4.5 / np.sqrt(12 * ratio.size)
    assert abs(ratio.var() - 1 / 12) < 4.5 * np.sqrt(1 / 180 / ratio.size)
    np.testing.assert_allclose(share.mean(axis=0), 0.25, atol=4.5 * share.std() / np.sqrt(2000))
