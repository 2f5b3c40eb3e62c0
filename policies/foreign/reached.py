"""Finds the modules that a module uses, however it imported them: by a computed name, by a finder, or in a loop."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from policies.foreign.closure import is_installed, is_own


def reached(module: ModuleType) -> dict[str, Path]:
    """Return the files of the user's modules to which a module's names lead, by module name, without its own file.

    Modules of the standard library, of installed packages and of this distribution are left out.
    """
    found: dict[str, Path] = {}
    waiting, seen = [module], {id(module)}
    while waiting:
        for other in _named_in(waiting.pop()):
            file = _users_file(other)
            if id(other) not in seen and file is not None:
                seen.add(id(other))
                found[other.__name__] = file
                waiting.append(other)
    return found


def function_of(member: Any) -> Any:
    """Return the function behind a member of a class or a module, such as a method or property; else the member."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, classmethod | staticmethod):
        return member.__func__
    return member.func if isinstance(member, functools.cached_property) else member


def _named_in(module: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules that are values of a module, or the homes of its classes, functions and objects."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value
            continue
        owner = value if isinstance(value, type | FunctionType) else type(value)
        home = sys.modules.get(str(vars(owner).get("__module__") if isinstance(owner, type) else owner.__module__))
        if home is not None:
            yield home


def _users_file(module: ModuleType) -> Path | None:
    name = vars(module).get("__file__")
    if not isinstance(name, str) or not name.endswith(".py") or not Path(name).is_file():
        return None
    path = Path(name).resolve()
    return None if is_own(path) or is_installed(path.parent) else path
