"""The twin's belief: which reports count, what is predicted from them, and what biases add."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.arrays import Floats
from physical.states import VehicleStates
from sim.scenario.scenario import Scenario
from tests.support.beliefs import (
    CORRELATION,
    NUM_CLASS,
    NUM_VEHICLE,
    ROAD_M,
    SLOT_NS,
    cohort,
    make_belief,
    no_bias,
    states,
)
from tests.support.scenarios import BASE, QUANTUM_M
from twin.bias import BiasProcess
from twin.messages import LOST_NS, ServerReport
from twin.params import BiasParams, ConstantBias, PerVehicleBias
from twin.snapshot import TwinSnapshot


def assert_tags(snapshot: TwinSnapshot, tags: list[int]) -> None:
    """Check that every estimate of vehicle n comes from the states with tag ``tags[n]``."""
    for name in (
        *("size_bytes", "x_m", "y_m", "speed_mps", "heading_rad", "channel_gain"),
        *("cpu_backlog_cycles", "uplink_backlog_bytes"),
    ):
        expected = np.stack([getattr(states(tag), name)[vehicle] for vehicle, tag in enumerate(tags)])
        np.testing.assert_array_equal(getattr(snapshot, name), expected, err_msg=name)


def test_before_any_report_the_registration_counts() -> None:
    belief = make_belief()
    belief.update(0)
    assert_tags(belief.snapshot(0, 0), [0, 0, 0])
    late = belief.snapshot(4, 4 * SLOT_NS)
    assert_tags(late, [0, 0, 0])
    np.testing.assert_allclose(late.age_of_information_s, 0.4, rtol=1e-12)
    np.testing.assert_array_equal(late.backlog_bytes, 0.0)


def test_a_report_counts_from_the_nanosecond_of_its_delivery() -> None:
    for delivered_ns in (5, [5, 5, 5]):
        belief = make_belief()
        belief.expect(cohort(0, delivered_ns))
        belief.update(4)
        assert_tags(belief.snapshot(0, 4), [0, 0, 0])
        belief.update(5)
        assert_tags(belief.snapshot(0, 5), [1, 1, 1])


def test_a_lost_report_leaves_the_one_before() -> None:
    belief = make_belief()
    belief.expect(cohort(0, 10))
    belief.update(SLOT_NS)
    belief.expect(cohort(1, [LOST_NS, SLOT_NS + 1, LOST_NS]))
    belief.update(2 * SLOT_NS)
    snapshot = belief.snapshot(2, 2 * SLOT_NS)
    assert_tags(snapshot, [1, 2, 1])
    np.testing.assert_allclose(snapshot.age_of_information_s, [0.2, 0.1, 0.2], rtol=1e-12)
    assert snapshot.slot == 2
    assert snapshot.time_ns == 2 * SLOT_NS


def test_a_late_report_of_an_older_slot_changes_nothing() -> None:
    belief = make_belief()
    belief.expect(cohort(0, [3 * SLOT_NS, 3 * SLOT_NS, 10]))
    belief.expect(cohort(1, [SLOT_NS + 5, LOST_NS, SLOT_NS + 5]))
    belief.update(2 * SLOT_NS)
    assert_tags(belief.snapshot(2, 2 * SLOT_NS), [2, 0, 2])
    belief.update(3 * SLOT_NS)  # the late ones: vehicle 0 has a newer one, vehicle 1 has nothing better
    snapshot = belief.snapshot(3, 3 * SLOT_NS)
    assert_tags(snapshot, [2, 1, 2])
    np.testing.assert_allclose(snapshot.age_of_information_s, [0.2, 0.3, 0.2], rtol=1e-12)


def test_only_vehicles_that_reported_are_updated() -> None:
    belief = make_belief()
    belief.expect(cohort(0, 7, vehicle=[2]))
    belief.expect(cohort(1, [SLOT_NS], vehicle=[0]))
    belief.update(SLOT_NS)
    assert_tags(belief.snapshot(1, SLOT_NS), [2, 0, 1])


@pytest.mark.full
@given(st.data())
def test_the_newest_delivered_report_counts_whatever_the_order(data: st.DataObject) -> None:
    """Against a loop over messages; cohorts with one time for all, of everybody or of some, and lost ones."""
    belief = make_belief()
    known: dict[int, tuple[int, int]] = {}
    messages: list[tuple[int, int, int]] = []
    times = st.integers(0, 600_000_000) | st.just(LOST_NS)
    for slot in range(data.draw(st.integers(1, 5))):
        who = data.draw(st.none() | st.lists(st.integers(0, 2), unique=True).map(sorted))
        count = NUM_VEHICLE if who is None else len(who)
        delay_ns = data.draw(times | st.lists(times, min_size=count, max_size=count))
        begin_ns = slot * SLOT_NS
        arrays = [min(begin_ns + d, LOST_NS) for d in (delay_ns if isinstance(delay_ns, list) else [delay_ns] * count)]
        delivered: Any = arrays if isinstance(delay_ns, list) else min(begin_ns + delay_ns, LOST_NS)
        belief.expect(cohort(slot, delivered, who))
        messages += [(n, slot, t) for n, t in zip(range(3) if who is None else who, arrays, strict=True)]
        now_ns = begin_ns
        for wait_ns in data.draw(st.lists(st.integers(0, SLOT_NS // 2), min_size=1, max_size=2)):
            now_ns += wait_ns
            belief.update(now_ns)
        for vehicle in range(NUM_VEHICLE):
            heard = [(s, t) for n, s, t in messages if n == vehicle and t <= now_ns]
            known[vehicle] = max(heard, default=(-1, 0))
        snapshot = belief.snapshot(slot, now_ns)
        assert_tags(snapshot, [known[n][0] + 1 for n in range(NUM_VEHICLE)])
        sampled_ns = np.array([max(known[n][0], 0) * SLOT_NS for n in range(NUM_VEHICLE)])
        np.testing.assert_allclose(snapshot.age_of_information_s, (now_ns - sampled_ns) / 1e9, rtol=1e-12)


def test_the_newest_server_report_counts() -> None:
    belief = make_belief()
    for slot, delivered_ns in ((2, 50), (1, 60), (3, LOST_NS), (4, 90)):
        belief.expect_server(ServerReport(0, slot, delivered_ns, np.full(NUM_CLASS, float(slot))))
    for now_ns, slot in ((49, 0), (50, 2), (60, 2), (89, 2), (90, 4), (LOST_NS - 1, 4)):
        belief.update(now_ns)
        assert belief.snapshot(5, now_ns).backlog_bytes.tolist() == [slot, slot]


def flows(node: int) -> Floats:
    """Return backlogs of flows that tell node, vehicle and class."""
    return np.array([[100.0 * node + 10.0 * vehicle + task_class for task_class in (1, 2)] for vehicle in (1, 2, 3)])


def test_a_flow_has_what_the_node_of_its_vehicle_reports() -> None:
    """A node that a vehicle has left may still be known to have its work: that is not counted again."""
    data = {**BASE, "rsus": [{"name": name, "position_m": [100, 0]} for name in ("west", "east")]}
    belief = make_belief(system=Scenario.from_dict(data).system())
    believed = ([0, 0, 0], [0, 1, 0], [1, 1, -1])
    belief.expect_server(ServerReport(0, 0, 0, np.ones(2), flows(0)))
    for slot, (nodes, expected) in enumerate(
        zip(
            believed,
            (
                [flows(0)[0], flows(0)[1], flows(0)[2]],
                [flows(0)[0], [0, 0], flows(0)[2]],  # the other server has not reported yet
                [flows(1)[0], flows(1)[1], [0, 0]],  # who has no node has nothing at a server
            ),
            strict=True,
        )
    ):
        if slot == 2:
            belief.expect_server(ServerReport(1, slot, slot, np.ones(2), flows(1)))
        belief.expect(cohort(slot, slot, values=states(slot)._replace(serving_node=np.array(nodes))))
        belief.update(slot)
        np.testing.assert_array_equal(belief.snapshot(slot, slot).flow_backlog_cycles, expected)
    belief.expect_server(ServerReport(1, 3, 3, np.zeros(2), None))
    belief.update(3)
    assert not belief.snapshot(3, 3).flow_backlog_cycles.any()


def moving(tag: int, x_m: list[float], heading_rad: float) -> VehicleStates:
    return states(tag)._replace(
        x_m=np.array(x_m),
        y_m=np.array([1.0, 2.0, 3.0]),
        speed_mps=np.array([10.0, 20.0, 0.0]),
        heading_rad=np.full(3, heading_rad),
        large_scale_gain=np.array([1e-10, 2e-10, 3e-10]),
        channel_gain=np.array([4e-10, 1e-11, 9e-10]),
    )


@pytest.mark.parametrize("heading_rad", [0.0, np.pi])
def test_dead_reckoning_is_exact_for_constant_speed_on_the_ring(heading_rad: float) -> None:
    belief = make_belief("predict")
    start_m = [45.0, -45.0, 12.0]
    belief.expect(cohort(0, 0, values=moving(1, start_m, heading_rad)))
    for slot in (1, 3, 17, 80):
        now_ns = slot * SLOT_NS
        belief.update(now_ns)
        snapshot = belief.snapshot(slot, now_ns)
        way_m = np.array([10.0, 20.0, 0.0]) * slot * 0.1 * (1 if heading_rad == 0.0 else -1)
        expected_m = (np.array(start_m) + way_m + ROAD_M / 2) % ROAD_M - ROAD_M / 2
        np.testing.assert_allclose(snapshot.x_m, expected_m, rtol=0, atol=QUANTUM_M)
        np.testing.assert_allclose(snapshot.y_m, [1.0, 2.0, 3.0], rtol=0, atol=QUANTUM_M)


def test_predicted_gain_is_the_conditional_mean_of_the_ar1_process() -> None:
    belief = make_belief("predict")
    belief.expect(cohort(0, 0, values=moving(1, [0.0] * 3, 0.0)))
    for slot in range(1, 5):
        belief.update(slot * SLOT_NS)
        large, last = np.array([1e-10, 2e-10, 3e-10]), np.array([4e-10, 1e-11, 9e-10])
        expected = large * (1 + CORRELATION ** (2 * slot) * (last / large - 1))
        np.testing.assert_allclose(belief.snapshot(slot, slot * SLOT_NS).channel_gain, expected, rtol=2e-7)


def test_tasks_of_slots_that_were_not_reported_are_predicted_by_their_mean() -> None:
    belief = make_belief("predict")
    belief.expect(cohort(0, 0))
    belief.expect(cohort(1, [SLOT_NS, LOST_NS, SLOT_NS]))
    belief.update(SLOT_NS)
    sizes = belief.snapshot(1, SLOT_NS).size_bytes
    np.testing.assert_array_equal(sizes[[0, 2]], states(2).size_bytes[[0, 2]])
    np.testing.assert_array_equal(sizes[1], [20_000.0, 40_000.0])


def test_the_estimate_of_one_vehicle_does_not_depend_on_reports_of_another() -> None:
    """Vehicle 0 is heard in both cases, 10 ms after its sample; only the report of vehicle 1 differs."""
    seen = []
    for second in (SLOT_NS + 10_000_000, LOST_NS):
        belief = make_belief("predict")
        for slot, delivered in ((0, [0, 0, 0]), (1, [SLOT_NS + 10_000_000, second, SLOT_NS + 10_000_000])):
            belief.expect(cohort(slot, delivered, values=moving(slot, [10.0, 20.0, 30.0], 0.0)))
        belief.update(SLOT_NS + 10_000_000)
        seen.append(belief.snapshot(1, SLOT_NS + 10_000_000))
    for name in ("x_m", "y_m", "channel_gain", "size_bytes"):
        np.testing.assert_array_equal(getattr(seen[0], name)[0], getattr(seen[1], name)[0], err_msg=name)


@pytest.mark.parametrize("kind", [ConstantBias(value=-3.5), PerVehicleBias(values=(1.0, -2.0, 0.0))])
def test_biases_are_added_to_the_estimates_exactly(kind: BiasParams) -> None:
    value = BiasProcess(kind, NUM_VEHICLE, 0.1, list).at(0)
    belief = make_belief(
        task_size_bytes=BiasProcess(kind, NUM_VEHICLE, 0.1, list),
        position_m=BiasProcess(kind, NUM_VEHICLE, 0.1, list),
        channel_gain_db=BiasProcess(kind, NUM_VEHICLE, 0.1, list),
        cpu_backlog_cycles=BiasProcess(kind, NUM_VEHICLE, 0.1, list),
        uplink_backlog_bytes=BiasProcess(kind, NUM_VEHICLE, 0.1, list),
    )
    belief.expect(cohort(0, 0))
    belief.update(0)
    snapshot, reported = belief.snapshot(0, 0), states(1)
    np.testing.assert_array_equal(snapshot.size_bytes, reported.size_bytes + value[:, np.newaxis])
    np.testing.assert_array_equal(snapshot.x_m, reported.x_m + value)
    np.testing.assert_array_equal(snapshot.cpu_backlog_cycles, reported.cpu_backlog_cycles + value)
    np.testing.assert_array_equal(snapshot.uplink_backlog_bytes, reported.uplink_backlog_bytes + value)
    np.testing.assert_array_equal(snapshot.y_m, reported.y_m)
    np.testing.assert_allclose(snapshot.channel_gain, reported.channel_gain * 10 ** (value / 10), rtol=2e-7)


def test_a_negative_size_bias_never_makes_a_task_vanish() -> None:
    belief = make_belief(task_size_bytes=no_bias(-1e9))
    assert (belief.snapshot(0, 0).size_bytes > 0).all()


def test_an_unknown_frequency_bias_is_shown_as_none() -> None:
    shown, hidden = make_belief(), make_belief(known=False)
    assert shown.snapshot(3, 0).estimation_bias_hz[0, 0] == -2e9 + 3
    np.testing.assert_array_equal(hidden.snapshot(3, 0).estimation_bias_hz, 0.0)


def test_rates_follow_from_the_believed_gain() -> None:
    belief = make_belief(channel_gain_db=no_bias(10.0), registered=moving(0, [0.0] * 3, 0.0))
    snapshot = belief.snapshot(0, 0)
    expected = 20e6 * np.log2(1 + 0.2 * 10 * np.array([4e-10, 1e-11, 9e-10]) / 1e-14)
    np.testing.assert_allclose(snapshot.uplink_rate_bps, expected, rtol=1e-6)
