"""``python -m tests.swarm``: many drawn scenarios, each run and checked from its tables alone."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tests.swarm.campaign import Campaign, check_case, digests
from tests.swarm.draw import Case


def _seeds(text: str) -> list[int]:
    """Read ``0..99,200``."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("..")
        found += range(int(first), int(last or first) + 1)
    return found


def _case(path: Path, policy: str, seed: int) -> Case:
    files = {file.name: file.read_text("utf-8") for file in path.parent.iterdir() if file.is_file() and file != path}
    return Case(tomllib.loads(path.read_text("utf-8")), policy, seed, files)


def main(arguments: Sequence[str]) -> int:
    """Return 1 if anything is wrong, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.swarm", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=_seeds("0..39"), help="0..1999, or 3,5,8..10")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("runs/swarm"), help="where the smallest failing cases go")
    parser.add_argument("--shrink", type=int, default=5, help="kinds of violations of which a case is made smaller")
    parser.add_argument("--shrink-s", type=float, default=60.0, help="s, for each of them")
    parser.add_argument("--scenario", type=Path, help="check this file instead")
    parser.add_argument("--policy", default="", help="with --scenario: a name, or rogue:kind=...")
    parser.add_argument("--seed", type=int, default=0, help="with --scenario: of the run")
    parser.add_argument("--digests", type=_seeds, help="print digests only")
    options = parser.parse_args(arguments)
    if options.digests is not None:
        print(json.dumps(digests(options.digests)))
        return 0
    if options.scenario is not None:
        violations, digest = check_case(_case(options.scenario, options.policy, options.seed))
        print("\n".join(f"{violation.check}: {violation.told}" for violation in violations) or f"right: {digest}")
        return int(bool(violations))
    campaign = Campaign(options.seeds, options.workers)
    try:
        campaign.run()
        campaign.report(options.keep, options.shrink, options.shrink_s)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        campaign.report(options.keep, 0)
        return 130
    return int(bool(campaign.failing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
