"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from physical.errors import InputError


def write_whole(rows: pa.Table, path: Path, **options: Any) -> None:
    """Write one table to one file, which appears when it is complete; folders on the way are made.

    rows : with their metadata
    path : file
    options : of `pyarrow.parquet.write_table`, beside the compression

    Raises
    ------
    InputError : it cannot be written
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, path.with_name(f"{path.name}.{os.getpid()}.tmp")) as file:
            pq.write_table(rows, file, compression="zstd", **options)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot be written: {why}", where=str(path)) from error


@contextlib.contextmanager
def whole(path: Path, temporary: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears as `path` when it is complete; it is written as `temporary`, which does not stay."""
    try:
        # A file, not a name: Arrow would take one with a colon for an address.
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
