"""Digests of files, computed once as long as a file does not change."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from physical.errors import InputError

DIGEST_SIZE = 32
_RECENT_NS = 50_000_000
"""A file that changed less than this before it was read may change again without another time of change."""

_known: dict[tuple[str, int, int, int, int], str] = {}


def digest(file: Path) -> str:
    """Return the BLAKE2b digest of a file, hexadecimal.

    Raises
    ------
    InputError : the file cannot be read
    """
    try:
        status = file.stat()
        key = (str(file), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        if key in _known:
            return _known[key]
        begin_ns = time.time_ns()
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=DIGEST_SIZE)).hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(file)) from None
    if begin_ns - max(status.st_mtime_ns, status.st_ctime_ns) > _RECENT_NS:
        _known[key] = found
    return found
