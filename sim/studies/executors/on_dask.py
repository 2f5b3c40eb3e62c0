"""Runs jobs by Dask: on this machine, or on the workers of a scheduler that somebody has started."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import threading
import time
import warnings
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from physical.errors import InputError
from physical.extras import needs
from physical.printable import one_line
from sim.runs import stopping
from sim.studies.executors import on_worker
from sim.studies.executors.dask_local import SAFE_PATH, DaskOfOurOwn
from sim.studies.executors.dask_workers import Workers
from sim.studies.executors.luggage import Packer
from sim.studies.executors.window import in_window
from sim.studies.jobs import Failed, Finished, Job, Outcome

_TRIES = 3
"""A job whose worker died, or that was lost otherwise, so often fails."""
_TIMEOUT_S = 10.0
_LOOK_S = 0.1
_ACCEPTED = "tcp://HOST:PORT, tls://HOST:PORT, or the FILE.json that dask scheduler --scheduler-file has written"
_LOGGERS = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "distributed.utils")
_MORE_LOGGERS = ("distributed.batched", "distributed.worker", "tornado.application", "asyncio")


class DaskRunner:
    """Runs jobs on Dask's workers, inside a ``with``.

    Parameters
    ----------
    scheduler : ``tcp://HOST:PORT``, or a scheduler's file; None: workers of our own on this machine
    num_worker : number of those workers; None: one for each core
    tell : called with a line for the user: where the dashboard is, that no worker is there
    """

    def __init__(self, scheduler: str | None, num_worker: int | None, tell: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._num_worker = num_worker
        self._tell = tell
        self._stack = ExitStack()
        self._leave_if_asked: Callable[[], None] = lambda: None
        self._client: Any = None
        self._futures: weakref.WeakSet[Future[Any]] = weakref.WeakSet()

    def __enter__(self) -> Self:
        """Connect, or start workers.

        Raises
        ------
        InputError : there is no such scheduler, or Dask is not installed
        """
        with ExitStack() as stack:
            self._leave_if_asked = stack.enter_context(stopping.at_once(has_workers=True))
            address = None if self._scheduler is None else _address(self._scheduler)
            own = None if address is not None else DaskOfOurOwn(self._num_worker)
            if own is not None:
                stack.callback(own.stop)
            client_of = _dask(self._scheduler)  # while the workers start
            dashboard = ""
            if own is not None:
                address, dashboard = own.wait()
            stack.enter_context(_silence())
            self._client = _connected(client_of, str(address), self._scheduler)
            stack.callback(_close, self._client)
            self._tell(f"dashboard: {dashboard or self._client.dashboard_link}")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; workers of our own end."""
        self._stack.close()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield jobs with their outcomes, as they end.

        Raises
        ------
        InputError : a worker cannot run the jobs, the scheduler is gone, a file cannot be read any more
        """
        is_safe = SAFE_PATH in os.environ
        packer = Packer(jobs, drops=() if is_safe or self._scheduler is not None else (SAFE_PATH,))
        study = packer.trip.name
        are_own = self._scheduler is None
        workers = Workers(self._client, packer.trip, self._tell, self._wake, are_own=are_own)
        executor = self._client.get_executor(pure=False)
        num_submitted = 0

        def submit(job: Job) -> Future[Outcome]:
            nonlocal num_submitted
            num_submitted += 1
            # Keys are short, as the scheduler remembers them.
            future = executor.submit(_perform(), study, *packer.pack(job), key=f"vectwin-{study}-{num_submitted}")
            self._futures.add(future)
            return future  # type: ignore[no-any-return]  # Dask has no types

        with workers.looked_after():
            yield from self._outcomes(jobs, submit, workers)
        with suppress(Exception):  # they are gone; so is what they remember
            self._client.run(on_worker.forget, study, on_error="ignore")

    def _outcomes(
        self, jobs: Sequence[Job], submit: Callable[[Job], Future[Outcome]], workers: Workers
    ) -> Iterator[tuple[Job, Outcome]]:
        waiting, died, lost = deque(jobs), Counter[Job](), Counter[Job]()
        for job, outcome in in_window(submit, waiting, workers.size):
            self._leave_if_asked()
            if workers.refusal is not None:
                raise workers.refusal
            if isinstance(outcome, Finished | Failed):
                yield job, outcome
                continue
            self._check_scheduler(outcome)
            if type(outcome).__name__ == "KilledWorker":
                died[job] += getattr(outcome, "allowed_failures", 0) + 1
            else:
                lost[job] += 1
            if isinstance(outcome, on_worker.NotReadyError):
                workers.forget(str(outcome))
            if died[job] >= _TRIES:
                yield job, Failed(f"its worker died {died[job]} times", accepted="more memory for each worker")
            elif lost[job] >= _TRIES:
                yield job, Failed(f"was lost {_TRIES} times: {type(outcome).__name__}: {one_line(str(outcome))}")
            else:
                waiting.append(job)

    def _check_scheduler(self, error: BaseException) -> None:
        """Wait until the client has found out whether the scheduler is there, and raise if it is not."""
        if not isinstance(error, CancelledError | OSError) and "Cancelled" not in type(error).__name__:
            return
        while self._client.status == "connecting":
            time.sleep(_LOOK_S)
        if self._client.status != "running":
            accepted = "the same command when it is there again: what is finished is kept"
            name = self._scheduler or "of this command"
            raise InputError(f"the scheduler {name} is gone", where="--scheduler", accepted=accepted) from error

    def _wake(self) -> None:
        """Let nobody wait for jobs any more."""
        for future in list(self._futures):
            future.cancel()


def _perform() -> Callable[[str, int, bytes], Outcome]:
    """Return what runs a job on a worker; it travels with its code, so that a scheduler need not have vectwin."""

    def perform(study: str, number: int, data: bytes) -> Outcome:
        from sim.studies.executors.on_worker import perform_here

        return perform_here(study, number, data)

    return perform


def _address(scheduler: str) -> str:
    """Return the address of a scheduler.

    Raises
    ------
    InputError : it is no address and no scheduler's file
    """
    if re.fullmatch(r"(?:tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):\d{1,5}", scheduler):
        return scheduler
    if scheduler.endswith(".json"):
        try:
            told = json.loads(Path(scheduler).expanduser().read_bytes())
            return str(told["address"])
        except OSError as error:
            problem = f"{scheduler} cannot be read: {error.strerror or error}"
        except (ValueError, KeyError, TypeError, RecursionError):
            problem = f"{scheduler} is no scheduler's file"
        raise InputError(problem, where="--scheduler", accepted=_ACCEPTED) from None
    raise InputError(f"{scheduler[:80]!r} is no address of a scheduler", where="--scheduler", accepted=_ACCEPTED)


def _dask(scheduler: str | None) -> Callable[..., Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise needs("dask", error, where="--executor" if scheduler is None else "--scheduler") from error
    made: Callable[..., Any] = Client
    return made


def _connected(client_of: Callable[..., Any], address: str, told: str | None) -> Any:
    """Return a client of a scheduler.

    Raises
    ------
    InputError : nobody answers there, or somebody else
    """
    try:
        _greet(address)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions, which we compare ourselves
            return client_of(address, timeout=_TIMEOUT_S, set_as_default=False)
    except Exception as error:  # whatever Dask makes of an answer
        problem = (
            f"no scheduler answers at {told or address}: {one_line(str(error)) or f'nothing for {_TIMEOUT_S:g} s'}"
        )
        accepted = "one that runs, and whose port is open from here"
        raise InputError(problem, where="--scheduler", accepted=accepted) from error


def _greet(address: str) -> None:
    """See that somebody speaks Dask's language at an address; a client would wait for ever.

    In a thread of its own, because a notebook's thread has a loop that runs.
    """
    from distributed.comm.core import connect
    from distributed.security import Security

    begin: Any = connect
    keys: Any = Security  # as Dask's own settings name them, for tls://

    async def greet() -> None:
        comm = await begin(address, timeout=_TIMEOUT_S, **keys().get_connection_args("client"))
        await comm.close()

    def call() -> None:
        try:
            answered.set_result(asyncio.run(asyncio.wait_for(greet(), _TIMEOUT_S + 1)))
        except BaseException as error:  # handed on
            answered.set_exception(error)

    answered: Future[None] = Future()
    threading.Thread(target=call, daemon=True).start()
    answered.result()


def _close(client: Any) -> None:
    with suppress(Exception):  # the scheduler is gone
        client.close(timeout=2)


@contextmanager
def _silence() -> Iterator[None]:
    """Let Dask log nothing inside: what counts becomes one line of ours."""
    loggers = [logging.getLogger(name) for name in (*_LOGGERS, *_MORE_LOGGERS)]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
