"""Reads TOML that may be hostile: the parser's time grows with the square of the number of parts of a key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from physical.errors import InputError

BYTES_MAX = 2 * 2**20
DEPTH_MAX = 32
_PART = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*+{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{DEPTH_MAX}}}", re.MULTILINE)


def parsed(text: str, where: str) -> dict[str, Any]:
    """Return the tables of a text in TOML.

    Raises
    ------
    InputError : not TOML, or with longer keys or more levels than any scenario has

    >>> parsed("a.b = [1]", "my.toml")
    {'a': {'b': [1]}}
    """
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        problem = f"has a key of more than {DEPTH_MAX} parts"
        raise InputError(problem, where=where, key=f"line {line}", accepted=f"at most {DEPTH_MAX}")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise _too_deep(where, "") from None
    except ValueError as error:  # beside syntax: integers of 5 000 digits
        raise InputError(f"is not TOML: {error}", where=where) from error
    check_depth(tables, where)
    return tables


def check_depth(value: Any, where: str, key: str = "") -> None:
    """Refuse tables and lists that are nested deeper than in any scenario, or that contain themselves.

    key : of the value

    Raises
    ------
    InputError : more than `DEPTH_MAX` levels
    """
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise _too_deep(where, key)
        inner = one.values() if isinstance(one, Mapping) else one if isinstance(one, list | tuple) else ()
        waiting += [(each, depth + 1) for each in inner if isinstance(each, Mapping | list | tuple)]


def _too_deep(where: str, key: str) -> InputError:
    return InputError("is nested too deeply", where=where, key=key, accepted=f"at most {DEPTH_MAX} levels")
