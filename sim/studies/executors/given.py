"""Runs jobs by an executor that the caller gives: of `concurrent.futures`, or of any library."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from physical.errors import InputError
from physical.printable import one_line
from sim.studies.executors.local import TRIES
from sim.studies.executors.window import AnyExecutor, in_window
from sim.studies.jobs import Failed, Finished, Job, Outcome, perform

_WINDOW = 256
"""Jobs that an executor of the caller has at once. Nobody knows how many workers it has."""


class ByExecutor:
    """Runs jobs by the caller's executor, which stays open.

    Parameters
    ----------
    executor : anything with `submit`, see `sim.compare`
    """

    def __init__(self, executor: AnyExecutor) -> None:
        self._executor = executor

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs with their outcomes, as they end; what is lost with its worker runs again.

        Raises
        ------
        InputError : the executor is broken, and takes no job any more
        """
        waiting, lost = deque(jobs), Counter[Job]()
        broken: BrokenExecutor | None = None
        try:
            for job, outcome in in_window(self._submit, waiting, lambda: _WINDOW):
                if isinstance(outcome, BrokenExecutor):
                    broken = outcome
                    waiting.clear()  # what runs ends first, and is kept
                elif not isinstance(outcome, BaseException):
                    yield job, _checked_outcome(outcome)
                elif lost[job] + 1 < TRIES:
                    lost[job] += 1
                    waiting.append(job)
                else:
                    yield job, Failed(f"was lost {TRIES} times: {type(outcome).__name__}: {one_line(str(outcome))}")
        except BrokenExecutor as error:
            broken = error
        if broken is not None:
            problem = f"takes no more jobs: {one_line(str(broken)) or type(broken).__name__}"
            raise InputError(problem, where="executor", accepted="a new one: what is finished is kept") from broken

    def _submit(self, job: Job) -> Any:
        """Begin a job, and return its future.

        Raises
        ------
        BrokenExecutor : whatever the executor raises
        """
        try:
            return self._executor.submit(perform, job)
        except BrokenExecutor:
            raise
        except Exception as error:  # it was shut down, or its cluster is not there
            raise BrokenExecutor(f"{type(error).__name__}: {error}") from error


def _checked_outcome(outcome: object) -> Outcome:
    """Return what a job gave; an executor may give something else."""
    if isinstance(outcome, Finished | Failed):
        return outcome
    return Failed(f"its executor gave {repr(outcome)[:40]} instead of what the job returns", where="executor")
