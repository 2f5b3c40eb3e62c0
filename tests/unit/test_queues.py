"""The edge server's queues against Lindley's recursion in exact arithmetic, customer by customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.arrays import Floats, Ints
from physical.columns.pipeline import DataPlane
from physical.task_rows import TaskRows
from physical.ticks import NEVER
from tests.support.queues import CYCLES_PER_BYTE, MS, make_plane, offload

pytestmark = pytest.mark.full  # theory at length; in the quick loop, tests/smoke compares both engines

TICKS_PER_S = 1000 * MS
DISCIPLINES = ["slices", "fifo"]


@dataclass
class Served:
    """Times of all tasks by row, ticks; NEVER for what did not happen."""

    arrive: Ints
    begin: Ints
    end: Ints


def drive(plane: DataPlane, changes: Sequence[tuple[int, Floats | None]], *, compact: bool = False) -> Served:
    """Advance the plane to each time, set new rates there or leave the old; the first change is at 0."""
    num_row = plane.columns.num_row
    times = {name: np.full(num_row, NEVER, dtype=np.int64) for name in ("arrive", "serve", "served")}
    row_of = {(r["slot"], r["vehicle"], r["task_class"]): i for i, r in enumerate(_identities(plane, num_row))}

    def note(rows: TaskRows) -> None:
        for place, key in enumerate(zip(rows.slot, rows.vehicle, rows.task_class, strict=True)):
            for name, values in times.items():
                values[row_of[key]] = getattr(rows, name)[place]

    for now, rate_hz in changes:
        plane.advance(now)
        if rate_hz is not None:
            plane.set_service_rate(now, rate_hz)
        if compact:
            note(plane.take_finished(now)[0])
    note(plane.take_unfinished(plane.columns.num_row, changes[-1][0]))
    return Served(times["arrive"], times["serve"], times["served"])


def _identities(plane: DataPlane, num_row: int) -> list[dict[str, int]]:
    names = ("slot", "vehicle", "task_class")
    return [{name: int(getattr(plane.columns, name)[row]) for name in names} for row in range(num_row)]


def lindley(
    customers: Sequence[tuple[int, float]], rates_hz: Sequence[tuple[int, float]]
) -> list[tuple[Fraction, Fraction | None]]:
    """Serve (arrival in ticks, cycles) one after the other at rates that change at given ticks; begin and end of each.

    None: never ends at these rates.
    """
    served: list[tuple[Fraction, Fraction | None]] = []
    free: Fraction | None = Fraction(0)
    for arrive, cycles in customers:
        if free is None:
            break
        begin = max(Fraction(arrive), free)
        free = _end(begin, Fraction(cycles), rates_hz)
        served.append((begin, free))
    return served


def _end(begin: Fraction, cycles: Fraction, rates_hz: Sequence[tuple[int, float]]) -> Fraction | None:
    for index, (since, rate_hz) in enumerate(rates_hz):
        until = rates_hz[index + 1][0] if index + 1 < len(rates_hz) else None
        if until is not None and until <= begin:
            continue
        start = max(begin, Fraction(since))
        per_tick = Fraction(rate_hz) / TICKS_PER_S
        if per_tick and (until is None or start + cycles / per_tick <= until):
            return start + cycles / per_tick
        if until is None:
            return None
        cycles -= per_tick * (until - start)
    return None


def check(
    served: Served, discipline: str, shape: tuple[int, int, int], cycles: Floats, changes: Any, tolerance: int
) -> None:
    """Compare every begin and end that happened by the last time with the recursion."""
    num_slot, num_vehicle, num_class = shape
    horizon = changes[-1][0]
    row = np.arange(num_slot * num_vehicle * num_class).reshape(shape)
    pools = [row[:, n, k] for n in range(num_vehicle) for k in range(num_class)]
    if discipline == "fifo":
        pools = [row[:, :, k].ravel() for k in range(num_class)]
    for index, pool in enumerate(pools):
        order = sorted(pool.tolist(), key=lambda r: (served.arrive[r], r))
        rates = [
            (now, float(rate.ravel()[index] if discipline == "slices" else rate[:, index].sum()))
            for now, rate in changes
            if rate is not None
        ]
        expected = lindley([(int(served.arrive[r]), float(cycles.ravel()[r])) for r in order], rates)
        for place, r in enumerate(order):
            begin, end = expected[place] if place < len(expected) else (None, None)
            _agree(int(served.begin[r]), begin, horizon, tolerance)
            _agree(int(served.end[r]), end, horizon, tolerance)


def _agree(ticks: int, expected: Fraction | None, horizon: int, tolerance: int) -> None:
    if expected is None or expected > horizon + tolerance:
        assert ticks > horizon
    elif expected <= horizon - tolerance:
        assert abs(ticks - expected) <= tolerance


@st.composite
def grid_cases(draw: st.DrawFn) -> dict[str, Any]:
    """Times in whole ms and rates in powers of two: everything is exact, and coincidences are frequent."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 2)))
    num_slot, num_vehicle, num_class = shape
    count = num_slot * num_vehicle * num_class
    arrive = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    size = draw(st.lists(st.sampled_from([1, 2, 3, 8]), min_size=count, max_size=count))
    times = [0, *draw(st.lists(st.integers(0, 30), max_size=6).map(sorted)), 40]
    changes: list[tuple[int, Floats | None]] = []
    for now in times:
        rate = None
        if now == 0 or draw(st.booleans()):
            # One vehicle holds a class's rate, so that sums are exact too.
            rate = np.zeros((num_vehicle, num_class))
            for k in range(num_class):
                rate[draw(st.integers(0, num_vehicle - 1)), k] = draw(st.sampled_from([0.0, 5e5, 1e6, 2e6, 4e6]))
        changes.append((now * MS, rate))
    return {
        "shape": shape,
        "arrive": np.array(arrive, dtype=np.int64).reshape(shape) * MS,
        "size": np.array(size, dtype=float).reshape(shape),
        "changes": changes,
        "compact": draw(st.booleans()),
    }


@pytest.mark.full
@pytest.mark.parametrize("discipline", DISCIPLINES)
@given(case=grid_cases())
@settings(max_examples=150)
def test_queues_follow_lindley_exactly(discipline: str, case: dict[str, Any]) -> None:
    plane = make_plane(discipline, *case["shape"][1:])
    offload(plane, case["arrive"], case["size"])
    served = drive(plane, case["changes"], compact=case["compact"])
    np.testing.assert_array_equal(served.arrive, case["arrive"].ravel())
    check(served, discipline, case["shape"], case["size"] * CYCLES_PER_BYTE, case["changes"], tolerance=0)


@pytest.mark.parametrize("discipline", DISCIPLINES)
@given(seed=st.integers(0, 2**32), compact=st.booleans())
@settings(max_examples=25)
def test_queues_follow_lindley_with_any_numbers(discipline: str, seed: int, compact: bool) -> None:
    """Random reals; each service and each change may round by a tick, 2^-14 ns."""
    rng = np.random.default_rng(seed)
    shape = (6, 3, 2)
    arrive = rng.integers(0, 20 * MS, shape)
    size = rng.exponential(1.0, shape)
    times = [0, *sorted(rng.integers(0, 30 * MS, 8).tolist()), 60 * MS]
    rates = [rng.uniform(0, 2e6, (3, 2)) * (rng.random((3, 2)) < 0.8) for _ in times]
    changes = [(now, rate if now == 0 or rng.random() < 0.7 else None) for now, rate in zip(times, rates, strict=True)]
    plane = make_plane(discipline, 3, 2)
    offload(plane, arrive, size)
    served = drive(plane, changes, compact=compact)
    check(served, discipline, shape, size * CYCLES_PER_BYTE, changes, tolerance=50)


@pytest.mark.parametrize("discipline", DISCIPLINES)
@given(case=grid_cases())
@settings(max_examples=60)
def test_backlog_is_what_has_arrived_minus_what_has_been_served(discipline: str, case: dict[str, Any]) -> None:
    """At every control time and for every class, from the recursion's begin and end times."""
    num_vehicle, num_class = case["shape"][1:]
    plane = make_plane(discipline, num_vehicle, num_class)
    offload(plane, case["arrive"], case["size"])
    backlogs = []
    for now, rate in case["changes"]:
        plane.advance(now)
        backlogs.append((now, plane.queues.backlog(now)[0]))
        if rate is not None:
            plane.set_service_rate(now, rate)
            np.testing.assert_allclose(plane.queues.backlog(now)[0], backlogs[-1][1], rtol=1e-12, atol=1e-9)
    row = np.arange(case["arrive"].size).reshape(case["shape"])
    for k in range(num_class):
        pools = [row[:, n, k] for n in range(num_vehicle)] if discipline == "slices" else [row[:, :, k].ravel()]
        for now, backlog in backlogs:
            left = Fraction(0)
            for n, pool in enumerate(pools):
                left += _unserved(case, discipline, n, k, pool.tolist(), now)
            assert abs(float(left) - backlog[k]) < 1e-9


def _unserved(case: dict[str, Any], discipline: str, n: int, k: int, pool: list[int], now: int) -> Fraction:
    """Return the bytes of a pool that have arrived by `now` and are not served, in fluid terms."""
    arrive, size = case["arrive"].ravel(), case["size"].ravel()
    steps = [(t, rate) for t, rate in case["changes"] if rate is not None]
    rates = [(t, float(rate[n, k] if discipline == "slices" else rate[:, k].sum())) for t, rate in steps]
    instants = sorted({*(t for t, _ in rates if t < now), *(int(arrive[r]) for r in pool if arrive[r] <= now), now})
    left = Fraction(0)
    for index, instant in enumerate(instants):
        left += sum(Fraction(float(size[r])) for r in pool if arrive[r] == instant)
        if instant < now:
            rate_hz = [rate for t, rate in rates if t <= instant][-1] if rates[0][0] <= instant else 0.0
            served = Fraction(rate_hz) / TICKS_PER_S * (instants[index + 1] - instant) / Fraction(CYCLES_PER_BYTE)
            left = max(left - served, Fraction(0))
    return left


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_when_the_plane_is_advanced_does_not_matter(discipline: str) -> None:
    rng = np.random.default_rng(5)
    arrive, size = rng.integers(0, 20 * MS, (8, 4, 2)), rng.exponential(1.0, (8, 4, 2))
    rate = np.full((4, 2), 0.4e6)
    results = []
    for extra in ([], sorted(rng.integers(1, 50 * MS, 40).tolist())):
        plane = make_plane(discipline, 4, 2)
        offload(plane, arrive, size)
        results.append(drive(plane, [(0, rate), *((now, None) for now in extra), (200 * MS, None)]))
    np.testing.assert_array_equal(results[0].end, results[1].end)
    np.testing.assert_array_equal(results[0].begin, results[1].begin)
    assert (results[0].end < NEVER).all()


def test_fifo_serves_thousands_in_one_step_like_in_many() -> None:
    """More customers than the queue takes at once (4096), with a stop in between."""
    rng = np.random.default_rng(6)
    arrive = np.sort(rng.integers(0, 5 * MS, (10_000, 1, 1)), axis=0)
    size = rng.exponential(1.0, arrive.shape)
    changes = [(0, np.full((1, 1), 1e9)), (6 * MS, np.zeros((1, 1))), (8 * MS, np.full((1, 1), 2e9)), (99 * MS, None)]
    results = []
    for extra in ([], [(now, None) for now in range(MS // 7, 20 * MS, MS // 7)]):
        plane = make_plane("fifo", 1, 1)
        offload(plane, arrive, size)
        results.append(drive(plane, sorted([*changes, *extra], key=lambda change: change[0])))
    np.testing.assert_array_equal(results[0].begin, results[1].begin)
    np.testing.assert_array_equal(results[0].end, results[1].end)
    assert not ((results[0].end > 6 * MS) & (results[0].end < 8 * MS)).any()
    assert results[0].end.max() < 99 * MS
