"""The price of capacity at work: what there is by the cases, where tasks ask for just that, and who gets it."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.cases.case import CaseSet
from policies.llm.bundled.environments import RandomEnvironment, solved_cases
from policies.llm.bundled.market import Offers, Supply, clearing_price
from policies.llm.bundled.reading import Reading
from policies.llm.bundled.vocabulary import NUM_ANSWER, NUM_CLASS, PRICE


def supply_of(prices: list[float], used: list[float], growth: float = 0.0) -> Supply:
    return Supply(np.log(np.array(prices)), np.log(np.array(used)), growth)


def some_cases(count: int) -> tuple[CaseSet, float, int]:
    environment = RandomEnvironment(11)
    cases, _ = solved_cases(environment, count, 0)
    system = environment.system
    return cases, system.server.frequency_hz, system.num_vehicle * system.num_class


def test_supply_is_what_the_cases_use_at_their_prices() -> None:
    cases, server_hz, num_task = some_cases(6)
    supply = Supply.of(list(cases), server_hz, num_task)
    used = [case.decision.compute_allocation_hz.sum() / server_hz for case in cases]
    prices = [case.capacity_price * num_task for case in cases]
    for price, part in zip(prices, used, strict=True):
        assert supply.at(price) >= part - 1e-12
    assert supply.at(min(prices)) == pytest.approx(used[int(np.argmin(prices))])
    assert supply.at(max(prices)) == pytest.approx(max(used))
    grid = [supply.at(price) for price in np.geomspace(0.3 * min(prices), 3 * max(prices), 50)]
    assert all(one <= other * (1 + 1e-12) for one, other in pairwise(grid))


def test_supply_goes_on_as_it_does_between_the_cases() -> None:
    """A server whose power is the cube of its speed offers the square root of the price, until it is full."""
    prices = np.array([4.0, 6.0, 9.0])
    supply = supply_of(prices.tolist(), np.sqrt(prices / 16.0).tolist(), growth=0.5)
    for price in (1.0, 2.0, 4.0, 9.0, 12.0, 16.0):
        assert supply.at(price) == pytest.approx(math.sqrt(price / 16.0))
    assert supply.at(100.0) == 1.0
    assert supply_of([4.0], [1.05], growth=0.5).at(9.0) == pytest.approx(1.05)


def test_supply_without_prices() -> None:
    """No case: the whole server; cases whose prices nobody knows: what they use on average."""
    assert Supply.of([], 1e9, 30).at(7.0) == 1.0
    cases, server_hz, num_task = some_cases(3)
    secret = [replace(case, capacity_price=math.nan) for case in cases]
    used = [case.decision.compute_allocation_hz.sum() / server_hz for case in cases]
    assert min(used) <= Supply.of(secret, server_hz, num_task).at(7.0) <= max(used)


@pytest.mark.parametrize("worth", [0.0, 5.0])
@pytest.mark.parametrize("elasticity", [-0.3, -0.5, -0.8, -1.5])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("first", [(3.0,), (3.0, 9.0)])
def test_the_clearing_price_is_found_in_a_few_trials(
    worth: float, elasticity: float, factor: float, first: tuple[float, ...]
) -> None:
    """Demand is a power of what the price exceeds the worth of draining by: -1/2 for shares at the margin."""
    supply = supply_of([2.0, 8.0, 20.0], [0.6, 0.9, 1.0])

    def offers(price: float) -> Offers:
        demand = factor * ((price - worth) / 6.0) ** elasticity
        return Offers(price, np.ones((1, 1)), np.full((1, 1), demand))

    tried = [offers(worth + above) for above in first]
    for _ in range(5):
        price = clearing_price(tried, supply, worth)
        assert PRICE.low <= price - worth <= PRICE.high * (1 + 1e-12)
        tried.append(offers(price))
    best = min(tried, key=lambda one: abs(supply.excess(one)))
    at_end = best.price - worth <= PRICE.low * 1.01 or best.price - worth >= PRICE.high * 0.99
    assert at_end or abs(supply.excess(best)) < 0.03


def test_a_price_between_two_is_looked_for_between_them() -> None:
    one = np.ones((1, 1))
    tried = [Offers(4.0, one, 1.5 * one), Offers(9.0, one, 0.8 * one)]
    assert 4.0 < clearing_price(tried, supply_of([1.0], [1.0]), 0.0) < 9.0


@settings(max_examples=100)
@given(st.data())
def test_choosing_changes_only_tasks_that_are_not_sure(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits: NDArray[Any] = rng.normal(0.0, 1.0, (5, NUM_CLASS, NUM_ANSWER))
    logits[..., 0] += rng.normal(4.0, 2.0, (5, NUM_CLASS))
    there, reading = data.draw(st.floats(0.05, 1.2)), Reading()
    offers = Offers.of(logits, 7.0, np.ones(5, dtype=np.bool_), reading)
    chosen = offers.choose(there, reading)
    wanted = offers.sure > 0.5
    left, joined = wanted & ~chosen, chosen & ~wanted
    assert (offers.sure[left] < reading.most).all()
    assert (offers.sure[joined] >= reading.least).all()
    asked = offers.share[chosen].sum()
    if left.any():
        assert offers.share[wanted].sum() > reading.slack * there
        assert (asked + offers.share[left] > there).all()  # who left does not fit
    if joined.any():
        assert asked <= there + 1e-12


@pytest.mark.parametrize(
    ("worth", "at_drain"), [([0.0, 0.0, 0.0], False), ([0.0, 2.0, 3.0], False), ([0.0, 2.0, 6.8], True)]
)
def test_what_is_left_goes_to_the_queue_or_to_all(worth: list[float], at_drain: bool) -> None:
    """Nothing of what there is stays unused, and nobody gets less than it asked for."""
    sure = np.array([[0.9, 0.05, 0.05], [0.9, 0.9, 0.05]])
    offers = Offers(7.0, sure, np.full((2, 3), 0.1))
    decision = offers.settle(0.8, np.array(worth), Reading(), 10.0)
    share = decision.compute_allocation_hz / 10.0
    assert (decision.offloading_ratio == (sure > 0.5)).all()
    assert share.sum() == pytest.approx(0.8)
    asked = np.where(sure > 0.5, 0.1, 0.0)
    assert (share >= asked - 1e-12).all()
    expected = asked + np.array([0.0, 0.0, 0.25]) if at_drain else asked * 0.8 / asked.sum()
    np.testing.assert_allclose(share, expected)
    # More is asked for than there is: the surest stay, and what they ask for is left to the projection.
    crowded = offers.settle(0.15, np.array(worth), Reading(), 10.0)
    assert (crowded.compute_allocation_hz > 0).sum() <= 3


def test_what_is_said_of_vehicles_that_cannot_offload_does_not_count() -> None:
    logits = np.zeros((3, NUM_CLASS, NUM_ANSWER))
    offers = Offers.of(logits, 7.0, np.array([True, False, True]), Reading())
    assert (offers.sure[1] == 0).all()
    assert (offers.sure[[0, 2]] > 0.9).all()
    assert not offers.choose(1e9, Reading())[1].any()
