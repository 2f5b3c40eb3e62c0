"""What `rush-hour` is for: resources that exist, where good policies keep up, tasks wait, and bad policies do not."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from sim import RunResult, Scenario, run

NUM_SLOT, SLOT_NS, SEEDS = 200, 100_000_000, range(5)
NEVER_NS = 2**62
STUDENT_95 = 2.776  # of five seeds, four degrees of freedom
SCENARIO = Scenario.load("rush-hour", [f"time.num_slot={NUM_SLOT}"])


class Rows(NamedTuple):
    """Recorded columns of the tasks that count: those that have ended, and those that are overdue in flight.

    age_s : from generation to the end, or to the end of the run
    """

    slot: NDArray[np.int64]
    vehicle: NDArray[np.int64]
    task_class: NDArray[np.int64]
    age_s: Floats
    deadline_s: Floats
    has_ended: NDArray[np.bool_]
    column: dict[str, NDArray[Any]]


@cache
def recorded(policy: str, seed: int) -> RunResult:
    return run(SCENARIO, policy=policy, seed=seed)


def rows_of(policy: str, seed: int) -> Rows:
    table = recorded(policy, seed).table("tasks")
    column = {name: np.array(table[name].to_pylist()) for name in ("slot", "vehicle", "outcome", "size_bytes")}
    for name in ("generated", "started", "local_end", "upload_end", "arrived", "service_begin", "service_end", "done"):
        column[name] = table[f"{name}_ns"].fill_null(NEVER_NS).to_numpy()
    column["offloading_ratio"] = table["offloading_ratio"].to_numpy(zero_copy_only=False)
    task_class = np.array(table["task_class"].to_pylist())
    has_ended = np.isin(column["outcome"], ["completed", "late"])
    assert set(column["outcome"]) <= {"completed", "late", "in flight"}  # nobody leaves, nothing is lost
    age_s = (np.where(has_ended, column["done"], NUM_SLOT * SLOT_NS) - column["generated"]) / 1e9
    deadline_s = np.array([task.deadline_s for task in SCENARIO.tasks])[task_class]
    counted = has_ended | (age_s > deadline_s)
    return Rows(
        column["slot"][counted],
        column["vehicle"][counted],
        task_class[counted],
        age_s[counted],
        deadline_s[counted],
        has_ended[counted],
        {name: values[counted] for name, values in column.items()},
    )


def penalty(policy: str, seed: int) -> float:
    """Return the mean of -QoS + 0.02 E + misses over the slots; no task has less QoS than -1."""
    rows, slots = rows_of(policy, seed), recorded(policy, seed).table("slots")
    count = np.bincount(rows.slot, minlength=NUM_SLOT)
    qos = np.bincount(rows.slot, np.maximum(1 - rows.age_s / rows.deadline_s, -1), NUM_SLOT) / count
    missed = np.bincount(rows.slot, rows.age_s > rows.deadline_s, NUM_SLOT) / count
    energy_j = slots["energy_local_j"].to_numpy() + slots["energy_edge_j"].to_numpy()
    return float((-qos + 0.02 * energy_j + missed).mean())


def waiting_s(policy: str, seed: int) -> Floats:
    """Return how long each task that has ended has waited at its CPU, its uplink and its server, [3, tasks].

    At the CPU and the uplink: how much later it ended there than alone, with the same work, the same CPU and the same
    rates of its vehicle. At the server: from its arrival to the beginning of its service.
    """
    rows = rows_of(policy, seed)
    column = {name: values[rows.has_ended] for name, values in rows.column.items()}
    vehicle, task_class = rows.vehicle[rows.has_ended], rows.task_class[rows.has_ended]
    system = SCENARIO.system()
    cycles = column["size_bytes"] * np.array([task.cycles_per_byte for task in SCENARIO.tasks])[task_class]
    ratio = column["offloading_ratio"]
    cpu_s = (column["local_end"] - column["started"]) / 1e9 - (1 - ratio) * cycles / system.cpu_hz[vehicle]
    sent = ratio > 0
    uplink_s, server_s = np.zeros(len(ratio)), np.zeros(len(ratio))
    server_s[sent] = (column["service_begin"] - column["arrived"])[sent] / 1e9
    begin_s, end_s = column["local_end"] / 1e9, column["upload_end"] / 1e9
    slot_s = np.arange(NUM_SLOT + 1) * SLOT_NS / 1e9
    rate_bps = recorded(policy, seed).table("vehicles")["uplink_rate_bps"].to_numpy().reshape(NUM_SLOT, -1)
    for index in range(rate_bps.shape[1]):
        mine = sent & (vehicle == index)
        could_bit = np.concatenate([[0.0], np.cumsum(rate_bps[:, index] * SLOT_NS / 1e9)])
        alone_bit = np.interp(begin_s[mine], slot_s, could_bit) + 8 * ratio[mine] * column["size_bytes"][mine]
        uplink_s[mine] = end_s[mine] - np.interp(alone_bit, could_bit, slot_s)
    waited: Floats = np.stack([cpu_s, uplink_s, server_s])
    assert (waited > -1e-6).all()  # nothing is faster than alone
    return waited


def test_it_has_what_exists_today() -> None:
    system = Scenario.load("rush-hour").system()
    assert (system.cpu, system.uplink, system.server.discipline) == ("sharing", "sharing", "fifo")
    assert (system.model.mode, SCENARIO.readings()) == ("corrected", ())
    assert 10 * np.log10(system.noise_w / (1.380649e-23 * 290 * 8e6)) == pytest.approx(9.0, abs=0.05)
    assert SCENARIO.bursts is not None
    assert (system.num_vehicle, len(set(system.deadline_s.tolist()))) == (10, 3)
    assert (system.deadline_s > system.slot_duration_s).tolist() == [False, True, True]


@pytest.mark.full
@pytest.mark.parametrize("policy", ["p2-exact", "greedy-cost"])
def test_good_policies_keep_up_and_their_tasks_wait(policy: str) -> None:
    shares = []
    for seed in SEEDS:
        rows, summary = rows_of(policy, seed), recorded(policy, seed).summary
        assert summary["stable"]
        assert (rows.age_s > rows.deadline_s).mean() == pytest.approx(summary["deadline_miss_ratio"], abs=1e-12)
        assert penalty(policy, seed) == pytest.approx(summary["penalty_mean"], abs=1e-9)
        assert summary["deadline_miss_ratio"] < 0.1
        shares.append(waiting_s(policy, seed).sum(axis=1) / rows.age_s[rows.has_ended].sum())
    waited = np.mean(shares, axis=0)
    assert waited.sum() > 0.2
    assert (waited > 0.02).all()  # everywhere


@pytest.mark.full
@pytest.mark.parametrize("policy", ["local-only", "edge-equal", "random"])
def test_bad_policies_are_worse_by_five_half_widths(policy: str) -> None:
    """The paired 95 % interval of the penalty against p2-exact; and they do not keep up."""
    worse = np.array([penalty(policy, seed) - penalty("p2-exact", seed) for seed in SEEDS])
    half_width = STUDENT_95 * worse.std(ddof=1) / np.sqrt(len(SEEDS))
    assert worse.mean() > 5 * half_width
    assert not any(recorded(policy, seed).summary["stable"] for seed in SEEDS)
