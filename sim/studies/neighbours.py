"""Notices that another study writes into the same folder at the same time, where the file system can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

LOCK = ".study.lock"
"""File that the folder of a study has from its first run on, where the file system can lock."""


@contextmanager
def noticed(directory: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell a line if another study is at work in a directory, and let later ones notice this one.

    Nothing is lost then: each run is a file of its own, and the tables of both studies are written whole.
    """
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            file = stack.enter_context((directory / LOCK).open("a"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell(f"{directory}: another study writes there, too; runs of both are kept, tables of the last to end")
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
