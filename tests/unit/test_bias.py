"""Bias processes: each kind does what its name says, with the statistics of its law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.random import Generator
from pydantic import TypeAdapter
from scipy import stats

from sim.inputs.streams import Streams
from twin.bias import BiasProcess
from twin.params import Bias, BiasParams, ConstantBias, PerVehicleBias, RandomWalkBias, TimedBias


def generators(count: int, seed: int = 1) -> list[Generator]:
    return Streams(seed).of_vehicles("bias", count)


def never() -> Sequence[Generator]:
    raise AssertionError("this kind of bias draws nothing")


def process(params: BiasParams, count: int, slot_duration_s: float = 0.1, seed: int = 1) -> BiasProcess:
    return BiasProcess(params, count, slot_duration_s, lambda: generators(count, seed))


def test_constant_bias_is_the_same_for_all_at_all_times_and_draws_nothing() -> None:
    bias = BiasProcess(ConstantBias(value=-2.5), 4, 0.1, never)
    assert all(bias.at(slot).tolist() == [-2.5] * 4 for slot in (0, 1, 999))
    assert not bias.is_zero
    assert BiasProcess(ConstantBias(), 4, 0.1, never).is_zero


def test_given_values_are_used_in_turn() -> None:
    bias = BiasProcess(PerVehicleBias(values=(1.0, -2.0, 3.0)), 5, 0.1, never)
    assert bias.at(0).tolist() == [1.0, -2.0, 3.0, 1.0, -2.0]
    assert bias.at(50) is bias.at(0)
    assert not bias.is_zero


def test_drawn_values_are_normal_and_kept() -> None:
    bias = process(PerVehicleBias(mean=3.0, std=2.0), 4000)
    first = bias.at(0).copy()
    np.testing.assert_array_equal(bias.at(1000), first)
    assert stats.kstest(first, "norm", args=(3.0, 2.0)).pvalue > 1e-3
    assert len(set(first.tolist())) == 4000


def test_random_walk_has_independent_normal_steps_and_linear_variance() -> None:
    count, std, start = 3000, 0.5, 7.0
    bias = process(RandomWalkBias(start=start, step_std=std), count)
    np.testing.assert_array_equal(bias.at(0), start)
    path = np.stack([bias.at(slot).copy() for slot in range(601)])
    steps = np.diff(path, axis=0)
    assert stats.kstest(steps[::60].ravel(), "norm", args=(0.0, std)).pvalue > 1e-3
    for slot in (1, 100, 255, 256, 257, 600):  # numbers are drawn 256 at a time
        statistic = ((path[slot] - start) ** 2).sum() / (std**2 * slot)
        assert stats.chi2.ppf(1e-4, count) < statistic < stats.chi2.ppf(1 - 1e-4, count)
    # Neither neighbours in time, across the place where new numbers are drawn too, nor vehicles are correlated.
    bound = 4.5 / np.sqrt(count)
    for slot in (10, 255, 256):
        assert abs(np.corrcoef(steps[slot - 1], steps[slot])[0, 1]) < bound
    assert abs(np.corrcoef(steps[:, 0], steps[:, 1])[0, 1]) < 4.5 / np.sqrt(600)


def test_a_random_walk_does_not_depend_on_which_slots_are_asked_for() -> None:
    every, some = (process(RandomWalkBias(step_std=1.0), 5) for _ in range(2))
    path = [every.at(slot).copy() for slot in range(700)]
    for slot in (0, 3, 3, 255, 256, 600, 699):
        np.testing.assert_array_equal(some.at(slot), path[slot])


def test_another_vehicle_leaves_walks_and_drawn_values_untouched() -> None:
    for params in (RandomWalkBias(step_std=1.0), PerVehicleBias(std=1.0)):
        np.testing.assert_array_equal(process(params, 5).at(300), process(params, 6).at(300)[:5])


def test_timed_bias_jumps_at_its_points() -> None:
    bias = BiasProcess(TimedBias(points=((0.7, -1.0), (0.25, 4.0))), 2, 0.1, never)
    values = [float(bias.at(slot)[0]) for slot in range(10)]
    assert values == [0.0] * 3 + [4.0] * 4 + [-1.0] * 3
    assert bias.at(9).tolist() == [-1.0, -1.0]
    assert not bias.is_zero


def test_an_unchanged_bias_is_the_same_object() -> None:
    bias = BiasProcess(TimedBias(points=((0.2, 4.0),)), 2, 0.1, never)
    before = bias.at(0)
    assert bias.at(1) is before
    after = bias.at(2)
    assert after is not before
    assert bias.at(9) is after
    assert before.tolist() == [0.0, 0.0]  # who kept the old one is not surprised


@pytest.mark.parametrize("slot_duration_s", [0.1, 0.7, 0.05, 0.3, 0.001])
def test_a_jump_at_a_slot_start_takes_effect_in_that_slot(slot_duration_s: float) -> None:
    """Slot starts are whole nanoseconds: 3 x 0.7 s is 2.1 s, whatever floats say."""
    late = []
    for slot in range(1, 60):
        start_s = round(slot * round(slot_duration_s * 1e9)) / 1e9
        bias = BiasProcess(TimedBias(points=((start_s, 1.0),)), 1, slot_duration_s, never)
        values = [bias.at(index).item() for index in (slot - 1, slot)]
        if values != [0.0, 1.0]:
            late.append((slot, start_s))
    assert not late


def test_units_are_read_in_every_kind() -> None:
    adapter = TypeAdapter(Bias)
    texts = adapter.validate_python(
        {
            "cpu_frequency_hz": "-0.2 GHz",
            "task_size_bytes": {"kind": "per-vehicle", "values": ["1 kB", 2]},
            "position_m": {"kind": "random-walk", "start": "1 km", "step_std": "2 m"},
            "channel_gain_db": {"kind": "timed", "points": [["100 ms", "3 dB"]]},
            "cpu_backlog_cycles": "2 Mcycles",
            "uplink_backlog_bytes": {"kind": "per-vehicle", "mean": "1 kB"},
            "server_backlog_bytes": {"kind": "random-walk", "step_std": "1 MB"},
        }
    )
    assert texts.cpu_frequency_hz == ConstantBias(value=-0.2e9)
    assert texts.task_size_bytes == PerVehicleBias(values=(1000.0, 2.0))
    assert texts.position_m == RandomWalkBias(start=1000.0, step_std=2.0)
    assert texts.channel_gain_db == TimedBias(points=((0.1, 3.0),))
    assert texts.cpu_backlog_cycles == ConstantBias(value=2e6)
    assert texts.uplink_backlog_bytes == PerVehicleBias(mean=1000.0)
    assert texts.server_backlog_bytes == RandomWalkBias(step_std=1e6)
