"""Runs as jobs: plain data that say what to run, and what is kept of a run."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from policies.digests import digest
from sim.contents import digest_of, of_scenario, of_vectwin
from sim.entrants import Entrant
from sim.scenario import Scenario
from sim.simulation import RunResult, run

_More = Callable[[Scenario, RunResult], Mapping[str, Any]]


@dataclass(frozen=True)
class Finished:
    """What is kept of a run.

    Parameters
    ----------
    summary : of the run
    slot_penalty : [num_slot], NaN for slots without a task that counts
    delays : how many tasks took how long, see `sim.delays`; empty where that was not kept
    reused : an earlier command ran it
    """

    summary: dict[str, Any]
    slot_penalty: NDArray[np.float64]
    delays: dict[str, Any] = field(default_factory=dict)
    reused: bool = False


@dataclass(frozen=True)
class Job:
    """One run, as data that travel: no object, no open file.

    Parameters
    ----------
    scenario : as JSON
    entrant : who decides
    seed : of the run
    digest : of all that the result depends on beside the seed, see `Jobs`
    more : ``module:function`` that adds to the summary what only the tables know, given scenario and result
    """

    scenario: str
    entrant: Entrant
    seed: int
    digest: str
    more: str = ""

    @property
    def key(self) -> str:
        """The same for the same run of the same code with the same files, wherever these lie."""
        return digest_of([self.digest, self.seed])

    def perform(self) -> Finished:
        """Run, and return what is kept.

        Raises
        ------
        InputError : a policy that refuses its scenario, a file that cannot be read
        KeyboardInterrupt : the run was interrupted
        """
        scenario = Scenario.model_validate_json(self.scenario)
        policy = self.entrant.make()
        result = run(scenario, policy=policy, seed=self.seed, keep_tables=bool(self.more))
        if result.status == "interrupted":
            raise KeyboardInterrupt
        summary = result.summary | dict(_function(self.more)(scenario, result) if self.more else ())
        return Finished(summary, result.slot_penalty, result.delays)


def perform(job: Job) -> Finished:
    """Run a job: what workers are given to do."""
    return job.perform()


JobsByPolicy = dict[str, list[Job]]


class Jobs:
    """Makes the jobs of a scenario.

    Parameters
    ----------
    scenario : what to simulate
    who : takes part
    more : see `Job`

    Raises
    ------
    InputError : a file that the scenario names cannot be read
    """

    def __init__(self, scenario: Scenario, who: Sequence[Entrant], more: str = "") -> None:
        self._text = scenario.model_dump_json()
        self._who = who
        self._more = more
        self._code = [of_vectwin(), of_scenario(scenario)]
        if more:
            found = importlib.util.find_spec(more.partition(":")[0])
            self._code.append(digest(Path(str(found and found.origin))))

    def __call__(self, seeds: Sequence[int]) -> JobsByPolicy:
        """Return one job per seed, by the name of the policy."""
        return {
            entrant.name: [
                Job(self._text, entrant, seed, digest_of([*self._code, entrant.digest, self._more]), self._more)
                for seed in seeds
            ]
            for entrant in self._who
        }


def told_of(jobs: JobsByPolicy, scenario: Scenario) -> dict[str, Any]:
    """Return what a report needs beside the statistics: what was simulated, and where the results are kept.

    texts : what makes each policy by name or path; empty for classes and objects
    """
    told = {"version": version("vectwin"), "scenario": scenario.model_dump(mode="json")}
    told["results"] = {policy: [job.key for job in row] for policy, row in jobs.items()}
    told["texts"] = {policy: row[0].entrant.text for policy, row in jobs.items()}
    return told


def _function(place: str) -> _More:
    module, _, name = place.partition(":")
    try:
        found: _More = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot be used: {error}", where=place) from error
    return found
