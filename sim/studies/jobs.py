"""Runs as jobs: a job is plain data that says what to run; `Finished` is what is kept of the run."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from physical.arrays import Floats
from physical.errors import InputError
from policies.digests import digest
from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import PolicySwap
from sim.studies.contents import digest_of, of_scenario, of_vectwin
from sim.studies.entrants import Entrant, digests_by_hand, entrant_of, is_code

_More = Callable[[Scenario, RunResult], Mapping[str, Any]]


@dataclass(frozen=True)
class Finished:
    """What is kept of a run.

    Parameters
    ----------
    summary : of the run
    slot_penalty : [num_slot], NaN for slots without a task that counts
    delays : number of tasks by delay, see `sim.record.delays`; empty if it was not kept
    key : key under which it is kept, see `Job.key`
    reused : whether an earlier command ran it
    changed : options of the policy whose files changed between the begin of the study and the run
    """

    summary: dict[str, Any]
    slot_penalty: Floats
    delays: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    reused: bool = False
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run, as data that can be sent to another process: it holds no object and no open file.

    Parameters
    ----------
    scenario : as JSON
    entrant : the policy that decides
    seed : of the run
    code : digests of vectwin's own code, and of the scenario with the files that it names
    others : digest of the policies that the scenario names: the fallback, and policies that replace one during the run
    more : ``module:function``; given scenario and result, it returns keys to add to the summary
    """

    scenario: str
    entrant: Entrant
    seed: int
    code: tuple[str, ...]
    others: str
    more: str = ""

    @property
    def key(self) -> str:
        """Key that is equal for equal runs: the same run, code and bytes of files, wherever the files lie."""
        return digest_of([*self.code, self.others, self.entrant.digest, self.seed])

    def perform(self) -> Finished:
        """Run, and return what is kept.

        Raises
        ------
        InputError : a policy that refuses its scenario, a file that cannot be read or has changed since
        KeyboardInterrupt : the run was interrupted
        """
        self.entrant.register()
        scenario = Scenario.model_validate_json(self.scenario)
        policy = self.entrant.make()
        # If a file had changed since the key was computed, the result would be kept under a wrong key. Changed code
        # spoils a comparison; but a changed file may be one that the policy itself writes.
        changed = self.entrant.changed()
        if any(map(is_code, changed)) or _code(scenario, self.more) != self.code:
            accepted = "the same command again: what has not changed is kept"
            raise InputError("code or a file has changed since this began", where=self.entrant.name, accepted=accepted)
        key = replace(self, entrant=self.entrant.as_it_is_now()).key if changed else self.key
        result = run(scenario, policy=policy, seed=self.seed, keep_tables=bool(self.more))
        if result.status == "interrupted":
            raise KeyboardInterrupt
        summary = result.summary | dict(_function(self.more)(scenario, result) if self.more else ())
        return Finished(summary, result.slot_penalty, result.delays, key, changed=tuple(changed))


def perform(job: Job) -> Finished:
    """Run a job; workers call this."""
    return job.perform()


JobsByPolicy = dict[str, list[Job]]


class Jobs:
    """Makes the jobs of a scenario.

    Parameters
    ----------
    scenario : what to simulate
    who : the policies that take part
    more : see `Job`

    Raises
    ------
    InputError : a file that the scenario names cannot be read
    """

    def __init__(self, scenario: Scenario, who: Sequence[Entrant], more: str = "") -> None:
        self._text = scenario.model_dump_json()
        self._who = who
        self._more = more
        self._code = _code(scenario, more)
        swaps = (event.name for event in scenario.timeline if isinstance(event, PolicySwap))
        others = {name: entrant_of(name).digest for name in (scenario.policy.fallback, *swaps)}
        self._others = digest_of(others | digests_by_hand(scenario))

    def __call__(self, seeds: Sequence[int]) -> JobsByPolicy:
        """Return one job per seed, by the name of the policy."""
        return {
            entrant.name: [Job(self._text, entrant, seed, self._code, self._others, self._more) for seed in seeds]
            for entrant in self._who
        }


def _code(scenario: Scenario, more: str) -> tuple[str, ...]:
    """Return digests of everything on which results depend, besides policies and seed."""
    found = importlib.util.find_spec(more.partition(":")[0]) if more else None
    added = () if found is None else (more, digest(Path(str(found.origin))))
    return (of_vectwin(), of_scenario(scenario), *added)


def told_of(who: Sequence[Entrant], runs: Mapping[str, Sequence[Finished]], scenario: Scenario) -> dict[str, Any]:
    """Return what a report needs besides the statistics: what was simulated, and where the results are kept.

    texts : what makes each policy by name or path; empty for classes and objects
    """
    told = {"version": version("vectwin"), "scenario": scenario.model_dump(mode="json")}
    told["results"] = {policy: [run.key for run in row] for policy, row in runs.items()}
    told["texts"] = {entrant.name: entrant.text for entrant in who}
    return told


def _function(place: str) -> _More:
    module, _, name = place.partition(":")
    try:
        found: _More = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot be used: {error}", where=place) from error
    return found
