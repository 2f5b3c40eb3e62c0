"""Keeps Dask's workers ready for a study: checks each one, also those that join later, and brings it the luggage."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from physical.errors import InputError
from physical.printable import one_line
from sim.studies.executors import on_worker
from sim.studies.executors.luggage import Trip

_LOOK_S = 0.5
_EMPTY_MAX = 40
"""Looks without a worker until it is told: those that died usually begin again."""
_CHUNK_BYTES = 8_000_000
_PER_THREAD = 4
_WINDOW_MIN = 16
_WHERE = "--scheduler"


class Workers:
    """The workers of a cluster, as far as a study is concerned.

    Parameters
    ----------
    client : connected to the scheduler
    trip : what jobs of the study need
    tell : called with a line for the user
    stop : called when the study cannot go on, so that nobody waits for jobs; `refusal` says why
    are_own : whether they belong to this command, so that nobody else will start others
    """

    def __init__(
        self, client: Any, trip: Trip, tell: Callable[[str], None], stop: Callable[[], None], *, are_own: bool
    ) -> None:
        self._client = client
        self._are_own = are_own
        self._trip = trip
        self._tell = tell
        self._stop = stop
        self._known: set[str] = set()
        self._num_thread = 1
        self._ended = threading.Event()
        self.refusal: InputError | None = None

    def size(self) -> int:
        """Return how many jobs may be submitted at once."""
        return max(_WINDOW_MIN, _PER_THREAD * self._num_thread)

    @contextmanager
    def looked_after(self) -> Iterator[None]:
        """Get all workers ready, then inside those that join.

        Raises
        ------
        InputError : one cannot run the jobs
        """
        while not (present := self._present()):
            if not self._known:
                self._tell("no worker is connected; waiting for one (Ctrl-C ends this)")
                self._known.add("")  # it is told once
            time.sleep(_LOOK_S / 5)
        self._known = set(present)
        self._get_ready([*present])
        watch = threading.Thread(target=self._watch, name="workers", daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._ended.set()

    def forget(self, address: str) -> None:
        """Get a worker ready again: another one may have its address."""
        self._known.discard(address)

    def _present(self) -> Mapping[str, int]:
        """Return the number of threads of each worker."""
        found: Mapping[str, int] = self._client.nthreads()
        self._num_thread = max(1, sum(found.values()))
        return found

    def _watch(self) -> None:
        """Look for workers that join, and for workers that are gone."""
        num_empty = 0
        while not self._ended.wait(_LOOK_S):
            with suppress(Exception):  # the scheduler is not there now; whoever waits for jobs finds out
                present = self._present()
                self._known &= set(present)
                num_empty = 0 if present else num_empty + 1
                if num_empty == _EMPTY_MAX and self._are_own:
                    accepted = "fewer workers, more memory: what is finished is kept"
                    self._refuse(InputError("all workers died", where="--workers", accepted=accepted))
                elif num_empty == _EMPTY_MAX:
                    self._tell("no worker is connected any more; waiting for one (Ctrl-C ends this)")
                for address in set(present) - self._known:
                    self._known.add(address)
                    # One that does not answer must not hold up the others.
                    threading.Thread(target=self._welcome, args=(address,), daemon=True).start()

    def _welcome(self, address: str) -> None:
        try:
            self._get_ready([address])
        except InputError as error:
            self._refuse(error)
        except Exception:  # the worker or the scheduler is gone again
            self._known.discard(address)

    def _refuse(self, error: InputError) -> None:
        self.refusal = error
        self._stop()

    def _get_ready(self, addresses: Sequence[str]) -> None:
        """Check workers, bring them what they lack, and let them begin.

        Raises
        ------
        InputError : one of them cannot run the jobs
        """
        here = on_worker.facts()
        there = self._asked(addresses, on_worker.facts)
        for address, found in there.items():
            _check_facts(address, found, here)
        lacks = self._asked([*there], on_worker.lacking, self._trip.bundles)
        wanted: dict[str, list[str]] = {}
        for address, (missing, digests) in lacks.items():
            for bundle in (self._trip.bundles[number] for number in missing):
                if not bundle.is_movable:
                    problem = f"worker {address} does not see {bundle.source} as it is here, which {bundle.owner} names"
                    accepted = "a path that is the same on all machines, or a policy by path with an option for it"
                    raise InputError(problem, where=_WHERE, accepted=accepted)
            for one in digests:
                wanted.setdefault(one, []).append(address)
        for one, takers in wanted.items():
            self._carry(one, takers)
        for address, (missing, _) in lacks.items():
            told = self._asked([address], on_worker.get_ready, self._trip, missing)
            for name, problem in told.get(address, {}).items():
                accepted = "the same packages there as here"
                raise InputError(f"worker {address} cannot make {name}: {problem}", where=_WHERE, accepted=accepted)

    def _carry(self, one: str, takers: Sequence[str]) -> None:
        """Send the bytes of a file to workers."""
        place = self._trip.place_of(one)
        try:
            with place.open("rb") as file:
                data = file.read(_CHUNK_BYTES)
                while True:
                    more = file.read(_CHUNK_BYTES)
                    self._asked(takers, on_worker.receive, self._trip.name, one, data, not more)
                    if not more:
                        return
                    data = more
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", where=str(place)) from None

    def _asked(self, addresses: Sequence[str], call: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return what a function returns on each of some workers; those that are gone are left out.

        Raises
        ------
        InputError : it cannot be called there
        """
        told = self._client.run(call, *arguments, workers=[*addresses], on_error="return")
        answers = {}
        for address, answer in told.items():
            if not isinstance(answer, Exception):
                answers[address] = answer
            elif self._is_there(address):
                raise _refused(address, answer) from answer
        return answers

    def _is_there(self, address: str) -> bool:
        return address in self._client.nthreads()


def _check_facts(address: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse a worker on which the same run could give other numbers."""
    names = [name for name in here if name != "code" and there.get(name) != here[name]]
    if names:
        told = ", ".join(f"{name} {there.get(name, 'none')} (here: {here[name]})" for name in names)
        accepted = "the same there as here: " + " ".join(f"{name}=={here[name]}" for name in names)
        raise InputError(f"worker {address} has {told}", where=_WHERE, accepted=accepted)
    if there.get("code") != here["code"]:
        problem = f"worker {address} has vectwin {here['vectwin']}, too, but its files differ from those here"
        raise InputError(problem, where=_WHERE, accepted="the same files there as here, and a new start of the worker")


def _refused(address: str, error: Exception) -> InputError:
    """Return an error for a worker that answered with an exception."""
    if isinstance(error, InputError):
        return InputError(f"worker {address}: {error.problem}", where=_WHERE, accepted=error.accepted)
    told = one_line(str(error))
    if re.search(r"No module named '(sim|physical)'", told):
        problem, accepted = f"worker {address} has no vectwin", 'the same there as here: pip install "vectwin[dask]"'
        return InputError(problem, where=_WHERE, accepted=accepted)
    # Dask tells in words what happened before a call.
    if isinstance(error, ImportError | AttributeError) or re.search("ModuleNotFoundError|ImportError|Attribute", told):
        problem = f"worker {address} has another version of vectwin, or lacks a library: {told}"
        return InputError(problem, where=_WHERE, accepted="the same packages there as here")
    problem = f"worker {address} cannot get ready: {type(error).__name__}: {told}"
    return InputError(problem, where=_WHERE, accepted="a worker with room for the files that the study names")
