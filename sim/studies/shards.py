"""Job arrays without a cluster: a study as parts that run anywhere, and the parts put together.

A shard runs its part of the jobs into a folder and writes no table. Beside its runs it leaves a mark, which says which
shard of which study it is, so that whoever collects the runs can say which shard has to run again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from physical.digits import counted
from physical.errors import InputError
from sim.studies.contents import digest_of, of_vectwin
from sim.studies.executors.window import AnyExecutor
from sim.studies.jobs import Job
from sim.studies.plan import NUM_RUN_MAX, Plan
from sim.studies.pool import Pool, silent
from sim.studies.store import FOLDER, folder_of_study, read_row
from traces.atomic import replacing, writing

_T = TypeVar("_T")
_OPTION = "--shard"
MARK = re.compile(r"shard-[0-9]+-of-[0-9]+-[0-9a-f]+\.json")
"""Names of files that say which shard of which study has run in their folder."""


@dataclass(frozen=True)
class Shard:
    """One of several parts of a study.

    Parameters
    ----------
    index : from 0
    num : number of parts

    >>> Shard(1, 3).part(["a", "b", "c", "d", "e"]), str(Shard(1, 3))
    (['b', 'e'], '1/3')
    """

    index: int
    num: int

    def part(self, jobs: Sequence[_T]) -> list[_T]:
        """Return every `num`-th job from `index` on, so that the runs of an expensive point are spread over all."""
        return list(jobs[self.index :: self.num])

    def __str__(self) -> str:
        """Spell it as the option does."""
        return f"{self.index}/{self.num}"


@dataclass(frozen=True)
class ShardDone:
    """What a shard has done.

    Parameters
    ----------
    shard : which one
    num_job : number of its jobs; fewer jobs than shards leave some shards without any
    num_reused : how many of them were kept already
    """

    shard: Shard
    num_job: int
    num_reused: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"shard": str(self.shard), "runs": self.num_job, "runs_reused": self.num_reused}

    def __str__(self) -> str:
        """Spell it for a user."""
        return f"shard {self.shard}: {counted(self.num_job, 'run')}, {self.num_reused} of them reused"


def parse_shard(text: str) -> Shard:
    """Read ``I/N``: part I, from 0, of N.

    Raises
    ------
    InputError : it is no such text, or there is no such part

    >>> parse_shard("1/3")
    Shard(index=1, num=3)
    """
    first, slash, second = (part.strip() for part in text.partition("/"))
    most = len(str(NUM_RUN_MAX))
    if slash and all(one.isascii() and one.isdecimal() and len(one) <= most for one in (first, second)):
        index, num = int(first), int(second)
        if index < num <= NUM_RUN_MAX:
            return Shard(index, num)
    accepted = "for example 0/8 ... up to 7/8"
    if slash and second.isascii() and second.isdecimal() and 0 < len(second) <= most and 0 < int(second) <= NUM_RUN_MAX:
        accepted = f"0/{int(second)} to {int(second) - 1}/{int(second)}: parts are counted from 0"
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    raise InputError(f"{shown!r} is no part of a study", where=_OPTION, accepted=accepted)


def listing(plan: Plan, directory: str | Path | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row for each job, in the order of `Plan.jobs`, which decides about the shard of a job.

    A row has ``index``, ``policy``, ``seed``, the values of the point by their keys, ``key``, and ``kept``: whether the
    result is in the directory. Nothing is written.

    Parameters
    ----------
    plan : the study
    directory : where its results are kept; None: nowhere
    """
    folder = None if directory is None else Path(directory) / FOLDER
    seen: set[Job] = set()
    for point in plan.points:
        for job in (one for row in point.jobs.values() for one in row):
            if job in seen:
                continue
            key = job.key
            row = {"index": len(seen), "policy": job.entrant.name, "seed": job.seed, **point.values, "key": key}
            kept = None if folder is None else read_row(folder / f"{key}.parquet", key, sealed=True)
            yield row | {"kept": kept is not None}
            seen.add(job)


def run_shard(
    plan: Plan,
    shard: Shard,
    out: str | Path,
    *,
    num_worker: int | None = None,
    executor: str | AnyExecutor | None = None,
    scheduler: str | Path | None = None,
    keep_traces: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    tell: Callable[[str], None] = silent,
) -> ShardDone:
    """Run one part of a study, and write no table.

    Several shards may write into one folder, also at the same time. A shard that was stopped goes on where it was.

    Parameters
    ----------
    plan : the whole study, the same for each shard
    shard : which part runs
    out : folder of this shard, or of several
    num_worker, executor, scheduler, keep_traces, fresh, tell : see `sim.compare`
    progress : called with the number of finished runs and the number of all runs of this shard

    Raises
    ------
    RunsFailedError : runs failed by their own fault; the others are through, and kept
    InputError : the folder cannot be written, or holds something else; runs cannot be collected, because files of their
        policy changed meanwhile
    """
    directory = folder_of_study(out)
    assert directory is not None
    pool = Pool(
        directory,
        num_worker=num_worker,
        executor=executor,
        scheduler=scheduler,
        keep_traces=keep_traces,
        fresh=fresh,
        is_shared=True,
        tell=tell,
    )
    jobs = plan.jobs
    _mark(shard, [job.key for job in jobs], directory)
    part = shard.part(jobs)
    results = pool.finish(part, lambda done: progress(done, len(part)))
    for job, found in results.moved.items():  # kept under a key that no study asks for
        problem = f"{job}: its files changed while it ran ({', '.join(found.changed)}): it cannot be collected"
        raise InputError(problem, where=_OPTION, accepted="policies that change none of their files")
    return ShardDone(shard, len(part), results.num_reused)


def _mark(shard: Shard, keys: Sequence[str], directory: Path) -> None:
    """Leave a file that says which shard of which study has run there, as soon as it begins."""
    study = digest_of([*keys])
    told = {"index": shard.index, "num": shard.num, "num_job": len(shard.part(keys)), "study": study}
    told |= {"version": version("vectwin"), "code": of_vectwin()}
    path = directory / FOLDER / f"shard-{shard.index}-of-{shard.num}-{study[:12]}.json"
    with writing(path), replacing(path) as file:
        file.write(f"{json.dumps(told, indent=2)}\n".encode())
