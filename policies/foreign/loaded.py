"""Checks whether the code in this process is that of its file, because Python does not import a changed file again."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from physical.errors import InputError
from policies.foreign.reached import function_of

_ANEW = "a new start of the script or the notebook, or importlib.reload"
_seen: dict[str, tuple[Any, str]] = {}
"""File of a module -> the import that ran it, and the text of the file when it was first read after the import."""


def check_current(files: Mapping[str, Path]) -> None:
    """Refuse modules whose file changed after the import, because the digest would not be that of the running code.

    Functions and methods are compared with the file. For values of a module, the file must be as it was when it was
    first read.

    Raises
    ------
    InputError : names the file
    """
    sources = {path for path in files.values() if path.suffix == ".py"}
    names = {path.name for path in sources}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is None or Path(file).name not in names or Path(file).resolve() not in sources:
            continue
        if not isinstance(getattr(module, "__loader__", None), SourceFileLoader):
            continue  # tools that rewrite code on import, such as test runners, have their own loader
        try:
            tree = ast.parse(Path(file).read_bytes())
            whole = compile(tree, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise InputError("has changed since it was imported, and cannot be now", where=file) from None
        known = {(code.co_qualname, _told(code)) for code in _all(whole)}
        for code in _of_module(module, file):
            if (code.co_qualname, _told(code)) not in known:
                problem = f"{code.co_qualname} has changed since it was imported"
                raise InputError(problem, where=file, accepted=_ANEW)
        _check_values(module, file, ast.dump(tree))


def _check_values(module: ModuleType, file: str, text: str) -> None:
    """Refuse a module whose file had another text when it was first read; `text` is the file without comments."""
    if (ran := module.__spec__) is None:  # a script
        return
    known = _seen.setdefault(file, (ran, text))
    if known[0] is not ran:  # it was imported again
        _seen[file] = (ran, text)
    elif known[1] != text:
        raise InputError("has changed since it was imported", where=file, accepted=_ANEW)


def _of_module(module: ModuleType, file: str) -> Iterator[CodeType]:
    """Yield the code of a module's functions and of its classes' methods."""
    for value in list(vars(module).values()):
        members = vars(value).values() if isinstance(value, type) and value.__module__ == module.__name__ else [value]
        for member in members:
            function = function_of(member)
            if isinstance(function, FunctionType) and function.__code__.co_filename == file:
                yield function.__code__


def _all(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all(constant)


def _told(code: CodeType) -> tuple[Any, ...]:
    """Return the parts of code that do not depend on its line in the file."""
    constants = tuple(_spelled(one) for one in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants


def _spelled(constant: Any) -> Any:
    """Return a constant in a form in which 1 and 1.0 differ, and 0.0 and -0.0 too."""
    if isinstance(constant, CodeType):
        return _told(constant)
    if isinstance(constant, tuple | frozenset):
        inner = [_spelled(one) for one in constant]
        return type(constant).__name__, *(inner if isinstance(constant, tuple) else sorted(inner, key=repr))
    return repr(constant)
