"""The event engine's queues against queueing theory: Pollaczek-Khinchine, Little's law, arrivals see averages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

from physical.arrays import Floats
from physical.ticks import TICKS_PER_S
from tests.support.queues import CYCLES_PER_BYTE, make_plane, offload
from tests.support.theory import assert_mean

NUM_QUEUE = 20
NUM_CUSTOMER = 6_000  # of each queue
SERVICE_S = 1e-3  # mean
SIZE_BYTES = 1000.0  # mean
RATE_HZ = SIZE_BYTES * CYCLES_PER_BYTE / SERVICE_S
CASES = [(discipline, law, load) for discipline in ("slices", "fifo") for law in "MD" for load in (0.5, 0.8)]


@dataclass
class Sample:
    """One run of independent queues, [Q, customers] in arrival order and [Q, instants], s."""

    arrive_s: Floats
    begin_s: Floats
    end_s: Floats
    instant_s: Floats  # [instants], when the plane was asked for its backlog
    backlog_s: Floats  # [classes, instants], unfinished work of one queue as the plane told it, in time to serve it


@cache
def sample(discipline: str, law: str, load: float) -> Sample:
    """Serve Poisson arrivals with exponential (M) or constant (D) sizes.

    slices: one queue per flow, K = 10 classes of 2 vehicles; fifo: one queue per class, K = 20 classes of 4 vehicles.
    """
    rng = np.random.default_rng([ord(law), int(10 * load), len(discipline)])
    gaps_s = rng.exponential(SERVICE_S / load, (NUM_QUEUE, NUM_CUSTOMER))
    arrive_s = np.cumsum(gaps_s, axis=1)
    size = SIZE_BYTES * (rng.exponential(size=arrive_s.shape) if law == "M" else np.ones(arrive_s.shape))
    if discipline == "slices":
        shape, rate_hz = (NUM_CUSTOMER, 2, 10), RATE_HZ
    else:
        shape, rate_hz = (NUM_CUSTOMER // 4, 4, 20), RATE_HZ / 4
    plane = make_plane(discipline, *shape[1:])
    plane.set_service_rate(0, np.full(shape[1:], rate_hz))
    # Transposed, customers of one queue come a slot (fifo: a vehicle) after each other.
    offload(plane, np.rint(arrive_s.T.reshape(shape) * TICKS_PER_S).astype(np.int64), size.T.reshape(shape))
    instants: Floats = np.arange(1, int(arrive_s[:, -1].min() / 0.02), dtype=np.float64) * 0.02
    backlog = []
    for instant_s in instants:
        now = int(instant_s * TICKS_PER_S)
        plane.advance(now)
        backlog.append(plane.queues.backlog(now)[0] / SIZE_BYTES * SERVICE_S)
    horizon = int(2 * arrive_s.max() * TICKS_PER_S)
    plane.advance(horizon)
    rows = plane.take_finished(horizon)[0]
    assert len(rows.slot) == arrive_s.size

    def by_queue(ticks: Any) -> Floats:
        seconds: Floats = ticks.reshape(NUM_CUSTOMER, NUM_QUEUE).T / TICKS_PER_S
        return seconds

    flows_per_class = NUM_QUEUE // shape[2]
    return Sample(
        by_queue(rows.arrive),
        by_queue(rows.serve),
        by_queue(rows.served),
        instants,
        np.array(backlog).T / flows_per_class,
    )


def waiting_s(law: str, load: float) -> float:
    """Pollaczek-Khinchine: W = lambda E[S^2] / (2 (1 - rho))."""
    second_moment = SERVICE_S**2 * (2.0 if law == "M" else 1.0)
    return load / SERVICE_S * second_moment / (2.0 * (1.0 - load))


@pytest.mark.full
@pytest.mark.parametrize(("discipline", "law", "load"), CASES)
def test_mean_wait_is_pollaczek_khinchines(discipline: str, law: str, load: float) -> None:
    """1.2e5 customers in 20 independent queues; the first tenth of each is discarded."""
    run = sample(discipline, law, load)
    wait_s = (run.begin_s - run.arrive_s)[:, NUM_CUSTOMER // 10 :]
    assert wait_s.min() >= 0
    assert_mean(wait_s.mean(axis=1), waiting_s(law, load), 0.25 if load > 0.5 else 0.12)


@pytest.mark.parametrize(("discipline", "law", "load"), CASES)
def test_service_takes_what_the_law_says_and_the_server_is_busy_rho_of_the_time(
    discipline: str, law: str, load: float
) -> None:
    run = sample(discipline, law, load)
    service_s = run.end_s - run.begin_s
    if law == "D":
        np.testing.assert_allclose(service_s, SERVICE_S, rtol=1e-9)
    else:
        assert stats.kstest(service_s[:, ::10].ravel(), "expon", args=(0, SERVICE_S)).pvalue > 1e-4
    busy = service_s.sum(axis=1) / (run.end_s[:, -1] - run.arrive_s[:, 0])
    assert_mean(busy, load, 0.03)


@pytest.mark.parametrize(("discipline", "law", "load"), CASES)
def test_littles_law(discipline: str, law: str, load: float) -> None:
    """Customers waiting at the sampled instants, against arrival rate x wait of the same queues, and against theory."""
    run = sample(discipline, law, load)
    first = len(run.instant_s) // 10
    instants = run.instant_s[first:]
    waiting, rate_by_wait = np.empty(NUM_QUEUE), np.empty(NUM_QUEUE)
    for queue in range(NUM_QUEUE):
        arrive, begin = run.arrive_s[queue], run.begin_s[queue]
        assert (np.diff(begin) > 0).all()
        seen = np.searchsorted(arrive, instants, "right") - np.searchsorted(begin, instants, "right")
        waiting[queue] = seen.mean()
        inside = (arrive > instants[0]) & (arrive <= instants[-1])
        rate_by_wait[queue] = (begin - arrive)[inside].sum() / (instants[-1] - instants[0])
    expected = load / SERVICE_S * waiting_s(law, load)
    assert_mean(waiting, expected, 0.25 if load > 0.5 else 0.15)
    difference = waiting - rate_by_wait
    bound = 4.5 * difference.std(ddof=1) / np.sqrt(NUM_QUEUE)
    assert bound < 0.1 * expected
    assert abs(difference.mean()) < bound


@pytest.mark.parametrize(("discipline", "law", "load"), CASES)
def test_reported_backlog_is_the_wait_that_an_arrival_would_find(discipline: str, law: str, load: float) -> None:
    """Poisson arrivals see time averages: the mean unfinished work of M/G/1 equals the mean wait."""
    run = sample(discipline, law, load)
    backlog_s = run.backlog_s[:, len(run.instant_s) // 10 :].mean(axis=1)
    assert_mean(backlog_s, waiting_s(law, load), 0.35 if load > 0.5 else 0.15)
