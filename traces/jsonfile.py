"""Reads JSON files that users may have edited or strangers may have written; every error is one line."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, NoReturn

from physical.errors import InputError

BYTES_MAX = 64_000_000
DEPTH_MAX = 40
_SHOWN = 60


def is_file(path: Path) -> bool:
    """Tell whether a file exists; the name may be impossible."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def read_json(path: Path, what: str) -> Any:
    """Return the contents of a JSON file, which must not have repeated keys, NaN, or halves of characters.

    what : kind of the file, for errors

    Raises
    ------
    InputError : it is no regular file, larger than 64 MB, not UTF-8, not JSON, or nested deeper than 40 levels
    """
    where = str(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError("is not a regular file", where=where, accepted=what)
        if found.st_size > BYTES_MAX:
            problem = f"has {found.st_size / 1e6:.0f} MB"
            raise InputError(problem, where=where, accepted=f"{what}, at most {BYTES_MAX / 1e6:.0f} MB")
        data = json.loads(path.read_text("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except InputError as error:
        error.where = where
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where, accepted=what) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error.reason}", where=where, accepted=what) from None
    except RecursionError:
        raise _too_deep(where, what) from None
    except ValueError as error:  # besides syntax errors: integers of 5 000 digits
        raise InputError(f"is not JSON: {error}", where=where, accepted=what) from None
    _check(data, where, what)
    return data


def shown(value: object) -> str:
    """Spell a value as JSON does, shortened.

    >>> shown(None), shown({"a": 1}), shown("x" * 100) == '"' + "x" * 55 + " ..."
    ('null', '{"a": 1}', True)
    """
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError("is given twice", key=twice[:_SHOWN], accepted="each key once")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _too_deep(where: str, what: str) -> InputError:
    return InputError(f"is nested deeper than {DEPTH_MAX} levels", where=where, accepted=what)


def _check(data: Any, where: str, what: str) -> None:
    """Refuse data that would fail later: very deep tables, and texts that cannot be written."""
    level = [data]
    for _ in range(DEPTH_MAX):
        texts = "".join(one for one in level if isinstance(one, str))
        tables = [one for one in level if isinstance(one, dict)]
        if not _is_text(texts + "".join(key for table in tables for key in table)):
            raise InputError("has a text with half a character", where=where, accepted=what)
        level = [one for table in tables for one in table.values()] + [
            one for items in level if isinstance(items, list) for one in items
        ]
        if not level:
            return
    raise _too_deep(where, what)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
