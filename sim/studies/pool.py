"""Finishes the jobs of a study: takes what is kept already, and has the others run by whoever is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Protocol

from physical.errors import InputError
from physical.nearest import did_you_mean
from sim.studies.executors.given import ByExecutor
from sim.studies.executors.local import InProcess, LocalWorkers
from sim.studies.executors.window import AnyExecutor
from sim.studies.failures import Failures
from sim.studies.jobs import Failed, Finished, Job, Outcome
from sim.studies.neighbours import noticed
from sim.studies.results import Results
from sim.studies.shelf import shelf_at
from sim.studies.store import Store

EXECUTORS = ("local", "dask")
_ACCEPTED = "local, dask; in Python also an object with submit(call, *arguments)"
_WORKERS_MAX = 64
"""This number of workers is allowed even where there are few cores. More would only wait and take memory."""


class Runner(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs with their outcomes, as they end."""


def silent(_line: str) -> None:
    """Tell nobody."""


class Pool:
    """Finishes jobs: takes the results of earlier commands from the store, and runs the other jobs.

    Parameters
    ----------
    directory : of the study, where every finished run is kept at once; None: nothing is kept
    num_worker : number of processes; with 1, this process runs everything itself; None: 1, with Dask one for each core
    executor : "local"; "dask"; or an object whose `submit` begins a call and returns a future, such as an executor of
        `concurrent.futures`, which stays open; see `sim.studies.executors`. None: "local"
    scheduler : address of a Dask scheduler, or its file; None: workers of our own on this machine
    keep_traces : folder or URL for the traces, a folder for each run; None: no run writes a trace
    fresh : whether runs that are kept already are run again
    is_shared : whether others may write into the directory at the same time without a word about it
    tell : called with a line for the user: where the dashboard is, that a run failed

    Raises
    ------
    InputError : the directory cannot be written, an unknown executor, one that takes no such number of workers
    """

    def __init__(
        self,
        directory: str | Path | None,
        *,
        num_worker: int | None = None,
        executor: str | AnyExecutor | None = None,
        scheduler: str | Path | None = None,
        keep_traces: str | Path | None = None,
        fresh: bool = False,
        is_shared: bool = False,
        tell: Callable[[str], None] = silent,
    ) -> None:
        _check_workers(num_worker)
        self._executor = _checked(executor, scheduler, num_worker)
        self._scheduler = None if scheduler is None else str(scheduler)
        self._num_worker = None if num_worker is None else int(num_worker)
        self._shelf = None if keep_traces is None else shelf_at(keep_traces)
        self._store = None if directory is None else Store(directory)
        self._fresh = fresh
        self._is_watched = not is_shared
        self._tell = tell

    def finish(self, jobs: Iterable[Job], progress: Callable[[int], None]) -> Results:
        """Return the results of jobs. A run that fails by its own fault does not stop the others.

        progress : called with the number of jobs that have ended

        Raises
        ------
        RunsFailedError : runs failed, for example because a policy refuses its scenario; the others are through
        InputError : results cannot be kept, nobody is there to run the jobs
        """
        results, failures = Results(self._store), Failures(self._tell)
        jobs = dict.fromkeys(jobs)
        left = []
        progress(0)
        for job in jobs:
            kept = self._kept(job)
            if kept is None:
                left.append(job if self._shelf is None else replace(job, shelf=self._shelf))
            else:
                results.add(job, kept)
                progress(len(results))
        # Closed here and not when garbage is collected: workers must not outlive an error.
        with self._noticed(), closing(self.run(left)) as ended:
            for job, outcome in ended:
                if isinstance(outcome, Failed):
                    failures.add(job, outcome)
                else:
                    if self._store is not None:
                        self._store.put(job, outcome)
                    results.add(job, outcome)
                progress(len(results) + len(failures))
        failures.check(len(jobs), kept=self._store is not None)
        return results

    def _noticed(self) -> AbstractContextManager[None]:
        if self._store is None or not self._is_watched:
            return nullcontext()
        return noticed(self._store.directory, self._tell)

    def _kept(self, job: Job) -> Finished | None:
        """Return the result of an earlier command, if there is one, with its trace if one is wanted."""
        if self._store is None or self._fresh or (self._shelf is not None and not self._shelf.has(job.trace_name)):
            return None
        return self._store.get(job.key)

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome]]:
        """Yield jobs with their outcomes, as they end; nothing is kept.

        Raises
        ------
        InputError : nobody is there to run the jobs
        """
        if not jobs:
            return
        if self._executor == "dask":
            from sim.studies.executors.on_dask import DaskRunner

            with DaskRunner(self._scheduler, self._num_worker, self._tell) as runner:
                yield from runner.run(jobs)
            return
        yield from self._here().run(jobs)

    def _here(self) -> Runner:
        if not isinstance(self._executor, str):
            return ByExecutor(self._executor)
        num_worker = self._num_worker or 1
        return InProcess() if num_worker == 1 else LocalWorkers(num_worker)


def _check_workers(num_worker: int | None) -> None:
    most = max(_WORKERS_MAX, 4 * (os.cpu_count() or 1))
    given: object = num_worker  # callers are not all type-checked
    if given is not None and (not isinstance(given, Integral) or not 1 <= int(given) <= most):
        accepted = f"an integer from 1 to {most}"
        raise InputError(f"{repr(num_worker)[:40]} cannot work", where="--workers", accepted=accepted)


def _checked(
    executor: str | AnyExecutor | None, scheduler: str | Path | None, num_worker: int | None
) -> str | AnyExecutor:
    """Return who runs the jobs."""
    chosen = "local" if executor is None else executor
    if isinstance(chosen, str):
        if chosen not in EXECUTORS:
            problem = f"{chosen[:40]!r} is not known{did_you_mean(chosen, EXECUTORS)}"
            raise InputError(problem, where="--executor", accepted=_ACCEPTED)
    elif isinstance(chosen, type) or not callable(getattr(chosen, "submit", None)):
        kind = f"the class {chosen.__name__}" if isinstance(chosen, type) else type(chosen).__name__
        raise InputError(f"{kind} cannot run jobs", where="executor", accepted=_ACCEPTED)
    if scheduler is not None and chosen != "dask":
        raise InputError("goes with --executor dask only", where="--scheduler")
    given: object = scheduler  # callers are not all type-checked
    if given is not None and not isinstance(given, str | Path):
        accepted = "its address, such as scheduler_address of a cluster, or its file"
        raise InputError(f"{type(given).__name__} is no address of a scheduler", where="--scheduler", accepted=accepted)
    if scheduler is not None and num_worker is not None:
        raise InputError(
            "are given both", where="--scheduler, --workers", accepted="one: a cluster has its own workers"
        )
    return chosen
