"""Where somebody else's policy went wrong, in words for the one who wrote it."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from policies.closure import is_installed, is_own, is_own_code

_REASON_MAX = 300


def told(error: BaseException, policy: object) -> str:
    """Name an error, and the last line of the policy's own code that led to it: ``KeyError: 'a' at policy.py:7``.

    Parameters
    ----------
    error : that was caught
    policy : object or class
    """
    place = _place(error, policy)
    return f"{type(error).__name__}: {error}"[: _REASON_MAX - len(place)] + place


def wrong_signature(error: Exception, policy: object, method: str, given: Sequence[str]) -> str:
    """Return what is wrong with the arguments of a method that could not be called; nothing if it was called.

    Parameters
    ----------
    error : that was caught
    policy : the object
    method : its name
    given : names of the arguments that it is given, by position
    """
    called = error.__traceback__ is not None and error.__traceback__.tb_next is not None
    if called or not isinstance(error, TypeError):
        return ""
    try:
        parameters = inspect.signature(getattr(policy, method)).parameters.values()
    except (TypeError, ValueError, AttributeError):
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
    made = policy if isinstance(policy, type) else type(policy)
    home = getattr(sys.modules.get(made.__module__), "__file__", None)
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if file == home or is_own_code(policy) or not _is_foreign(Path(file)):
            found = f" at {Path(file).name}:{line}"
    return found


def _is_foreign(file: Path) -> bool:
    """Whether a file is of vectwin, of Python or of an installed package."""
    return is_own(file) or is_installed(file) or str(file).startswith("<frozen")
