"""Local work and uploads of the data plane against the equations, with rates that change under way."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.columns.pipeline import DataPlane, Fate
from physical.task_rows import Outcome, TaskRows
from physical.ticks import NEVER, TICKS_PER_S
from tests.support.queues import MS
from tests.support.scenarios import make_scenario

CYCLES_PER_BYTE = (2000.0, 3000.0)
CPU_HZ = (1.5e9, 2.5e9, 1.5e9)
NO_FATE = Fate(0, None)


def make_plane(*settings_: str, sizes: Any, uplink: Fate = NO_FATE, result: Fate = NO_FATE) -> DataPlane:
    """Three vehicles, two classes, one slot of tasks, a server that is never the bottleneck."""
    scenario = make_scenario(*settings_)
    plane = DataPlane(scenario.system())
    plane.append_slots(
        0, np.asarray(sizes, dtype=float).reshape(1, 3, 2), np.zeros((1, 3), dtype=np.int64), uplink, result
    )
    plane.set_service_rate(0, np.full((3, 2), 1e30))
    return plane


def set_rate(plane: DataPlane, now: int, rate_bps: float) -> None:
    """Change the uplink rates of all vehicles."""
    plane.begin_slot(now, np.full(3, rate_bps), np.ones(3), np.zeros(3, dtype=np.int64))


def finish(plane: DataPlane, *, horizon: int = 1000 * MS) -> TaskRows:
    plane.advance(horizon)
    return plane.take_finished(horizon)[0]


def upload_end(since: Fraction, size_bytes: float, rates: list[tuple[int, float]]) -> Fraction:
    """Send bytes at rates (from tick, bit/s) that change, in exact arithmetic."""
    left = Fraction(size_bytes) * 8
    for index, (begin, rate_bps) in enumerate(rates):
        until = rates[index + 1][0] if index + 1 < len(rates) else None
        if until is not None and until <= since:
            continue
        start = max(since, Fraction(begin))
        per_tick = Fraction(rate_bps) / Fraction(TICKS_PER_S)
        if until is None or start + left / per_tick <= until:
            return start + left / per_tick
        left -= per_tick * (until - start)
    raise AssertionError


@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("rule", ["proportional", "whole", "always"])
@given(data=st.data())
@settings(max_examples=30)
def test_local_work_and_upload_follow_the_equations(order: str, rule: str, data: st.DataObject) -> None:
    size = np.array(data.draw(st.lists(st.integers(1, 60_000), min_size=6, max_size=6)), dtype=float)
    ratio = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.7, 1.0]), min_size=6, max_size=6)))
    times = sorted(data.draw(st.sets(st.integers(1, 400), max_size=4)))
    rates = [(0, 8e5)] + [(ms * MS // 4, data.draw(st.sampled_from([1e5, 1e6, 3e6, 2e7]))) for ms in times]
    start_at = data.draw(st.integers(0, 20)) * MS
    plane = make_plane(f"model.order={order}", f"model.upload={rule}", sizes=size)
    for index, (now, rate_bps) in enumerate(rates):
        plane.advance(now)
        set_rate(plane, now, rate_bps)
        if index == 0:
            plane.start(slice(0, 6), start_at, ratio)
    rows = finish(plane, horizon=10_000 * MS)
    assert len(rows.slot) == 6
    tolerance = len(rates) + 2
    for row in range(6):
        local = Fraction((1 - ratio[row]) * size[row] * CYCLES_PER_BYTE[row % 2]) / Fraction(CPU_HZ[row // 2])
        local_end = start_at + local * Fraction(TICKS_PER_S)
        assert abs(rows.local_end[row] - local_end) <= 1 + 1e-15 * float(local_end)
        charged = {"proportional": ratio[row] * size[row], "whole": size[row] * (ratio[row] > 0), "always": size[row]}
        if not charged[rule]:
            assert rows.upload_end[row] == NEVER
            assert rows.done[row] == rows.local_end[row]
            continue
        since = Fraction(start_at) if order == "parallel" else Fraction(int(rows.local_end[row]))
        expected = upload_end(since, charged[rule], rates)
        assert abs(rows.upload_end[row] - expected) <= tolerance
        done = max(rows.served[row] if ratio[row] else rows.arrive[row], rows.local_end[row])
        assert rows.done[row] == done
        assert rows.outcome[row] == Outcome.COMPLETED


def test_latencies_of_uplink_and_result_are_added_once() -> None:
    latency = np.arange(6).reshape(1, 3, 2) * MS
    plane = make_plane(sizes=np.full(6, 1000.0), uplink=Fate(latency, None), result=Fate(5 * MS, None))
    set_rate(plane, 0, 8e6)
    plane.start(slice(0, 6), 0, np.ones(6))
    rows = finish(plane)
    np.testing.assert_array_equal(rows.upload_end, MS)
    np.testing.assert_array_equal(rows.arrive, MS + latency.ravel())
    np.testing.assert_array_equal(rows.done, rows.served + 5 * MS)


def test_lost_uploads_and_lost_results_are_dropped_when_they_would_have_come() -> None:
    lost = np.array([[[True, False], [False, True], [False, False]]])
    plane = make_plane(
        sizes=np.full(6, 1000.0), uplink=Fate(3 * MS, lost), result=Fate(2 * MS, ~lost & (np.arange(2) == 0))
    )
    set_rate(plane, 0, 8e6)
    plane.start(slice(0, 6), 0, np.array([1.0, 1.0, 1.0, 0.5, 0.0, 1.0]))
    rows = finish(plane)
    outcomes = [Outcome(code).name for code in rows.outcome.tolist()]
    assert outcomes == [
        "DROPPED_UPLINK",
        "COMPLETED",
        "DROPPED_RESULT",
        "DROPPED_UPLINK",
        "COMPLETED",  # purely local: the network cannot hurt it
        "COMPLETED",
    ]
    np.testing.assert_array_equal(rows.serve[[0, 3, 4]], NEVER)
    assert rows.done[0] == 4 * MS
    assert rows.done[2] == rows.served[2] + 2 * MS
    np.testing.assert_array_equal(plane.take_arrived_bytes(), [1000.0, 2000.0])


def test_a_shared_cpu_runs_local_parts_in_turn() -> None:
    plane = make_plane('vehicles.cpu="shared"', sizes=[3000, 1000, 5000, 5000, 3000, 1000])
    set_rate(plane, 0, 8e9)
    plane.start(slice(0, 6), 0, np.array([0.0, 0.0, 1.0, 0.0, 0.5, 0.0]))
    rows = finish(plane)
    # 3000 B x 2000 / 1.5 GHz = 4 ms, then 1000 B x 3000 / 1.5 GHz = 2 ms more; offloaded tasks take no CPU.
    assert rows.local_end.tolist() == [4 * MS, 6 * MS, 0, 6 * MS, 2 * MS, 4 * MS]


def test_cycles_arrived_are_those_offloaded() -> None:
    plane = make_plane(sizes=[100, 200, 300, 400, 500, 600])
    set_rate(plane, 0, 1e9)
    plane.start(slice(0, 6), 0, np.array([0.5, 0.0, 1.0, 0.25, 0.0, 1.0]))
    plane.advance(50 * MS)
    np.testing.assert_array_equal(plane.take_arrived_bytes(), [350.0, 700.0])
    np.testing.assert_array_equal(plane.take_arrived_bytes(), [0.0, 0.0])
