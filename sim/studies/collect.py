"""Puts the shards of a study together: brings their results into one folder, and says what is missing."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from physical.errors import InputError
from sim.studies.contents import digest_of, of_vectwin
from sim.studies.jobs import Job
from sim.studies.shards import MARK, Shard
from sim.studies.store import FOLDER, Store, folder_of_study
from traces.atomic import writing
from traces.jsonfile import read_json

_COLLECT = "--collect"
_TOLD = 3
"""Missing runs, shards, or files that an error names; the others are counted."""
_ROW = re.compile(r"([0-9a-f]+)\.parquet")


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
        except InputError:  # it is a ValueError, too
            raise
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
            is_of_study |= row is not None or MARK.fullmatch(name) is not None
            if row is not None and row[1] in self._wanted:
                self.places[row[1]].append(folder)
        self.read_marks(folder)
        return is_of_study

    def read_marks(self, folder: Path) -> None:
        """Learn into how many shards the study was split, and which folders are of another one."""
        for name in filter(MARK.fullmatch, os.listdir(folder)):
            with suppress(InputError):  # a damaged mark is none
                told = read_json(folder / name, "mark of a shard")
                match told:
                    case {"study": self._study, "num": int(num)} if num > 0:
                        self.nums.add(num)
                        self._own.add(folder.parent)
                    case {"study": str(), "code": str(code), "version": str(number)}:
                        other = f"was run by vectwin {number[:40]} with other code or libraries"
                        why = other if code != of_vectwin() else "was written by another command"
                        self._strangers[folder.parent] = f"{folder.parent} {why}"

    def strangers(self, directory: Path) -> list[str]:
        """Say which folders, besides that of the study, hold shards of other studies only."""
        return [text for folder, text in self._strangers.items() if folder not in {*self._own, directory}]


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
