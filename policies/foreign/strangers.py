"""What somebody else's objects are, asked so that none of their code answers: a class may hide or fake all of it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

_NAME: Any = vars(type)["__name__"]
_MODULE: Any = vars(type)["__module__"]
_TRACE: Any = vars(BaseException)["__traceback__"]


def class_name(value: object) -> str:
    """Return the name of a value's class, or of a class.

    >>> class_name(3), class_name(int)
    ('int', 'int')
    """
    return str.__str__(_NAME.__get__(_class_of(value)))


def class_module(value: object) -> str:
    """Return the name of the module that made a value's class, or a class; nothing if it does not say.

    >>> class_module(KeyError("a"))
    'builtins'
    """
    try:
        module = _MODULE.__get__(_class_of(value))
    except AttributeError:  # somebody has deleted it
        return ""
    return str.__str__(module) if is_a(module, str) else ""


def is_a(value: object, *kinds: type) -> bool:
    """Whether a value is of one of some classes, whatever it says itself that it is.

    >>> is_a(KeyError("a"), OSError, LookupError)
    True
    """
    return any(issubclass(type(value), kind) for kind in kinds)


def trace_of(error: BaseException) -> TracebackType | None:
    """Return where an error has come from."""
    trace: TracebackType | None = _TRACE.__get__(error)
    return trace


def _class_of(value: object) -> object:
    return value if is_a(value, type) else type(value)
