"""Both engines give the same trace of 500 drawn scenarios, and each of them verifies the other's runs.

A seed that fails is made smaller by ``python -m tests.engines --seeds N``.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.engines.drawn import Drawn, drawn, problems, replayed
from tests.property.eventful import hardware_case_of
from tests.support.both_engines import ENGINES, assert_equal_runs
from tests.support.occurrences import occurrences

NUM_SEED, NUM_QUICK = 500, 60
QUICK, SLOW = 6, 20
"""Seeds of one test: workers share them."""


@pytest.mark.parametrize("first", range(0, NUM_QUICK, QUICK))
def test_both_engines_agree(first: int) -> None:
    found = problems(range(first, first + QUICK))
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(NUM_QUICK, NUM_SEED, SLOW))
def test_both_engines_agree_about_more(first: int) -> None:
    found = problems(range(first, first + SLOW))
    assert not found, "\n".join(found)


def replayed_both_ways(one: Drawn) -> str:
    """Let each engine verify the other's run."""
    return next(filter(None, (replayed(one, engine) for engine in ENGINES if one.replays)), "")


def test_each_engine_verifies_the_runs_of_the_other() -> None:
    found = problems(range(500, 512), replayed_both_ways)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(512, 612, SLOW))
def test_each_engine_verifies_more_runs_of_the_other(first: int) -> None:
    found = problems(range(first, first + SLOW), replayed_both_ways)
    assert not found, "\n".join(found)


EVERYTHING = (
    *("carry-over", "a queue of several: slices", "a queue of several: fifo", "held over slots", "never started"),
    *("upload over slots", "local and sent at once", "completed", "late", "in flight", "dropped: uplink"),
    *("dropped: result", "late reports", "reports of later slots", "skipped slots", "fallbacks", "repairs"),
    *("decisions that take time", "measured latency", "joint", "transformer", "no task"),
    *(f"{kind} lost" for kind in ("report", "command", "server-report", "server-command")),
    *(f"{kind} late" for kind in ("report", "command", "server-report", "server-command")),
    *("messages in flight", "entries", "an entry while a command is on its way"),
    *(f"several on a CPU: {rule}" for rule in ("per-task", "in-turn", "sharing")),
    *(f"several on an uplink: {rule}" for rule in ("each", "in-turn", "sharing")),
    *(f"handover of work: {rule}" for rule in ("drop", "forward", "finish")),
    *("uploads carried over a handover", "several nodes", "out of range", "a node goes down"),
    *("work dropped with its node", "a vehicle leaves with work", "mobility trace", "request trace", "link trace"),
    *(f"event {kind}" for kind in ("link", "bias", "burst", "policy", "node-up", "vehicle-leaves", "vehicle-enters")),
)


@pytest.mark.slow
def test_everything_happens_in_the_drawn_scenarios() -> None:
    """Counted from what is recorded, not from what the scenarios ask for."""
    seen: Counter[str] = Counter()
    for seed in range(NUM_SEED):
        with drawn(seed) as one:
            result = one.attempt("columns")
            if not isinstance(result, str):
                seen.update(occurrences(one.scenario, result))
    rare = {name: seen[name] for name in EVERYTHING if seen[name] < 5}
    assert not rare, seen


@pytest.mark.parametrize("seed", [100, 145, 171, 477])
def test_uploads_that_end_as_their_node_comes_back(seed: int) -> None:
    """They take no time at all, so they end at the very start of the slot: before anybody looks at what waits."""
    runs = [hardware_case_of(seed).run(engine) for engine in ENGINES]
    assert_equal_runs(runs[0], runs[1], seed)
