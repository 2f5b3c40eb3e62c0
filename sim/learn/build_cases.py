"""Builds case sets: what a policy decided in a run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from physical.errors import InputError
from physical.seed import whole_seed
from policies.api import Policy
from policies.cases.case import Case, CaseSet
from policies.cases.file import check_target, read_cases, write_cases
from policies.guarded import GuardedPolicy
from policies.registry import make
from policies.scoring import predicted_objective
from sim.record.kept import KeptDecisions
from sim.runs.run import RunOptions, RunResult, simulate
from sim.scenario.scenario import Scenario
from sim.studies.entrants import entrants
from sim.studies.executors.window import AnyExecutor
from sim.studies.failures import JobTraceError
from sim.studies.jobs import Failed, Finished, Job, Jobs
from sim.studies.pool import Pool, silent
from traces.atomic import replacing, writing
from twin.decision import Ruling
from twin.snapshot import TwinSnapshot

_TAIL_SLOTS = 16
"""Slots simulated beyond the last case, so that its tasks can end."""
_FILE = "cases.parquet"


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
    executor: str | AnyExecutor | None = None,
    scheduler: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
    tell: Callable[[str], None] = silent,
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
    executor, scheduler : who runs it, see `sim.compare`; the file is the same, and it is written here
    progress : called with the number of slots done
    tell : called with a line for the user: where the dashboard is

    Raises
    ------
    InputError : a scenario that is too short, unknown policy, one that refuses the scenario or decides nothing, a file
        that cannot be written, nobody is there to run it
    KeyboardInterrupt : by Ctrl-C; nothing is written
    """
    seed = whole_seed(seed, where="cases")
    out = Path(out)
    check_target(out)
    wanted = _Wanted(policy, seed, num_case, every, name)
    wanted.check(scenario)
    if executor in (None, "local") and scheduler is None:
        cases = wanted.cases(scenario, make(policy, by_path=True), progress)
        write_cases(cases, out)
        return cases
    pool = Pool(None, num_worker=None if scheduler else 1, executor=executor, scheduler=scheduler, tell=tell)
    data = _done_elsewhere(wanted.job(scenario), pool)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            file.write(data)
    progress(wanted.num_slot(scenario))
    return read_cases(out, scenario.system())


@dataclass(frozen=True)
class _Wanted:
    """What a case set is to hold; see `build`."""

    policy: str
    seed: int
    num_case: int
    every: int
    name: str

    @property
    def needed(self) -> int:
        """Slots from the first case to the last one."""
        return num_slot_for(self.num_case, self.every)

    def num_slot(self, scenario: Scenario) -> int:
        """Return how many slots are simulated."""
        return min(self.needed + _TAIL_SLOTS, scenario.time.num_slot)

    def check(self, scenario: Scenario) -> None:
        """Refuse a scenario that is too short.

        Raises
        ------
        InputError : it is
        """
        if self.needed > scenario.time.num_slot:
            wanted = f"{self.num_case} cases, one in {self.every} slots"
            problem = f"{wanted}, need {self.needed} of {scenario.time.num_slot} slots"
            where, accepted = self.name or "scenario", f">= {self.needed}"
            raise InputError(problem, where=where, key="time.num_slot", accepted=accepted)

    def cases(self, scenario: Scenario, decides: Policy, progress: Callable[[int], None]) -> CaseSet:
        """Run, and return the cases.

        Raises
        ------
        InputError : the policy refuses the scenario, or decides nothing
        KeyboardInterrupt : the run was interrupted
        """
        decider = GuardedPolicy(decides, make(scenario.policy.fallback))
        decisions = KeptDecisions(self.every)
        options = RunOptions(progress=progress, num_slot=self.num_slot(scenario), observers=(decisions,))
        result = simulate(scenario, decider, self.policy, self.seed, options)
        if result.status == "interrupted":
            raise KeyboardInterrupt
        kept = [
            (snapshot, ruling)
            for snapshot, ruling, _ in decisions.deliberations
            if snapshot.slot < self.needed and not ruling.fallback  # the fallback's are nothing to learn from
        ]
        if not kept:
            problem = "decided none of the slots; twin run shows why"
            raise InputError(problem, where="--policy", key=self.policy, accepted="a policy for this scenario")
        run = " ".join(part for part in (self.policy, self.name, f"seed={self.seed}") if part)
        return CaseSet(kept[0][0].system, _cases(kept, _realised(result), run))

    def job(self, scenario: Scenario) -> _CasesJob:
        """Return the run for a worker."""
        ((plain,),) = Jobs(scenario, entrants([self.policy], where="--policy"))([self.seed]).values()
        return _CasesJob(**{field.name: getattr(plain, field.name) for field in fields(plain)}, wanted=self)


@dataclass(frozen=True, kw_only=True)
class _CasesJob(Job):
    """The run of a case set, as data for a worker; what is kept of it is the file, as bytes."""

    wanted: _Wanted

    def perform(self) -> Finished:
        """Run, and return the bytes of the case set as the only entry of the summary."""
        decides = self.entrant.make()  # before the scenario is read: it makes kinds known that were registered by hand
        cases = self.wanted.cases(Scenario.model_validate_json(self.scenario), decides, lambda _: None)
        with TemporaryDirectory(prefix="vectwin-") as folder:
            file = Path(folder) / _FILE
            write_cases(cases, file)
            return Finished({_FILE: file.read_bytes()}, np.empty(0))


def _done_elsewhere(job: _CasesJob, pool: Pool) -> bytes:
    """Have a worker run, and return the bytes of the case set."""
    with closing(pool.run([job])) as ended:
        ((_, outcome),) = ended
    if not isinstance(outcome, Failed):
        data: bytes = outcome.summary[_FILE]
        return data
    if outcome.trace:
        raise RuntimeError(outcome.problem) from JobTraceError(outcome.trace)
    raise outcome.error


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
