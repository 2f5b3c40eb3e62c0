"""Random streams: keyed by name, whatever the order; different names are independent."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from sim.inputs.streams import Streams

PURPOSES = ("mobility", "channel", "tasks", "report", "command", "upload", "result", "bias-cpu-frequency")


def test_a_stream_is_named_not_numbered() -> None:
    names = list(itertools.product(PURPOSES, ("vehicle-0", "vehicle-1", "edge-server")))
    one, other = Streams(5), Streams(5)
    forward = {name: one.generator(*name).random(10).tolist() for name in names}
    backward = {name: other.generator(*name).random(10).tolist() for name in reversed(names)}
    assert forward == backward
    again = {name: one.generator(*name).random(10).tolist() for name in names}  # asking twice starts again
    assert again == forward


def test_every_name_and_seed_has_numbers_of_its_own() -> None:
    first = {
        (seed, purpose, vehicle): Streams(seed).generator(purpose, f"vehicle-{vehicle}").integers(2**63)
        for seed in (0, 1, 2, 10, 11, 2**40, 2**63)
        for purpose in PURPOSES
        for vehicle in range(12)
    }
    assert len(set(first.values())) == len(first)


def test_vehicles_keep_their_stream_when_one_is_added() -> None:
    few, many = Streams(3).of_vehicles("tasks", 4), Streams(3).of_vehicles("tasks", 5)
    for one, other in zip(few, many[:4], strict=True):
        assert one.random(20).tolist() == other.random(20).tolist()
    names = [Streams(3).generator("tasks", f"vehicle-{index}").random() for index in range(5)]
    assert [generator.random() for generator in Streams(3).of_vehicles("tasks", 5)] == names


def test_streams_are_uniform_and_uncorrelated() -> None:
    """40 streams that differ in one letter, one digit or the seed; 4.5 standard errors, over 780 pairs 5.5."""
    count = 20_000
    made = [
        Streams(seed).generator(purpose, f"vehicle-{index}").random(count)
        for seed in (0, 1)
        for purpose in ("tasks", "channel")
        for index in range(10)
    ]
    drawn = np.stack(made)
    for row in drawn:
        assert stats.kstest(row, "uniform").pvalue > 1e-5
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(count)
    # Neither is one a shifted copy of another: neighbours in sequence, across streams.
    shifted = np.corrcoef(drawn[:-1, :-1].ravel(), drawn[1:, 1:].ravel())[0, 1]
    assert abs(shifted) < 4.5 / np.sqrt(drawn.size)
    assert not np.intersect1d(drawn[0], drawn[1:]).size


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_policy_has_a_seed_of_its_own(seed: int) -> None:
    assert Streams(seed).policy_seed() == Streams(seed).policy_seed()
    assert Streams(seed).policy_seed() != Streams(seed + 1).policy_seed()
    assert 0 <= Streams(seed).policy_seed() < 2**63


def test_normal_draws_in_pieces_equal_draws_at_once() -> None:
    """What blocks of different lengths rest on."""
    whole = Streams(1).generator("channel", "vehicle-0").standard_normal(1000)
    pieces = Streams(1).generator("channel", "vehicle-0")
    drawn = np.concatenate([pieces.standard_normal(size) for size in (1, 7, 256, 700, 36)])
    np.testing.assert_array_equal(whole, drawn)
