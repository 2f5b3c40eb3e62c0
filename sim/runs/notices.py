"""What Python tells by itself: warnings, and errors in destructors and threads. One line each, without source text."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from physical.printable import one_line


@contextmanager
def brief() -> Iterator[None]:
    """Let Python be brief inside."""
    before = warnings.formatwarning, sys.unraisablehook, threading.excepthook
    be_brief()
    try:
        yield
    finally:
        warnings.formatwarning, sys.unraisablehook, threading.excepthook = before


def be_brief() -> None:
    """Let Python be brief from now on."""
    warnings.formatwarning = _of_warning
    sys.unraisablehook = _of_error
    threading.excepthook = _of_error


def _of_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - Python's signature; a warning's own class says it
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001 - Python's signature; source text is what nobody wants
) -> str:
    from policies.foreign.mistakes import named

    told = named(message) if isinstance(message, Warning) else message
    return _line(f"{told} at {Path(filename).name}:{lineno}")


def _of_error(found: Any) -> None:
    from policies.foreign.mistakes import named

    if found.exc_value is None or issubclass(found.exc_type, SystemExit):  # so ends a thread that wants to
        return
    trace: TracebackType | None = found.exc_traceback
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    if sys.stderr is not None:
        sys.stderr.write(_line(f"{named(found.exc_value)}{place}"))


def _line(text: str) -> str:
    return f"twin: warning: {one_line(text)}\n"
