"""CPUs and uplinks in turn and shared: against exact arithmetic, whoever looks, and what taking rows out leaves."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.columns.resource import UPLINK, ResourceRows
from physical.columns.rules import Rule, make_resource
from physical.columns.tasks import METERED, TaskColumns
from physical.ticks import TICKS_PER_S
from tests.support.queues import MS

NUM_VEHICLE, NUM_CLASS = 3, 4
NUM_ROW = NUM_VEHICLE * NUM_CLASS


def make(rule: Rule, ready: Sequence[int], work: Sequence[float]) -> tuple[TaskColumns, ResourceRows]:
    """Three resources with four rows each, which come at `ready` ticks with `work` bytes."""
    columns = TaskColumns(NUM_VEHICLE, NUM_CLASS, METERED)
    columns.append_slots(0, np.ones((1, NUM_VEHICLE, NUM_CLASS)))
    columns.local_end[:NUM_ROW] = ready
    columns.upload_left_bytes[:NUM_ROW] = work
    resource = make_resource(rule, columns, NUM_VEHICLE, UPLINK)
    resource.add(np.arange(NUM_ROW))
    return columns, resource


def exact_ends(
    rule: Rule, customers: list[tuple[int, int, float]], rates: list[tuple[int, float]]
) -> dict[int, Fraction]:
    """Serve (ready, row, work) at rates (from tick, work per second) in exact arithmetic, event by event."""
    waiting = sorted(customers)
    left: dict[int, Fraction] = {}
    ends: dict[int, Fraction] = {}
    now, index = Fraction(0), 0
    while waiting or left:
        rate = Fraction(rates[index][1]) / Fraction(TICKS_PER_S)
        busy = list(left) if rule != "in-turn" else list(left)[:1]
        speed = rate / len(busy) if rule == "sharing" and busy else rate
        events = [now + left[row] / speed for row in busy]
        events += [Fraction(waiting[0][0])] if waiting else []
        events += [Fraction(rates[index + 1][0])] if index + 1 < len(rates) else []
        then = min(events)
        for row in busy:
            left[row] -= speed * (then - now)
        now = then
        for row in [row for row in busy if left[row] == 0]:
            ends[row] = now
            del left[row]
        while waiting and waiting[0][0] <= now:
            _, row, work = waiting.pop(0)
            left[row] = Fraction(work)
        if index + 1 < len(rates) and rates[index + 1][0] <= now:
            index += 1
    return ends


@st.composite
def _loads(draw: st.DrawFn) -> dict[str, Any]:
    times = st.integers(0, 40).map(lambda quarter: quarter * MS // 4)
    return {
        "ready": draw(st.lists(times, min_size=NUM_ROW, max_size=NUM_ROW)),
        "work": [float(w) for w in draw(st.lists(st.integers(1, 5000), min_size=NUM_ROW, max_size=NUM_ROW))],
        "rates": [
            (0, 1e6),
            *(
                (quarter * MS // 4, draw(st.sampled_from([1e5, 3e5, 2e6])))
                for quarter in sorted(draw(st.sets(st.integers(1, 40), max_size=3)))
            ),
        ],
        "looks": sorted(draw(st.sets(st.integers(1, 80 * MS // 4), max_size=5))),
    }


def serve(rule: Rule, load: dict[str, Any], *, looks: bool) -> tuple[TaskColumns, ResourceRows]:
    """Serve a load; with `looks`, somebody also looks at it in between."""
    columns, resource = make(rule, load["ready"], load["work"])
    rates = dict(load["rates"])
    for now in sorted({*rates, *(load["looks"] if looks else [])}):
        resource.advance(now)
        if now in rates:
            resource.change_rates(now, np.full(NUM_VEHICLE, rates[now]), np.full(NUM_VEHICLE, 2.0))
        else:
            resource.left(now)
    resource.advance(10_000 * MS)
    return columns, resource


@pytest.mark.parametrize("rule", ["each", "in-turn", "sharing"])
@given(load=_loads())
@settings(max_examples=60)
def test_ends_are_those_of_exact_arithmetic(rule: Rule, load: dict[str, Any]) -> None:
    columns, _ = serve(rule, load, looks=False)
    for vehicle in range(NUM_VEHICLE):
        rows = range(vehicle * NUM_CLASS, (vehicle + 1) * NUM_CLASS)
        expected = exact_ends(rule, [(load["ready"][row], row, load["work"][row]) for row in rows], load["rates"])
        for row in rows:
            # One rounding to ticks for every event before.
            assert abs(int(columns.upload_end[row]) - expected[row]) <= 12, (rule, row)


@pytest.mark.full
@pytest.mark.parametrize("rule", ["each", "in-turn", "sharing"])
@given(load=_loads())
@settings(max_examples=40)
def test_nothing_changes_because_somebody_looks(rule: Rule, load: dict[str, Any]) -> None:
    alone, _ = serve(rule, load, looks=False)
    watched, _ = serve(rule, load, looks=True)
    np.testing.assert_array_equal(watched.upload_end[:NUM_ROW], alone.upload_end[:NUM_ROW])
    np.testing.assert_array_equal(watched.transmit_j[:NUM_ROW], alone.transmit_j[:NUM_ROW])


@pytest.mark.full
@pytest.mark.parametrize("rule", ["in-turn", "sharing"])
@given(load=_loads())
@settings(max_examples=40)
def test_energy_is_power_times_the_time_somebody_sends(rule: Rule, load: dict[str, Any]) -> None:
    columns, _ = serve(rule, load, looks=False)
    for vehicle in range(NUM_VEHICLE):
        rows = slice(vehicle * NUM_CLASS, (vehicle + 1) * NUM_CLASS)
        customers = sorted(zip(load["ready"][rows], columns.upload_end[rows].tolist(), strict=True))
        busy_until, busy = 0, 0
        if rule == "sharing":  # the union of the intervals in which a row is there
            for begin, end in customers:
                busy += max(end - max(begin, busy_until), 0)
                busy_until = max(busy_until, end)
        else:
            for begin, end in customers:
                busy += end - max(begin, busy_until)
                busy_until = end
        if rule == "in-turn" and len(set(load["ready"][rows])) < NUM_CLASS:
            continue  # the order of ends is then that of rows, which the sum above does not know
        assert columns.transmit_j[rows].sum() == pytest.approx(2.0 * busy / TICKS_PER_S, rel=1e-9)


@pytest.mark.parametrize("rule", ["each", "in-turn", "sharing"])
def test_what_is_taken_out_keeps_what_is_left_and_the_others_go_on(rule: Rule) -> None:
    columns, resource = make(rule, [0] * NUM_ROW, [1000.0, 2000.0, 3000.0, 4000.0] * 3)
    resource.advance(0)
    resource.change_rates(0, np.full(NUM_VEHICLE, 1e6))
    resource.advance(2 * MS)
    resource.remove_rows(np.array([1]), 2 * MS)  # vehicle 0's second row
    gone = resource.remove(np.array([False, True, False]), 2 * MS, coming=True)
    resource.advance(1000 * MS)
    left = {"each": 0.0, "in-turn": 1000.0, "sharing": 1500.0}[rule]
    if rule == "each":
        assert sorted(gone.tolist()) == [6, 7]  # the first two of vehicle 1 have been sent by then
    else:
        assert columns.upload_left_bytes[1] == left
        assert sorted(gone.tolist()) == ([5, 6, 7] if rule == "in-turn" else [4, 5, 6, 7])
    ends_ms = [end / MS for end in columns.upload_end[:4].tolist()]
    # 1, 3 and 4 kB of vehicle 0; at 2 ms each of four has got 500 B when they share.
    times_ms: dict[Rule, list[float | None]] = {
        "each": [1, 2, 3, 4],
        "in-turn": [1, None, 5, 9],
        "sharing": [3.5, None, 7.5, 8.5],
    }
    for found, time_ms in zip(ends_ms, times_ms[rule], strict=True):
        if time_ms is not None:
            assert found == pytest.approx(time_ms, rel=1e-12)


def test_work_left_is_known_at_any_time() -> None:
    for rule in ("in-turn", "sharing"):
        _, resource = make(rule, [0] * NUM_ROW, [1000.0, 2000.0, 3000.0, 4000.0] * 3)
        resource.change_rates(0, np.full(NUM_VEHICLE, 1e6))
        resource.advance(0)
        for now_ms in (0, 1, 3, 6, 9):
            resource.advance(now_ms * MS)
            _, left = resource.left(now_ms * MS)
            assert left.sum() == pytest.approx(3 * (10_000 - 1000 * now_ms), rel=1e-12)


@pytest.mark.parametrize("rule", ["each", "in-turn", "sharing"])
@pytest.mark.parametrize("by_row", [False, True])
def test_rows_that_are_taken_out_before_they_come_never_come(rule: Rule, by_row: bool) -> None:
    """All of them, or all but vehicle 1's, while nobody is there and while others are."""
    for late in ([5 * MS] * NUM_ROW, [5 * MS] * 4 + [0] * 4 + [5 * MS] * 4):
        _, resource = make(rule, late, [1000.0] * NUM_ROW)
        resource.advance(0)
        resource.change_rates(0, np.full(NUM_VEHICLE, 1e6))
        resource.advance(MS // 2)
        gone = np.flatnonzero(np.array(late))
        if by_row:
            resource.remove_rows(gone, MS // 2)
        else:
            resource.remove(np.isin(np.arange(NUM_VEHICLE), gone // NUM_CLASS), MS // 2, coming=True)
        done = np.concatenate([resource.advance(5 * MS), resource.advance(100 * MS)])
        assert sorted(done.tolist()) == np.flatnonzero(np.array(late) == 0).tolist()
        assert not resource.busy
