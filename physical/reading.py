"""Reads files of others, which must be regular files and must not fill the memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from physical.errors import InputError


def check_regular(path: str | Path, most_bytes: int | None = None) -> None:
    """Refuse a directory, a pipe, a device, and a file of more than `most_bytes` bytes.

    Raises
    ------
    InputError : it is one of these
    OSError : there is no such file, or its properties cannot be read
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise InputError("is a directory", where=str(path), accepted="a file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError("is not a regular file", where=str(path), accepted="a file")
    if most_bytes is not None and found.st_size > most_bytes:
        problem = f"has {found.st_size} bytes"
        raise InputError(problem, where=str(path), accepted=f"at most {most_bytes}")


def read_bytes(path: str | Path, most_bytes: int) -> bytes:
    """Return the contents of a file.

    Raises
    ------
    InputError : it is no regular file, or too large
    OSError : there is no such file, or it cannot be read
    """
    check_regular(path, most_bytes)
    with open(path, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:  # it has grown, or is a file of the system, whose size is given as 0
        raise InputError("has too many bytes", where=str(path), accepted=f"at most {most_bytes}")
    return data
