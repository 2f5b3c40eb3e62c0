"""``python -m tests.engines``: many drawn scenarios on both engines; the first that differs is made smaller."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from physical.errors import InputError
from tests.engines.drawn import FAMILIES, SMALL, compared, of_swarm, problems
from tests.property.towns import town_case_of
from tests.swarm import draw
from tests.swarm.shrink import Data, shrink
from tests.swarm.toml import to_toml

POLICIES = ("local-only", "edge-equal", "random")
"""Policies that are tried in the place of another one."""


def differs(case: draw.Case) -> str:
    """Return what differs first between the engines in a case; "" also for one that is not valid."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return compared(of_swarm(case, 0, Path(folder)))
    except InputError:
        return ""
    except Exception as error:  # one engine fails: that is a difference, too
        return f"{type(error).__name__}: {error}"


def same_kind(one: str, other: str) -> bool:
    """Tell whether two differences are of the same table, or both failures of the same type."""
    return bool(other) and one.partition(":")[0] == other.partition(":")[0]


def smallest(case: draw.Case, limit_s: float) -> draw.Case:
    """Return the smallest case that could be found in which the same table differs."""
    until, found = time.monotonic() + limit_s, differs(case)
    if not found:
        return case
    for policy in POLICIES:
        if case.policy not in {policy, ""} and same_kind(found, differs(replace(case, policy=policy))):
            case = replace(case, policy=policy)
            break
    left_s = until - time.monotonic()
    data = shrink(case.data, lambda data: same_kind(found, differs(replace(case, data=data))), left_s)
    return replace(case, data=data)


def case_of_seed(seed: int) -> draw.Case:
    """Return the scenario of a seed as the swarm has them; small systems without their policy, faults and idle ones."""
    family = FAMILIES[seed % len(FAMILIES)]
    if family == "swarm":
        return draw.case_of(seed)
    if family == "town":
        scenario, policy = town_case_of(seed)
        data: Data = scenario.model_dump(mode="json")
        return draw.Case({name: table for name, table in data.items() if table is not None}, policy, seed)
    small = SMALL[family](seed)
    return draw.Case(small.data, "random", small.seed)


def main(arguments: Sequence[str]) -> int:
    """Return 1 if anything differs, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines", description=__doc__)
    parser.add_argument("--seeds", default="0..59", help="0..499, or one")
    parser.add_argument("--shrink-s", type=float, default=120.0, help="s, for the first that differs; 0: as it is")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("..")
    failing = []
    for seed in range(int(first), int(last or first) + 1):
        if found := problems(range(seed, seed + 1)):
            print(*found, sep="\n", flush=True)
            failing.append(seed)
    print(f"{len(failing)} seeds differ")
    if failing and options.shrink_s:
        case = smallest(case_of_seed(failing[0]), options.shrink_s)
        told = differs(case) or "only with what scenarios do not have: a moody policy, faults, idle vehicles"
        print(f"\nseed {failing[0]}: {told}\n{to_toml(case.data)}--- policy {case.policy!r}, seed {case.seed}")
    return int(bool(failing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
