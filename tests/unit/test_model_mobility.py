"""Units, positions and distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from physical.model import mobility, units

EPS = float(np.finfo(float).eps)


@pytest.mark.parametrize(("db", "linear"), [(0.0, 1.0), (10.0, 10.0), (-30.0, 1e-3), (3.0, 1.9952623149688795)])
def test_decibels(db: float, linear: float) -> None:
    assert units.db_to_linear(db) == pytest.approx(linear, rel=1e-15)
    assert units.linear_to_db(linear) == pytest.approx(db, abs=1e-14)


@pytest.mark.parametrize(("dbm", "power_w"), [(-110.0, 1e-14), (30.0, 1.0), (23.010299956639813, 0.2)])
def test_dbm(dbm: float, power_w: float) -> None:
    assert units.dbm_to_w(dbm) == pytest.approx(power_w, rel=1e-14)
    assert units.w_to_dbm(np.array([power_w]))[0] == pytest.approx(dbm, rel=1e-14)


@given(st.floats(-1e7, 1e7), st.floats(1e-2, 1e6))
@example(-500.0, 1000.0)
@example(500.0, 1000.0)
@example(-1e-300, 1000.0)
@example(float(np.nextafter(500.0, 0.0)), 1000.0)
@example(float(np.nextafter(-500.0, -1e3)), 1000.0)
@example(float(np.nextafter(-0.75, -1.0)), 1.5)
@example(-381269622.27292764, 422.7781970482204)  # floor's argument rounds down: one length too far
def test_wrap_stays_on_the_ring(position: float, length: float) -> None:
    wrapped = float(mobility.wrap_m(np.array([position]), length)[0])
    assert -length / 2 <= wrapped < length / 2
    turns = (position - wrapped) / length
    assert abs(turns - round(turns)) * length <= 4 * EPS * (abs(position) + length)


@given(st.floats(-0.4999999, 0.4999999), st.floats(1e-2, 1e6))
def test_wrap_keeps_what_is_inside(fraction: float, length: float) -> None:
    position = fraction * length
    assert mobility.wrap_m(np.array([position]), length)[0] == position


def test_straight_motion() -> None:
    origin = np.array([[1.0, 2.0], [0.0, 0.0]])
    moved = mobility.straight_position_m(origin, np.array([10.0, 2.0]), np.array([np.pi / 2, np.pi]), np.array(3.0))
    np.testing.assert_allclose(moved, [[1.0, 32.0], [-6.0, 0.0]], atol=1e-14)
    block = mobility.straight_position_m(origin, np.array([10.0, 2.0]), np.zeros(2), np.array([[0.0], [1.0], [2.0]]))
    assert block.shape == (3, 2, 2)
    np.testing.assert_allclose(block[:, 0, 0], [1.0, 11.0, 21.0])


def test_highway_block_equals_single_times() -> None:
    rng = np.random.default_rng(1)
    start, speed = rng.uniform(-500, 500, 7), rng.uniform(10, 15, 7)
    direction, lane = np.where(np.arange(7) % 2, 1.0, -1.0), np.linspace(-5, 5, 7)
    times = np.array([0.0, 0.1, 1e3, 1e6])
    block = mobility.highway_position_m(start, speed, direction, lane, 1000.0, times[:, None])
    for index, time in enumerate(times):
        single = mobility.highway_position_m(start, speed, direction, lane, 1000.0, time)
        np.testing.assert_array_equal(block[index], single)
    np.testing.assert_array_equal(block[..., 1], np.tile(lane, (4, 1)))
    np.testing.assert_array_equal(block[0, :, 0], start)


def test_highway_is_periodic_and_two_way() -> None:
    start, speed, lane = np.array([100.0, 100.0]), np.array([12.5, 12.5]), np.zeros(2)
    direction = np.array([1.0, -1.0])
    at = mobility.highway_position_m(start, speed, direction, lane, 1000.0, 40.0)
    np.testing.assert_array_equal(at[:, 0], [-400.0, -400.0])  # half a lap either way is the same place
    lap = mobility.highway_position_m(start, speed, direction, lane, 1000.0, 80.0)
    np.testing.assert_array_equal(lap[:, 0], start)


def test_distance() -> None:
    position = np.array([[[300.0, 20.0], [0.0, 20.0], [0.0, 5.0]]])
    distance = mobility.distance_m(position, np.array([0.0, 20.0]), 10.0)
    np.testing.assert_array_equal(distance, [[300.0, 10.0, 15.0]])


def test_torch_gives_the_same_positions() -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    rng = np.random.default_rng(2)
    columns = [rng.uniform(-500, 500, 5), rng.uniform(10, 15, 5), np.ones(5), rng.uniform(-5, 5, 5)]
    expected = mobility.highway_position_m(columns[0], columns[1], columns[2], columns[3], 1000.0, 77.7)
    tensors = [torch.from_numpy(column) for column in columns]
    position = mobility.highway_position_m(tensors[0], tensors[1], tensors[2], tensors[3], 1000.0, 77.7)
    np.testing.assert_array_equal(position.numpy(), expected)
    np.testing.assert_allclose(
        mobility.distance_m(position, (0.0, 20.0), 10.0).numpy(),
        mobility.distance_m(expected, (0.0, 20.0), 10.0),
        rtol=1e-15,
    )
    origin, heading = rng.uniform(-9, 9, (5, 2)), rng.uniform(0, 6, 5)
    np.testing.assert_allclose(
        mobility.straight_position_m(torch.from_numpy(origin), tensors[1], torch.from_numpy(heading), 3.0).numpy(),
        mobility.straight_position_m(origin, columns[1], heading, 3.0),
        rtol=1e-13,
    )
    np.testing.assert_allclose(units.w_to_dbm(torch.tensor([0.2], dtype=torch.float64)).numpy(), [23.010299956639813])
