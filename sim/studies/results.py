"""Results of a study by job: the first ones in memory, the others in the store until somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import overload

from physical.errors import InputError
from sim.studies.jobs import Finished, Job
from sim.studies.store import Store

IN_MEMORY = 1_000
"""With a store, this number of results stay in memory: a small study reads no file again, a large one does not grow."""


class Results(Mapping[Job, Finished]):
    """What finished jobs gave.

    Parameters
    ----------
    store : keeps the results; None: all of them stay in memory
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._held: dict[Job, Finished] = {}
        self._stored: dict[Job, bool] = {}

    def add(self, job: Job, finished: Finished) -> None:
        """Take a result, which the store has if there is one."""
        # Of a run whose files changed meanwhile, the store has another key and does not tell the files.
        is_special = bool(finished.changed) or finished.key != job.key
        if self._store is None or is_special or len(self._held) < IN_MEMORY:
            self._held[job] = finished
        else:
            self._stored[job] = finished.reused

    @property
    def num_reused(self) -> int:
        """Number of results that an earlier command had brought."""
        return sum(finished.reused for finished in self._held.values()) + sum(self._stored.values())

    @property
    def moved(self) -> Mapping[Job, Finished]:
        """Results that are kept under another key than that of their job, as its files changed while it ran."""
        return {job: finished for job, finished in self._held.items() if finished.key != job.key}

    def __getitem__(self, job: Job) -> Finished:
        """Return the result of a job.

        Raises
        ------
        KeyError : it has none
        InputError : its file has gone or was changed meanwhile
        """
        if job in self._held:
            return self._held[job]
        reused = self._stored[job]
        assert self._store is not None
        if (found := self._store.get(job.key)) is None:
            where = str(self._store.path_of(job.key))
            raise InputError("was there and is not any more", where=where, accepted="the same command again")
        return replace(found, reused=reused)

    def __contains__(self, job: object) -> bool:
        """Tell whether a job has a result, without reading it."""
        return job in self._held or job in self._stored

    def __len__(self) -> int:
        """Return the number of results."""
        return len(self._held) + len(self._stored)

    def __iter__(self) -> Iterator[Job]:
        """Yield the jobs that have a result."""
        yield from self._held
        yield from self._stored


class Runs(Sequence[Finished]):
    """The results of some jobs in order, each read when it is asked for.

    Parameters
    ----------
    jobs : whose results
    results : of these jobs and others
    """

    def __init__(self, jobs: Sequence[Job], results: Mapping[Job, Finished]) -> None:
        self._jobs = jobs
        self._results = results

    @overload
    def __getitem__(self, index: int) -> Finished: ...

    @overload
    def __getitem__(self, index: slice) -> Runs: ...

    def __getitem__(self, index: int | slice) -> Finished | Runs:
        """Return a result, or some in order."""
        if isinstance(index, slice):
            return Runs(self._jobs[index], self._results)
        return self._results[self._jobs[index]]

    def __len__(self) -> int:
        """Return the number of results."""
        return len(self._jobs)
