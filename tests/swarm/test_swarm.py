"""Drawn scenarios, each run and checked from its tables alone, replayed, branched, and run with other parts and hashes.

A seed that fails is told with the smallest scenario that could be found; more of them: ``make swarm SEEDS=0..9999``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from physical.errors import InputError
from sim.scenario.scenario import Scenario
from tests.swarm import rogue
from tests.swarm.campaign import Campaign, Verdict, check_seeds, smallest, told
from tests.swarm.checks import Violation
from tests.swarm.draw import case_of
from tests.swarm.keys import every_key, keys_of

NUM_SEED, CHUNK = 40, 10


@pytest.mark.parametrize("first", range(0, NUM_SEED, CHUNK))
def test_nothing_is_wrong_with_what_is_drawn(first: int, tmp_path: Path) -> None:
    for verdict in check_seeds(range(first, first + CHUNK)):
        for violation in verdict.violations[:1]:
            case = smallest(case_of(verdict.seed), violation.check, limit_s=30.0)
            pytest.fail(f"seed {verdict.seed}, made smaller:\n{told(case, violation, tmp_path / 'smaller')}")


@pytest.mark.full
def test_every_key_is_drawn() -> None:
    """In 2 000 draws every key of every table occurs, every choice, every kind, and every way to misbehave."""
    cases = [case_of(seed) for seed in range(2000)]
    seen: Counter[str] = Counter()
    for case in cases:
        seen.update(keys_of(case.data, Scenario))
    rare = {key: seen[key] for key in every_key(Scenario) if seen[key] < 5}
    assert not rare
    kinds = {case.policy.partition("kind=")[2].partition(",")[0] for case in cases}
    assert kinds >= set(rogue.KINDS)
    assert {case.policy for case in cases} >= {"", "p2-exact", "greedy-cost", "layers-exact", "nearest-case"}


def test_a_missing_key_is_seen() -> None:
    assert "radio.fading=none" in every_key(Scenario)
    assert "timeline[link].latency_s[uniform].low_s" in every_key(Scenario)
    data = {"radio": {"fading": "none"}, "timeline": [{"kind": "link", "latency_s": {"kind": "uniform", "low_s": 0}}]}
    found = keys_of(data, Scenario)
    assert found == {
        *("radio", "radio.fading", "radio.fading=none", "timeline", "timeline[link]", "timeline[link].latency_s"),
        *("timeline[link].latency_s[uniform]", "timeline[link].latency_s[uniform].low_s"),
    }


def test_what_is_drawn_is_valid(tmp_path: Path) -> None:
    for seed in range(0, 2000, 25):
        try:
            Scenario.load(case_of(seed).write(tmp_path / str(seed)))
        except InputError as error:
            pytest.fail(f"seed {seed}: {error}")


def test_draws_are_the_same_every_time() -> None:
    assert case_of(17) == case_of(17)
    assert case_of(17).data != case_of(18).data


def test_a_campaign_goes_on_after_a_violation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 50 seeds every tenth fails: each is told, in one line, and nothing is made smaller if nobody wants it."""

    def check(seeds: list[int]) -> list[Verdict]:
        return [Verdict(seed, [Violation("tens", "is one")] * (seed % 10 == 0), 0.5) for seed in seeds]

    campaign = Campaign(range(50), check=check)
    campaign.run()
    assert (campaign.num_done, sorted(campaign.failing)) == (50, [0, 10, 20, 30, 40])
    campaign.report(tmp_path, 0)
    printed = capsys.readouterr()
    assert [line.partition(",")[0] for line in printed.out.splitlines()[2:]] == [f"seed {s}" for s in campaign.failing]
    assert "50 of 50 seeds, 5 of them with 5 violations" in printed.err
