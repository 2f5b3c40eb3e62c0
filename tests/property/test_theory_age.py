"""Age of information: the sawtooth of periodic reports with a constant latency."""

from __future__ import annotations

import numpy as np
import pytest

from physical.registry import EngineName
from sim import run
from tests.support.beliefs import cohort, make_belief
from tests.support.scenarios import SLOT_NS, make_scenario
from tests.support.tables import by_slot, column

MS = 1_000_000


@pytest.mark.parametrize("interval", [1, 2, 5])
@pytest.mark.parametrize("latency_ms", [0, 13, 100, 130, 350])
def test_age_at_decisions_is_the_sawtooth(interval: int, latency_ms: int, engine: EngineName) -> None:
    """The newest report that has been on its way for the latency; before the first, age counts from registration."""
    settings = (
        f"vehicles.report_interval={interval}",
        f"network.backhaul.latency_s={latency_ms / 1e3}",
        "twin.sync_window_s=0.05",
        "time.num_slot=40",
    )
    result = run(make_scenario(*settings), policy="local-only", engine=engine)
    decided_ns = column(result, "decisions", "decided_ns")
    assert len(decided_ns) >= 30
    newest = np.maximum((decided_ns - latency_ms * MS) // (interval * SLOT_NS), 0) * interval
    expected = (decided_ns - newest * SLOT_NS) / 1e9
    ages = by_slot(result, "twin", "age_of_information_s")
    np.testing.assert_array_equal(ages, np.repeat(expected[:, np.newaxis], 3, axis=1))
    assert result.summary["twin_age_s_mean"] == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("latency_ms", [1, 40, 100, 250])
def test_the_time_average_of_the_age_is_latency_plus_half_a_period(interval: int, latency_ms: int) -> None:
    """The belief is asked at the midpoints of 1 ms, over whole periods: the average is exact."""
    belief = make_belief()
    latency_ns, period_ms = latency_ms * MS, interval * 100
    num_period, first_ms = 4, 300 + latency_ms
    ages = []
    for instant_ms in range(first_ms + num_period * period_ms):
        if instant_ms % period_ms == 0:
            slot = instant_ms // 100
            belief.expect(cohort(slot, slot * SLOT_NS + latency_ns))
        now_ns = instant_ms * MS + MS // 2
        belief.update(now_ns)
        if instant_ms >= first_ms:
            ages.append(belief.snapshot(instant_ms // 100, now_ns).age_of_information_s)
    np.testing.assert_allclose(np.mean(ages, axis=0), (latency_ms + period_ms / 2) / 1e3, rtol=1e-12)
    assert np.min(ages) == pytest.approx((latency_ms + 0.5) / 1e3)
    assert np.max(ages) == pytest.approx((latency_ms + period_ms - 0.5) / 1e3)


@pytest.mark.full
def test_lost_reports_make_the_age_geometric(engine: EngineName) -> None:
    """With loss p and no latency, the age in slots is geometric: P(age = j) = (1 - p) p^j."""
    loss = 0.4
    scenario = make_scenario(f"network.backhaul.loss={loss}", "time.num_slot=2000")
    result = run(scenario, policy="local-only", seed=8, engine=engine)
    waited_s = (column(result, "decisions", "decided_ns") % SLOT_NS) / 1e9  # the window closes if one is missing
    ages = by_slot(result, "twin", "age_of_information_s") - waited_s[:, np.newaxis]
    missed = np.rint(ages[50:] / 0.1).astype(int)
    np.testing.assert_allclose(ages[50:], 0.1 * missed, atol=1e-9)
    # One vehicle's ages of neighbouring slots depend on each other; 20 slots apart they hardly do (p^20 = 1e-8).
    for vehicle in range(3):
        for first in (0, 10):
            thinned = missed[first::20, vehicle]
            for age in range(4):
                probability = (1 - loss) * loss**age
                bound = 4.5 * np.sqrt(probability * (1 - probability) / len(thinned))
                assert abs((thinned == age).mean() - probability) < bound
