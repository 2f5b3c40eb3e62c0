"""Folders for results: nothing is ever written among a user's other files."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path

from physical.errors import InputError

_SHOWN = 3


def folder_for(
    out: str | Path, marks: Collection[str] = (), parts: Collection[str] = (), *, where: str = "--out", what: str = ""
) -> Path:
    """Return the folder for a result: a new or an empty one, or one with an earlier result of the same kind.

    Names that begin with a dot do not count: systems and editors put such files everywhere.

    Parameters
    ----------
    out : where the result goes
    marks : names of files, one of which tells that a folder holds a result of this kind; whatever lies beside it stays
    parts : patterns of names that may be there before that, when a command was stopped
    where : what the error about an empty text names
    what : the kind of result, for errors

    Raises
    ------
    InputError : an empty text, a file, a folder that cannot be read, one that holds anything else
    """
    accepted = f"a new or empty directory{f', or one with {what}' if what else ''}"
    if isinstance(out, str) and not out.strip():
        raise InputError("is empty", where=where, accepted=accepted)
    folder = Path(out)
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        return folder
    except NotADirectoryError:
        if not folder.exists():  # it is to be below a file: whoever makes it says so
            return folder
        raise InputError("cannot be written into: it is a file", where=str(folder), accepted=accepted) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(folder)) from None
    if any(name in marks for name in names):
        return folder
    others = [name for name in names if not any(fnmatch(name, pattern) for pattern in parts)]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        problem = f"is not empty: it holds {', '.join(others[:_SHOWN])}{more}"
        raise InputError(problem, where=str(folder), accepted=accepted)
    return folder
