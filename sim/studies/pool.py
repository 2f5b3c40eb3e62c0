"""Runs jobs: in this process, in worker processes, or by an executor that the caller gives."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager, suppress
from numbers import Integral
from pathlib import Path

from physical.errors import InputError
from sim.runs import stopping
from sim.runs.notices import be_brief
from sim.studies.jobs import Finished, Job, perform
from sim.studies.store import Store

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LOOK_S = 1.0
_PR_SET_PDEATHSIG = 1
_SAFE_PATH, _WARNINGS = "PYTHONSAFEPATH", "PYTHONWARNINGS"
_WORKERS_MAX = 64
"""This number of workers is allowed even where there are few cores. More would only wait and take memory."""
_TRIES = 3
"""Workers may die this often in a row without any run being finished."""


class Pool:
    """Finishes jobs: takes the results of earlier commands from the store, and runs the other jobs.

    Parameters
    ----------
    directory : of the study, where every finished run is kept at once; None: nothing is kept
    num_worker : number of processes; with 1, this process runs everything itself
    executor : runs the jobs, in place of processes of our own; it stays open
    fresh : whether runs that are kept already are run again

    Raises
    ------
    InputError : the directory cannot be written
    """

    def __init__(
        self,
        directory: str | Path | None,
        *,
        num_worker: int = 1,
        executor: Executor | None = None,
        fresh: bool = False,
    ) -> None:
        most = max(_WORKERS_MAX, 4 * (os.cpu_count() or 1))
        given: object = num_worker  # callers are not all type-checked
        if not isinstance(given, Integral) or not 1 <= num_worker <= most:
            accepted = f"an integer from 1 to {most}"
            raise InputError(f"{repr(num_worker)[:40]} cannot work", where="--workers", accepted=accepted)
        self._store = None if directory is None else Store(directory)
        self._num_worker = int(num_worker)
        self._executor = executor
        self._fresh = fresh

    def finish(self, jobs: Iterable[Job], progress: Callable[[int], None]) -> dict[Job, Finished]:
        """Return the results of jobs.

        progress : called with the number of finished jobs

        Raises
        ------
        InputError : a policy refuses its scenario; workers die again and again
        """
        jobs = list(dict.fromkeys(jobs))
        found: dict[Job, Finished] = {}
        if self._store is not None and not self._fresh:
            kept = ((job, self._store.get(job.key)) for job in jobs)
            found = {job: finished for job, finished in kept if finished is not None}
        progress(len(found))
        for job, finished in self._run([job for job in jobs if job not in found]):
            if self._store is not None:
                self._store.put(job, finished)
            found[job] = finished
            progress(len(found))
        return found

    def _run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Finished]]:
        """Yield jobs with their results, as they finish."""
        if not jobs:
            return
        if self._executor is not None:
            yield from _run_by(self._executor, jobs)
        elif self._num_worker == 1:
            with stopping.at_once():
                yield from ((job, job.perform()) for job in jobs)
        else:
            with stopping.at_once(has_workers=True):
                yield from _run_by_workers(jobs, self._num_worker)


def _run_by(executor: Executor, jobs: Sequence[Job]) -> Iterator[tuple[Job, Finished]]:
    """Run jobs by the caller's executor, which stays open; jobs that nobody waits for any more are cancelled."""
    futures = _submitted(executor, jobs)
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _submitted(executor: Executor, jobs: Sequence[Job]) -> dict[Future[Finished], Job]:
    return {executor.submit(perform, job): job for job in jobs}


def _run_by_workers(jobs: Sequence[Job], num_worker: int) -> Iterator[tuple[Job, Finished]]:
    """Run jobs in processes of one thread each; when a process dies, unfinished jobs begin again."""
    from loky import ProcessPoolExecutor

    left = dict.fromkeys(jobs)
    is_always_safe = _SAFE_PATH in os.environ
    tries = 0
    while left:
        with _environment():  # the pool starts a helper process, too
            pool = ProcessPoolExecutor(
                min(num_worker, len(left)),
                initializer=_begin_work,
                initargs=(os.getpid(), is_always_safe),
                env=_ONE_THREAD | {_SAFE_PATH: "1"},
            )
        try:
            futures = _submitted(pool, [*left])
            for future in as_completed(futures):
                finished = future.result()
                del left[futures[future]]
                tries = 0
                yield futures[future], finished
        except BrokenExecutor as error:
            tries += 1
            if tries == _TRIES:
                first = next(iter(left))
                what = f"{len(left)} runs are left, the first of {first.entrant.name} with seed {first.seed}"
                problem = f"workers died {tries} times without finishing a run; {what}"
                raise InputError(problem, where="--workers", accepted="fewer of them, more memory") from error
        finally:
            pool.shutdown(wait=True, kill_workers=True)


@contextmanager
def _environment() -> Iterator[None]:
    """Start processes without the current folder in their path, so that a random.py there replaces no library.

    The helper process tidies up after a parent that was killed; its messages are not shown.
    """
    warnings = os.environ.get(_WARNINGS)
    values = {_SAFE_PATH: "1", _WARNINGS: ",".join(filter(None, (warnings, "ignore:resource_tracker:UserWarning")))}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin_work(parent: int, is_always_safe: bool) -> None:
    """Prepare a worker: it ignores Ctrl-C, ends with its parent, and has the environment of the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_brief()
    if sys.platform == "linux":  # where the system does it, whatever this process is at, even one long call in C
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if not is_always_safe:
        os.environ.pop(_SAFE_PATH, None)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
