"""Delays that are counted against deadlines: the counts are those of the tasks, and a comparison keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim import Scenario, run
from sim.record.delays import STEPS_PER_DEADLINE, DelayCounts, shares
from sim.studies.entrants import entrants
from sim.studies.jobs import Jobs
from sim.studies.store import Store


def test_counts_are_those_of_the_tasks() -> None:
    """Of a run with late, dropped and unfinished tasks, against its table."""
    scenario = Scenario.load("blackout", ["time.num_slot=80", "network.backhaul.loss=0.2"])
    result = run(scenario, policy="greedy-cost", seed=2)
    tasks = result.table("tasks").to_pylist()
    assert {row["outcome"] for row in tasks} > {"completed", "late"}
    for index, task in enumerate(scenario.tasks):
        mine = [row for row in tasks if row["task_class"] == index and row["outcome"] != "in flight"]
        done = [row for row in mine if row["outcome"] in ("completed", "late")]
        x, share = shares([result.delays], index)
        assert result.delays["ended"][index] == len(mine)
        for place in (STEPS_PER_DEADLINE // 2, STEPS_PER_DEADLINE, len(x) - 1):
            limit_ns = round(float(task.deadline_s) * 1e9) * place / STEPS_PER_DEADLINE
            within = sum(row["done_ns"] - row["generated_ns"] <= limit_ns for row in done)
            assert share[place] == pytest.approx(within / len(mine), rel=1e-12), (task.name, x[place])
        in_time = sum(row["outcome"] == "completed" for row in mine)
        assert share[STEPS_PER_DEADLINE] == pytest.approx(in_time / len(mine), rel=1e-12)


def test_edges_of_steps() -> None:
    counts = DelayCounts(np.array([1000]))
    delays = np.array([0, 1, 20, 21, 1000, 1001, 4000, 4001, 10**15])
    counts.add(0, delays, num_ended=len(delays))
    (row,) = counts.to_dict()["counts"]
    assert (row[0], row[1], row[49], row[50], row[199], len(row)) == (3, 1, 1, 1, 1, 200)
    _, share = shares([counts.to_dict(), counts.to_dict()], 0)
    assert share[-1] == pytest.approx(7 / 9)  # two are beyond four deadlines


def test_a_stored_run_has_them(tmp_path: Path) -> None:
    scenario = Scenario.load("dtecn", ["time.num_slot=5"])
    (job,) = Jobs(scenario, entrants(["edge-equal"]))([1])["edge-equal"]
    made = job.perform()
    store = Store(tmp_path)
    store.put(job, made)
    found = store.get(job.key)
    assert found is not None
    assert found.reused
    assert found.summary == made.summary
    np.testing.assert_array_equal(found.slot_penalty, made.slot_penalty)
    assert found.delays == made.delays
    assert sum(found.delays["ended"]) == made.summary["tasks_completed"] + made.summary["tasks_late"]
