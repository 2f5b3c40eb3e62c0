"""Projection with joint allocation: whole layers, ranges of frequency and power, and pools of each node."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.arrays import Floats, Ints
from policies.feasible import FLOOR, JOINT_FIELDS, project
from policies.foreign.answers import InvalidDecisionError
from sim import Scenario
from tests.support.scenarios import make_scenario
from twin.decision import Decision

NUM_VEHICLE, NUM_NODE, NUM_LAYER = 6, 3, 32
SETTINGS = (
    f"vehicles.num_vehicle={NUM_VEHICLE}",
    'vehicles.cpu_hz=["1.3 GHz", "0.8 GHz"]',
    'rsus.1.server={frequency_hz="2 GHz", kappa=3e-26, gpu={num_core=100, flop_per_cycle=8}}',
)


def _systems() -> dict[str, Any]:
    data = Scenario.load("llm6g").model_dump(mode="json")
    data["rsus"] = data["rsus"][:NUM_NODE]
    modes = ("paper", "corrected")
    return {mode: Scenario.from_dict(data, settings=[*SETTINGS, f"model.mode={mode}"]).system() for mode in modes}


SYSTEMS = _systems()
SYSTEM = SYSTEMS["corrected"]
NO_BIAS = np.zeros((NUM_VEHICLE, 1))
NODE = np.array([0, 0, 0, 1, 2, -1])
CAPACITY_HZ = (1.41e9, 2e9, 1.41e9)
POOL_HZ = 20e6


def feasible(**changed: Any) -> Decision:
    """Return a decision that is: half of the layers, a quarter of the node, half of the ranges, a tenth of the pool."""
    ratio = np.where(NODE >= 0, 0.5, 0.0)[:, np.newaxis]
    decision = Decision(
        offloading_ratio=ratio,
        compute_allocation_hz=np.where(ratio > 0, 0.3e9, 0.0),
        local_frequency_hz=0.5 * SYSTEM.cpu_hz,
        transmit_power_w=np.full(NUM_VEHICLE, 10.0),
        bandwidth_hz=np.where(NODE >= 0, 0.1 * POOL_HZ, 0.0),
    )
    return dataclasses.replace(decision, **changed)


def assert_bits(one: Decision, other: Decision) -> None:
    for field in dataclasses.fields(Decision):
        assert getattr(one, field.name).tobytes() == getattr(other, field.name).tobytes(), field.name


def draw(seed: int, scale: float) -> tuple[Decision, Ints]:
    """Draw a decision, wild at a large scale, and the nodes of the vehicles."""
    rng = np.random.default_rng(seed)

    def wild(top: Any, shape: tuple[int, ...]) -> Floats:
        drawn = np.asarray(top) * rng.uniform(-0.5, scale, shape)
        return np.where(rng.random(shape) < 0.15, rng.choice([0.0, 1.0]) * np.asarray(top), drawn)

    decision = Decision(
        offloading_ratio=wild(1.0, (NUM_VEHICLE, 1)),
        compute_allocation_hz=wild(1.5e9, (NUM_VEHICLE, 1)),
        local_frequency_hz=wild(SYSTEM.cpu_hz, (NUM_VEHICLE,)),
        transmit_power_w=wild(20.0, (NUM_VEHICLE,)),
        bandwidth_hz=wild(POOL_HZ, (NUM_VEHICLE,)),
    )
    return decision, rng.integers(-1, NUM_NODE, NUM_VEHICLE)


def assert_feasible(mode: str, decision: Decision, node: Ints) -> None:
    """Check eqs. 10a to 10e one by one."""
    hz, power_w, bandwidth_hz = (getattr(decision, name) for name in JOINT_FIELDS)
    ratio, allocation_hz = decision.offloading_ratio[:, 0], decision.compute_allocation_hz[:, 0]
    layers = NUM_LAYER * (1 - ratio)
    assert (layers == np.rint(layers)).all()
    assert ((layers >= 1) & (layers <= NUM_LAYER)).all()
    assert ((hz > 0) & (hz <= SYSTEM.cpu_hz)).all()
    assert ((power_w >= 0.01) & (power_w <= 20.0)).all()
    assert (ratio[node < 0] == 0).all()
    assert (allocation_hz[node < 0] == 0).all()
    assert (bandwidth_hz[node < 0] == 0).all()
    assert (allocation_hz >= 0).all()
    assert (bandwidth_hz >= 0).all()
    assert (allocation_hz[ratio > 0] > 0).all()
    sends = (ratio > 0) | ((mode == "paper") & (node >= 0))
    assert (bandwidth_hz[sends] >= FLOOR * POOL_HZ * (1 - 1e-9)).all()
    for index, capacity in enumerate(CAPACITY_HZ):
        here = node == index
        assert allocation_hz[here].sum() <= capacity * (1 + 1e-9)
        assert bandwidth_hz[here].sum() <= POOL_HZ * (1 + 1e-9)


@pytest.mark.parametrize("mode", SYSTEMS)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.3, 1.0, 3.0, 100.0]))
def test_any_decision_becomes_feasible_and_stays_so(mode: str, seed: int, scale: float) -> None:
    decision, node = draw(seed, scale)
    once, repaired = project(SYSTEMS[mode], decision, NO_BIAS, node)
    assert_feasible(mode, once, node)
    same = all(
        np.array_equal(getattr(once, field.name), getattr(decision, field.name)) for field in dataclasses.fields(once)
    )
    assert repaired != same
    twice, again = project(SYSTEMS[mode], once, NO_BIAS, node)
    assert not again
    assert_bits(twice, once)


@pytest.mark.parametrize("mode", SYSTEMS)
def test_a_feasible_decision_stays_bit_for_bit(mode: str) -> None:
    projected, repaired = project(SYSTEMS[mode], feasible(), NO_BIAS, NODE)
    assert not repaired
    assert_bits(projected, feasible())


@pytest.mark.parametrize("num_local", range(1, NUM_LAYER + 1))
def test_whole_layers_are_kept_and_others_rounded(num_local: int) -> None:
    ratio = (NUM_LAYER - num_local) / NUM_LAYER
    for shift in (0.0, 0.4, -0.4):
        wanted = np.where(NODE >= 0, min(max(ratio + shift / NUM_LAYER, 0.0), 1.0), 0.0)[:, np.newaxis]
        projected, repaired = project(SYSTEM, feasible(offloading_ratio=wanted), NO_BIAS, NODE)
        np.testing.assert_array_equal(projected.offloading_ratio[:5], ratio)
        assert repaired is bool((wanted[:5] != ratio).any())


def test_the_first_layer_stays_at_home() -> None:
    """Eq. 10a, alpha >= 1: raw data never leave the vehicle."""
    projected, repaired = project(SYSTEM, feasible(offloading_ratio=np.ones((NUM_VEHICLE, 1))), NO_BIAS, NODE)
    assert repaired
    np.testing.assert_array_equal(projected.offloading_ratio[:, 0], [31 / 32] * 5 + [0.0])


def test_frequencies_and_powers_are_clipped() -> None:
    wanted = {
        "local_frequency_hz": np.array([2e9, 2e9, 1e9, 0.0, -1.0, 1e9]),
        "transmit_power_w": np.array([30.0, 20.0, 0.02, 0.0, -3.0, 1e-3]),
    }
    projected, repaired = project(SYSTEM, feasible(**wanted), NO_BIAS, NODE)
    assert repaired
    hz, power_w = projected.local_frequency_hz, projected.transmit_power_w
    assert hz is not None
    assert power_w is not None
    np.testing.assert_array_equal(hz, [1.3e9, 0.8e9, 1e9, FLOOR * 0.8e9, FLOOR * 1.3e9, 0.8e9])
    np.testing.assert_array_equal(power_w, [20.0, 20.0, 0.02, 0.01, 0.01, 0.01])


def test_each_pool_of_bandwidth_is_scaled_on_its_own() -> None:
    """Node 0 is asked for 24 MHz by three vehicles, nodes 1 and 2 for what they have."""
    wanted = np.array([4e6, 8e6, 12e6, 20e6, 5e6, 7e6])
    projected, repaired = project(SYSTEM, feasible(bandwidth_hz=wanted), NO_BIAS, NODE)
    assert repaired
    assert projected.bandwidth_hz is not None
    floor = FLOOR * POOL_HZ
    part = (POOL_HZ - 3 * floor) / (24e6 - 3 * floor)
    expected = [*(floor + part * (wanted[:3] - floor)), 20e6, 5e6, 0.0]
    np.testing.assert_allclose(projected.bandwidth_hz, expected, rtol=1e-12)


def test_each_server_is_scaled_on_its_own() -> None:
    """Nodes 0, 1 and 2 have 1.41, 2 and 1.41 GHz."""
    wanted = np.array([1e9, 1e9, 1e9, 2e9, 1.5e9, 1e9])[:, np.newaxis]
    projected, repaired = project(SYSTEM, feasible(compute_allocation_hz=wanted), NO_BIAS, NODE)
    assert repaired
    np.testing.assert_allclose(
        projected.compute_allocation_hz[:, 0], [0.47e9, 0.47e9, 0.47e9, 2e9, 1.41e9, 0.0], rtol=1e-12
    )


@pytest.mark.parametrize("mode", SYSTEMS)
def test_who_sends_nothing_needs_bandwidth_in_mode_paper_only(mode: str) -> None:
    """Eq. 4 is charged whether or not anything is sent; at no bandwidth it has no value."""
    zeros = np.zeros((NUM_VEHICLE, 1))
    idle = feasible(offloading_ratio=zeros, compute_allocation_hz=zeros, bandwidth_hz=zeros[:, 0])
    projected, repaired = project(SYSTEMS[mode], idle, NO_BIAS, NODE)
    assert repaired is (mode == "paper")
    least_hz = np.where(NODE >= 0, FLOOR * POOL_HZ, 0.0) if mode == "paper" else zeros[:, 0]
    np.testing.assert_allclose(np.asarray(projected.bandwidth_hz), least_hz, rtol=1e-12)


def test_out_of_reach_nothing_is_offloaded() -> None:
    nowhere = np.full(NUM_VEHICLE, -1)
    projected, repaired = project(SYSTEM, feasible(), NO_BIAS, nowhere)
    assert repaired
    for values in (projected.offloading_ratio, projected.compute_allocation_hz, projected.bandwidth_hz):
        np.testing.assert_array_equal(np.asarray(values), 0.0)
    np.testing.assert_array_equal(np.asarray(projected.local_frequency_hz), 0.5 * SYSTEM.cpu_hz)


BAD: dict[str, Any] = {
    "missing": None,
    "nan": np.full(NUM_VEHICLE, np.nan),
    "shape": np.ones((NUM_VEHICLE, 1)),
    "infinite": np.full(NUM_VEHICLE, np.inf),
    "text": "full power",
}


@pytest.mark.parametrize("name", JOINT_FIELDS)
@pytest.mark.parametrize("case", BAD)
def test_garbage_is_refused_by_the_name_of_its_field(name: str, case: str) -> None:
    with pytest.raises(InvalidDecisionError, match=f"^{name} "):
        project(SYSTEM, feasible(**{name: BAD[case]}), NO_BIAS, NODE)


@pytest.mark.parametrize("name", JOINT_FIELDS)
def test_a_system_that_fixes_a_field_refuses_its_decision(name: str) -> None:
    fixed = make_scenario().system()
    plain = Decision(np.zeros((3, 2)), np.zeros((3, 2)))
    assert not project(fixed, plain, np.zeros((3, 2)))[1]
    with pytest.raises(InvalidDecisionError, match=name):
        project(fixed, dataclasses.replace(plain, **{name: np.ones(3)}), np.zeros((3, 2)))


def test_inputs_are_not_written_to() -> None:
    decision, node = draw(3, 3.0)
    for field in dataclasses.fields(decision):
        getattr(decision, field.name).flags.writeable = False
    node.flags.writeable = False
    assert project(SYSTEM, decision, NO_BIAS, node)[1]
