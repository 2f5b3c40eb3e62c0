"""Where scenarios come from: the built-in ones by name, and TOML files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from physical.errors import InputError
from physical.nearest import did_you_mean
from physical.reading import read_bytes
from sim.scenario import nesting
from sim.scenario.file_entries import file_entries

_BUILT_IN = files("sim.scenario") / "builtin"


def text_of(name: str) -> str:
    """Return the TOML of a scenario, as it stands in its file.

    Raises
    ------
    InputError : there is no such scenario, or the file cannot be read

    >>> text_of("dtecn").partition(" = ")[0]
    'title'
    """
    return _read(name)[1]


def names() -> list[str]:
    """Return the names of the built-in scenarios.

    >>> "dtecn" in names()
    True
    """
    return sorted(entry.name.removesuffix(".toml") for entry in _BUILT_IN.iterdir() if entry.name.endswith(".toml"))


def plain_data(source: str | Path) -> tuple[str, dict[str, Any]]:
    """Return how to call a source in errors, and what it says; files that it names are relative to its own folder.

    source : name of a built-in scenario, or path of a TOML file

    Raises
    ------
    InputError : there is no such scenario, or the file cannot be read or is not TOML
    """
    where, text = _read(source)
    data = nesting.parsed(text, where)
    if Path(source).suffix:
        for table, key in file_entries(data):
            table[key] = str(Path(source).parent / table[key])
    return where, data


def _read(source: str | Path) -> tuple[str, str]:
    """Return how to call the source in errors, and its text."""
    name = str(source)
    if name in names():
        return name, (_BUILT_IN / f"{name}.toml").read_text("utf-8")
    try:
        # "utf-8-sig" also reads files that begin with a byte order mark.
        text = read_bytes(source, nesting.BYTES_MAX).decode("utf-8-sig")
        return name, "\n".join(text.splitlines())
    except InputError:
        raise
    except FileNotFoundError:
        if Path(source).suffix:
            raise InputError("there is no such file", where=name) from None
    except (OSError, ValueError) as error:  # also a path with a NUL, and a text in another encoding
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=name) from None
    accepted = f"{', '.join(names())}, or a TOML file"
    raise InputError(f"there is no scenario {name!r}{did_you_mean(name, names())}", where="SCENARIO", accepted=accepted)
