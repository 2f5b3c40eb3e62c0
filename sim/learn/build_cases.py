"""Builds case sets: what a policy decided in a run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from physical.errors import InputError
from physical.seed import whole_seed
from policies.cases.case import Case, CaseSet
from policies.cases.file import check_target, write_cases
from policies.guarded import GuardedPolicy
from policies.registry import make
from policies.scoring import predicted_objective
from sim.record.kept import KeptDecisions
from sim.runs.run import RunOptions, RunResult, simulate
from sim.scenario.scenario import Scenario
from twin.decision import Ruling
from twin.snapshot import TwinSnapshot

_TAIL_SLOTS = 16
"""Slots simulated beyond the last case, so that its tasks can end."""


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
    decisions = KeptDecisions(every)
    num_slot = min(needed + _TAIL_SLOTS, scenario.time.num_slot)
    options = RunOptions(progress=progress, num_slot=num_slot, observers=(decisions,))
    result = simulate(scenario, decider, policy, seed, options)
    if result.status == "interrupted":
        raise KeyboardInterrupt
    kept = [
        (snapshot, ruling)
        for snapshot, ruling, _ in decisions.deliberations
        if snapshot.slot < needed and not ruling.fallback  # the fallback's are nothing to learn from
    ]
    if not kept:
        problem = "decided none of the slots; twin run shows why"
        raise InputError(problem, where="--policy", key=policy, accepted="a policy for this scenario")
    run = " ".join(part for part in (policy, name, f"seed={seed}") if part)
    cases = CaseSet(kept[0][0].system, _cases(kept, _realised(result), run))
    write_cases(cases, out)
    return cases


def _cases(kept: list[tuple[TwinSnapshot, Ruling]], realised: dict[int, float], run: str) -> Iterator[Case]:
    """Yield the cases of a run; `realised` has objectives by slot, and `run` is what origins call the run."""
    for snapshot, ruling in kept:
        yield Case(
            snapshot,
            ruling.decision,
            predicted_objective(snapshot, ruling.decision),
            realised.get(snapshot.slot, np.nan),
            f"{run} slot={snapshot.slot}",
            ruling.diagnostics.capacity_price,
        )


def _realised(result: RunResult) -> dict[int, float]:
    """Return the objectives of the slots all of whose tasks have ended, by slot."""
    rows = result.table("slots").select(["slot", "objective", "num_in_flight"]).to_pylist()
    return {row["slot"]: row["objective"] for row in rows if not row["num_in_flight"]}
