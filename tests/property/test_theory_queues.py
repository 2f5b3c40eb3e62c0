"""The event engine's queues against queueing theory: Pollaczek-Khinchine, Little's law, arrivals see averages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy import stats

from physical.arrays import Floats, Ints
from physical.registry import EngineName
from physical.ticks import TICKS_PER_S
from tests.support.entities import offload_to
from tests.support.queues import CYCLES_PER_BYTE, make_plane, offload
from tests.support.theory import assert_mean

NUM_QUEUE = 20
NUM_CUSTOMER = 6_000  # of each queue
SERVICE_S = 1e-3  # mean
SIZE_BYTES = 1000.0  # mean
RATE_HZ = SIZE_BYTES * CYCLES_PER_BYTE / SERVICE_S
CASES = [(discipline, law, load) for discipline in ("slices", "fifo") for law in "MD" for load in (0.5, 0.8)]
QUICK = (("slices", "M", 0.8), ("fifo", "D", 0.8))
THEORY = pytest.mark.parametrize(
    ("engine", "discipline", "law", "load"),
    [("columns", *case) for case in CASES]
    + [pytest.param("events", *case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
"""All cases, of the entities only some in `make test`: an event for each customer takes its time."""


@dataclass
class Sample:
    """One run of independent queues, [Q, customers] in arrival order and [Q, instants], s."""

    arrive_s: Floats
    begin_s: Floats
    end_s: Floats
    instant_s: Floats  # [instants], when the plane was asked for its backlog
    backlog_s: Floats  # [classes, instants], unfinished work of one queue as the plane told it, in time to serve it


@cache
def sample(engine: EngineName, discipline: str, law: str, load: float) -> Sample:
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
    # Transposed, customers of one queue come a slot (fifo: a vehicle) after each other.
    arrive = np.rint(arrive_s.T.reshape(shape) * TICKS_PER_S).astype(np.int64)
    size_bytes, rates_hz = size.T.reshape(shape), np.full(shape[1:], rate_hz)
    instants: Floats = np.arange(1, int(arrive_s[:, -1].min() / 0.02), dtype=np.float64) * 0.02
    look = (instants * TICKS_PER_S).astype(np.int64)
    serve_all = by_columns if engine == "columns" else by_entities
    begin, end, backlog_bytes = serve_all(discipline, rates_hz, arrive, size_bytes, look)

    def by_queue(ticks: Ints) -> Floats:
        seconds: Floats = ticks.reshape(NUM_CUSTOMER, NUM_QUEUE).T / TICKS_PER_S
        return seconds

    backlog_s = backlog_bytes.T / SIZE_BYTES * SERVICE_S / (NUM_QUEUE // shape[2])
    return Sample(by_queue(arrive), by_queue(begin), by_queue(end), instants, backlog_s)


Times = tuple[Ints, Ints, Floats]


def by_columns(discipline: str, rates_hz: Floats, arrive: Ints, size_bytes: Floats, look: Ints) -> Times:
    """Serve tasks [B, N, K] in the columns; return beginnings and ends in that shape, and backlogs [looks, K]."""
    plane = make_plane(discipline, *rates_hz.shape)
    plane.set_service_rate(0, rates_hz)
    offload(plane, arrive, size_bytes)
    backlog = []
    for now in look.tolist():
        plane.advance(now)
        backlog.append(plane.queues.backlog(now)[0])
    horizon = int(2 * arrive.max())
    plane.advance(horizon)
    rows = plane.take_finished(horizon)[0]
    assert (rows.arrive == arrive.ravel()).all()
    return rows.serve.reshape(arrive.shape), rows.served.reshape(arrive.shape), np.array(backlog)


def by_entities(discipline: str, rates_hz: Floats, arrive: Ints, size_bytes: Floats, look: Ints) -> Times:
    """Do the same with entities."""
    served = offload_to(make_plane(discipline, *rates_hz.shape).system, rates_hz, arrive, size_bytes, look)
    num_class = arrive.shape[2]
    begin, end = (ticks.T.reshape(-1, rates_hz.shape[0], num_class) for ticks in (served.begin, served.end))
    return begin, end, served.left


def waiting_s(law: str, load: float) -> float:
    """Pollaczek-Khinchine: W = lambda E[S^2] / (2 (1 - rho))."""
    second_moment = SERVICE_S**2 * (2.0 if law == "M" else 1.0)
    return load / SERVICE_S * second_moment / (2.0 * (1.0 - load))


@pytest.mark.full
@THEORY
def test_mean_wait_is_pollaczek_khinchines(engine: EngineName, discipline: str, law: str, load: float) -> None:
    """1.2e5 customers in 20 independent queues; the first tenth of each is discarded."""
    run = sample(engine, discipline, law, load)
    wait_s = (run.begin_s - run.arrive_s)[:, NUM_CUSTOMER // 10 :]
    assert wait_s.min() >= 0
    assert_mean(wait_s.mean(axis=1), waiting_s(law, load), 0.25 if load > 0.5 else 0.12)


@THEORY
def test_service_takes_what_the_law_says_and_the_server_is_busy_rho_of_the_time(
    engine: EngineName, discipline: str, law: str, load: float
) -> None:
    run = sample(engine, discipline, law, load)
    service_s = run.end_s - run.begin_s
    if law == "D":
        np.testing.assert_allclose(service_s, SERVICE_S, rtol=1e-9)
    else:
        assert stats.kstest(service_s[:, ::10].ravel(), "expon", args=(0, SERVICE_S)).pvalue > 1e-4
    busy = service_s.sum(axis=1) / (run.end_s[:, -1] - run.arrive_s[:, 0])
    assert_mean(busy, load, 0.03)


@THEORY
def test_littles_law(engine: EngineName, discipline: str, law: str, load: float) -> None:
    """Customers waiting at the sampled instants, against arrival rate x wait of the same queues, and against theory."""
    run = sample(engine, discipline, law, load)
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


@THEORY
def test_reported_backlog_is_the_wait_that_an_arrival_would_find(
    engine: EngineName, discipline: str, law: str, load: float
) -> None:
    """Poisson arrivals see time averages: the mean unfinished work of M/G/1 equals the mean wait."""
    run = sample(engine, discipline, law, load)
    backlog_s = run.backlog_s[:, len(run.instant_s) // 10 :].mean(axis=1)
    assert_mean(backlog_s, waiting_s(law, load), 0.35 if load > 0.5 else 0.15)
