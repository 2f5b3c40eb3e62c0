"""CPUs and uplinks, driven directly, against queueing theory.

Processor sharing (M/G/1-PS): Kleinrock, Queueing Systems II, section 4.4; sojourn E[S] / (1 - rho), whatever the sizes.
In turn (M/G/1): Pollaczek-Khinchine. G/G/1: Kingman (1962). Both disciplines have one workload process (Reich 1958).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from physical.arrays import Floats, Ints
from physical.columns.resource import CPU, UPLINK, ResourceRows, Use
from physical.columns.rules import Rule, make_resource
from physical.columns.tasks import METERED, WAITING, TaskColumns
from physical.entities.service import make_cpu, make_uplink
from physical.registry import EngineName
from physical.ticks import TICKS_PER_S
from sim.engine.clock import TickClock
from tests.support.entities import serve
from tests.support.theory import assert_mean

NUM_QUEUE: dict[EngineName, int] = {"columns": 200, "events": 100}
NUM_CUSTOMER = 1_500  # of each queue
NUM_LOOK = 100
WARM_UP = 4  # a quarter of the customers and looks is left out
SERVICE_S = 1e-3  # mean
RATE = {CPU: 1.0, UPLINK: 2e6}  # work per second
SECOND_MOMENT = {"D": 1.0, "M": 2.0, "H": 5.0}  # E[S^2] / E[S]^2
CASES: list[tuple[Use, str, float]] = [
    (CPU, "M", 0.8),
    (UPLINK, "H", 0.7),
    (CPU, "M", 0.5),
    (CPU, "D", 0.8),
    (CPU, "H", 0.7),
    (UPLINK, "M", 0.8),
    (UPLINK, "D", 0.5),
]
THEORY = pytest.mark.parametrize(
    ("engine", "use", "law", "load"),
    [("columns", *case) for case in CASES]
    + [pytest.param("events", *case, marks=() if case in CASES[1:2] else pytest.mark.slow) for case in CASES],
)
"""All cases, of the entities one in `make test`: an event for each customer takes its time."""


@dataclass
class Sample:
    """One run of independent queues, [Q, customers] in order of arrival and [Q, instants]; all in seconds.

    workload_s : work that was left when somebody looked, in time to do it
    present : how many customers were there then
    """

    arrive_s: Floats
    need_s: Floats
    leave_s: Floats
    look_s: Floats
    workload_s: Floats
    present: Floats

    @property
    def sojourn_s(self) -> Floats:
        """How long customers stay."""
        return (self.leave_s - self.arrive_s)[:, NUM_CUSTOMER // WARM_UP :]


def needs_s(law: str, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Draw constant (D), exponential (M) or hyperexponential (H) needs of mean 1, of squared variation 0, 1 or 4."""
    if law == "D":
        return np.full(shape, SERVICE_S)
    if law == "M":
        return SERVICE_S * rng.exponential(size=shape)
    # Balanced means: p / mu1 = (1 - p) / mu2 = 1/2 with p = (1 + sqrt((c2 - 1) / (c2 + 1))) / 2.
    often = 0.5 * (1 + np.sqrt(3 / 5))
    mean: Floats = np.where(rng.random(shape) < often, 0.5 / often, 0.5 / (1 - often))
    return SERVICE_S * mean * rng.exponential(size=shape)


def gaps_s(law: str, load: float, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Draw times between arrivals: exponential (M), of two phases (E), or uniform (U)."""
    mean_s = SERVICE_S / load
    if law == "M":
        return rng.exponential(mean_s, shape)
    drawn: Floats = rng.gamma(2, mean_s / 2, shape) if law == "E" else rng.uniform(0, 2 * mean_s, shape)
    return drawn


@cache
def sample(engine: EngineName, rule: Rule, use: Use, law: str, load: float, arrivals: str = "M") -> Sample:
    """Let customers come to a resource of a rule; the same customers to both rules."""
    shape = NUM_QUEUE[engine], NUM_CUSTOMER
    rng = np.random.default_rng([ord(law), int(10 * load), ord(arrivals), use == CPU])
    arrive = np.rint(np.cumsum(gaps_s(arrivals, load, shape, rng), axis=1) * TICKS_PER_S).astype(np.int64)
    need_s = needs_s(law, shape, rng)
    look = np.linspace(0, arrive[:, -1].min(), NUM_LOOK + 1)[1:].astype(np.int64)
    serve_all = by_columns if engine == "columns" else by_entities
    leave, left, present = serve_all(rule, use, arrive, need_s * RATE[use], look)
    arrive_s, leave_s, look_s = (ticks / TICKS_PER_S for ticks in (arrive, leave, look))
    return Sample(arrive_s, need_s, leave_s, look_s, np.transpose(left / RATE[use]), np.transpose(present))


Times = tuple[Ints, Floats, Floats]


def by_columns(rule: Rule, use: Use, arrive: Ints, work: Floats, look: Ints) -> Times:
    """Serve customers [Q, customers] in the columns; return ends, and what is left and who is there, [looks, Q]."""
    num_queue = len(arrive)
    columns = TaskColumns(num_queue, NUM_CUSTOMER, METERED, WAITING)
    columns.append_slots(0, np.ones((1, *arrive.shape)))
    getattr(columns, use.ready)[: arrive.size] = arrive.ravel()
    getattr(columns, use.work)[: arrive.size] = work.ravel()
    resource = make_resource(rule, columns, num_queue, use)
    resource.change_rates(0, np.full(num_queue, RATE[use]), np.zeros(num_queue))
    resource.add(np.arange(arrive.size))
    left, present = zip(*(_look(resource, columns, num_queue, int(now)) for now in look), strict=True)
    resource.advance(int(3 * arrive.max()))
    return getattr(columns, use.end)[: arrive.size].reshape(arrive.shape), np.array(left), np.array(present)


def _look(resource: ResourceRows, columns: TaskColumns, num_queue: int, now: int) -> tuple[Floats, Floats]:
    resource.advance(now)
    rows, left = resource.left(now)
    queue = columns.vehicle[rows]
    of_queue: Floats = np.bincount(queue, weights=left, minlength=num_queue).astype(np.float64)
    return of_queue, np.bincount(queue, minlength=num_queue).astype(np.float64)


def by_entities(rule: Rule, use: Use, arrive: Ints, work: Floats, look: Ints) -> Times:
    """Do the same with entities."""
    clock = TickClock()
    if use == CPU:
        resources = [make_cpu(clock, "sharing" if rule == "sharing" else "in-turn") for _ in arrive]
    else:
        resources = [make_uplink(clock, "sharing" if rule == "sharing" else "in-turn", joint=False) for _ in arrive]
    for resource in resources:
        resource.set_rate(RATE[use])
    served = serve(clock, resources, arrive, work, look)
    return served.end, served.left, served.present


@pytest.mark.full
@THEORY
def test_shared_resource_keeps_customers_for_their_need_over_what_is_idle(
    engine: EngineName, use: Use, law: str, load: float
) -> None:
    """M/G/1-PS: the mean sojourn is 1 / (mu - lambda), as of M/M/1, whatever the distribution of the sizes."""
    sojourn_s = sample(engine, "sharing", use, law, load).sojourn_s
    assert_mean(sojourn_s.mean(axis=1), SERVICE_S / (1 - load), 0.15)


@THEORY
def test_sharing_is_fair(engine: EngineName, use: Use, law: str, load: float) -> None:
    """Who needs x stays x / (1 - rho) in the mean: small and large customers are slowed down alike."""
    run = sample(engine, "sharing", use, law, load)
    need_s = run.need_s[:, NUM_CUSTOMER // WARM_UP :]
    middle_s = np.median(need_s)
    for chosen in [need_s <= middle_s, need_s >= middle_s]:
        slow = np.array([own[kept].sum() for own, kept in zip(run.sojourn_s, chosen, strict=True)])
        need = np.array([own[kept].sum() for own, kept in zip(need_s, chosen, strict=True)])
        assert_mean(slow / need.mean(), 1 / (1 - load), 0.2)


@THEORY
def test_number_present_is_geometric_with_sharing(engine: EngineName, use: Use, law: str, load: float) -> None:
    """M/G/1-PS: P(N = n) = (1 - rho) rho^n, insensitive; Little's law follows, and PASTA lets looks stand for time."""
    present = sample(engine, "sharing", use, law, load).present[:, NUM_LOOK // WARM_UP :]
    for count in range(3):
        assert_mean((present == count).mean(axis=1), (1 - load) * load**count, 0.15)
    assert_mean(present.mean(axis=1), load / (1 - load), 0.2)


@pytest.mark.full
@THEORY
def test_mean_wait_in_turn_is_pollaczek_khinchines(engine: EngineName, use: Use, law: str, load: float) -> None:
    """M/G/1: W = lambda E[S^2] / (2 (1 - rho))."""
    run = sample(engine, "in-turn", use, law, load)
    wait_s = run.sojourn_s - run.need_s[:, NUM_CUSTOMER // WARM_UP :]
    assert wait_s.min() > -1e-9
    second_moment = SECOND_MOMENT[law] * SERVICE_S**2
    assert_mean(wait_s.mean(axis=1), load / SERVICE_S * second_moment / (2 * (1 - load)), 0.25)


@pytest.mark.full
@pytest.mark.parametrize("engine", ["columns", pytest.param("events", marks=pytest.mark.slow)])
@pytest.mark.parametrize("arrivals", ["E", "U"])
@pytest.mark.parametrize("law", ["D", "M", "H"])
def test_mean_wait_in_turn_is_within_kingmans_bound(law: str, arrivals: str, engine: EngineName) -> None:
    """G/G/1: W <= lambda (var A + var S) / (2 (1 - rho)); at most mean residual service below it (Marshall 1968)."""
    load = 0.8
    run = sample(engine, "in-turn", CPU, law, load, arrivals)
    wait_s = (run.sojourn_s - run.need_s[:, NUM_CUSTOMER // WARM_UP :]).mean()
    variation = {"E": 1 / 2, "U": 1 / 3}[arrivals]  # squared, of the gaps; an increasing failure rate has both
    gap_s = SERVICE_S / load
    most_s = (variation * gap_s**2 + (SECOND_MOMENT[law] - 1) * SERVICE_S**2) / (2 * gap_s * (1 - load))
    least_s = most_s - 0.5 * (load + variation) * gap_s
    assert least_s * 0.9 < wait_s < most_s


@THEORY
def test_both_disciplines_do_the_same_work(engine: EngineName, use: Use, law: str, load: float) -> None:
    """Work is conserved: at any instant as much is left, namely what Lindley's recursion says of every queue."""
    shared, in_turn = sample(engine, "sharing", use, law, load), sample(engine, "in-turn", use, law, load)
    tolerance_s = 1e-9
    np.testing.assert_allclose(shared.workload_s, in_turn.workload_s, atol=tolerance_s)
    for queue in range(NUM_QUEUE[engine]):
        arrive_s, need_s = in_turn.arrive_s[queue], in_turn.need_s[queue]
        end_s = np.cumsum(need_s) + np.maximum.accumulate(arrive_s - np.cumsum(need_s) + need_s)
        np.testing.assert_allclose(in_turn.leave_s[queue], end_s, atol=tolerance_s)
        last = np.searchsorted(arrive_s, in_turn.look_s, "right") - 1
        expected_s = np.where(last >= 0, np.maximum(end_s[last] - in_turn.look_s, 0.0), 0.0)
        np.testing.assert_allclose(in_turn.workload_s[queue], expected_s, atol=tolerance_s)
        # Busy periods end together: whoever leaves an idle resource is the last to leave the other one, too.
        ends_busy = np.append(arrive_s[1:] > end_s[:-1] + tolerance_s, True)
        first = np.append(0, np.flatnonzero(ends_busy)[:-1] + 1)
        latest_s = np.maximum.reduceat(shared.leave_s[queue], first)
        np.testing.assert_allclose(latest_s, end_s[ends_busy], atol=tolerance_s)
