"""Rate, computing, energy, QoS, queues and objective, each against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.model import computing, energy, objective, qos, queueing, rate
from physical.params import Objective

positive = st.floats(1e-3, 1e3)


def test_noise_and_rate() -> None:
    assert rate.noise_power_w(-170.0, 1e6) == pytest.approx(1e-14, rel=1e-12)
    assert rate.noise_power_w(-174.0, 80e6, 9.0) == pytest.approx(80e6 * 10 ** (-16.5) * 1e-3, rel=1e-12)
    gain = np.array([0.0, 1e-14, 3e-14, 1023e-14])
    np.testing.assert_allclose(rate.uplink_rate_bps(1e6, 1.0, gain, 1e-14), [0.0, 1e6, 2e6, 10e6], rtol=1e-12)


def test_rate_of_a_very_weak_signal_is_not_rounded_to_zero() -> None:
    weak = rate.uplink_rate_bps(np.array([1e6]), np.array([1.0]), np.array([1e-20]), 1.0)
    assert weak[0] == pytest.approx(1e6 * 1e-20 / math.log(2.0))


def test_upload_rules() -> None:
    size, ratio = np.array([800.0, 800.0, 800.0]), np.array([0.0, 0.25, 1.0])
    np.testing.assert_array_equal(rate.upload_bytes(size, ratio, "proportional"), [0.0, 200.0, 800.0])
    np.testing.assert_array_equal(rate.upload_bytes(size, ratio, "whole"), [0.0, 800.0, 800.0])
    np.testing.assert_array_equal(rate.upload_bytes(size, ratio, "always"), [800.0, 800.0, 800.0])
    np.testing.assert_array_equal(rate.upload_delay_s(size, np.array([6400.0, 3200.0, 64.0])), [1.0, 2.0, 100.0])


def test_unknown_rules_are_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="'half' is not one of proportional, whole, always"):
        rate.upload_bytes(one, one, cast(Any, "half"))
    with pytest.raises(ValueError, match="'both' is not one of sequential, parallel"):
        computing.task_delay_s(one, one, one, cast(Any, "both"))
    with pytest.raises(ValueError, match="'heat' is not one of power, energy"):
        energy.edge_energy(1.0, 0.1, cast(Any, "heat"))


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1))
def test_work_is_split_without_loss(size: float, per_byte: float, ratio: float) -> None:
    local, edge = computing.local_part(size * per_byte, ratio), computing.edge_part(size * per_byte, ratio)
    assert local >= 0
    assert edge >= 0
    assert local + edge == pytest.approx(size * per_byte, rel=1e-12)


def test_execution_delay_at_the_edges() -> None:
    cycles, frequency = np.array([[0.0], [6.0]]), np.array([0.0, 2.0])
    np.testing.assert_array_equal(computing.execution_delay_s(cycles, frequency), [[0.0, 0.0], [np.inf, 3.0]])


def test_execution_delay_has_finite_gradients_at_the_edges() -> None:
    """Without work the slope is that of the running server, 1 / f; without CPU the delay is constant."""
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    cycles = torch.tensor([0.0, 0.0, 6.0], dtype=torch.float64, requires_grad=True)
    frequency = torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    computing.execution_delay_s(cycles, frequency)[:2].sum().backward()
    assert cycles.grad.tolist() == [0.0, 0.5, 0.0]
    assert frequency.grad.tolist() == [0.0, 0.0, 0.0]


@given(st.floats(0, 1e3), positive, st.floats(-0.9, 10.0))
def test_eqs_8_and_9_reduce_to_the_biased_frequency(work: float, allocation: float, bias_ratio: float) -> None:
    cycles, x = np.array([work]), np.array([allocation])
    bias = bias_ratio * x
    literal = cycles / x + computing.estimation_delay_s(cycles, x, bias)
    reduced = computing.execution_delay_s(cycles, computing.edge_frequency_hz(x, bias))
    np.testing.assert_allclose(literal, reduced, rtol=1e-13, atol=1e-300)


def test_edge_frequency() -> None:
    allocation = np.array([0.0, 1.0, 4.0])
    np.testing.assert_array_equal(computing.edge_frequency_hz(allocation, 3.0), [0.0, 4.0, 7.0])
    np.testing.assert_array_equal(computing.edge_frequency_hz(allocation, -3.0), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(computing.edge_frequency_hz(allocation, np.array([1.0, 0.0, -4.0])), [0.0, 1.0, 0.0])


def test_task_delay() -> None:
    local, upload, edge = np.array([3.0, 1.0]), np.array([1.0, 1.0]), np.array([1.5, np.inf])
    np.testing.assert_array_equal(computing.task_delay_s(local, upload, edge, "sequential"), [5.5, np.inf])
    np.testing.assert_array_equal(computing.task_delay_s(local, upload, edge, "parallel"), [3.0, np.inf])


@given(positive, positive, positive)
def test_local_energy_is_eq_14(cycles: float, frequency: float, kappa: float) -> None:
    literal = frequency**3 * kappa * (cycles / frequency)
    assert energy.local_energy_j(cycles, frequency, kappa) == pytest.approx(literal, rel=1e-12)


@given(st.floats(0, 1e12))
def test_edge_power_has_the_same_bits_for_numbers_and_arrays(total: float) -> None:
    number = energy.edge_power_w(total, 10, 1.5625e-35)
    assert number == pytest.approx(10 * 1.5625e-35 * (total / 10) ** 3, rel=1e-12)
    assert energy.edge_power_w(np.full(9, total), 10, 1.5625e-35).tolist() == [number] * 9
    assert float(energy.edge_power_w(np.float64(total), 10, 1.5625e-35)) == number


def test_means_are_over_the_tasks_that_there_are() -> None:
    values = np.random.default_rng(0).random((40, 5, 3))
    present = np.random.default_rng(1).random((40, 5, 3)) < 0.7
    present[0], present[1] = True, False
    found = qos.mean_of_tasks(values, present)
    assert found[0] == qos.mean_of_tasks(values[0], present[0]) == values[0].mean(axis=-1).mean()  # the same bits
    assert found[1] == 0.0
    expected = [np.average(value, weights=weight) for value, weight in zip(values[2:], present[2:], strict=True)]
    np.testing.assert_allclose(found[2:], expected, rtol=1e-13)


def test_qos_and_misses() -> None:
    delay, deadline = np.array([[0.0, 0.2], [0.1, 0.6]]), np.array([0.1, 0.4])
    task_qos = qos.qos(delay, deadline)
    np.testing.assert_allclose(task_qos, [[1.0, 0.5], [0.0, -0.5]])
    assert qos.mean_of_tasks(task_qos, np.ones((2, 2), dtype=bool)) == pytest.approx(0.25)
    np.testing.assert_array_equal(qos.deadline_missed(delay, deadline), [[0.0, 0.0], [0.0, 1.0]])
    assert qos.deadline_missed(delay.astype(np.float32), deadline.astype(np.float32)).dtype == np.float32


def test_queues_and_objective_by_hand() -> None:
    """Two vehicles, two classes."""
    size, ratio = np.array([[100.0, 400.0], [200.0, 800.0]]), np.array([[1.0, 0.5], [0.5, 0.25]])
    frequency = np.array([[1000.0, 3000.0], [2000.0, 1000.0]])
    arrivals = queueing.arrivals_bytes(size, ratio)
    np.testing.assert_array_equal(arrivals, [200.0, 400.0])
    service = queueing.service_bytes(frequency, np.array([2.0, 4.0]), 0.1)
    np.testing.assert_allclose(service, [150.0, 100.0])
    backlog = np.array([300.0, 100.0])
    np.testing.assert_allclose(queueing.next_backlog_bytes(backlog, arrivals, service), [350.0, 400.0])
    np.testing.assert_array_equal(queueing.next_backlog_bytes(backlog, arrivals, np.array([501.0, 500.0])), [0.0, 0.0])
    value = objective.drift(backlog, arrivals, service, 100.0)
    assert value == pytest.approx(3.0 * 0.5 + 1.0 * 3.0)
    weights = Objective(qos_weight=2.0, energy_weight=0.2, deadline_price=10.0, beta=0.1)
    assert objective.p2(value, 0.25, 5.0, 0.5, weights) == pytest.approx(0.45 - 0.5 + 1.0 + 5.0)


def test_a_zero_weight_removes_an_infinite_term() -> None:
    weights = Objective(qos_weight=0.0, energy_weight=1.0, beta=1.0)
    assert objective.p2(np.array(1.0), np.array(-np.inf), np.array(2.0), np.array(1.0), weights) == 3.0


@given(*[st.lists(st.floats(0, 100), min_size=3, max_size=3) for _ in range(3)])
def test_lyapunov_drift_obeys_eq_19(backlog: list[float], arrivals: list[float], service: list[float]) -> None:
    """Eq. 19 holds with (Z - phi)^2 <= Z^2 + phi^2; the minus sign of eq. 20 is an error of the paper."""
    q, z, phi = np.array(backlog), np.array(arrivals), np.array(service)
    growth = queueing.lyapunov(queueing.next_backlog_bytes(q, z, phi)) - queueing.lyapunov(q)
    linear = objective.drift(q, z, phi, 1.0)
    assert growth <= 0.5 * np.sum((z - phi) ** 2) + linear + 1e-9
    assert growth <= 0.5 * np.sum(z**2 + phi**2) + linear + 1e-9


def test_eq_20_of_the_paper_is_false() -> None:
    q, z, phi = np.array([100.0]), np.array([0.0]), np.array([10.0])
    growth = queueing.lyapunov(queueing.next_backlog_bytes(q, z, phi)) - queueing.lyapunov(q)
    assert growth > 0.5 * np.sum(z**2 - phi**2) + objective.drift(q, z, phi, 1.0)
