"""Exogenous inputs: independent of block length and of other vehicles; motion and sizes as the scenario says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sim.inputs.blocks import Block, Inputs
from sim.inputs.routes import Passage
from sim.inputs.streams import Streams
from tests.support.scenarios import PASSAGES, RANDOM_NETWORK, make_scenario

BY_SLOT = ("x_m", "y_m", "large_scale_gain", "channel_gain", "uplink_rate_bps", "size_bytes")


def make_inputs(*settings: str, seed: int = 1) -> Inputs:
    scenario = make_scenario(*settings)
    return Inputs(scenario.resolve(), Streams(seed))


def joined(inputs: Inputs, lengths: list[int]) -> dict[str, NDArray[np.generic]]:
    """Return everything of consecutive blocks, joined along the slots."""
    blocks: list[Block] = []
    first = 0
    for length in lengths:
        blocks.append(inputs.block(first, length))
        assert (blocks[-1].first_slot, blocks[-1].num_slot) == (first, length)
        first += length
    found = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in BY_SLOT}
    for name in PASSAGES:
        passages: list[Passage] = [getattr(block, name) for block in blocks]
        found[f"{name}.latency"] = np.concatenate([np.asarray(passage.latency_ns) for passage in passages])
        found[f"{name}.lost"] = np.concatenate([np.asarray(passage.lost) for passage in passages])
    return found


@pytest.mark.parametrize("lengths", [[7] * 36 + [4], [1] * 10 + [246], [255, 1], [100, 56, 100]])
def test_block_lengths_change_nothing(lengths: list[int]) -> None:
    whole = joined(make_inputs(*RANDOM_NETWORK), [256])
    pieces = joined(make_inputs(*RANDOM_NETWORK), lengths)
    for name, values in whole.items():
        assert values.tobytes() == pieces[name].tobytes(), name


def test_blocks_go_on_where_the_last_one_ended() -> None:
    """Fading and shadowing have no seam: slow vehicles, whose channel hardly changes from slot to slot."""
    settings = (*RANDOM_NETWORK, "mobility.speed_mps=0.01", "time.slot_duration_s=0.01", "vehicles.num_vehicle=50")
    gain = joined(make_inputs(*settings), [64, 64])["channel_gain"]
    change_db = np.abs(np.diff(10 * np.log10(gain.astype(float)), axis=0))
    assert np.median(change_db[63]) < 3 * np.median(change_db[:63])


@pytest.mark.parametrize("kind", ["highway", "straight", "stationary"])
def test_another_vehicle_leaves_the_others_bit_identical(kind: str) -> None:
    settings = (*RANDOM_NETWORK, f"mobility.kind={kind}")
    few = joined(make_inputs(*settings, "vehicles.num_vehicle=3"), [64])
    many = joined(make_inputs(*settings, "vehicles.num_vehicle=4"), [64])
    for name, values in few.items():
        others = many[name] if name.startswith("server") else many[name][:, :3]
        assert values.tobytes() == np.ascontiguousarray(others).tobytes(), name


def test_seeds_differ_in_everything_random() -> None:
    one, other = joined(make_inputs(*RANDOM_NETWORK), [64]), joined(make_inputs(*RANDOM_NETWORK, seed=2), [64])
    for name, values in one.items():
        assert values.tobytes() != other[name].tobytes() or name == "y_m", name


def test_what_policies_get_is_read_only() -> None:
    inputs = make_inputs()
    states = inputs.block(0, 4).states(2)
    for source in (states, inputs.registration()):
        for name, values in source._asdict().items():
            assert not values.flags.writeable, name


def test_states_are_the_rows_of_the_block() -> None:
    inputs = make_inputs()
    inputs.block(0, 5)
    block = inputs.block(5, 5)
    states = block.states(7)
    for name in BY_SLOT:
        np.testing.assert_array_equal(getattr(states, name), getattr(block, name)[2])


def test_sizes_are_uniform_over_whole_bytes_with_both_ends() -> None:
    inputs = make_inputs("tasks.0.size_bytes=[3, 12]", "tasks.1.size_bytes=[7, 7]", "vehicles.num_vehicle=100")
    sizes = inputs.block(0, 256).size_bytes
    np.testing.assert_array_equal(sizes[..., 1], 7.0)
    values, counts = np.unique(sizes[..., 0], return_counts=True)
    assert values.tolist() == list(range(3, 13))
    assert stats.chisquare(counts).pvalue > 1e-3
    # Neighbours in time and classes of one vehicle are independent.
    pairs = sizes[:-1, :, 0].ravel(), sizes[1:, :, 0].ravel()
    assert abs(np.corrcoef(*pairs)[0, 1]) < 4.5 / np.sqrt(pairs[0].size)


def test_highway_vehicles_stay_in_the_covered_area_and_keep_lane_and_speed() -> None:
    settings = ("vehicles.num_vehicle=400", "mobility.length_m=600", "mobility.speed_mps=[20, 30]")
    block = make_inputs(*settings).block(0, 200)
    assert np.abs(block.x_m).max() <= 300.0
    assert ((block.speed_mps >= 20) & (block.speed_mps <= 30)).all()
    assert stats.kstest(block.speed_mps[0], "uniform", args=(20, 10)).pvalue > 1e-3
    assert stats.kstest(block.x_m[0], "uniform", args=(-300, 600)).pvalue > 1e-3
    assert stats.kstest(block.x_m[-1], "uniform", args=(-300, 600)).pvalue > 1e-3  # and they stay uniform
    np.testing.assert_array_equal(block.y_m, np.broadcast_to(block.y_m[0], block.y_m.shape))
    assert set(block.y_m[0].tolist()) == {-5.25, -1.75, 1.75, 5.25}
    step_m = (np.diff(block.x_m, axis=0) + 300.0) % 600.0 - 300.0
    direction = np.where(np.cos(block.heading_rad) > 0, 1.0, -1.0)
    np.testing.assert_allclose(step_m, (direction * block.speed_mps * 0.1)[:-1], atol=1e-3)
    for values in (block.speed_mps, block.heading_rad):
        np.testing.assert_array_equal(values, np.broadcast_to(values[0], values.shape))


@pytest.mark.parametrize("num_lane", [2, 4, 6])
def test_half_of_the_lanes_go_each_way(num_lane: int) -> None:
    block = make_inputs(f"mobility.num_lane={num_lane}", "vehicles.num_vehicle=600").block(0, 1)
    forward = np.cos(block.heading_rad[0]) > 0
    lanes = {way: set(block.y_m[0][forward == way].tolist()) for way in (True, False)}
    assert len(lanes[True]) == len(lanes[False]) == num_lane // 2
    assert not lanes[True] & lanes[False]
    assert abs(forward.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(600)
    counts = np.unique(block.y_m[0], return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_straight_and_stationary_vehicles_start_alike() -> None:
    highway, straight, still = (make_inputs(f"mobility.kind={kind}").block(0, 300) for kind in KINDS)
    for block in (straight, still):
        np.testing.assert_array_equal(block.x_m[0], highway.x_m[0])
        np.testing.assert_array_equal(block.y_m[0], highway.y_m[0])
    np.testing.assert_array_equal(still.speed_mps, 0.0)
    np.testing.assert_array_equal(still.x_m, np.broadcast_to(still.x_m[0], still.x_m.shape))
    way_m = straight.speed_mps[0] * np.where(np.cos(straight.heading_rad[0]) > 0, 1, -1) * 0.1 * 299
    np.testing.assert_allclose(straight.x_m[-1] - straight.x_m[0], way_m, atol=1e-3)


KINDS = ("highway", "straight", "stationary")


def test_stationary_vehicles_have_a_frozen_channel() -> None:
    """No motion: Doppler 0 and no way travelled, so fading and shadowing keep their first value."""
    block = make_inputs("mobility.kind=stationary").block(0, 100)
    np.testing.assert_array_equal(block.channel_gain, np.broadcast_to(block.channel_gain[0], block.channel_gain.shape))


def test_vehicles_register_with_start_and_averages() -> None:
    inputs = make_inputs()
    registered, first = inputs.registration(), inputs.block(0, 1).states(0)
    np.testing.assert_array_equal(registered.x_m, first.x_m)
    np.testing.assert_array_equal(registered.y_m, first.y_m)
    np.testing.assert_array_equal(registered.size_bytes, [[20e3, 40e3]] * 3)
    distance_m = np.maximum(np.hypot(first.x_m, first.y_m - 20.0), 10.0)
    expected = 10 ** (-(128.1 + 37.6 * np.log10(distance_m / 1e3)) / 10)
    np.testing.assert_allclose(registered.channel_gain, expected, rtol=1e-6)


def test_a_long_run_of_many_vehicles_is_made_in_small_blocks() -> None:
    """A block never holds more than 2^17 vehicle-slots, so that its memory does not grow with the fleet."""
    inputs = make_inputs()
    for num_vehicle in (1, 300, 2000, 140_000):
        inputs._count = num_vehicle
        assert 1 <= inputs.block_length(0) <= max(2**17 // num_vehicle, 1)
