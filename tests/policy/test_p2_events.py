"""What `p2-exact` promises happens: in the event simulator, deadlines that bind are kept to the nanosecond."""

from __future__ import annotations

import numpy as np
import pytest

from sim import Scenario, run

SETTINGS = [
    "time.num_slot=12",
    "objective.qos_floor=-1e6",  # which P2 does not know
    "vehicles.num_vehicle=6",
    "vehicles.cpu_hz=[6e9, 9e9, 13e9]",
    "server.frequency_hz=75e9",
    "objective.energy_weight=1e-3",
    "objective.deadline_price=2",
]


@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("deadline_ms", [23, 20.0000007])
def test_what_is_in_time_in_the_plan_is_in_time_in_the_simulation(order: str, deadline_ms: float) -> None:
    """No task outlasts its slot, so that plan and simulation are the same system; many deadlines bind."""
    deadlines = [f"tasks.{index}.deadline_s='{deadline_ms} ms'" for index in range(3)]
    result = run(Scenario.load("dtecn", [*SETTINGS, *deadlines, f"model.order='{order}'"]), policy="p2-exact", seed=3)
    summary = result.summary
    assert summary["decisions_repaired"] == summary["fallbacks"] == 0
    assert summary["objective_mean"] == pytest.approx(summary["objective_predicted_mean"], rel=1e-6)
    tasks = result.table("tasks")
    delay_ns = np.asarray(tasks["done_ns"]) - np.asarray(tasks["generated_ns"])
    assert np.count_nonzero(np.abs(delay_ns - deadline_ms * 1e6) <= 1) >= 10
    assert summary["deadline_miss_ratio"] < 0.8
