"""Files that are there whole or not at all; whatever replaces a file does it here."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from physical.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears as `path` when the body is through, in place of an old one.

    Until then it has a name of its own beside it, which does not stay, whatever ends the body: an error, Ctrl-C.
    """
    # Processes of two containers may have one number, and write to one folder.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        # A file, not a name: Arrow would take one with a colon for an address.
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def writing(where: Path | str, path: Path | None = None) -> Iterator[None]:
    """Say in one line what cannot be written; what was written before stays readable.

    where : what the error names: the file or folder itself, or an option that gives it
    path : the file, if `where` is an option

    Raises
    ------
    InputError : for an error of the system in the body
    """
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        which = "" if path is None else f"{path} "
        raise InputError(f"{which}cannot be written: {why}", where=str(where)) from error


@contextlib.contextmanager
def whole_file(path: Path, option: str = "--out") -> Iterator[IO[bytes]]:
    """Open the file that an option names, as `replacing` does; folders on the way are made.

    Raises
    ------
    InputError : it cannot be written
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory", where=option, accepted="a file")
    with writing(option, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            yield file


def write_whole(rows: pa.Table, path: Path, **options: Any) -> None:
    """Write one table to one file, as `replacing` does; folders on the way are made.

    rows : with their metadata
    path : file
    options : of `pyarrow.parquet.write_table`, beside the compression

    Raises
    ------
    InputError : it cannot be written
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pq.write_table(rows, file, compression="zstd", **options)
