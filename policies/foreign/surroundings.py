"""What a process shares, kept as it was around somebody else's code: streams, folder, filters, signals, random numbers.

What code leaves in objects of its own, in modules or in threads stays: nothing in Python can undo that.
"""

from __future__ import annotations

import contextvars
import gc
import operator
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from policies.foreign.closure import is_own
from policies.foreign.strangers import is_a, trace_of

_UNEXECUTED = {
    CoroutineType: "coroutine (async def)",
    GeneratorType: "generator (yield)",
    AsyncGeneratorType: "generator (async def, yield)",
}
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_OTHERS = ("SIGALRM", "SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGUSR2")
_SIGNALS = (*_ENDING, *(getattr(signal, name) for name in _OTHERS if hasattr(signal, name)))
_RANDOM = (
    ("random", operator.methodcaller("getstate"), "setstate"),
    ("numpy.random", operator.methodcaller("get_state", legacy=False), "set_state"),
)
"""Modules with numbers of the whole process: nobody here draws from them, a policy may."""

# The wrapper in `signal` looks numbers up in enumerations, which takes a hundred times as long.
_handler_of: Callable[[int], Any] = sys.modules["_signal"].getsignal


class Surroundings:
    """Calls functions of somebody else, and afterwards puts back what would change how the run itself goes on.

    NumPy's error handling and the decimal context live in a context of each call. The rest is looked at after a call,
    which takes a microsecond or two, if the run is in the main thread: in another one, others may have changed it.
    What no run depends on waits for its end: see `undisturbed`.
    """

    def __init__(self) -> None:
        self._is_main = threading.current_thread() is threading.main_thread()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns; raise what it raises.

        Raises
        ------
        TypeError : none of its code has been executed, as it is a coroutine or a generator
        """
        return executed(self._called(function, *arguments))

    def _called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if not self._is_main:
            return contextvars.copy_context().run(function, *arguments)
        before = _look()
        stdout, stderr = before[:2]
        sys.stdout = stderr  # what a policy prints is no answer of ours
        try:
            return contextvars.copy_context().run(function, *arguments)
        finally:
            if sys.stdout is stderr:
                sys.stdout = stdout
            if _look() != before:
                _put_back(before)


def executed(returned: Any) -> Any:
    """Return what a function returned, unless that is its code itself, still waiting to be executed."""
    if type(returned) not in _UNEXECUTED:
        return returned
    if type(returned) is CoroutineType:
        returned.close()  # Python warns of one that nobody has awaited
    raise TypeError(f"returned a {_UNEXECUTED[type(returned)]}: nothing of it has been executed")


def _look() -> tuple[Any, ...]:
    return (
        sys.stdout,
        sys.stderr,
        sys.getrecursionlimit(),
        [_handler_of(number) for number in _ENDING],
        gc.isenabled(),
        warnings.filters[:],
        _folder(),
    )


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody has removed it
        return None


def _put_back(before: tuple[Any, ...]) -> None:
    stdout, stderr, limit, handlers, collects, filters, folder = before
    sys.stdout, sys.stderr = stdout, stderr
    with suppress(RecursionError):  # less than what is in use now
        sys.setrecursionlimit(limit)
    for number, handler in zip(_ENDING, handlers, strict=True):
        # A first signal gives the handler back, so that a second one ends the run at once: that stays.
        if _handler_of(number) not in {signal.default_int_handler, signal.SIG_DFL, handler}:
            _set_handler(number, handler)
    if collects != gc.isenabled():
        (gc.enable if collects else gc.disable)()
    if warnings.filters != filters:
        with warnings.catch_warnings():
            pass  # what is remembered of filters is forgotten
        warnings.filters[:] = filters  # type: ignore[index]  # a list, which others may hold
    _go_to(folder)


def _go_to(folder: str | None) -> None:
    if folder is not None and folder != _folder():
        with suppress(OSError):
            os.chdir(folder)


def _set_handler(number: int, handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back at the end what policies may have changed in the process, that also which no run depends on.

    Only around a run in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, environment, path = _look(), dict(os.environ), sys.path[:]
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook, sys.getswitchinterval()
    handlers = {number: _handler_of(number) for number in _SIGNALS}
    alarm_s = _alarm_s()
    random = [(module, put, get(module)) for name, get, put in _RANDOM if (module := sys.modules.get(name))]
    try:
        yield
    finally:
        _put_back(before)
        _put_back_environment(environment)
        sys.path[:] = path
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks[:3]
        sys.setswitchinterval(hooks[3])
        if not alarm_s and _alarm_s():
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in handlers.items():
            if _handler_of(number) is not handler:
                _set_handler(number, handler)
        for module, put, state in random:
            getattr(module, put)(state)


def _alarm_s() -> float:
    return signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0.0


def _put_back_environment(before: dict[str, str]) -> None:
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


def comes_from_a_signal(error: BaseException) -> bool:
    """Whether an exception ends the run because somebody outside wants it to, and not because a policy raised it.

    A handler of the caller's, or one of ours, has raised it, or it is the interrupt of Python's own handler, where that
    is in place: where signals are ignored, as in the background of a shell, none raises anything.
    """
    if _is_from_handler(error):
        return True
    if not is_a(error, KeyboardInterrupt, SystemExit):
        return False
    trace = trace_of(error)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and trace.tb_frame.f_code is not Surroundings._called.__code__:
        by_handler = trace is not trace_of(error) and is_own(Path(trace.tb_frame.f_code.co_filename))
        if by_handler:
            return True
    return is_a(error, KeyboardInterrupt) and _handler_of(signal.SIGINT) is signal.default_int_handler


def _is_from_handler(error: BaseException) -> bool:
    """Whether the present handler of a signal that ends processes has raised an error, or something that it calls."""
    numbers = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
    handlers = {getattr(_handler_of(number), "__code__", None) for number in numbers if number is not None} - {None}
    trace = trace_of(error)
    while trace is not None and trace.tb_frame.f_code not in handlers:
        trace = trace.tb_next
    return trace is not None
