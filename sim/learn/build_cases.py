"""Builds case sets: what a policy decided in a run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from physical.errors import InputError
from physical.seed import whole_seed
from physical.system import System
from policies.cases.case import Case, CaseSet, predicted_objective
from policies.cases.file import check_target, write_cases
from policies.guarded import GuardedPolicy
from policies.registry import make
from sim.runs.recorded import Decider
from sim.runs.run import Options, RunResult, simulate
from sim.scenario.scenario import Scenario
from twin.decision import Decision, Ruling
from twin.snapshot import TwinSnapshot

_TAIL_SLOTS = 16
"""Slots simulated beyond the last case, so that its tasks can end."""


class Decided(NamedTuple):
    """A decision with what it rests on."""

    snapshot: TwinSnapshot
    decision: Decision
    capacity_price: float


class Watched:
    """Passes on to a decider, and keeps some of its decisions.

    Parameters
    ----------
    decider : who decides
    every : keep those of slots 0, `every`, 2 `every`, ..
    """

    def __init__(self, decider: Decider, every: int) -> None:
        self.kept: dict[int, Decided] = {}
        self._decider = decider
        self._every = every

    def reset(self, system: System, seed: int) -> None:
        """Get the decider ready."""
        self.kept.clear()
        self._decider.reset(system, seed)

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return the decider's ruling; the fallback's are nothing to learn from."""
        ruling = self._decider.rule(snapshot)
        if not ruling.fallback and snapshot.slot % self._every == 0:
            self.kept[snapshot.slot] = Decided(snapshot, ruling.decision, ruling.diagnostics.capacity_price)
        return ruling

    def describe(self) -> dict[str, Any]:
        """Return what the decider says about itself."""
        return self._decider.describe()

    def close(self) -> str:
        """Close the decider."""
        return self._decider.close()

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        self.kept.pop(snapshot.slot, None)
        return self._decider.rule_by_fallback(snapshot, reason, wall_s)

    @property
    def wants_outcomes(self) -> bool:
        """Whether the decider learns."""
        return self._decider.wants_outcomes

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Pass on what slots realised."""
        self._decider.learn(outcomes)


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
    watched = Watched(GuardedPolicy(make(policy, by_path=True), make(scenario.policy.fallback)), every)
    options = Options(progress=progress, num_slot=min(needed + _TAIL_SLOTS, scenario.time.num_slot))
    result = simulate(scenario, watched, policy, seed, options)
    if result.status == "interrupted":
        raise KeyboardInterrupt
    realised = _realised(result)
    kept = [decided for slot, decided in sorted(watched.kept.items()) if slot < needed]
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
