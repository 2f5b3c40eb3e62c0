"""Job arrays without a cluster: a study as parts that run anywhere, and the parts put together.

A shard runs its part of the jobs into a folder and writes no table. Beside its runs it leaves a mark, which says which
shard of which study it is, so that whoever collects the runs can say which shard has to run again.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from physical.digits import counted
from physical.errors import InputError
from sim.studies.contents import digest_of, of_vectwin
from sim.studies.jobs import Job
from sim.studies.plan import NUM_RUN_MAX, Plan
from sim.studies.pool import Pool, silent
from sim.studies.store import FOLDER, Store, folder_of_study, read_row
from sim.studies.window import AnyExecutor
from traces.atomic import replacing, writing
from traces.jsonfile import read_json

_T = TypeVar("_T")
_OPTION, _COLLECT = "--shard", "--collect"
_TOLD = 3
"""Missing runs, shards, or files that an error names; the others are counted."""
_ROW, _MARK = re.compile(r"([0-9a-f]+)\.parquet"), re.compile(r"shard-[0-9]+-of-[0-9]+-[0-9a-f]+\.json")


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
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    raise InputError(f"{shown!r} is no part of a study", where=_OPTION, accepted="for example 0/8 ... up to 7/8")


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
            yield row | {"kept": folder is not None and read_row(folder / f"{key}.parquet", key) is not None}
            seen.add(job)


def run_shard(
    plan: Plan,
    shard: Shard,
    out: str | Path,
    *,
    num_worker: int | None = None,
    executor: str | AnyExecutor | None = None,
    scheduler: str | None = None,
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
    num_reused = 0
    for job in part:
        found = results[job]
        if found.key != job.key:  # kept under a key that no study asks for
            problem = f"{job}: its files changed while it ran ({', '.join(found.changed)}): it cannot be collected"
            raise InputError(problem, where=_OPTION, accepted="policies that change none of their files")
        num_reused += found.reused
    return ShardDone(shard, len(part), num_reused)


def collect(
    jobs: Sequence[Job],
    sources: Iterable[str | Path],
    out: str | Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Bring the results of jobs together in the folder of their study, and return how many came there now.

    After that `sim.compare` or `sim.sweep` with this folder finds all runs. Files are linked where that is possible and
    copied elsewhere; the sources stay as they are. What is damaged, or was edited, counts as missing.

    Parameters
    ----------
    jobs : all jobs of the study
    sources : folders of shards, or folders that contain such folders
    out : folder of the study; it may be one of the sources
    progress : called with the number of jobs that were looked for and the number of all jobs

    Raises
    ------
    InputError : runs are missing, what was found is in `out` then; a source is not there, cannot be read, or holds no
        runs; `out` cannot be written, or holds something else
    """
    directory = folder_of_study(out)
    assert directory is not None
    keys = [job.key for job in jobs]
    found = _Found(keys)
    for source in sources:
        found.look(Path(source))
    store = Store(directory)
    found.read_marks(directory / FOLDER)
    with writing(directory):
        staging = TemporaryDirectory(prefix=".collect-", dir=directory)
    missing, num_new = [], 0
    with staging as place:
        bring = _Bringer(store, Path(place))
        for position, key in enumerate(keys):
            progress(position, len(keys))
            if store.get(key) is None:
                if bring(key, found.places.get(key, ())):
                    num_new += 1
                else:
                    missing.append(position)
    progress(len(keys), len(keys))
    if missing:
        raise _missing(jobs, missing, found, bring.damaged, directory)
    return num_new


class _Bringer:
    """Brings results into a store, each whole and checked or not at all.

    Parameters
    ----------
    store : takes them
    staging : empty folder on the same file system, where a file is checked before it goes to its place
    """

    def __init__(self, store: Store, staging: Path) -> None:
        self.damaged: list[Path] = []
        self._store = store
        self._staged = Store(staging)

    def __call__(self, key: str, folders: Iterable[Path]) -> bool:
        """Bring the first sound file of a result that one of the folders has; tell whether there was one.

        Raises
        ------
        InputError : it cannot be written
        """
        staged, target, damaged = self._staged.path_of(key), self._store.path_of(key), []
        for folder in folders:
            source = folder / target.name
            with writing(target):
                staged.unlink(missing_ok=True)  # what was damaged
                if _is_brought(source, staged) and self._staged.get(key) is not None:
                    os.replace(staged, target)
                    return True
            damaged.append(source)
        self.damaged += damaged
        return False


def _is_brought(source: Path, target: Path) -> bool:
    """Link or copy a file; tell whether it could be read.

    Raises
    ------
    OSError : it cannot be written
    """
    try:
        if not source.is_file():
            return False
        real = source.resolve(strict=True)  # a link to a symbolic link would lead nowhere
        with suppress(OSError):  # another file system, or one without links
            os.link(real, target)
            return True
        data = real.read_bytes()
    except OSError:
        return False
    target.write_bytes(data)
    return True


class _Found:
    """Where results are, and what shards say of themselves.

    Parameters
    ----------
    keys : of all jobs of the study, in order
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.places: defaultdict[str, list[Path]] = defaultdict(list)
        self.nums: set[int] = set()
        self._own: set[Path] = set()
        self._strangers: dict[Path, str] = {}
        self._wanted = frozenset(keys)
        self._study = digest_of([*keys])

    def look(self, source: Path) -> None:
        """Look through a source.

        Raises
        ------
        InputError : it is not there, cannot be read, or holds no runs
        """
        accepted = "a folder that a shard wrote, or one with such folders"
        try:
            below = sorted(entry.name for entry in os.scandir(source) if entry.is_dir())
            folders = [source / FOLDER] * (FOLDER in below) + [source / name / FOLDER for name in below]
            if not sum([self._look_into(folder) for folder in folders if folder.is_dir()]):
                raise InputError(f"{source} holds no runs of a study", where=_COLLECT, accepted=accepted)
        except OSError as error:
            why = error.strerror or str(error)
            raise InputError(f"{source} cannot be read: {why}", where=_COLLECT, accepted=accepted) from None
        except ValueError as error:  # no name of a folder: with a NUL
            raise InputError(f"{str(source)!r} cannot be read: {error}", where=_COLLECT, accepted=accepted) from None

    def _look_into(self, folder: Path) -> bool:
        """Note the files of wanted results; tell whether there are results or a mark of any study."""
        is_of_study = False
        for name in os.listdir(folder):
            row = _ROW.fullmatch(name)
            is_of_study |= row is not None or _MARK.fullmatch(name) is not None
            if row is not None and row[1] in self._wanted:
                self.places[row[1]].append(folder)
        self.read_marks(folder)
        return is_of_study

    def read_marks(self, folder: Path) -> None:
        """Learn into how many shards the study was split, and which folders are of another one."""
        for name in filter(_MARK.fullmatch, os.listdir(folder)):
            with suppress(InputError):  # a damaged mark is none
                told = read_json(folder / name, "mark of a shard")
                match told:
                    case {"study": self._study, "num": int(num)} if num > 0:
                        self.nums.add(num)
                        self._own.add(folder.parent)
                    case {"study": str(), "code": str(code), "version": str(number)}:
                        other = f"was run by vectwin {number[:40]} with other code or libraries"
                        why = other if code != of_vectwin() else "holds another study"
                        self._strangers[folder.parent] = f"{folder.parent} {why}"

    def strangers(self, directory: Path) -> list[str]:
        """Say which folders, besides that of the study, hold shards of other studies only."""
        return [text for folder, text in self._strangers.items() if folder not in {*self._own, directory}]


def _mark(shard: Shard, keys: Sequence[str], directory: Path) -> None:
    """Leave a file that says which shard of which study has run there, as soon as it begins."""
    study = digest_of([*keys])
    told = {"index": shard.index, "num": shard.num, "num_job": len(shard.part(keys)), "study": study}
    told |= {"version": version("vectwin"), "code": of_vectwin()}
    path = directory / FOLDER / f"shard-{shard.index}-of-{shard.num}-{study[:12]}.json"
    with writing(path), replacing(path) as file:
        file.write(f"{json.dumps(told, indent=2)}\n".encode())


def _missing(
    jobs: Sequence[Job], missing: Sequence[int], found: _Found, damaged: Sequence[Path], directory: Path
) -> InputError:
    """Return an error that says what is missing, why, and what to do."""
    # If the study was split twice, in different ways, nobody knows which shards are to come.
    num = min(found.nums) if len(found.nums) == 1 else 0
    named = [f"{jobs[one]}{f' (shard {Shard(one % num, num)})' if num else ''}" for one in missing]
    problem = f"{len(missing)} of {len(jobs)} runs are missing: {_first(named)}"
    if damaged:
        problem += f"; damaged: {_first([str(path) for path in damaged])}"
    if others := found.strangers(directory):
        problem += f"; {_first(others)}"
    shards = [str(Shard(index, num)) for index in sorted({one % num for one in missing})] if num else []
    again = f"--shard {_first(shards)} run again" if shards else "the shards that lack them run again"
    return InputError(problem, where=_COLLECT, accepted=f"{again}; what was found is kept in {directory}")


def _first(texts: Sequence[str]) -> str:
    """Spell the first few texts, and how many more there are.

    >>> _first(["a", "b"]), _first(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    more = len(texts) - _TOLD
    return ", ".join(texts[:_TOLD]) + (f" and {more} more" if more > 0 else "")
