"""Parquet files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

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
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, temporary, compression="zstd", **options)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
