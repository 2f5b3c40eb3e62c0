"""Runs as jobs: a job is plain data that says what to run; `Finished` is what is kept of the run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from physical.arrays import Floats
from physical.errors import InputError
from physical.extras import missing
from physical.printable import one_line
from policies.digests import digest
from sim.runs.run import RunResult, run
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import PolicySwap
from sim.studies.contents import digest_of, of_scenario, of_vectwin
from sim.studies.entrants import Entrant, digests_by_hand, entrant_of, is_code
from sim.studies.shelf import Shelf

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
class Failed:
    """Why a run failed by its own fault; the same run would fail again.

    Parameters
    ----------
    problem, where, key, accepted : see `physical.errors.InputError`
    trace : where in the code it was, for a fault that is not the user's; empty otherwise
    """

    problem: str
    where: str = ""
    key: str = ""
    accepted: str = ""
    trace: str = ""

    @property
    def error(self) -> InputError:
        """The failure as an error."""
        return InputError(self.problem, where=self.where, key=self.key, accepted=self.accepted)


Outcome = Finished | Failed


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
    point : what the study calls the scenario, such as ``vehicles.num_vehicle=5``; the run does not depend on it
    shelf : takes the trace of the run; None: the run writes none
    """

    scenario: str
    entrant: Entrant
    seed: int
    code: tuple[str, ...]
    others: str
    more: str = ""
    point: str = field(default="", compare=False)
    shelf: Shelf | None = field(default=None, compare=False)

    @property
    def trace_name(self) -> str:
        """Name of the folder of the run's trace, which tells people the policy and the seed."""
        name = re.sub(r"[^A-Za-z0-9.=_-]+", "-", self.entrant.name).lstrip(".-")  # ./mine.py would be hidden
        return f"{name[:60] or 'policy'}-{self.seed}-{self.key[:12]}"

    def __str__(self) -> str:
        """Name the run for a user."""
        return f"{self.entrant.name} with seed {self.seed}" + (f" at {self.point}" if self.point else "")

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
        with nullcontext(None) if self.shelf is None else self.shelf.place_for(self.trace_name) as out:
            result = run(scenario, policy=policy, seed=self.seed, out=out, keep_tables=bool(self.more))
            if result.status == "interrupted":
                raise KeyboardInterrupt
            more = _function(self.more)(scenario, result) if self.more else {}
        return Finished(result.summary | dict(more), result.slot_penalty, result.delays, key, changed=tuple(changed))


def perform(job: Job) -> Outcome:
    """Run a job; workers call this. What a job does wrong is a value, so whatever a worker raises is not the job's."""
    try:
        return job.perform()
    except Exception as error:  # whatever a policy's or a kind's own code raises
        told = _told_of(error, job)
        if told is not None:
            return Failed(told.problem, told.where, told.key, told.accepted)
        trace = "".join(traceback.format_exception(error))
        return Failed(f"internal error: {type(error).__name__}: {one_line(str(error))}", trace=trace)


def _told_of(error: Exception, job: Job) -> InputError | None:
    """Return an error as bad input, if it is not a fault of vectwin."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, ImportError):
        return missing(error, job.entrant.name)
    if isinstance(error, MemoryError):
        return InputError("there is not enough memory", accepted="fewer slots, vehicles or processes at once")
    if isinstance(error, OSError) and error.errno is not None:
        return InputError(f"cannot be used: {os.strerror(error.errno)}", where=str(error.filename or "files"))
    return None


JobsByPolicy = dict[str, list[Job]]


class Jobs:
    """Makes the jobs of a scenario.

    Parameters
    ----------
    scenario : what to simulate
    who : the policies that take part
    more, point : see `Job`

    Raises
    ------
    InputError : a file that the scenario names cannot be read
    """

    def __init__(self, scenario: Scenario, who: Sequence[Entrant], more: str = "", point: str = "") -> None:
        self._text = scenario.model_dump_json()
        self._point = point
        self._who = who
        self._more = more
        self._code = _code(scenario, more)
        swaps = (event.name for event in scenario.timeline if isinstance(event, PolicySwap))
        others = {name: entrant_of(name).digest for name in (scenario.policy.fallback, *swaps)}
        self._others = digest_of(others | digests_by_hand(scenario))

    def __call__(self, seeds: Sequence[int]) -> JobsByPolicy:
        """Return one job per seed, by the name of the policy."""
        return {
            entrant.name: [
                Job(self._text, entrant, seed, self._code, self._others, self._more, self._point) for seed in seeds
            ]
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
