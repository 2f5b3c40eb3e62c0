"""Standard output and errors that can be closed, full, or unable to spell a character: one line, never a traceback."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from physical.errors import InputError

_PLAIN = {"±": "+-", "−": "-", "─": "-", "µ": "u", "μ": "u", "×": "x", "≤": "<=", "≥": ">=", "…": "...", "·": "-"}


class _Kept:
    """Where the running command has left its results."""

    place: Path | None = None


def results_in(place: Path | None) -> None:
    """Note where results are, for the case that nobody can be told."""
    _Kept.place = place


class Unwritable(InputError):
    """Standard output takes no more."""


class _Stream:
    """A text stream that spells what its encoding lacks otherwise.

    There is no `buffer`: whoever writes to that would pass this by.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            return self._stream.write(spelled(text, self._stream.encoding or "ascii"))


class _NamedStream(_Stream):
    """Says which stream it is that cannot be written."""

    def write(self, text: str) -> int:
        """Write a text."""
        with _told():
            return super().write(text)

    def flush(self) -> None:
        """Write what waits."""
        with _told():
            self._stream.flush()


class _Errors(_Stream):
    """Goes silent where nobody can be told what is wrong; the exit code says it."""

    def write(self, text: str) -> int:
        """Write a text, if that can be."""
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, if that can be."""
        with suppress(OSError):
            self._stream.flush()


def spelled(text: str, encoding: str) -> str:
    """Return a text with what an encoding lacks in other signs.

    >>> spelled("0.5 ± 0.1 µs", "ascii")
    '0.5 +- 0.1 us'
    """

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        lost = error.object[error.start : error.end]
        return "".join(_PLAIN.get(sign) or ascii(sign)[1:-1] for sign in lost), error.end

    codecs.register_error("vectwin.plain", plain)
    return text.encode(encoding, "vectwin.plain").decode(encoding)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough
        raise
    except OSError as error:
        kept = "" if _Kept.place is None else f"; the results are in {_Kept.place}"
        problem = f"cannot be written: {error.strerror or error}{kept}"
        raise Unwritable(problem, where="standard output", accepted="an open file or pipe with space") from error


@contextmanager
def streams() -> Iterator[None]:
    """Let standard output and errors be such streams inside; one that is closed can be opened, but not written."""
    _fill_gaps()
    _Kept.place = None
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _NamedStream(before[0] or _nowhere(os.O_RDONLY)))
    sys.stderr = cast(TextIO, _Errors(before[1] or _nowhere(os.O_WRONLY)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _fill_gaps() -> None:
    """Let no file that is opened later take the number of a standard stream that is closed, and get what is printed."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one


def _nowhere(mode: int) -> TextIO:
    """Return a stream to the null device; one opened for reading refuses what is written, as a closed one does."""
    return open(os.open(os.devnull, mode), "w", encoding="utf-8")


def abandon() -> None:
    """Let nobody write to standard output any more, not even Python when it exits."""
    with suppress(OSError, ValueError):  # a test's has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_words(words: Sequence[str]) -> None:
    """Refuse words that are no text: they could neither be printed nor written into a record.

    Raises
    ------
    InputError : the first one
    """
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(
                f"{word!a} is not text", where="command line", accepted=sys.getfilesystemencoding()
            ) from None
