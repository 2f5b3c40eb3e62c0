"""Folders for results, so that results are never mixed with a user's other files."""

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

    Names that begin with a dot are ignored, because systems and editors put such files everywhere.

    Parameters
    ----------
    out : place of the result
    marks : names of files; if one of them exists, the folder holds a result of this kind, and other files there stay
    parts : patterns of names that may exist without a mark, after a stopped command
    where : option that the error about an empty text names
    what : the kind of result, for errors

    Raises
    ------
    InputError : the text is empty, it is a file, or the folder cannot be read or holds anything else
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
        if not folder.exists():  # it would be below a file; the code that makes it reports this
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
