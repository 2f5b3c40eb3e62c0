"""Signals that end a command: Ctrl-C, and SIGTERM and SIGHUP, which clusters and terminals send, like it.

A run with a trace ends after its present slot, with everything written; anything else at once. The second signal ends a
run at once, too. Who calls the library and has handlers of his own keeps them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_FROM_OUTSIDE = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C asked to end: whoever cares for Ctrl-C cares for it."""


class _Received:
    number: int = signal.SIGINT


def exit_code() -> int:
    """Return what a shell expects of a process that the last signal has ended: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + _Received.number


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise like Ctrl-C inside; one that is ignored, as under nohup, stays so."""
    _Received.number = signal.SIGINT
    with _handled(_raise, scripts=True, interrupts=False):
        yield


@contextmanager
def after_slot(stop: Callable[[], None], *, keeps: bool) -> Iterator[None]:
    """Let a signal end a run after its present slot; the next one ends it at once.

    A script without a handler for SIGTERM would end with it: so it does, but when the trace is whole.

    Parameters
    ----------
    stop : called in place of what the signal would do
    keeps : there is a trace to close; without one SIGTERM ends a script as ever
    """
    came = []

    def answer(number: int, _frame: object) -> None:
        came.append(number)
        _note(number)
        stop()

    with _handled(answer, scripts=keeps) as before:
        try:
            yield
        finally:
            for number, previous in before.items():
                if previous is signal.SIG_DFL and number in came:
                    signal.raise_signal(number)


@contextmanager
def at_once(*, has_workers: bool = False) -> Iterator[Callable[[], None]]:
    """Let signals raise inside although runs last: one that ends with its slot would look complete in its last one.

    Yields what raises once more for a signal that came: code in C that calls Python, such as a serializer, may make an
    ordinary error of what a signal raises in it, and in a destructor Python drops it.

    has_workers : processes of ours that must end with a script that has no handler for SIGTERM
    """
    came: list[int] = []

    def leave(number: int, _frame: object) -> None:
        came.append(number)
        _note(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number) if number in of_scripts else Terminated

    of_scripts: list[int] = []
    with _handled(leave, scripts=has_workers) as before:
        of_scripts += [number for number, previous in before.items() if previous is signal.SIG_DFL]
        yield lambda: leave(came[0], None) if came else None


def _raise(number: int, _frame: object) -> None:
    _note(number)
    raise Terminated


def _note(number: int) -> None:
    """Remember a signal, and let the next one of its kind end at once whatever goes on."""
    _Received.number = number
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextmanager
def _handled(
    handler: Callable[[int, object], None], *, scripts: bool, interrupts: bool = True
) -> Iterator[Mapping[signal.Signals, object]]:
    """Handle signals inside, of which only the main thread gets any, unless their handlers are the caller's own.

    Yields the handlers before, by signal; they are back afterwards, but for SIGTERM or SIGHUP if that came.

    Parameters
    ----------
    handler : in place of those before
    scripts : also of signals that no handler was set for
    interrupts : also of Ctrl-C
    """
    usual = {signal.SIGINT: [signal.default_int_handler] if interrupts else []}
    usual |= {number: [_raise, *([signal.SIG_DFL] if scripts else [])] for number in _FROM_OUTSIDE}
    is_heard = threading.current_thread() is threading.main_thread()
    before = {one: signal.getsignal(one) for one, known in usual.items() if is_heard and signal.getsignal(one) in known}
    for number in before:
        signal.signal(number, handler)
    try:
        yield before
    finally:
        for number, previous in before.items():
            if number == signal.SIGINT or signal.getsignal(number) is handler:
                signal.signal(number, previous)
