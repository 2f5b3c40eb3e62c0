"""Submits jobs a few at a time, to anything that takes them, so that memory does not grow with the study."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from typing import Any, Protocol

from sim.studies.jobs import Job, Outcome

_LOOK_S = 0.05


class AnyFuture(Protocol):
    """What an executor gives for a job: of `concurrent.futures`, or of a library that has its own."""

    def done(self) -> bool:
        """Tell whether the job has ended."""

    def result(self) -> Any:
        """Return what the job returned; raise what it raised."""


class AnyExecutor(Protocol):
    """Whatever runs calls somewhere."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any) -> Any:
        """Begin a call, and return its future."""


def in_window(
    submit: Callable[[Job], AnyFuture], waiting: deque[Job], size: Callable[[], int], *, cancels: bool = True
) -> Iterator[tuple[Job, Outcome | BaseException]]:
    """Yield jobs with their outcomes as they end; what a future raises is an outcome, too.

    Parameters
    ----------
    submit : begins a job
    waiting : jobs to do, taken from the left; who wants a job done again appends it
    size : how many jobs may be submitted and not ended by now
    cancels : whether jobs that nobody waits for any more are cancelled; not if their executor ends with them

    Raises
    ------
    BrokenExecutor : no job can be submitted any more, and none is left that was
    """
    running: dict[AnyFuture, Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < max(1, size()):
                try:
                    future = submit(waiting[0])
                except BrokenExecutor:
                    if not running:
                        raise
                    break  # those that run end first, each with its outcome
                running[future] = waiting.popleft()
            for future in _ended([*running]):
                yield running.pop(future), _outcome(future)
    finally:
        for future in running if cancels else ():
            cancel = getattr(future, "cancel", None)
            if cancel is not None:
                with suppress(Exception):  # of a library that we do not know; nobody waits for this job any more
                    cancel()


def _ended(futures: Sequence[AnyFuture]) -> list[AnyFuture]:
    """Wait until at least one has ended, and return those that have."""
    known = [future for future in futures if isinstance(future, Future)]
    if len(known) == len(futures):
        done = wait(known, return_when=FIRST_COMPLETED).done
        return [future for future in futures if future in done]
    while not (found := [future for future in futures if future.done()]):
        time.sleep(_LOOK_S)
    return found


def _outcome(future: AnyFuture) -> Outcome | BaseException:
    try:
        found: Outcome = future.result()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever a library raises when a worker is lost; asyncio's is no Exception
        return error
    return found
