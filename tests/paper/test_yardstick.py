"""What an audit found to be wrong, with the right values: energy, hardware, drift, bias, losses, unstable runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario

pytestmark = pytest.mark.full


SLOT_S = 0.1
SHARED = ("vehicles.cpu=sharing", "radio.uplink=sharing")
# What `corridor` was when the audit looked at it.
OLD_CORRIDOR = (
    "radio.path_loss_intercept_db=128.1",
    "mobility.ends=wrap",
    "vehicles.cpu=per-task",
    "radio.uplink=each",
    "objective.qos_floor=-2e5",
)
FULL_SPEED_J = 5 * 20 * 1.85e-28 * 3e9**3 * SLOT_S
"""Five servers of 20 cores at 3 GHz, eq. 15 times the slot."""
ALL_CPUS_W = 5 * 1e-27 * 1.5e9**3 + 3 * 6e-28 * 2.5e9**3 + 2 * 4e-28 * 4e9**3


@cache
def result_of(name: str, policy: str, num_slot: int, *settings: str, seed: int = 0) -> RunResult:
    return run(Scenario.load(name, [f"time.num_slot={num_slot}", *settings]), policy=policy, seed=seed)


def column(result: RunResult, table: str, name: str) -> Any:
    return np.array(result.table(table)[name].to_pylist())


def old_objective(result: RunResult, beta: float) -> float:
    """Return the objective with the drift of before, from what arrived and what service was offered."""
    backlog, arrived, service = (column(result, "slots", f"{name}_bytes") for name in ("backlog", "arrived", "service"))
    scenario_bytes = 24 * np.mean([20e3, 0.5 * (32 + 256) * 1024])
    drift = (backlog / scenario_bytes * (arrived - service) / scenario_bytes).sum(axis=1)
    return float((column(result, "slots", "penalty") + beta * drift).mean())


@pytest.mark.parametrize(("policy", "objective"), [("edge-equal", 0.219), ("greedy-cost", 0.218)])
def test_edge_energy_is_paid_once(policy: str, objective: float) -> None:
    result = result_of("corridor", policy, 100, *OLD_CORRIDOR)
    energy_j = column(result, "slots", "energy_edge_j")
    assert energy_j.max() <= FULL_SPEED_J * (1 + 1e-12)
    assert energy_j.mean() == pytest.approx(49.80, abs=0.01)
    assert old_objective(result, 0.1) == pytest.approx(objective, abs=0.001)


def test_cpus_draw_at_most_what_they_can() -> None:
    assert pytest.approx(96.2, abs=1e-6) == ALL_CPUS_W
    shared = column(result_of("dtecn-congested", "local-only", 400, *SHARED), "slots", "energy_local_j")
    # Energy is booked on the slot of the task: the sum is what the CPUs draw over the run.
    assert shared.sum() / (400 * SLOT_S) <= ALL_CPUS_W * (1 + 1e-9)
    assert shared.sum() / (400 * SLOT_S) > 0.95 * ALL_CPUS_W  # there is always something to do
    per_task = column(result_of("dtecn-congested", "local-only", 400), "slots", "energy_local_j")
    assert per_task.sum() / (400 * SLOT_S) == pytest.approx(267, abs=3)  # the papers' reading, and so labelled


def bits_beyond(result: RunResult) -> float:
    """Return the part of all bits that a vehicle sent beyond eq. 2 in some slot, each upload at the whole rate."""
    tasks = {name: column(result, "tasks", name) for name in ("vehicle", "local_end_ns", "upload_end_ns")}
    rate_bps = column(result, "vehicles", "uplink_rate_bps").reshape(-1, 10)
    slot_ns = int(SLOT_S * 1e9)
    uploads = np.zeros_like(rate_bps)
    end_ns = len(rate_bps) * slot_ns
    for vehicle, ready, sent_ns in zip(*tasks.values(), strict=True):
        if ready is None:
            continue
        begin, end = float(ready), float(end_ns if sent_ns is None else sent_ns)
        slots = np.arange(int(begin // slot_ns), min(int(end // slot_ns) + 1, len(rate_bps)))
        overlap = np.minimum(end, (slots + 1) * slot_ns) - np.maximum(begin, slots * slot_ns)
        uploads[slots, int(vehicle)] += np.maximum(overlap, 0) / slot_ns
    sent = uploads * rate_bps
    return float(np.maximum(sent - rate_bps, 0.0).sum() / sent.sum())


def test_uplinks_send_at_most_what_they_can() -> None:
    beyond = bits_beyond(result_of("dtecn-congested", "edge-equal", 400))
    assert 0.2 < beyond < 0.6  # the papers' reading: K uploads at the whole rate each
    result = result_of("dtecn-congested", "edge-equal", 400, *SHARED)
    ends = column(result, "tasks", "upload_end_ns")
    sent = ends != None  # noqa: E711 - element by element
    vehicle, slot = column(result, "tasks", "vehicle")[sent], (ends[sent].astype(np.int64) // int(SLOT_S * 1e9))
    bits = 8 * (column(result, "tasks", "size_bytes") * column(result, "tasks", "offloading_ratio"))[sent]
    rate_bps = column(result, "vehicles", "uplink_rate_bps").reshape(-1, 10)
    for index in range(10):
        mine = vehicle == index
        done = np.cumsum(np.bincount(slot[mine], weights=bits[mine], minlength=400))
        assert (done <= np.cumsum(rate_bps[:, index]) * SLOT_S * (1 + 1e-9)).all()


def test_drift_is_that_of_the_backlog() -> None:
    """Offered service of empty queues is no service: ranks by the objective are those by the penalty."""
    settings = ("server.discipline=slices", "model.order=parallel", "objective.qos_floor=-2e5")
    for policy, penalty in (("p2-exact", 0.5015), ("local-only", 0.4918)):
        result = result_of("dtecn-congested", policy, 400, *settings)
        backlog = column(result, "slots", "backlog_bytes")
        unit = 10 * np.mean([20e3, 40e3, 100e3])
        unit *= burst_factor()
        drift = (backlog[:-1] / unit * np.diff(backlog, axis=0) / unit).sum(axis=1)
        np.testing.assert_allclose(column(result, "slots", "drift")[:-1], drift, rtol=1e-9, atol=1e-12)
        objective = column(result, "slots", "penalty") + 0.1 * column(result, "slots", "drift")
        np.testing.assert_allclose(column(result, "slots", "objective"), objective, rtol=1e-12)
        if policy == "local-only":
            assert result.summary["penalty_mean"] == pytest.approx(penalty, abs=5e-4)
            assert result.summary["objective_mean"] == pytest.approx(result.summary["penalty_mean"])
        else:  # leftovers have a reservation of their own now: p2-exact is no worse than it was
            assert result.summary["penalty_mean"] < penalty + 5e-4


def burst_factor() -> float:
    """Return by how much the bursts of dtecn-congested make the mean task larger: two Markov chains, on and off."""
    event, enter, leave = 0.01 / (0.01 + 0.05), 0.01, 0.05
    transition = np.zeros((4, 4))  # (event, burst) -> (event, burst); the burst follows the event of the new slot
    for old_event in (0, 1):
        for new_event in (0, 1):
            p_event = (enter if new_event else 1 - enter) if not old_event else (1 - leave if new_event else leave)
            begin = 0.25 if new_event else 0.02
            for old_burst in (0, 1):
                for new_burst in (0, 1):
                    p_burst = (begin if new_burst else 1 - begin) if not old_burst else (0.8 if new_burst else 0.2)
                    transition[2 * old_event + old_burst, 2 * new_event + new_burst] = p_event * p_burst
    values, vectors = np.linalg.eig(transition.T)
    steady = np.real(vectors[:, np.argmax(np.real(values))])
    steady /= steady.sum()
    assert steady[2:].sum() == pytest.approx(event)
    return 1.0 + 1.5 * float(steady[1] + steady[3])


@pytest.mark.parametrize("policy", ["edge-equal", "p2-exact"])
@pytest.mark.parametrize("bias", ["0.5 GHz", "-0.5 GHz"])
def test_no_bias_makes_a_server_faster_or_dearer_than_it_is(policy: str, bias: str) -> None:
    full_w = 20 * 1.85e-28 * 3e9**3
    for known in ("true", "false"):
        settings = (f"twin.bias.cpu_frequency_hz={bias}", f"twin.bias.known={known}")
        result = result_of("dtecn-congested", policy, 100, *settings)
        assert column(result, "slots", "energy_edge_j").max() <= full_w * SLOT_S * (1 + 1e-9)
        cycles = column(result, "slots", "service_bytes") @ np.array([2000, 3000, 4000])
        assert cycles.max() <= 60e9 * SLOT_S * (1 + 1e-9)


def test_an_unknown_bias_is_no_gift() -> None:
    """Table I with +0.5 GHz: -0.7726 was reached at 1.038 of the server; it is worth no more than knowing it."""
    bias = "twin.bias.cpu_frequency_hz=0.5 GHz"
    known = result_of("dtecn", "p2-exact", 200, bias).summary["penalty_mean"]
    unknown = result_of("dtecn", "p2-exact", 200, bias, "twin.bias.known=false").summary["penalty_mean"]
    without = result_of("dtecn", "p2-exact", 200).summary["penalty_mean"]
    assert known <= unknown + 1e-6
    assert known == pytest.approx(without, abs=1e-5)
    assert without == pytest.approx(-0.7643, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "policy", "num_slot"), [("dtecn-congested", "edge-equal", 300), ("rush-hour", "greedy-cost", 300)]
)
def test_losing_tasks_does_not_pay(name: str, policy: str, num_slot: int) -> None:
    penalties = np.array(
        [
            [
                result_of(name, policy, num_slot, f"network.access.loss={loss}", seed=seed).summary["penalty_mean"]
                for seed in range(5)
            ]
            for loss in (0.0, 0.1, 0.3)
        ]
    )
    growth = np.diff(penalties, axis=0)
    half_width = 2.776 * growth.std(axis=1, ddof=1) / np.sqrt(5)
    assert (growth.mean(axis=1) >= -half_width).all()


def test_an_unstable_policy_is_called_that_at_any_length() -> None:
    for num_slot in (200, 500, 1000):
        assert result_of("dtecn-congested", "edge-equal", num_slot).summary["stable"] is False
    assert result_of("dtecn-congested", "p2-exact", 500).summary["stable"] is True


def test_work_that_nobody_commands_does_not_starve() -> None:
    """`blackout` had a task of 50 ms in service for 3 s."""
    result = result_of("blackout", "greedy-cost", 300)
    begin, end = column(result, "tasks", "service_begin_ns"), column(result, "tasks", "service_end_ns")
    served = (begin != None) & (end != None)  # noqa: E711 - element by element
    assert (end[served].astype(float) - begin[served].astype(float)).max() < 1.0e9
