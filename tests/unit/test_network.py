"""Links and routes: latencies add up, losses combine, delays follow their distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from physical.delay import ConstantDelay, Delay, ExponentialDelay, LognormalDelay, UniformDelay
from sim.inputs.routes import Passage, Route, build_graph
from sim.scenario.links import BASE_STATION, CLOUD, EDGE_SERVER, VEHICLE, Link, NetworkParams
from twin.messages import LOST_NS

UNIFORM = np.random.default_rng(2).random(20_000)
LAWS: dict[str, tuple[Any, Any]] = {
    "uniform": (UniformDelay(low_s=0.01, high_s=0.03), stats.uniform(0.01, 0.02)),
    "exponential": (ExponentialDelay(mean_s=0.02), stats.expon(scale=0.02)),
    "lognormal": (LognormalDelay(median_s=0.02, sigma=0.7), stats.lognorm(0.7, scale=0.02)),
}


@pytest.mark.parametrize("kind", LAWS)
def test_delays_are_drawn_from_their_law(kind: str) -> None:
    delay, law = LAWS[kind]
    assert stats.kstest(delay.quantile(UNIFORM), law.cdf).pvalue > 1e-3
    probability = np.array([1e-12, 0.001, 0.25, 0.5, 0.75, 0.999, 1 - 1e-12])
    np.testing.assert_allclose(delay.quantile(probability), law.ppf(probability), rtol=1e-6)


@pytest.mark.parametrize("kind", LAWS)
def test_quantiles_ascend_and_the_smallest_uniform_number_is_harmless(kind: str) -> None:
    quantiles = LAWS[kind][0].quantile(np.array([0.0, *np.sort(UNIFORM[:1000]), np.nextafter(1.0, 0.0)]))
    assert (np.diff(quantiles) >= 0).all()
    assert quantiles[0] >= 0
    assert np.isfinite(quantiles).all()


def test_degenerate_laws_are_constant() -> None:
    probability = np.array([0.0, 0.3, 0.999])
    for delay in (
        ConstantDelay(value_s=0.02),
        UniformDelay(low_s=0.02, high_s=0.02),
        LognormalDelay(median_s=0.02, sigma=0.0),
    ):
        np.testing.assert_array_equal(delay.quantile(probability), 0.02)
    np.testing.assert_array_equal(ExponentialDelay(mean_s=0.0).quantile(probability), 0.0)


def test_a_delay_is_read_from_a_duration_or_a_table() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Delay)
    assert adapter.validate_python("5 ms") == adapter.validate_python(0.005) == ConstantDelay(value_s=0.005)
    read = adapter.validate_python({"kind": "lognormal", "median_s": "2 ms", "sigma": 0.5})
    assert read == LognormalDelay(median_s=0.002, sigma=0.5)
    for bad in (-1, {"kind": "uniform", "low_s": 2, "high_s": 1}, {"kind": "exponential", "mean_s": "1 m"}, True):
        with pytest.raises(ValidationError):
            adapter.validate_python(bad)


def make_route(source: str = VEHICLE, target: str = CLOUD, **links: Any) -> Route:
    return Route(build_graph(NetworkParams.model_validate(links)), source, target)


def test_routes_follow_the_graph() -> None:
    graph = {
        "access": {"latency_s": 0.001},
        "backhaul": {"latency_s": 0.01},
        "lan": {"latency_s": 0.1},
    }
    for source, target, expected_s in (
        (VEHICLE, CLOUD, 0.011),
        (CLOUD, VEHICLE, 0.011),
        (VEHICLE, EDGE_SERVER, 0.101),
        (EDGE_SERVER, VEHICLE, 0.101),
        (EDGE_SERVER, CLOUD, 0.11),
        (CLOUD, EDGE_SERVER, 0.11),
        (VEHICLE, BASE_STATION, 0.001),
    ):
        route = make_route(source, target, **graph)
        passage = route.passage(None)
        assert route.num_draw == 0  # nothing random, nothing drawn
        assert (passage.latency_ns, passage.lost) == (round(expected_s * 1e9), None)


def test_an_ideal_network_takes_no_time_and_loses_nothing() -> None:
    passage = make_route().passage(None)
    assert (passage.latency_ns, passage.lost) == (0, None)
    assert passage.delivered_ns(123) == 123


def draw(route: Route, count: int = 40_000) -> Passage:
    return route.passage(np.random.default_rng(4).random((count, route.num_draw)))


def test_random_latencies_and_jitter_of_all_hops_add_up() -> None:
    """Exponential of 10 ms, plus 5 ms with a jitter of 4 ms: the mean, the variance and the least value."""
    route = make_route(
        access={"latency_s": {"kind": "exponential", "mean_s": 0.01}}, backhaul={"latency_s": 0.005, "jitter_s": 0.004}
    )
    assert route.num_draw == 2
    latency_s = np.asarray(draw(route).latency_ns) / 1e9
    deviation = np.sqrt(0.01**2 + 0.004**2 / 12)
    assert abs(latency_s.mean() - 0.017) < 4.5 * deviation / 200
    assert latency_s.std() == pytest.approx(deviation, rel=0.05)
    assert 0.005 <= latency_s.min() < 0.0055
    # Its law is the convolution, checked at a point: P(X + U <= 9 ms) with X exponential, U uniform in [5, 9] ms.
    expected = 1 - 0.01 / 0.004 * (1 - np.exp(-0.4))
    assert abs((latency_s <= 0.009).mean() - expected) < 4.5 * np.sqrt(expected / 40_000)


@pytest.mark.parametrize(("first", "second"), [(0.2, 0.0), (0.0, 0.2), (0.2, 0.3), (0.5, 0.5), (1.0, 0.3), (0.0, 1.0)])
def test_losses_of_the_hops_combine(first: float, second: float) -> None:
    route = make_route(access={"loss": first}, backhaul={"loss": second})
    assert route.num_draw == (first > 0) + (second > 0)
    passage = draw(route)
    assert passage.lost is not None
    expected = 1 - (1 - first) * (1 - second)
    bound = 4.5 * np.sqrt(expected * (1 - expected) / passage.lost.size)
    assert abs(passage.lost.mean() - expected) <= bound
    assert passage.latency_ns == 0  # losses alone leave the latency constant


def test_loss_and_latency_are_independent() -> None:
    route = make_route(access={"latency_s": {"kind": "exponential", "mean_s": 0.01}, "loss": 0.4, "jitter_s": 0.003})
    assert route.num_draw == 3
    passage = draw(route)
    correlation = np.corrcoef(np.asarray(passage.latency_ns), np.asarray(passage.lost))[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(40_000)


def test_lost_messages_are_never_delivered() -> None:
    lost = np.array([True, False, False])
    constant = Passage(7, lost)
    assert np.asarray(constant.delivered_ns(100)).tolist() == [LOST_NS, 107, 107]
    assert np.asarray(constant.delivered_ns(100, slice(1, 3))).tolist() == [107, 107]
    varied = Passage(np.array([1, 2, 3]), lost)
    assert np.asarray(varied.delivered_ns(100)).tolist() == [LOST_NS, 102, 103]
    assert Passage(np.array([1, 2, 3]), None).delivered_ns(100, 2) == 103


def test_a_latency_beyond_the_clock_is_a_loss() -> None:
    route = make_route(access={"latency_s": {"kind": "lognormal", "median_s": 1e5, "sigma": 9.0}})
    delivered = np.asarray(draw(route).delivered_ns(10**9))
    assert (delivered > 0).all()  # no overflow
    assert (delivered >= LOST_NS).any()


@pytest.mark.parametrize("bad", [{"loss": 1.1}, {"loss": -0.1}, {"jitter_s": -1}, {"latency": 1}])
def test_impossible_links_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Link.model_validate(bad)
