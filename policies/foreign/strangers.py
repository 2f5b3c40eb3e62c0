"""Finds out what a user's objects are without running their code, because a class may hide or fake its answers."""

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
    """Return the name of the module of a value's class, or of a class; empty if it is unknown.

    >>> class_module(KeyError("a"))
    'builtins'
    """
    try:
        module = _MODULE.__get__(_class_of(value))
    except AttributeError:  # it was deleted
        return ""
    return str.__str__(module) if is_a(module, str) else ""


def is_a(value: object, *kinds: type) -> bool:
    """Whether a value is an instance of one of some classes, even if it claims another class.

    >>> is_a(KeyError("a"), OSError, LookupError)
    True
    """
    return any(issubclass(type(value), kind) for kind in kinds)


def trace_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error."""
    trace: TracebackType | None = _TRACE.__get__(error)
    return trace


def _class_of(value: object) -> object:
    return value if is_a(value, type) else type(value)
