"""The llm6g preset from the command line: deterministic, nothing vanishes, its trace checks out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import twin

ENDS = ("tasks_completed", "tasks_late", "tasks_dropped", "tasks_in_flight")


@pytest.mark.full
@pytest.mark.parametrize("policy", ["layers-exact", "rlor"])
def test_a_hundred_slots(tmp_path: Path, policy: str) -> None:
    arguments = ("run", "llm6g", "--policy", policy, "--slots", "100", "--seed", "3", "--json", "--out")
    first, second = (twin(*arguments, tmp_path / name).json() for name in ("first", "second"))
    assert first["digest"] == second["digest"]
    assert first["tasks_generated"] == 20 * 100 == sum(first[key] for key in ENDS)
    assert (first["fallbacks"], first["decisions_repaired"]) == (0, 0)
    assert 1 <= first["layers_local_mean"] <= 32
    assert 0 < first["completion_compute_s_mean"] < first["completion_s_mean"] == first["delay_s_mean"]
    done = twin("check", tmp_path / "first")
    assert (done.code, "all digests are right" in done.out) == (0, True)


@pytest.mark.full
def test_jobs_of_successive_slots_wait_for_each_other(tmp_path: Path) -> None:
    """In slots of 10 s nothing queues and the cost is what was predicted; in slots of 0.5 s it is more."""
    common = ("run", "llm6g", "--policy", "edge-equal", "--slots", "40", "--json", "--out")
    long = twin(*common, tmp_path / "long").json()
    short = twin(*common, tmp_path / "short", "--set", "time.slot_duration_s=0.5").json()
    assert long["objective_mean"] == pytest.approx(long["objective_predicted_mean"], rel=1e-6)
    assert short["objective_mean"] > 1.1 * short["objective_predicted_mean"]
