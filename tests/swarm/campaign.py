"""Runs many seeds in several processes, says what is wrong with which, and shrinks the first of each kind."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from tests.swarm.checks import Violation
from tests.swarm.draw import Case, case_of
from tests.swarm.play import LIMIT_S, EndlessError, digest_of, is_timeless, play
from tests.swarm.shrink import shrink
from tests.swarm.toml import to_toml

CHUNK = 20
SHRINK_S = 60.0
_ROOT = Path(__file__).resolve().parents[2]
_OTHER_HASHES = {"PYTHONHASHSEED": "4711"}


class Verdict(NamedTuple):
    """What is wrong with a seed, and what it took, CPU s."""

    seed: int
    violations: list[Violation]
    cpu_s: float


def check_case(case: Case, limit_s: float = LIMIT_S, only: str = "") -> tuple[list[Violation], str]:
    """Return what is wrong with a case in this process, and the digest of its run; see `play`."""
    with tempfile.TemporaryDirectory() as folder:
        return play(case, Path(folder), limit_s, only)


def other_digests(seeds: Sequence[int]) -> dict[int, str]:
    """Return the digests that runs have in a process where texts have other hashes, with other parts.

    One process for all of them: to start one takes longer than a run.
    """
    if not seeds:
        return {}
    command = [sys.executable, "-W", "error", "-m", "tests.swarm", "--digests", ",".join(map(str, seeds))]
    environment = os.environ | _OTHER_HASHES
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=_ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return {int(seed): digest for seed, digest in json.loads(done.stdout).items()}


def digests(seeds: Iterable[int]) -> dict[int, str]:
    """Return the digests of runs in this process, with other parts; an error's name where there is none."""
    found = {}
    for seed in seeds:
        try:
            found[seed] = digest_of(case_of(seed))
        except (Exception, EndlessError) as error:  # the run with the usual parts says more
            found[seed] = type(error).__name__
    return found


def _differs(case: Case, digest: str, other: str) -> list[Violation]:
    if digest == other:
        return []
    try:
        here = digest_of(case)
    except (Exception, EndlessError) as error:  # as above
        here = type(error).__name__
    if here != digest:
        return [Violation("parts", f"another digest with other parts: {here}, not {digest}")]
    return [Violation("hash seed", f"another digest with another PYTHONHASHSEED: {other}, not {digest}")]


def check_seeds(seeds: Sequence[int]) -> Iterator[Verdict]:
    """Check seeds in this process, and their digests in one other."""
    found: dict[int, tuple[list[Violation], str, float]] = {}
    for seed in seeds:
        begin_s = time.process_time()
        found[seed] = (*check_case(case_of(seed)), time.process_time() - begin_s)
    others = other_digests([seed for seed in seeds if found[seed][1] and is_timeless(case_of(seed))])
    for seed, (violations, digest, cpu_s) in found.items():
        more = _differs(case_of(seed), digest, others[seed]) if seed in others else []
        yield Verdict(seed, [*violations, *more], cpu_s)


def fails(case: Case, check: str, limit_s: float = LIMIT_S) -> bool:
    """Tell whether a case fails a check."""
    violations, digest = check_case(case, limit_s, check)
    if check in {"parts", "hash seed"}:
        found = digest and digest != digest_of(case)
        return bool(found)
    return check in {violation.check for violation in violations}


def smallest(case: Case, check: str, limit_s: float = SHRINK_S) -> Case:
    """Return the smallest case that could be found in which the same check fails."""
    until = time.monotonic() + limit_s
    # What does not end is tried many times: it may take less.
    most_s = 3.0 if check == "endless" else LIMIT_S

    def still(other: Case) -> bool:
        return fails(other, check, most_s)

    if not still(case):  # not in every process, or not every time
        return case
    for policy in ("local-only", "random"):
        if case.policy not in {policy, ""} and still(replace(case, policy=policy)):
            case = replace(case, policy=policy)
            break
    data = shrink(case.data, lambda smaller: still(replace(case, data=smaller)), until - time.monotonic())
    return replace(case, data=data)


def told(case: Case, violation: Violation, keep: Path | None = None) -> str:
    """Return a case as a reader can run it again; `keep` : where its files go."""
    lines = [f"--- {violation.check}: {violation.told[:300]}", to_toml(case.data).rstrip()]
    policy = f" --policy '{case.policy}'" if case.policy else ""
    if keep is not None:
        path = case.write(keep)
        lines.append(f"--- python -m tests.swarm --scenario {path}{policy} --seed {case.seed}")
    else:
        lines.append(f"--- python -m tests.swarm --scenario FILE{policy} --seed {case.seed}")
    return "\n".join(lines)


def _check_chunk(seeds: list[int]) -> list[Verdict]:
    return list(check_seeds(seeds))


@dataclass
class Campaign:
    """Seeds that are checked, and what has been found so far.

    quiet : print no progress
    check : checks some seeds
    """

    seeds: Sequence[int]
    num_worker: int = 1
    quiet: bool = False
    failing: dict[int, list[Violation]] = field(default_factory=dict)
    num_done: int = 0
    cpu_s: float = 0.0
    check: Callable[[list[int]], list[Verdict]] = _check_chunk

    def run(self) -> None:
        """Check all seeds; what has been found so far stays if it is interrupted."""
        size = max(min(CHUNK, -(-len(self.seeds) // self.num_worker)), 1)
        chunks = [list(self.seeds[at : at + size]) for at in range(0, len(self.seeds), size)]
        if self.num_worker == 1:
            for chunk in chunks:
                self._take(self.check(chunk))
            return
        # Each worker is a process of its own, with nothing of this one's in it.
        with multiprocessing.get_context("spawn").Pool(self.num_worker) as pool:
            for verdicts in pool.imap_unordered(self.check, chunks):
                self._take(verdicts)

    def _take(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self.num_done += 1
            self.cpu_s += verdict.cpu_s
            if verdict.violations:
                self.failing[verdict.seed] = verdict.violations
        if not self.quiet:
            count = sum(map(len, self.failing.values()))
            line = f"{self.num_done} of {len(self.seeds)} seeds, {len(self.failing)} of them with {count} violations"
            print(f"\r{line}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    def report(self, keep: Path, num_shrunk: int, limit_s: float = SHRINK_S) -> None:
        """Print every failing seed, and the smallest case of the first of each check."""
        seen: set[str] = set()
        for seed, violations in sorted(self.failing.items()):
            for violation in violations:
                if violation.check in seen or len(seen) >= num_shrunk:
                    continue
                seen.add(violation.check)
                case = smallest(case_of(seed), violation.check, limit_s)
                place = keep / f"{seed}-{re.sub('[^a-z0-9_]+', '-', violation.check.lower())}"
                print(f"\nseed {seed}, made smaller:\n{told(case, violation, place)}", flush=True)
        print(f"\n{self.num_done} seeds in {self.cpu_s:.0f} CPU s, {len(self.failing)} with violations")
        for seed, violations in sorted(self.failing.items()):
            first = violations[0]
            more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
            policy = case_of(seed).policy or "the scenario's policy"
            print(f"seed {seed}, {policy}: {first.check}: {first.told[:160]}{more}")
