"""Files that are written whole or not at all."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from physical.errors import InputError


@contextmanager
def whole_file(path: Path, option: str = "--out") -> Iterator[IO[bytes]]:
    """Open a file for writing; it appears under its name when the body is through, an old one is replaced.

    option : what errors name

    Raises
    ------
    InputError : it cannot be written
    """
    if path.is_dir():
        raise InputError(f"{path} is a directory", where=option, accepted="a file")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}", where=option) from error
    finally:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None


@contextmanager
def compressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Compress what is written to a file; neither name nor time goes into it, equal contents give equal bytes."""
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
        yield cast(IO[bytes], packed)
