"""Standard output and standard error, which may be closed, full, or unable to write a character.

Each of these gives one line, never a traceback.
"""

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
    """The place of the results of the running command."""

    place: Path | None = None


def results_in(place: Path | None) -> None:
    """Note the place of the results, for an error message if standard output cannot be written."""
    _Kept.place = place


class Unwritable(InputError):
    """Standard output cannot be written any more."""


class _Stream:
    """A text stream that replaces characters that its encoding lacks.

    It has no `buffer`, because writing to the buffer would skip the replacement.
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
    """A stream whose errors name the stream."""

    def write(self, text: str) -> int:
        """Write a text."""
        with _told():
            return super().write(text)

    def flush(self) -> None:
        """Write what waits."""
        with _told():
            self._stream.flush()


class _Errors(_Stream):
    """A stream that drops what it cannot write; the exit code tells about the error."""

    def write(self, text: str) -> int:
        """Write a text, if that is possible."""
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write the buffered text, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


def spelled(text: str, encoding: str) -> str:
    """Return a text in which other signs replace those that an encoding lacks.

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
    except BrokenPipeError:  # the reader has closed the pipe
        raise
    except OSError as error:
        kept = "" if _Kept.place is None else f"; the results are in {_Kept.place}"
        problem = f"cannot be written: {error.strerror or error}{kept}"
        raise Unwritable(problem, where="standard output", accepted="an open file or pipe with space") from error


@contextmanager
def streams() -> Iterator[None]:
    """Replace standard output and standard error by such streams; a closed one is open then, but cannot be written."""
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
    """Reserve the numbers of closed standard streams, so that no later file gets such a number and the printed text."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one


def _nowhere(mode: int) -> TextIO:
    """Return a stream to the null device; if it is opened for reading, it refuses writing as a closed stream does."""
    return open(os.open(os.devnull, mode), "w", encoding="utf-8")


def abandon() -> None:
    """Stop all writing to standard output, also by Python at its exit."""
    with suppress(OSError, ValueError):  # a test's has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_words(words: Sequence[str]) -> None:
    """Refuse words that are no valid text, because they can neither be printed nor recorded.

    Raises
    ------
    InputError : names the first such word
    """
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(
                f"{word!a} is not text", where="command line", accepted=sys.getfilesystemencoding()
            ) from None
