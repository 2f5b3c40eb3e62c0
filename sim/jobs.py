"""Runs as jobs for spawned workers; every finished one is a file, so that what was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from sim.scenario import Scenario
from sim.simulation import run

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Finished:
    """What is kept of a run.

    Parameters
    ----------
    summary : of the run
    slot_penalty : [num_slot], NaN for slots without a task that counts
    delays : how many tasks took how long, see `sim.delays`; empty where that was not kept
    """

    summary: dict[str, Any]
    slot_penalty: NDArray[np.float64]
    delays: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what is not known is None."""
        penalty = [value if np.isfinite(value) else None for value in self.slot_penalty.tolist()]
        return {"summary": self.summary, "slot_penalty": penalty, "delays": self.delays}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Finished:
        """Return what `to_dict` made plain."""
        penalty = np.array(stored["slot_penalty"], dtype=np.float64)
        return cls(dict(stored["summary"]), penalty, dict(stored.get("delays", {})))


def finish(
    jobs: Iterable[Job], directory: Path, num_worker: int, progress: Callable[[int], None]
) -> dict[Job, Finished]:
    """Return what jobs gave, those of earlier runs from `directory`, the others by running them.

    Raises
    ------
    InputError : a directory that cannot be written, a policy that refuses its scenario
    """
    try:
        (directory / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(directory)) from None
    jobs = list(jobs)
    found = {job: finished for job in jobs if (finished := job.finished(directory)) is not None}
    progress(len(found))
    for job, finished in _run_all([job for job in jobs if job not in found], directory, num_worker):
        found[job] = finished
        progress(len(found))
    return found


@dataclass(frozen=True)
class Job:
    """One run; the scenario travels to the worker as JSON."""

    scenario: str
    policy: str
    seed: int

    def path(self, directory: Path, made_by: str | None = None) -> Path:
        """Return the file that holds the result, the same for the same run of the same version.

        made_by : the version; by default this one
        """
        text = "\n".join([made_by or version("vectwin"), self.scenario, self.policy, str(self.seed)])
        name = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        return directory / "runs" / f"{name}.json"

    def finished(self, directory: Path, made_by: str | None = None) -> Finished | None:
        """Return what an earlier run gave, or None."""
        try:
            return Finished.from_dict(json.loads(self.path(directory, made_by).read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def execute(self, directory: Path) -> Finished:
        """Run, and store what is kept in a file that appears at once."""
        finished = self.perform(Scenario.model_validate_json(self.scenario))
        path = self.path(directory)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        text = json.dumps({"policy": self.policy, "seed": self.seed, **finished.to_dict()}, allow_nan=False)
        temporary.write_text(text, "utf-8")
        os.replace(temporary, path)
        return finished

    def perform(self, scenario: Scenario) -> Finished:
        """Run, and return what is kept."""
        result = run(scenario, policy=self.policy, seed=self.seed, keep_tables=False)
        return Finished(result.summary, result.slot_penalty, result.delays)


def _run_all(jobs: Sequence[Job], directory: Path, num_worker: int) -> Iterator[tuple[Job, Finished]]:
    """Yield jobs and what they gave as they finish."""
    if not jobs:
        return
    for variable in _THREADS:  # inherited by the workers, each of which is to use one core
        os.environ.setdefault(variable, "1")
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(num_worker, len(jobs)), mp_context=context, initializer=_ignore_interrupts)
    try:
        futures: dict[Future[Finished], Job] = {pool.submit(job.execute, directory): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        workers = list((pool._processes or {}).values())  # the pool forgets them when it is shut down
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
