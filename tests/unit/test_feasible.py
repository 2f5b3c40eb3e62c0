"""Projection on the feasible set: what comes out is feasible, what is feasible stays, garbage is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from physical.arrays import Floats
from physical.system import System
from policies.feasible import FLOOR, capacity_hz, least_allocation_hz, project
from policies.foreign.answers import InvalidDecisionError
from tests.support.scenarios import make_scenario
from twin.decision import Decision

SHAPE = (3, 2)
SERVER_HZ = 60e9
NO_BIAS = np.zeros(SHAPE)
SYSTEMS = {
    rule: make_scenario("model.mode=paper", f"model.capacity={rule}").system() for rule in ("alloc", "effective")
}


def matrix(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Floats]:
    return st.lists(numbers, min_size=6, max_size=6).map(lambda values: np.array(values).reshape(SHAPE))


RATIOS = matrix(st.floats(-2, 3) | st.sampled_from([0.0, -0.0, 1.0, 1e-300]))
ALLOCATIONS = matrix(st.floats(-1e11, 1e12) | st.sampled_from([0.0, 1.0, 1e9, SERVER_HZ / 6, SERVER_HZ]))
BIASES = matrix(st.floats(-5e9, 5e9)) | st.floats(-5e9, 5e9).map(lambda value: np.full(SHAPE, value))


def used_hz(rule: str, decision: Decision, bias_hz: Floats) -> float:
    """Return what counts against the server: allocations and all biases, or the true speeds of what has a share."""
    allocation = decision.compute_allocation_hz
    if rule == "alloc":
        return float(allocation.sum() + bias_hz.sum())
    return float(np.where(allocation > 0, np.maximum(allocation + bias_hz, 0.0), 0.0).sum())


def fits(rule: str, ratio: Floats, bias_hz: Floats) -> bool:
    """Whether the floors of the active flows alone are within the capacity."""
    active = np.clip(ratio, 0, 1) > 0
    floor = np.where(active, np.maximum(FLOOR * SERVER_HZ, FLOOR * SERVER_HZ - bias_hz), 0.0)
    return used_hz(rule, Decision(ratio, floor), bias_hz) <= SERVER_HZ


@pytest.mark.parametrize("rule", SYSTEMS)
@given(ratio=RATIOS, allocation=ALLOCATIONS, bias_hz=BIASES)
def test_the_projection_is_feasible(rule: str, ratio: Floats, allocation: Floats, bias_hz: Floats) -> None:
    assume(fits(rule, ratio, bias_hz))
    # Idle flows that a bias stops have a test of their own.
    assume(rule == "alloc" or not ((ratio <= 0) & (allocation > 0) & (bias_hz < 0)).any())
    projected, _ = project(SYSTEMS[rule], Decision(ratio, allocation), bias_hz)
    omega, share = projected.offloading_ratio, projected.compute_allocation_hz
    assert ((omega >= 0) & (omega <= 1)).all()
    assert (share >= 0).all()
    active = omega > 0
    tiny = 1e-6 * FLOOR * SERVER_HZ
    assert (share[active] >= FLOOR * SERVER_HZ - tiny).all()
    assert ((share + bias_hz)[active] >= FLOOR * SERVER_HZ - tiny).all()
    assert used_hz(rule, projected, bias_hz) <= SERVER_HZ * (1 + 1e-9)


@pytest.mark.parametrize("rule", SYSTEMS)
@given(ratio=RATIOS, allocation=ALLOCATIONS, bias_hz=BIASES)
def test_projecting_again_changes_nothing(rule: str, ratio: Floats, allocation: Floats, bias_hz: Floats) -> None:
    once, repaired = project(SYSTEMS[rule], Decision(ratio, allocation), bias_hz)
    twice, again = project(SYSTEMS[rule], once, bias_hz)
    if fits(rule, ratio, bias_hz):
        assert not again
    np.testing.assert_array_equal(twice.offloading_ratio, once.offloading_ratio)
    np.testing.assert_allclose(twice.compute_allocation_hz, once.compute_allocation_hz, rtol=1e-9)
    same = np.array_equal(once.offloading_ratio, ratio) and np.array_equal(once.compute_allocation_hz, allocation)
    assert repaired != same


@pytest.mark.parametrize("rule", SYSTEMS)
@given(
    ratio=matrix(st.floats(0, 1) | st.just(0.0)),
    part=matrix(st.floats(0.01, 1)),
    fill=st.floats(0.01, 1),
    bias_hz=BIASES,
)
def test_a_feasible_decision_stays_bit_for_bit(
    rule: str, ratio: Floats, part: Floats, fill: float, bias_hz: Floats
) -> None:
    system = SYSTEMS[rule]
    floor = np.maximum(FLOOR * SERVER_HZ, FLOOR * SERVER_HZ - bias_hz)
    if rule == "alloc":
        room = SERVER_HZ - bias_hz.sum() - floor.sum()
        share = floor + fill * room * part / part.sum()
    else:
        room = SERVER_HZ - (floor + bias_hz).sum()
        share = floor + fill * room * part / part.sum()
    assume(room > 0)
    decision = Decision(ratio, share)
    assert used_hz(rule, decision, bias_hz) <= SERVER_HZ * (1 + 1e-12)
    projected, repaired = project(system, decision, bias_hz)
    assert not repaired
    assert projected.offloading_ratio.tobytes() == (ratio + 0.0).tobytes()
    assert projected.compute_allocation_hz.tobytes() == share.tobytes()


def test_too_much_is_scaled_in_proportion_above_the_floors() -> None:
    share = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]]) * SERVER_HZ
    ratio = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    projected, repaired = project(SYSTEMS["effective"], Decision(ratio, share), NO_BIAS)
    assert repaired
    got = projected.compute_allocation_hz
    assert got.sum() == pytest.approx(SERVER_HZ, rel=1e-12)
    floor = np.where(ratio > 0, FLOOR * SERVER_HZ, 0.0)
    above = (got - floor) / (share - floor + (share == 0))
    np.testing.assert_allclose(above[share > 0], above[0, 0], rtol=1e-9)
    assert got[2, 1] == 0.0


def test_a_share_without_offloading_is_kept() -> None:
    """It drains the backlog of earlier slots."""
    share = np.full(SHAPE, 1e9)
    projected, repaired = project(SYSTEMS["effective"], Decision(np.zeros(SHAPE), share), NO_BIAS)
    assert not repaired
    np.testing.assert_array_equal(projected.compute_allocation_hz, share)


def test_an_idle_flow_slower_than_its_bias_gives_nothing_to_others() -> None:
    """Its true speed is 0, not negative: what it lacks cannot be spent elsewhere."""
    bias_hz = np.full(SHAPE, -3e9)
    ratio = np.zeros(SHAPE)
    ratio[0, 0] = 1.0
    share = np.full(SHAPE, 1e9)
    share[0, 0] = SERVER_HZ + 10e9
    projected, repaired = project(SYSTEMS["effective"], Decision(ratio, share), bias_hz)
    assert repaired
    assert used_hz("effective", projected, bias_hz) <= SERVER_HZ * (1 + 1e-9)


def test_the_input_is_not_written_to() -> None:
    ratio, share = np.full(SHAPE, 2.0), np.full(SHAPE, SERVER_HZ)
    ratio.flags.writeable = share.flags.writeable = False
    projected, _ = project(SYSTEMS["alloc"], Decision(ratio, share), NO_BIAS)
    assert projected.offloading_ratio is not ratio


GOOD = np.full(SHAPE, 0.5)
GARBAGE: dict[str, tuple[Any, str]] = {
    "nothing": (None, "NoneType"),
    "a tuple": ((GOOD, GOOD), "tuple"),
    "nan": (Decision(np.full(SHAPE, np.nan), GOOD), "offloading_ratio"),
    "infinite": (Decision(GOOD, np.full(SHAPE, np.inf)), "compute_allocation_hz"),
    "one nan": (Decision(GOOD, np.where(np.arange(6).reshape(SHAPE) == 3, np.nan, 1.0)), "compute_allocation_hz"),
    "both infinities": (Decision(GOOD, np.array([[np.inf, -np.inf]] * 3)), "compute_allocation_hz"),
    "transposed": (Decision(GOOD.T, GOOD.T), r"\[2, 3\]"),
    "flat": (Decision(GOOD.ravel(), GOOD), r"\[6\]"),
    "a number": (Decision(0.5, GOOD), r"\[\]"),  # type: ignore[arg-type]  # what a policy may do all the same
    "text": (Decision([["a", "b"]] * 3, GOOD), "offloading_ratio"),  # type: ignore[arg-type]  # the same
    "ragged": (Decision([[1.0], [1.0, 2.0], []], GOOD), "offloading_ratio"),  # type: ignore[arg-type]  # the same
}


@pytest.mark.parametrize("case", GARBAGE)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_garbage_is_refused_with_its_name(case: str) -> None:
    decision, named = GARBAGE[case]
    with pytest.raises(InvalidDecisionError, match=named):
        project(SYSTEMS["effective"], decision, NO_BIAS)


def test_huge_numbers_give_a_finite_decision_or_are_refused() -> None:
    for size in (1e30, 1e200):
        projected, _ = project(SYSTEMS["effective"], Decision(GOOD, np.full(SHAPE, size)), NO_BIAS)
        assert np.isfinite(projected.compute_allocation_hz).all()
        assert projected.compute_allocation_hz.sum() <= SERVER_HZ * (1 + 1e-9)
    with pytest.raises(InvalidDecisionError), np.errstate(over="ignore"):
        project(SYSTEMS["effective"], Decision(GOOD, np.full(SHAPE, 1.7e308)), NO_BIAS)


def test_lists_and_integers_are_read_as_numbers() -> None:
    system: System = SYSTEMS["effective"]
    decision = Decision([[1, 0]] * 3, [[10**9, 0]] * 3)  # type: ignore[arg-type]  # what a policy may do all the same
    projected, repaired = project(system, decision, NO_BIAS)
    assert not repaired
    assert projected.compute_allocation_hz.dtype == np.float64


def test_capacity_and_floors() -> None:
    bias_hz = np.array([[1e9, -2e9], [0.0, 0.0], [0.0, -1e9]])
    assert capacity_hz(SYSTEMS["effective"], bias_hz) == SERVER_HZ
    assert capacity_hz(SYSTEMS["alloc"], bias_hz) == SERVER_HZ + 2e9
    assert capacity_hz(SYSTEMS["alloc"], np.full(SHAPE, 1e12)) == 0.0
    floor = least_allocation_hz(SYSTEMS["alloc"], bias_hz)
    np.testing.assert_allclose(floor, [[6e4, 2e9 + 6e4], [6e4, 6e4], [6e4, 1e9 + 6e4]])
