"""A few runs from end to end, one of each kind: what every change must leave as it is, in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim import Scenario, run
from tests.frozen.runs import digest_of, digest_of_drawn, kept
from tests.property.families import case_of
from tests.support.both_engines import assert_equal_runs
from tests.support.command import twin
from tests.support.town import TOWN, check_books

QUICK = (
    "rush-hour local-only",
    "dtecn greedy-cost",
    "dtecn-congested p2-exact",
    "blackout random",
    "corridor edge-equal",
)
LAYERS = ("llm6g layers-exact", "llm6g rlor")


@pytest.mark.parametrize("name", QUICK + LAYERS)
def test_a_run_has_the_digest_that_it_had(name: str) -> None:
    assert digest_of(*name.split()) == kept()["built-in"][name]


@pytest.mark.parametrize("seed", [int(seed) for seed in kept()["drawn"]][::24])
def test_a_drawn_run_has_the_digest_that_it_had(seed: int) -> None:
    assert digest_of_drawn(seed) == kept()["drawn"][str(seed)]


@pytest.mark.parametrize("seed", range(3))
def test_both_engines_agree(seed: int) -> None:
    case = case_of(seed)
    assert_equal_runs(case.run("columns"), case.run("events"))


def test_the_books_of_a_town_balance() -> None:
    scenario = Scenario.from_dict(TOWN)
    check_books(run(scenario, policy="greedy-cost", seed=1), scenario)


def test_a_run_is_checked_replayed_reported_and_exported(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert twin("run", "rush-hour", "--slots", 8, "--policy", "greedy-cost", "--out", out, "--json").code == 0
    assert "all digests are right" in twin("check", out).out
    assert "is identical" in twin("replay", out).out
    assert twin("report", out, "--out", tmp_path / "a.html").code == 0
    assert twin("export", out, "--to", "csv", "--out", tmp_path / "a.zip").code == 0


def test_policies_are_compared_and_results_used_again(tmp_path: Path) -> None:
    words = ("compare", "dtecn", "--policies", "local-only,edge-equal", "--seeds", "0,1", "--slots", "4")
    told = twin(*words, "--workers", "1", "--out", tmp_path / "study")
    assert (told.code, told.err) == (0, "")
    assert "4 of 4 runs reused" in twin(*words, "--workers", "1", "--out", tmp_path / "study").out
