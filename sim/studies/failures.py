"""Runs that failed by their own fault: told once per policy and problem, and as one error at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from physical.errors import InputError
from sim.studies.jobs import Failed, Job

_NUM_TOLD = 5
"""Kinds of failures that the error at the end spells, and that are told of a policy while others run."""


class RunsFailedError(InputError):
    """Some runs of a study failed; the results of the others are kept where the study has a folder.

    Parameters
    ----------
    failures : job -> why it failed
    """

    def __init__(self, problem: str, *, accepted: str = "", failures: dict[Job, Failed] | None = None) -> None:
        super().__init__(problem, accepted=accepted)
        self.failures = failures or {}


class JobTraceError(Exception):
    """Where a run failed in another process: the text of its traceback."""


class Failures:
    """Collects failures.

    Parameters
    ----------
    tell : called with a line when a policy fails in a new way
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._failed: dict[Job, Failed] = {}
        self._first: dict[tuple[str, Failed], Job] = {}
        self._num_kind: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many runs failed."""
        return len(self._failed)

    def add(self, job: Job, failed: Failed) -> None:
        """Take a failure."""
        name = job.entrant.name
        first = self._first.setdefault((name, failed), job)
        self._failed[job] = self._failed.get(first, failed)  # one text for all
        if first is job:
            self._num_kind[name] += 1
        if first is job and self._num_kind[name] <= _NUM_TOLD:  # a text with a number may differ each time
            self._tell(f"a run failed, the others go on: {job}: {failed.error}")

    def check(self, num_job: int, *, kept: bool) -> None:
        """Raise if a run failed.

        Parameters
        ----------
        num_job : how many runs there were
        kept : whether the results of the others are in a folder

        Raises
        ------
        RunsFailedError : because of bad input
        RuntimeError : because of a fault of vectwin; with the traceback as its cause
        """
        if not self._failed:
            return
        told = [f"{job}: {failed.error}" for (_, failed), job in self._first.items()][:_NUM_TOLD]
        more = len(self._first) - len(told)
        others = "; the others are kept" if kept and len(self._failed) < num_job else ""
        count = f"{len(self._failed)} of {num_job} runs failed{others}"
        text = "; ".join([*told, *([f"{more} other problems"] if more else []), count])
        for failed in self._failed.values():
            if failed.trace:
                raise RuntimeError(text) from JobTraceError(failed.trace)
        raise RunsFailedError(text, failures=dict(self._failed))
