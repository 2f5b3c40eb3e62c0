"""Inputs of several serving nodes: motion in an area, association, and what another node or vehicle leaves alone."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from physical.arrays import Floats
from sim import Scenario, run
from sim.inputs.blocks import Block, Inputs
from sim.inputs.streams import Streams
from tests.support.scenarios import PASSAGES, QUANTUM_M, RANDOM_NETWORK
from tests.support.tables import column

FADING = ("radio.fading=rayleigh", "mobility.speed_mps=[0.5, 3]", "time.slot_duration_s=0.1")


def make_inputs(*settings: str, num_rsu: int = 5, seed: int = 1) -> Inputs:
    data = Scenario.load("llm6g").model_dump(mode="json")
    extra = [{"name": f"rsu-{index + 1}", "position_m": [100.0 * index, 430.0]} for index in range(5, num_rsu)]
    data["rsus"] = [*data["rsus"], *extra][:num_rsu]
    scenario = Scenario.from_dict(data, settings=settings)
    return Inputs(scenario.resolve(), Streams(seed))


def fields(block: Block) -> dict[str, Any]:
    """Return what a block holds by vehicle."""
    names = ("x_m", "y_m", "serving_node", "large_scale_gain", "channel_gain", "uplink_rate_bps", "size_bytes")
    found = {name: getattr(block, name) for name in names}
    for name in PASSAGES:
        passage = getattr(block, name)
        found |= {f"{name}.latency": passage.latency_ns, f"{name}.lost": passage.lost}
    return found


def watch_gains(inputs: Inputs) -> list[Floats]:
    """Return a list that will hold the large-scale gains to all nodes, [B, N, M], of each block."""
    seen: list[Floats] = []
    association = inputs._channels.association
    attach = association.attach

    def spy(position_m: Floats, gain: Floats, down: Any, present: Any) -> NDArray[np.int64]:
        seen.append(gain)
        return attach(position_m, gain, down, present)

    association.attach = spy  # type: ignore[method-assign]  # it is a spy
    return seen


def test_vehicles_stay_in_the_square_and_keep_axis_and_speed() -> None:
    block = make_inputs("vehicles.num_vehicle=600", "mobility.length_m=600").block(0, 60)
    for position_m, other_m, along in ((block.x_m, block.y_m, np.cos), (block.y_m, block.x_m, np.sin)):
        assert np.abs(position_m).max() <= 300.0
        for slot in (0, 59):  # uniform at first, and for ever
            assert stats.kstest(position_m[slot], "uniform", args=(-300, 600)).pvalue > 1e-3
        moves = np.abs(along(block.heading_rad[0])) > 0.5
        assert abs(moves.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(600)
        step_m = (np.diff(position_m[:, moves], axis=0) + 300.0) % 600.0 - 300.0
        expected_m = (along(block.heading_rad) * block.speed_mps * 10.0)[:-1, moves]
        np.testing.assert_allclose(step_m, expected_m, atol=1e-3)
        still_m = other_m[:, moves]
        np.testing.assert_array_equal(still_m, np.broadcast_to(still_m[0], still_m.shape))
    counts = np.unique(np.round(block.heading_rad[0], 6), return_counts=True)[1]
    assert len(counts) == 4
    assert stats.chisquare(counts).pvalue > 1e-3
    assert abs(np.corrcoef(block.x_m[0], block.y_m[0])[0, 1]) < 4.5 / np.sqrt(600)
    assert ((block.speed_mps >= 8) & (block.speed_mps <= 14)).all()


def test_dead_reckoning_is_exact_in_the_area_too() -> None:
    settings = ("vehicles.report_interval=4", "twin.estimator=predict", "time.num_slot=30")
    result = run(Scenario.load("llm6g", settings), policy="local-only", seed=2)
    x_m, y_m = (column(result, "vehicles", name).reshape(30, 20) for name in ("x_m", "y_m"))
    jumps = [bool((np.abs(np.diff(values, axis=0)) > 500).any()) for values in (x_m, y_m)]
    assert jumps == [True, True]  # some wrap around on either axis
    # Twice the quantum: the report is rounded, and so is the prediction.
    assert column(result, "twin", "position_error_m").max() <= 2 * QUANTUM_M


def nearest(x_m: float, y_m: float, nodes: Floats) -> int:
    """Return the nearest node; of equals the first."""
    return min(range(len(nodes)), key=lambda index: np.hypot(x_m - nodes[index][0], y_m - nodes[index][1]))


def test_association_with_the_nearest_node() -> None:
    inputs = make_inputs("vehicles.num_vehicle=40", "mobility.speed_mps=[8, 14]")
    block, nodes = inputs.block(0, 25), inputs._channels.node_m
    expected = [
        [nearest(x, y, nodes) for x, y in zip(*rows, strict=True)] for rows in zip(block.x_m, block.y_m, strict=True)
    ]
    np.testing.assert_array_equal(block.serving_node, expected)
    assert set(np.unique(block.serving_node)) == set(range(5))
    assert (np.diff(block.serving_node, axis=0) != 0).any()  # handovers
    registered = inputs.registration()
    np.testing.assert_array_equal(registered.serving_node, block.serving_node[0])


def test_a_single_rsu_serves_everybody() -> None:
    block = make_inputs("radio.shadowing_std_db=0", num_rsu=1).block(0, 10)
    assert not block.serving_node.any()
    away_m = np.maximum(np.hypot(block.x_m + 250.0, block.y_m + 250.0), 10.0)
    expected = 10 ** (-(128.1 + 37.6 * np.log10(away_m / 1e3)) / 10)
    np.testing.assert_allclose(block.large_scale_gain, expected, rtol=1e-6)
    np.testing.assert_array_equal(block.channel_gain, block.large_scale_gain)


@pytest.mark.parametrize("rule", ["nearest", "best-channel"])
def test_gain_is_that_to_the_serving_node(rule: str) -> None:
    """Without shadowing, by path loss alone: both rules then choose the same node."""
    inputs = make_inputs("radio.shadowing_std_db=0", f"radio.association={rule}", "vehicles.num_vehicle=50")
    block = inputs.block(0, 10)
    away_m = np.stack([np.hypot(block.x_m - x, block.y_m - y) for x, y in inputs._channels.node_m], axis=-1)
    np.testing.assert_array_equal(block.serving_node, away_m.argmin(axis=-1))
    expected = 10 ** (-(128.1 + 37.6 * np.log10(np.maximum(away_m.min(axis=-1), 10.0) / 1e3)) / 10)
    np.testing.assert_allclose(block.large_scale_gain, expected, rtol=1e-6)


def test_the_best_channel_is_the_greatest_of_all_gains() -> None:
    """Links of all nodes, one at a time, from the same random numbers; fading does not decide."""
    settings = (*FADING, "vehicles.num_vehicle=30")
    best = make_inputs(*settings, "radio.association=best-channel").block(0, 40)
    near = make_inputs(*settings).block(0, 40)
    assert (best.large_scale_gain >= near.large_scale_gain).all()
    differs = best.serving_node != near.serving_node
    assert differs.any()
    assert not differs.all()
    assert (best.large_scale_gain > near.large_scale_gain)[differs].all()
    for name in ("large_scale_gain", "channel_gain"):
        np.testing.assert_array_equal(getattr(best, name)[~differs], getattr(near, name)[~differs])
    inputs = make_inputs(*settings, "radio.association=best-channel")
    seen = watch_gains(inputs)
    again = inputs.block(0, 40)
    (gains,) = seen
    for index in np.ndindex(40, 30):
        assert again.large_scale_gain[index] == max(gains[index])
        assert gains[index][again.serving_node[index]] == max(gains[index])


def test_links_are_independent_and_shadowed_as_much_as_one_alone() -> None:
    """Shadowing of 8 dB on each link of vehicles that stand still: two nodes share nothing."""
    inputs = make_inputs("mobility.kind=stationary", "vehicles.num_vehicle=2000", num_rsu=2)
    seen = watch_gains(inputs)
    block = inputs.block(0, 1)
    away_m = np.stack([np.hypot(block.x_m - x, block.y_m - y) for x, y in inputs._channels.node_m], axis=-1)
    loss_db = 128.1 + 37.6 * np.log10(np.maximum(away_m, 10.0) / 1e3)
    shadowing_db = (-10 * np.log10(seen[0]) - loss_db)[0]
    for link in range(2):
        assert stats.kstest(shadowing_db[:, link], "norm", args=(0, 8)).pvalue > 1e-3
    assert abs(np.corrcoef(shadowing_db.T)[0, 1]) < 4.5 / np.sqrt(2000)


@pytest.mark.parametrize("rule", ["nearest", "best-channel"])
@pytest.mark.parametrize("lengths", [[7] * 9 + [1], [1, 63], [63, 1]])
def test_block_lengths_change_nothing(rule: str, lengths: list[int]) -> None:
    settings = (*FADING, *RANDOM_NETWORK, f"radio.association={rule}")
    whole, inputs = fields(make_inputs(*settings).block(0, 64)), make_inputs(*settings)
    blocks = [fields(inputs.block(sum(lengths[:index]), length)) for index, length in enumerate(lengths)]
    for name, values in whole.items():
        joined = np.concatenate([np.asarray(block[name]) for block in blocks])
        assert np.asarray(values).tobytes() == joined.tobytes(), name


def test_another_vehicle_leaves_the_others_bit_identical() -> None:
    settings = (*FADING, *RANDOM_NETWORK)
    few, many = (fields(make_inputs(*settings, f"vehicles.num_vehicle={count}").block(0, 64)) for count in (3, 4))
    for name, values in few.items():
        others = many[name] if name.startswith("server") else many[name][:, :3]
        assert values.tobytes() == np.ascontiguousarray(others).tobytes(), name


def test_another_node_leaves_motion_tasks_and_messages_bit_identical() -> None:
    few, many = (fields(make_inputs(*FADING, *RANDOM_NETWORK, num_rsu=count).block(0, 64)) for count in (5, 6))
    for name in ("x_m", "y_m", "size_bytes", *(name for name in few if "." in name)):
        others = many[name][:, :5] if name.startswith("server") else many[name]
        assert few[name].tobytes() == np.ascontiguousarray(others).tobytes(), name
        if name.startswith("server"):
            assert many[name].shape[1] == 6
    stays = few["serving_node"] == many["serving_node"]
    assert 0.5 < stays.mean() < 1.0
    for name in ("large_scale_gain", "channel_gain"):
        assert (few[name][stays] == many[name][stays]).all(), name


def test_sizes_are_whole_prompts() -> None:
    sizes = make_inputs("vehicles.num_vehicle=200", "tasks.0.num_token=[3, 12]").block(0, 100).size_bytes
    values, counts = np.unique(sizes / 8192, return_counts=True)
    assert values.tolist() == list(range(3, 13))
    assert stats.chisquare(counts).pvalue > 1e-3


# Of what a single node's system had before there could be several: positions, gains, rates and sizes of 25 slots.
GOLDEN = {"dtecn": "a93ff28d63674349", "dtecn-congested": "8571276fd707cf47"}


@pytest.mark.parametrize("name", GOLDEN)
def test_inputs_of_a_single_node_are_what_they_were(name: str) -> None:
    scenario = Scenario.load(name)
    inputs = Inputs(scenario.resolve(), Streams(7))
    registered = inputs.registration()
    digest = hashlib.blake2b(digest_size=8)
    for source in (inputs.block(0, 5), inputs.block(5, 20), registered):
        assert not source.serving_node.any()
        for field in ("x_m", "y_m", "large_scale_gain", "channel_gain", "uplink_rate_bps", "size_bytes"):
            digest.update(np.ascontiguousarray(getattr(source, field)).tobytes())
    assert digest.hexdigest() == GOLDEN[name]
