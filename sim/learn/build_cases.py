"""Builds case sets: what a policy decided in a run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from physical.errors import InputError
from physical.seed import whole_seed
from policies.cases.case import Case, CaseSet
from policies.cases.file import check_target, write_cases
from policies.guarded import GuardedPolicy
from policies.registry import make
from policies.scoring import predicted_objective
from sim.runs.run import RunOptions, RunResult, simulate
from sim.scenario.scenario import Scenario
from twin.cloud import Deliberation
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_TAIL_SLOTS = 16
"""Slots simulated beyond the last case, so that its tasks can end."""


class Decided(NamedTuple):
    """A decision with what it rests on."""

    snapshot: TwinSnapshot
    decision: Decision
    capacity_price: float


class Keeper:
    """Observes a run, and keeps some of its decisions; the fallback's are nothing to learn from.

    every : keep those of slots 0, `every`, 2 `every`, ..
    """

    def __init__(self, every: int) -> None:
        self.kept: list[Decided] = []
        self._every = every

    def decided(self, deliberation: Deliberation) -> None:
        """Keep a decision if it is one of those."""
        snapshot, ruling, _ = deliberation
        if not ruling.fallback and snapshot.slot % self._every == 0:
            self.kept.append(Decided(snapshot, ruling.decision, ruling.diagnostics.capacity_price))


def num_slot_for(num_case: int, every: int) -> int:
    """Return how many slots a scenario must have for so many cases.

    >>> num_slot_for(3, 5)
    11
    """
    return (num_case - 1) * every + 1


def build(
    scenario: Scenario,
    policy: str,
    seed: int,
    num_case: int,
    every: int,
    out: str | Path,
    *,
    name: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> CaseSet:
    """Run a policy, and write its decisions on every `every`-th slot as a case set.

    The policy decides all slots; timed changes of the policy are left out. Slots that the fallback decided are no
    cases. The realised objective of a slot with tasks in flight at the end of the run is unknown.

    Parameters
    ----------
    scenario : what to simulate, as long as needed: `num_slot_for`
    policy : name with options, or by path as for `run`
    seed : of all random numbers
    num_case : how many cases
    every : slots from one to the next
    out : Parquet file, replaced if it exists
    name : what origins call the scenario
    progress : called with the number of slots done

    Raises
    ------
    InputError : a scenario that is too short, unknown policy, one that refuses the scenario or decides nothing, a file
        that cannot be written
    KeyboardInterrupt : by Ctrl-C; nothing is written
    """
    seed = whole_seed(seed, where="cases")
    out = Path(out)
    check_target(out)
    needed = num_slot_for(num_case, every)
    if needed > scenario.time.num_slot:
        problem = f"{num_case} cases, one in {every} slots, need {needed} of {scenario.time.num_slot} slots"
        raise InputError(problem, where=name or "scenario", key="time.num_slot", accepted=f">= {needed}")
    decider = GuardedPolicy(make(policy, by_path=True), make(scenario.policy.fallback))
    keeper = Keeper(every)
    num_slot = min(needed + _TAIL_SLOTS, scenario.time.num_slot)
    options = RunOptions(progress=progress, num_slot=num_slot, observers=(keeper,))
    result = simulate(scenario, decider, policy, seed, options)
    if result.status == "interrupted":
        raise KeyboardInterrupt
    realised = _realised(result)
    kept = [decided for decided in keeper.kept if decided.snapshot.slot < needed]
    if not kept:
        problem = "decided none of the slots; twin run shows why"
        raise InputError(problem, where="--policy", key=policy, accepted="a policy for this scenario")
    run = " ".join(part for part in (policy, name, f"seed={seed}") if part)
    cases = CaseSet(
        kept[0].snapshot.system,
        (
            Case(
                snapshot,
                decision,
                predicted_objective(snapshot, decision),
                realised.get(snapshot.slot, np.nan),
                f"{run} slot={snapshot.slot}",
                price,
            )
            for snapshot, decision, price in kept
        ),
    )
    write_cases(cases, out)
    return cases


def _realised(result: RunResult) -> dict[int, float]:
    """Return the objectives of the slots all of whose tasks have ended, by slot."""
    rows = result.table("slots").select(["slot", "objective", "num_in_flight"]).to_pylist()
    return {row["slot"]: row["objective"] for row in rows if not row["num_in_flight"]}
