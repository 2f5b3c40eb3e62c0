"""Messages about errors in a user's policy, for the person who wrote it."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from physical.errors import InputError
from physical.printable import one_line
from policies.foreign.closure import is_installed, is_own, is_own_code
from policies.foreign.strangers import class_module, class_name, is_a, trace_of
from policies.foreign.surroundings import comes_from_a_signal

_REASON_MAX = 300


def told(error: BaseException, policy: object) -> str:
    """Name an error, and the last line of the policy's own code that led to it: ``KeyError: 'a' at policy.py:7``.

    Parameters
    ----------
    error : error that was caught
    policy : object or class
    """
    place = _place(error, policy)
    return one_line(named(error))[: _REASON_MAX - len(place)] + place


def named(error: BaseException) -> str:
    """Return an error with the name of its kind: ``KeyError: 'a'``."""
    return f"{class_name(error)}: {said(error)}"


def said(error: BaseException) -> str:
    """Return the begin of an error's own message, which may fail to be made."""
    try:
        return str.__str__(str(error))[:_REASON_MAX]
    except BaseException as failed:  # its `__str__` is the user's code too
        if comes_from_a_signal(failed):
            raise
        return f"(its text cannot be had: {class_name(failed)})"


def is_plain(error: BaseException) -> bool:
    """Whether an error is one of ours, whose message can be shown as it is."""
    if type(error) is not InputError:  # the fields of a subclass may call code
        return False
    return all(type(part) is str for part in (error.problem, error.where, error.key, error.accepted))


def offers(policy: object, protocol: type) -> bool:
    """Whether a policy has the methods of a protocol; the look-up may call code of the policy, and fail."""
    try:
        return isinstance(policy, protocol)
    except BaseException as error:  # for example in a `__getattr__`
        if comes_from_a_signal(error):
            raise
        return False


def wrong_signature(error: BaseException, policy: object, method: str, given: Sequence[str]) -> str:
    """Return a sentence about the arguments of a method that could not be called; empty if it was called.

    Parameters
    ----------
    error : error that was caught
    policy : the object
    method : name of the method
    given : names of the arguments that we pass, by position
    """
    files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(trace_of(error))}
    called = not all(is_own(Path(file)) for file in files)
    if called or not is_a(error, TypeError):
        return ""
    try:
        parameters = inspect.signature(getattr(policy, method)).parameters.values()
    except BaseException as failed:  # for objects without a signature, and for attributes of the user
        if comes_from_a_signal(failed):
            raise
        return ""
    by_position = [each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]
    takes_more = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    lacks = [] if takes_more else given[len(by_position) :]
    wants = [each for each in parameters if each.kind is each.KEYWORD_ONLY] + by_position[len(given) :]
    wants_names = [each.name for each in wants if each.default is each.empty]
    if not lacks and not wants_names:
        return ""
    problem = f"lacks the argument {' and '.join(lacks)}" if lacks else f"wants {' and '.join(wants_names)}, too"
    return f"{method}({', '.join(each.name for each in parameters)}) {problem}: it is given ({', '.join(given)})"


def _place(error: BaseException, policy: object) -> str:
    home = getattr(sys.modules.get(class_module(policy)), "__file__", None)
    found = ""
    counts: dict[str, bool] = {}  # a recursion has many frames in one file
    for frame, line in traceback.walk_tb(trace_of(error)):
        file = frame.f_code.co_filename
        if file not in counts:
            counts[file] = file == home or is_own_code(policy) or not _is_foreign(Path(file))
        if counts[file]:
            found = f" at {Path(file).name}:{line}"
    return found


def _is_foreign(file: Path) -> bool:
    """Whether a file is of vectwin, of Python or of an installed package."""
    return is_own(file) or is_installed(file) or str(file).startswith("<frozen")
