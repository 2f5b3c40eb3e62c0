"""Runs jobs on this machine: in this process, or in worker processes of one thread each."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from physical.printable import one_line
from sim.runs import stopping
from sim.runs.notices import be_brief
from sim.studies.executors.window import in_window
from sim.studies.jobs import Failed, Job, Outcome, perform

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""One thread per process: the same sums in the same order everywhere."""
TRIES = 3
"""A run that has taken its worker along this often fails."""
_LOOK_S = 1.0
_PR_SET_PDEATHSIG = 1
_SAFE_PATH, _WARNINGS = "PYTHONSAFEPATH", "PYTHONWARNINGS"
_PER_WORKER = 2
"""Jobs that are submitted for each worker. When a worker dies, all of them have to be run again."""


class InProcess:
    """Runs jobs one after the other, in this process."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs with their outcomes."""
        with stopping.at_once() as leave_if_asked:
            for job in jobs:
                outcome = perform(job)
                leave_if_asked()
                yield job, outcome


class LocalWorkers:
    """Runs jobs in worker processes; when one dies, the jobs that may have killed it run again, each alone.

    Parameters
    ----------
    num_worker : number of processes
    """

    def __init__(self, num_worker: int) -> None:
        self._num_worker = num_worker

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs with their outcomes, as they end.

        What kills its worker with a few seeds does so with all: the other runs of that policy and scenario fail unrun.
        """
        with stopping.at_once(has_workers=True) as leave_if_asked:
            waiting, deaths = deque(jobs), Counter[tuple[str, str]]()
            for job, outcome in self._outcomes(waiting):
                leave_if_asked()
                yield job, outcome
                deaths[_kind(job)] = deaths[_kind(job)] + 1 if outcome is _DIED else 0
                if deaths[_kind(job)] == TRIES:
                    left = [*waiting]
                    waiting.clear()
                    waiting.extend(each for each in left if _kind(each) != _kind(job))
                    yield from ((each, _UNRUN) for each in left if _kind(each) == _kind(job))

    def _outcomes(self, waiting: deque[Job]) -> Iterator[tuple[Job, Outcome]]:
        while waiting:
            num_worker = min(self._num_worker, len(waiting))
            lost = []
            with _processes(num_worker) as submit, suppress(BrokenExecutor):
                # loky's shutdown fails where jobs are cancelled at the same time.
                for job, outcome in in_window(submit, waiting, lambda: self._num_worker * _PER_WORKER, cancels=False):
                    if isinstance(outcome, BrokenExecutor):
                        lost.append(job)
                    else:
                        yield job, _checked(outcome)
            yield from ((job, _alone(job)) for job in lost)


_DIED = Failed(f"its worker died {TRIES} times", where="--workers", accepted="fewer of them, more memory")
_UNRUN = Failed(f"was not run: its worker died with {TRIES} others", where="--workers", accepted=_DIED.accepted)


def _kind(job: Job) -> tuple[str, str]:
    return job.entrant.name, job.scenario


def _alone(job: Job) -> Outcome:
    """Run a job that may have killed its worker, in a process of its own."""
    for _ in range(TRIES - 1):
        with _processes(1) as submit, suppress(BrokenExecutor):
            for _, outcome in in_window(submit, deque([job]), lambda: 1, cancels=False):
                if not isinstance(outcome, BrokenExecutor):
                    return _checked(outcome)
    return _DIED


def _checked(outcome: Outcome | BaseException) -> Outcome:
    """Return an outcome; that a job or a result cannot travel is a failure of the job."""
    if isinstance(outcome, BaseException):
        return Failed(f"cannot travel to another process: {type(outcome).__name__}: {one_line(str(outcome))}")
    return outcome


@contextmanager
def _processes(num_worker: int) -> Iterator[Callable[[Job], Any]]:
    """Start worker processes, and yield what submits a job to them."""
    from loky import ProcessPoolExecutor

    is_always_safe = _SAFE_PATH in os.environ
    with safe_path():  # the pool starts a helper process, too
        pool = ProcessPoolExecutor(
            num_worker,
            initializer=_begin_work,
            initargs=(os.getpid(), is_always_safe),
            env=ONE_THREAD | {_SAFE_PATH: "1"},
        )
    try:
        yield partial(pool.submit, perform)
    finally:
        pool.shutdown(wait=True, kill_workers=True)


@contextmanager
def safe_path() -> Iterator[None]:
    """Start processes without the current folder in their path, so that a random.py there replaces no library.

    The helper process of a pool tidies up after a parent that was killed; its messages are not shown.
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
