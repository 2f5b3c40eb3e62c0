"""Runs whose digests are kept: every built-in scenario with every policy, and scenarios that the swarm draws."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from physical.errors import InputError
from policies import registry
from sim import Scenario, run
from sim.scenario.sources import names
from tests.swarm.campaign import digests
from tests.swarm.draw import case_of
from tests.swarm.play import is_timeless

KEPT = Path(__file__).with_name("digests.json")
NUM_SLOT = 12
SEED = 22
DRAWN = range(230)
"""Seeds of the swarm; those whose decisions take the time that they take here have no digest to keep."""
SLOW = {"ao-sqp-fp": 2, "p2-slsqp": 3, "llm": 4, "layers-exact": 4}
"""Slots of policies that take long."""


def built_in() -> Iterator[tuple[str, str]]:
    """Yield each built-in scenario with each built-in policy."""
    for scenario in names():
        for spec in registry._BUILT_IN:
            yield scenario, spec.name


def digest_of(scenario: str, policy: str) -> str:
    """Return the digest of a run, or the sentence that refuses it."""
    slots = SLOW.get(policy, NUM_SLOT)
    try:
        result = run(Scenario.load(scenario), policy, seed=SEED, num_slot=slots, keep_tables=False)
    except InputError as error:
        return f"refused: {error}"
    return str(result.summary["digest"])


def digest_of_drawn(seed: int) -> str:
    """Return the digest of a run that the swarm draws, or the name of the error that ends it."""
    return digests([seed])[seed]


def timeless() -> list[int]:
    """Return the seeds of runs that do not depend on how fast the machine is."""
    return [seed for seed in DRAWN if is_timeless(case_of(seed))]


def kept() -> dict[str, dict[str, str]]:
    """Return the digests that were kept."""
    found: dict[str, dict[str, str]] = json.loads(KEPT.read_text("utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """Write the digests, or with ``--compare N`` compare every N-th run with what was kept."""
    if arguments[:1] == ["--compare"]:
        step, before = int(arguments[1]), kept()
        some = [(group, run) for group, runs in before.items() for run in runs][::step]
        differ = []
        for group, run in some:
            now = digest_of_drawn(int(run)) if group == "drawn" else digest_of(*run.split(" ", 1))
            if now != before[group][run]:
                differ.append(f"{group} {run}: {now}, not {before[group][run]}")
        print("\n".join([*differ, f"{len(differ)} of {len(some)} runs differ"]))
        return int(bool(differ))
    made = {
        "built-in": {f"{scenario} {policy}": digest_of(scenario, policy) for scenario, policy in built_in()},
        "drawn": {str(seed): digest_of_drawn(seed) for seed in timeless()},
    }
    KEPT.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    print({group: len(runs) for group, runs in made.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
