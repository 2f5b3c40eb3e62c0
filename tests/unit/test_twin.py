"""What the twin records and what it hides: belief against truth, and policies that see the snapshot only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import sim.engine.simulation
from sim import RunResult, run
from sim.inputs.blocks import Block, Inputs
from tests.support.observers import Spy
from tests.support.scenarios import QUANTUM_M, make_scenario
from tests.support.tables import Array, by_slot, column
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

QUANTUM_DB = 1e-6


def arrays_in(value: Any) -> Iterator[tuple[str, Array]]:
    """Yield all arrays that are reachable through the fields of a dataclass."""
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, np.ndarray):
            yield field.name, item
        elif dataclasses.is_dataclass(item):
            yield from ((f"{field.name}.{name}", array) for name, array in arrays_in(item))


def test_ideal_network_and_no_bias_mean_a_perfect_twin() -> None:
    result = run(make_scenario(), policy="edge-equal", seed=4)
    for name in ("age_of_information_s", "position_error_m", "channel_gain_error_db"):
        np.testing.assert_array_equal(column(result, "twin", name), 0.0)
    np.testing.assert_array_equal(column(result, "twin", "estimated_x_m"), column(result, "vehicles", "x_m"))
    truth = column(result, "tasks", "size_bytes").reshape(12, 6)
    believed = np.stack(column(result, "decisions", "estimated_size_bytes").tolist())
    np.testing.assert_array_equal(believed, truth)


def test_position_bias_is_recorded_as_position_error() -> None:
    result = run(make_scenario("twin.bias.position_m=-7.5"), policy="local-only")
    np.testing.assert_allclose(column(result, "twin", "position_error_m"), 7.5, rtol=0, atol=QUANTUM_M)
    moved_m = column(result, "twin", "estimated_x_m") - column(result, "vehicles", "x_m")
    np.testing.assert_allclose(moved_m, -7.5, rtol=0, atol=QUANTUM_M)
    np.testing.assert_array_equal(column(result, "twin", "estimated_y_m"), column(result, "vehicles", "y_m"))


def test_gain_bias_is_recorded_in_decibels() -> None:
    result = run(make_scenario("twin.bias.channel_gain_db=3"), policy="local-only")
    np.testing.assert_allclose(column(result, "twin", "channel_gain_error_db"), 3.0, rtol=0, atol=QUANTUM_DB)
    ratio = column(result, "twin", "estimated_channel_gain") / column(result, "vehicles", "channel_gain")
    np.testing.assert_allclose(ratio, 10**0.3, rtol=2e-7)


def test_a_held_position_is_off_by_the_way_travelled_since_the_report() -> None:
    settings = ("vehicles.report_interval=4", "mobility.kind=straight", "mobility.speed_mps=12.5")
    held = run(make_scenario(*settings), policy="local-only")
    expected_m = 12.5 * 0.1 * (np.arange(12) % 4)[:, np.newaxis] * np.ones(3)
    np.testing.assert_allclose(by_slot(held, "twin", "position_error_m"), expected_m, atol=QUANTUM_M)
    predicted = run(make_scenario(*settings, "twin.estimator=predict"), policy="local-only")
    np.testing.assert_allclose(by_slot(predicted, "twin", "position_error_m"), 0.0, atol=QUANTUM_M)


def test_dead_reckoning_is_exact_on_the_ring_too() -> None:
    settings = ("vehicles.report_interval=7", "mobility.length_m=30", "twin.estimator=predict", "time.num_slot=200")
    result = run(make_scenario(*settings), policy="local-only", seed=2)
    jumps = np.abs(np.diff(by_slot(result, "vehicles", "x_m"), axis=0)) > 15
    assert jumps.any(axis=0).all()  # every vehicle passed the end of the road
    error_m = column(result, "twin", "position_error_m")
    np.testing.assert_allclose(np.minimum(error_m, 30.0 - error_m), 0.0, atol=QUANTUM_M)


@pytest.mark.parametrize("known", [True, False])
def test_frequency_bias_is_shown_only_if_known_and_acts_in_any_case(known: bool) -> None:
    settings = (f"twin.bias.known={str(known).lower()}", "twin.bias.cpu_frequency_hz=-1e9")
    spy = Spy()
    result = run(make_scenario(*settings), policy=spy)
    shown = np.stack([snapshot.estimation_bias_hz for snapshot in spy.seen])
    np.testing.assert_array_equal(shown, -1e9 if known else 0.0)
    offered = np.stack(column(result, "slots", "service_bytes").tolist())
    share_hz = np.stack(column(result, "decisions", "compute_allocation_hz").tolist()).reshape(12, 3, 2)
    expected = (share_hz - 1e9).sum(axis=1) * 0.1 / np.array([2000.0, 3000.0])
    np.testing.assert_allclose(offered, expected, rtol=1e-9)


@pytest.mark.parametrize("policy", ["edge-equal", "random", "greedy-latency", "greedy-cost"])
def test_truth_that_is_never_reported_does_not_change_a_decision(policy: str) -> None:
    """All reports and server reports are lost; sizes (same means), shadowing and fading differ."""
    lost = ("network.backhaul.loss=1", "twin.estimator=predict", "time.num_slot=20", "twin.command.missing=local")
    usual = run(make_scenario(*lost), policy=policy, seed=3)
    other = ("tasks.0.size_bytes=[1, 39999]", "tasks.1.size_bytes=[39999, 40001]")
    changed = run(make_scenario(*lost, *other, "radio.shadowing_std_db=1", "radio.fading=none"), policy=policy, seed=3)
    assert not np.array_equal(column(usual, "tasks", "size_bytes"), column(changed, "tasks", "size_bytes"))
    assert not np.array_equal(column(usual, "vehicles", "channel_gain"), column(changed, "vehicles", "channel_gain"))
    assert usual.table("decisions").num_rows == 20
    assert_same_decisions(usual, changed)


@pytest.mark.parametrize("policy", ["greedy-latency", "greedy-cost"])
@pytest.mark.parametrize("estimator", ["hold", "predict"])
def test_truth_after_the_last_report_does_not_change_a_decision(
    policy: str, estimator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only slot 0 is reported; from slot 1 on the world is another one. Uploads and server reports are lost."""
    settings = ("vehicles.report_interval=1000", "network.lan.loss=1", f"twin.estimator={estimator}")
    usual = run(make_scenario(*settings), policy=policy, seed=5)
    monkeypatch.setattr(sim.engine.simulation, "Inputs", _OtherTruth)
    changed = run(make_scenario(*settings), policy=policy, seed=5)
    first = slice(0, 3)
    for name in ("channel_gain", "uplink_rate_bps"):
        before, after = column(usual, "vehicles", name), column(changed, "vehicles", name)
        np.testing.assert_array_equal(before[first], after[first])
        assert (before[3:] != after[3:]).all()
    assert_same_decisions(usual, changed)


def assert_same_decisions(one: RunResult, other: RunResult) -> None:
    for name in (
        "decided_ns",
        "belief_digest",
        "estimated_size_bytes",
        "estimated_backlog_bytes",
        "offloading_ratio",
        "compute_allocation_hz",
    ):
        assert one.table("decisions").column(name).equals(other.table("decisions").column(name)), name


class _OtherTruth(Inputs):
    """The same world in slot 0, another one afterwards."""

    def block(self, first_slot: int, num_slot: int) -> Block:
        block = super().block(first_slot, num_slot)
        later = np.arange(first_slot, first_slot + num_slot) > 0
        factor = np.where(later, 0.25, 1.0)[:, np.newaxis]
        return dataclasses.replace(
            block,
            x_m=block.x_m + 5.0 * (1.0 - factor),
            channel_gain=block.channel_gain * factor,
            large_scale_gain=block.large_scale_gain * factor,
            uplink_rate_bps=block.uplink_rate_bps * factor,
            size_bytes=block.size_bytes * np.where(later, 3.0, 1.0)[:, np.newaxis, np.newaxis],
        )


def test_a_policy_changes_neither_truth_nor_twin_of_others() -> None:
    """Exogenous columns are bit-identical whatever the policy decides; what waits is an effect of it."""
    runs = [run(make_scenario(), policy=policy, seed=9) for policy in ("local-only", "edge-equal", "random")]
    effects = [
        f"{told}{name}" for told in ("", "estimated_") for name in ("cpu_backlog_cycles", "uplink_backlog_bytes")
    ]
    for other in runs[1:]:
        assert other.table("tasks").column("size_bytes").equals(runs[0].table("tasks").column("size_bytes"))
        for name, own in (("vehicles", effects[:2]), ("twin", effects[2:])):
            first, second = (result.table(name).drop_columns(own) for result in (runs[0], other))
            assert second.equals(first), name


SNAPSHOTS = {
    "all reports in": (),
    "some reports lost": ("network.backhaul.loss=0.5",),
    "predicted": ("network.backhaul.loss=0.5", "twin.estimator=predict"),
    "bias hidden": ("twin.bias.known=false", "twin.bias.cpu_frequency_hz=-1e9"),
    "all biases": (
        "twin.bias.task_size_bytes=10",
        "twin.bias.position_m=1",
        "twin.bias.channel_gain_db=1",
        'twin.bias.cpu_frequency_hz={kind="random-walk", step_std=1e6}',
        "twin.bias.cpu_backlog_cycles=1e6",
        "twin.bias.uplink_backlog_bytes=10",
        "twin.bias.server_backlog_bytes=10",
    ),
    "work waits": ("server.frequency_hz=2e9", "radio.bandwidth_hz=1e5", "network.backhaul.loss=0.5"),
}


@pytest.mark.parametrize("case", SNAPSHOTS)
def test_snapshots_are_read_only(case: str) -> None:
    """`TwinSnapshot`: "all arrays are read-only"."""
    spy = Spy()
    run(make_scenario(*SNAPSHOTS[case]), policy=spy)
    writeable = {name for snapshot in spy.seen for name, array in arrays_in(snapshot) if array.flags.writeable}
    assert not writeable


class Vandal(Spy):
    """Overwrites whatever it can reach."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decision = super().decide(snapshot)
        for _, array in arrays_in(snapshot):
            if array.flags.writeable:
                array[...] = 12345.0
        return decision


def test_a_policy_cannot_overwrite_the_world() -> None:
    settings = ("network.backhaul.loss=0.3", "server.frequency_hz=2e9")
    honest = run(make_scenario(*settings), policy=Spy(), seed=1)
    vandal = run(make_scenario(*settings), policy=Vandal(), seed=1)
    for name in ("tasks", "slots", "vehicles", "twin"):
        assert vandal.table(name).equals(honest.table(name)), name
