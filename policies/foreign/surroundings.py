"""Restores the shared state of the process after a user's code: streams, folder, filters, signals, random numbers.

Changes that the code makes in its own objects, in modules or in threads stay, because Python cannot undo them.
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
"""Modules with random numbers of the whole process. We do not draw from them, but a policy may."""

# The wrapper in `signal` looks numbers up in enumerations, which takes 100 times as long.
_handler_of: Callable[[int], Any] = sys.modules["_signal"].getsignal


class Surroundings:
    """Calls functions of a user, and restores afterwards the state on which the rest of the run depends.

    NumPy's error handling and the decimal context belong to a context of each call. Everything else is checked after
    each call, which takes one or two microseconds. This is done only in the main thread; in another thread, others may
    have changed the state. State on which no run depends is restored at the end of the run, see `undisturbed`.
    """

    def __init__(self) -> None:
        self._is_main = threading.current_thread() is threading.main_thread()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the function's result, or raise its error.

        Raises
        ------
        TypeError : the function is a coroutine or a generator, so that none of its code has been executed
        """
        return executed(self._called(function, *arguments))

    def _called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if not self._is_main:
            return contextvars.copy_context().run(function, *arguments)
        before = _look()
        stdout, stderr = before[:2]
        sys.stdout = stderr  # a policy's printed text is no output of ours
        try:
            return contextvars.copy_context().run(function, *arguments)
        finally:
            if sys.stdout is stderr:
                sys.stdout = stdout
            if _look() != before:
                _put_back(before)


def executed(returned: Any) -> Any:
    """Return a function's result, and refuse a coroutine or generator, whose code has not been executed."""
    if type(returned) not in _UNEXECUTED:
        return returned
    if type(returned) is CoroutineType:
        returned.close()  # Python warns about a coroutine that is never awaited
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
    except OSError:  # it was removed
        return None


def _put_back(before: tuple[Any, ...]) -> None:
    stdout, stderr, limit, handlers, collects, filters, folder = before
    sys.stdout, sys.stderr = stdout, stderr
    with suppress(RecursionError):  # the limit is less than the present use
        sys.setrecursionlimit(limit)
    for number, handler in zip(_ENDING, handlers, strict=True):
        # After the first signal, the handler is Python's own, so that a second signal ends the run at once. This stays.
        if _handler_of(number) not in {signal.default_int_handler, signal.SIG_DFL, handler}:
            _set_handler(number, handler)
    if collects != gc.isenabled():
        (gc.enable if collects else gc.disable)()
    if warnings.filters != filters:
        with warnings.catch_warnings():
            pass  # clears the cache of filters
        warnings.filters[:] = filters  # type: ignore[index]  # the same list, to which others may refer
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
    """Restore, at the end of a run, all state of the process that policies may have changed.

    It does so only for a run in the main thread.
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
    """Whether an exception comes from a signal that ends the run, and not from a policy.

    A handler of the caller or one of ours raised it, or it is the interrupt of Python's own handler, if that handler is
    set. If signals are ignored, as in the background of a shell, no handler raises anything.
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
    """Whether the present handler of a signal that ends processes, or a function that it calls, has raised an error."""
    numbers = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
    handlers = {getattr(_handler_of(number), "__code__", None) for number in numbers if number is not None} - {None}
    trace = trace_of(error)
    while trace is not None and trace.tb_frame.f_code not in handlers:
        trace = trace.tb_next
    return trace is not None
