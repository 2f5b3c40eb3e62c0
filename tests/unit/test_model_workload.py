"""Bursts: the long-run ratio in closed form against a long simulation of the chain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from physical.model.workload import burst_ratio, next_state
from sim.inputs.blocks import Inputs
from sim.inputs.streams import Streams
from sim.scenario.scenario import Scenario


@pytest.mark.parametrize(
    ("event_begin", "event_end", "begin", "begin_in_event", "end"),
    [(0.01, 0.05, 0.02, 0.25, 0.2), (0.1, 0.3, 0.0, 0.5, 0.5), (0.0, 0.0, 0.1, 0.9, 0.4), (0.3, 0.0, 0.2, 0.6, 0.3)],
)
def test_burst_ratio(event_begin: float, event_end: float, begin: float, begin_in_event: float, end: float) -> None:
    """Many independent chains, sampled once each after a long time, are binomial around the stationary ratio."""
    num_chain, generator = 20_000, np.random.default_rng(5)
    event, burst = np.zeros(num_chain, dtype=bool), np.zeros(num_chain, dtype=bool)
    for _ in range(300):
        event = next_state(event, event_begin, event_end, generator.random(num_chain))
        burst = next_state(burst, np.where(event, begin_in_event, begin), end, generator.random(num_chain))
    expected = burst_ratio(event_begin, event_end, begin, begin_in_event, end)
    assert abs(burst.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / num_chain)


@pytest.mark.parametrize("certain", [*itertools.product([0.0, 1.0], repeat=4)], ids=str)
def test_burst_ratio_where_all_is_certain(certain: tuple[float, float, float, float]) -> None:
    """The mean over many slots of the joint chain's distribution, which starts at rest and may turn for ever."""
    event_begin, event_end, begin, begin_in_event = certain
    turn = np.array([[1 - event_begin, event_begin], [event_end, 1 - event_end]])
    step = np.zeros((2, 2, 2, 2))  # event, burst -> event, burst
    for event, starts in enumerate((begin, begin_in_event)):
        step[:, 0, event, 1], step[:, 0, event, 0] = turn[:, event] * starts, turn[:, event] * (1 - starts)
        step[:, 1, event, 0] = turn[:, event]  # a burst ends after one slot
    now, total = np.zeros((2, 2)), 0.0
    now[0, 0] = 1.0
    for _ in range(1_000):
        now = np.einsum("ab,abcd->cd", now, step)
        total += now[:, 1].sum()
    assert burst_ratio(event_begin, event_end, begin, begin_in_event, 1.0) == pytest.approx(total / 1_000, abs=2e-3)


def test_bursts_scale_sizes() -> None:
    """With bursts that never end, every size but the first slot's is the size without bursts times the factor."""
    always = "{event_begin=1, event_end=0, burst_begin=1, burst_begin_in_event=1, burst_end=1e-9, size_factor=3}"
    plain = Scenario.load("dtecn-congested", ["time.num_slot=5"]).model_copy(update={"bursts": None})
    bursting = Scenario.load("dtecn-congested", ["time.num_slot=5", f"bursts={always}"])
    sizes = [Inputs(scenario.resolve(), Streams(4)).block(0, 5).size_bytes for scenario in (plain, bursting)]
    np.testing.assert_array_equal(3 * sizes[0], sizes[1])
    assert bursting.system().backlog_unit_bytes == pytest.approx(3 * plain.system().backlog_unit_bytes)
