"""Opens files of others, recognises their format, and makes errors that name file and row."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from physical.arrays import Ints, Mask
from physical.errors import InputError

_SHOWN = 60
_CHUNK_BYTES = 1 << 20
EXPANDED_BYTES = 256 * 2**20
EXPANSION = 100
"""No traffic is so regular that it exceeds both limits. A file that expands to more was made to fill the memory."""


def shown(value: object) -> str:
    """Return a value as an error quotes it: in one line, and shortened if it is long.

    >>> shown("a" * 100) == "'" + "a" * 56 + "..."
    True
    """
    if isinstance(value, np.generic):
        value = value.item()
    return _cut(repr(value))


def plain(text: str) -> str:
    """Return a text as `shown`, without quotes."""
    return _cut(repr(text)[1:-1])


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def some(names: list[str]) -> str:
    """Return names for an error; of many names, only the first ones."""
    text = ", ".join(plain(name) for name in names[:12])
    return text + (f", and {len(names) - 12} more" if len(names) > 12 else "")


@dataclass(frozen=True)
class Rows:
    """Rows of a file, as errors name them.

    where : the file
    unit : the word for a row in this format
    numbers : [num_row], the number of each row in the file, from 1; None if none was left out
    """

    where: str
    unit: str = "row"
    numbers: Ints | None = None

    def take(self, kept: Mask) -> Rows:
        """Return only some of the rows."""
        return Rows(self.where, self.unit, np.flatnonzero(kept) + 1)

    def error(self, index: int, column: str, problem: str, accepted: str) -> InputError:
        """Return the complaint about one row."""
        number = index + 1 if self.numbers is None else int(self.numbers[index])
        return InputError(problem, where=self.where, key=f"{self.unit} {number}: {column}", accepted=accepted)

    def refuse(self, bad: Mask, column: str, values: Any, problem: str, accepted: str) -> None:
        """Complain about the first bad row, if there is one."""
        if bad.any():
            index = int(bad.argmax())
            raise self.error(index, column, f"{shown(values[index])} {problem}", accepted)

    def refuse_return(self, t_ns: Ints, column: str) -> None:
        """Complain about the first row that is earlier than the one before it."""
        back = np.diff(t_ns) < 0
        if back.any():
            index = int(back.argmax()) + 1
            problem = f"time goes back from {t_ns[index - 1] / 1e9:.9f} s to {t_ns[index] / 1e9:.9f} s"
            raise self.error(index, column, problem, "rows in the order of time")


def format_of(path: Path, accepted: tuple[str, ...]) -> str:
    """Return the format of a file: "xml", "csv" or "parquet".

    If the content begins like XML or Parquet, this decides. Otherwise the suffix before a ".gz" decides, and a text
    with another suffix is CSV. The first bytes decide whether the file is compressed, not its name.

    Parameters
    ----------
    path : the file
    accepted : formats that the caller can read

    Raises
    ------
    InputError : there is no file, or it is empty or of another format
    """
    where = str(path)
    try:
        if path.is_dir():
            raise InputError("is a directory", where=where, accepted="a file")
        if not path.exists():
            raise InputError("there is no such file", where=where)
        if not path.is_file():
            raise InputError("is not a regular file", where=where, accepted="a file")
        if path.stat().st_size == 0:
            raise InputError("is empty", where=where, accepted="a file with rows")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot be used: {getattr(error, 'strerror', None) or error}", where=where) from error
    found = _format(path)
    if found not in accepted:
        names = " or ".join(_NAMES[name] for name in accepted) + "; text also compressed by gzip"
        problem = f"is {_NAMES[found]}" if found else "is of no known format"
        raise InputError(problem, where=where, accepted=names)
    _check_expansion(path)
    return found


_NAMES = {"csv": "CSV", "xml": "XML", "parquet": "Parquet"}
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".xml": "xml", ".parquet": "parquet"}
_MAGIC = {"parquet": b"PAR1", "gzip": b"\x1f\x8b"}
_HEAD_BYTES = 4096


def _format(path: Path) -> str:
    """Return the format of a file by its content and name, or "" if it is unknown."""
    named = _SUFFIXES.get(Path(path.name.lower().removesuffix(".gz")).suffix, "")
    try:
        with opened(path) as file:
            head = file.read(_HEAD_BYTES)
    except InputError:
        if named:  # whoever reads it says what is wrong
            return named
        raise
    if head.startswith(_MAGIC["parquet"]) and not is_gzip(path):
        return "parquet"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "xml"
    if named:
        return named
    # A character that is cut by the end of the head is no error.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    return "" if "\0" in text or "\ufffd" in text else "csv"


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed."""
    with path.open("rb") as file:
        return file.read(2) == _MAGIC["gzip"]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading its decompressed bytes; every error while reading names the file."""
    where = str(path)
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            yield file  # type: ignore[misc]  # a GzipFile reads bytes, whatever its base class says
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = "ends too early" if isinstance(error, EOFError) else f"is not gzip: {error}"
        raise InputError(problem, where=where, accepted="a whole gzip file") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where) from error


def _check_expansion(path: Path) -> None:
    """Refuse a compressed file that would fill the memory; this takes a small part of the time of reading."""
    if not is_gzip(path):
        return
    most = left = most_expanded(path)
    with suppress(EOFError, OSError, zlib.error), gzip.open(path) as file:  # whoever reads it says what is wrong
        while left >= 0 and (data := file.read1(_CHUNK_BYTES)):
            left -= len(data)
    if left < 0:
        raise expands_too_far(str(path), most)


def most_expanded(path: Path) -> int:
    """Return the largest accepted size of the content of a compressed file, bytes."""
    return max(EXPANDED_BYTES, EXPANSION * path.stat().st_size)


def expands_too_far(where: str, most: int) -> InputError:
    """Return the error about a file that expands to more than `most` bytes."""
    problem = f"expands to more than {most / 2**20:.0f} MiB, over {EXPANSION} times its size"
    return InputError(problem, where=where, accepted="a part of it, or the same without compression")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as they lie on disk."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
