"""Keeps results of runs: one Parquet file with one row per run. Several processes may write to the folder at once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from physical.errors import InputError
from sim.studies.contents import digest_of
from sim.studies.jobs import Finished, Job
from sim.studies.neighbours import LOCK
from traces.atomic import write_whole
from traces.folder import folder_for
from traces.manifest import problem_of_summary

FOLDER = "runs"
_MARKS = ("compare.json", "sweep.json")
_OF_STUDY = re.compile(r"[0-9a-f]{24}\.parquet|shard-[0-9]+-of-[0-9]+-[0-9a-f]+\.json")
# Columns besides the keys of the summary, which are columns too.
_OWN = ("key", "run_by", "policy", "seed", "slot_penalty", "delays", "contents")


class Store:
    """Keeps results below a directory, each in a file with the key of its job as its name.

    A file appears when it is complete. Two processes that finish the same job write the same row; the later file stays.

    Parameters
    ----------
    directory : of the study; the files are in its folder ``runs``

    Raises
    ------
    InputError : the directory cannot be made, or nothing can be written there
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._folder = self.directory / FOLDER
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self._folder):  # rather now than after the first run, which may take an hour
                pass
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=str(directory)) from None

    def put(self, job: Job, finished: Finished) -> None:
        """Keep a result.

        Raises
        ------
        InputError : the file cannot be written
        """
        own = {
            "key": finished.key,
            "run_by": _version(),
            "policy": job.entrant.name,
            "seed": job.seed,
            "slot_penalty": finished.slot_penalty,
            "delays": json.dumps(finished.delays),
            "contents": _contents(finished),
        }
        row = {name: _column(name, value) for name, value in {**own, **finished.summary}.items()}
        # Of one row, dictionaries and statistics of columns are as much work as the row.
        write_whole(pa.table(row), self.path_of(finished.key), use_dictionary=False, write_statistics=False)

    def get(self, key: str) -> Finished | None:
        """Return the result of an earlier run, or None if there is none, or its file is damaged or was edited."""
        return _read(self.path_of(key), key, sealed=True)

    def path_of(self, key: str) -> Path:
        """Return the file of a result."""
        return self._folder / f"{key}.parquet"


def read_row(path: Path, key: str, *, sealed: bool = False) -> Finished | None:
    """Return the result in a file, or None if there is none with that key, or it was edited.

    sealed : whether a file without the digest of its contents, as of an older version, is refused
    """
    return _read(path, key, sealed=sealed)


def _read(path: Path, key: str, *, sealed: bool) -> Finished | None:
    """Return the result in a file, or None if it is not as it was written.

    sealed : whether the file must hold the digest of its contents
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with pq.ParquetFile(path.absolute()) as file:
            if file.metadata.num_rows != 1:
                return None
            (row,) = file.read().to_pylist()
        if row["key"] != key:
            return None
        penalty = np.array(row["slot_penalty"], dtype=np.float64)
        delays = json.loads(row["delays"])
        summary = {name: value for name, value in row.items() if name not in _OWN}
        found = Finished(summary, penalty, delays, key, reused=True)
        if "contents" in row or sealed:
            return found if row["contents"] == _contents(found) else None
        return found if _is_sound(found, delays) else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, pa.ArrowException):
        return None


def _contents(finished: Finished) -> str:
    """Return the digest of a result as it is read back."""
    penalty = np.ascontiguousarray(finished.slot_penalty, dtype=np.float64)
    return digest_of([finished.summary, hashlib.sha256(penalty.tobytes()).hexdigest(), finished.delays])


def _is_sound(finished: Finished, delays: Any) -> bool:
    """Tell whether every value has the type that a run gives it."""
    rows, ended = (delays.get("counts"), delays.get("ended")) if isinstance(delays, dict) else (None, None)
    counted = delays == {} or (isinstance(rows, list) and isinstance(ended, list) and len(rows) == len(ended))
    numbers = [one for row in rows or () for one in row] + list(ended or ()) if counted else []
    return (
        problem_of_summary(finished.summary) is None
        and finished.slot_penalty.ndim == 1
        and bool(len(finished.slot_penalty))
        and counted
        and all(type(one) is int and 0 <= one < 2**53 for one in numbers)
    )


@cache
def _version() -> str:
    return version("vectwin")


def _column(name: str, value: Any) -> pa.Array:
    """Return a column of one row; an unknown value has the type that it has in other rows."""
    if name == "slot_penalty":
        return pa.array([value], pa.list_(pa.float64()))
    if value is None:
        return pa.nulls(1, pa.bool_() if name == "stable" else pa.float64())
    return pa.array([value])


def folder_of_study(out: str | Path | None) -> Path | None:
    """Return the directory of a comparison or a sweep, which must be new, empty, or of an earlier study.

    Raises
    ------
    InputError : the directory holds something else
    """
    what = "an earlier comparison or sweep"
    if out is not None and str(out).strip() and _is_of_study(Path(out)):
        return Path(out)  # beside its runs a stopped study may have traces there
    return None if out is None else folder_for(out, _MARKS, (FOLDER, "runs.parquet", "*.tmp"), what=what)


def _is_of_study(directory: Path) -> bool:
    """Tell whether a study has begun in a directory: it holds the lock of one, a result, or the mark of a shard."""
    if os.path.exists(directory / LOCK):
        return True
    try:
        return any(map(_OF_STUDY.fullmatch, os.listdir(directory / FOLDER)))
    except (OSError, ValueError):
        return False


def is_begun(directory: Path) -> bool:
    """Tell whether a directory holds results."""
    try:
        return any((directory / FOLDER).glob("*.parquet"))
    except (OSError, ValueError):  # no name of a folder: too long, or with a NUL
        return False
