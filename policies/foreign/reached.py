"""The modules that a module has got hold of, however it has imported them: by a computed name, a finder, a loop."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from policies.foreign.closure import is_installed, is_own


def reached(module: ModuleType) -> dict[str, Path]:
    """Return the files of the user's modules that a module's names lead to, by module name; not its own.

    What the standard library, installed packages and this distribution hold does not count.
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
    """Return the function of a member of a class or a module: a method's, a property's; else the member itself."""
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
