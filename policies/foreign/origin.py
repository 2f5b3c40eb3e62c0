"""Digests of everything, besides scenario and seed, on which a policy depends: its code and the files that it names."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from physical.errors import InputError
from policies.digests import digest
from policies.foreign.beside import OWN_PACKAGES
from policies.foreign.by_path import Reference
from policies.foreign.closure import is_installed, is_own, module_files, module_name, root_of
from policies.foreign.loaded import check_current
from policies.foreign.reached import function_of, reached
from policies.registry import load, look_up, parameters_of

REACHED = ", reached"
"""Ends the label of a module that the code uses although no import statement names it."""


class NoSourceError(Exception):
    """No file holds the code of a policy, because it was written in a notebook or at a prompt.

    Parameters
    ----------
    files : the files that can be found all the same: of the modules that the code uses, and those that options name
    """

    def __init__(self, message: str, files: dict[str, Path]) -> None:
        super().__init__(message)
        self.files = files

    def __reduce__(self) -> tuple[type[NoSourceError], tuple[str, dict[str, Path]]]:
        """Keep both arguments when the error is sent to another process."""
        return type(self), (str(self), self.files)

    @property
    def found(self) -> dict[str, str]:
        """The digests that `contents` can find."""
        return _digests(self.files)


def contents(policy: str | Callable[..., Any] | object, *, by_path: bool = False) -> dict[str, str]:
    """Return, by label, digests of everything on which a policy's decisions depend, besides scenario and seed.

    These are first the source files of its code, unless they belong to this distribution: its module and, transitively,
    the modules beside it that it imports, see `policies.foreign.closure.module_files`; for an installed package, all
    its modules. Second, they are the files and folders that its options name, given or by default, the ``.json``
    beside such a file, and a model that is installed as a package. If an option names another policy, such as a
    teacher, the contents of that policy count.

    Files that the code opens by names in the code are not known.

    Labels are names of modules and options, so that an unchanged folder gives the same digests after a move.

    Parameters
    ----------
    policy : text that names a policy; or a class or function that makes one; or a policy itself
    by_path : whether the text may be a path, whose code is run; see `policies.registry.make`

    Raises
    ------
    InputError : the text names no policy, the policy cannot be imported, a file cannot be read, or a file has changed
        since this process imported it
    NoSourceError : the class or function is in no file; the caller has to look at the code itself

    >>> contents("edge-equal")
    {}
    """
    return dict(sorted(_digests(files(policy, by_path=by_path)).items()))


def files(policy: str | Callable[..., Any] | object, *, by_path: bool = False) -> dict[str, Path]:
    """Return, by the labels of `contents`, the files on which a policy's decisions depend.

    policy, by_path : see `contents`

    Raises
    ------
    InputError, NoSourceError : see `contents`

    >>> files("edge-equal")
    {}
    """
    return _of_text(policy, set(), by_path=by_path) if isinstance(policy, str) else _of_object(policy)


def portable(text: str) -> str:
    """Return a policy's text without folders, because their contents matter, not their names; see `contents`.

    A text that names no policy stays as it is.

    >>> portable("/home/ann/policy.py:BestChannels,part=0.8"), portable("random")
    ('policy:BestChannels,part=0.8', 'random')
    """
    try:
        spec, options = look_up(text, by_path=True)
    except InputError:
        return text
    name = spec.name
    if isinstance(spec.target, Reference) and (file := spec.target.file()) is not None:
        name = f"{module_name(file, root_of(file))}:{spec.target.attribute}"
    told = ",".join(f"{key}={Path(value).name if named_files(value) else value}" for key, value in options.items())
    separator = "," if isinstance(spec.target, Reference) else ":"
    return f"{name}{separator * bool(told)}{told}"


def _of_text(text: str, seen: set[str], *, by_path: bool = False) -> dict[str, Path]:
    """Return the files of a policy by its text; `seen` are names met before, because teachers may form a circle."""
    spec, options = look_up(text, by_path=by_path)
    if spec.name in seen:
        return {}
    seen = seen | {spec.name}
    if isinstance(spec.target, str) and spec.target.partition(":")[0].partition(".")[0] in OWN_PACKAGES:
        return _of_options(options, seen)  # the import of its libraries may take seconds
    made = load(spec)
    return _of_options(_defaults(made) | options, seen) | _of_code(made)


def _of_object(policy: object) -> dict[str, Path]:
    """Return the files of a policy, or of a class or function that makes one."""
    made, given = policy, dict[str, object]()
    while isinstance(made, functools.partial):
        positional = {f"argument {index}": value for index, value in enumerate(made.args)}
        given = {**positional, **made.keywords, **given}
        made = made.func
    if isinstance(made, type) or inspect.isroutine(made):
        given = _defaults(made) | given
    else:
        given |= getattr(made, "__dict__", {})
        slots = [name for each in type(made).__mro__ for name in _slots(each)]
        given |= {name: getattr(made, name) for name in slots if hasattr(made, name)}
        made = type(made)
    found = _of_options(given, set())
    try:
        return found | _of_code(made)
    except NoSourceError as error:
        raise NoSourceError(str(error), found | error.files) from None


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    return [slots] if isinstance(slots, str) else list(slots)


def _defaults(made: Callable[..., Any]) -> dict[str, object]:
    return {name: parameter.default for name, parameter in parameters_of(made).items()}


def _of_options(options: Mapping[str, object], seen: set[str]) -> dict[str, Path]:
    """Return the files of everything that options name: files, folders, other policies."""
    found = {}
    for name, value in _flat(options):
        for label, path in named_files(value).items():
            found[f"option {name}{label}"] = path
        with contextlib.suppress(InputError):
            look_up(str(value))
            found |= {f"option {name}: {label}": each for label, each in _of_text(str(value), seen).items()}
    return found


def _flat(options: Mapping[str, object]) -> Iterator[tuple[str, str | Path]]:
    """Yield texts and paths, also those within lists and dictionaries."""
    for name, value in options.items():
        if isinstance(value, str | Path):
            yield name, value
        elif isinstance(value, Mapping):
            yield from _flat({f"{name}.{key}": each for key, each in value.items()})
        elif isinstance(value, list | tuple | set | frozenset):
            yield from _flat({f"{name}.{index}": each for index, each in enumerate(value)})


def named_files(value: str | Path) -> dict[str, Path]:
    """Return the files that an option's value names, by the part to add to the option's name.

    A folder counts only if the value is certainly a path, because an option's ``random`` rarely means a folder.
    """
    if value == "smollm2":
        from policies.llm import models  # imported here so that short runs start quickly

        with contextlib.suppress(InputError):
            return {"": models.resolve(value).path}
    path = Path(value).expanduser()
    try:
        if path.is_dir() and (isinstance(value, Path) or os.sep in value):
            walked = (Path(folder) / name for folder, _, names in os.walk(path, followlinks=True) for name in names)
            return {f"/{each.relative_to(path).as_posix()}": each for each in sorted(walked) if each.is_file()}
        if not path.is_file() or is_own(path):
            return {}
    except (OSError, ValueError):  # too long for a path, or with a zero byte
        return {}
    beside = path.with_suffix(".json")
    return {"": path} | ({".json": beside} if beside != path and beside.is_file() else {})


def _of_code(made: Callable[..., Any]) -> dict[str, Path]:
    """Return the files of a class's or function's module and of the modules that it imports.

    Raises
    ------
    NoSourceError : see `contents`
    """
    made = inspect.unwrap(made)
    module = sys.modules.get(made.__module__)
    file = _file_of(module)
    if file is None or not _is_from(made, file):
        raise NoSourceError(f"{made.__qualname__} is in no file", _labelled(_files_used(made)))
    if is_own(file):
        return {}
    found = module_files(file, _root(made.__module__, file))
    if module is not None and not is_installed(file.parent):
        known = set(found.values())
        found |= {f"{name}{REACHED}": path for name, path in reached(module).items() if path not in known}
    check_current(found)
    return _labelled(found)


def _labelled(modules: Mapping[str, Path]) -> dict[str, Path]:
    return {f"module {label}": path for label, path in modules.items()}


def _digests(found: Mapping[str, Path]) -> dict[str, str]:
    return {label: digest(path) for label, path in found.items()}


def _file_of(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name) if name and Path(name).is_file() else None


def _root(name: str, file: Path) -> Path:
    """Return the folder from which a module was imported by name; packages need not have an ``__init__``."""
    steps = name.split(".") if file.name != "__init__.py" else [*name.split("."), "__init__"]
    tail = file.resolve().with_suffix("").parts[-len(steps) :]
    return file.resolve().parents[len(steps) - 1] if tail == tuple(steps) else root_of(file)


def _is_from(made: Callable[..., Any], file: Path) -> bool:
    """Whether code is from its module's file; code typed at a prompt has the module of the script before it."""
    codes = [code for code, _ in _codes(made) if not code.co_filename.startswith("<string>")]
    return all(Path(code.co_filename).resolve() == file.resolve() for code in codes)


def _codes(made: Callable[..., Any]) -> Iterator[tuple[CodeType, dict[str, Any]]]:
    """Yield the code of a function, or of a class's own methods, with the names that it uses."""
    members = vars(made).values() if isinstance(made, type) else [made]
    for member in members:
        function = function_of(member)
        function = inspect.unwrap(function) if callable(function) else None
        if isinstance(function, FunctionType) and function.__module__ == made.__module__:
            yield function.__code__, function.__globals__


def _files_used(made: Callable[..., Any]) -> dict[str, Path]:
    """Return the files of modules that code without its own file uses, also through functions that it calls."""
    found: dict[str, Path] = {}
    waiting, seen = [made], set()
    while waiting:
        each = waiting.pop()
        waiting += each.__mro__[1:-1] if isinstance(each, type) else []
        for code, scope in _codes(each):
            for name in _names(code):
                value = scope.get(name, sys.modules.get(name))
                home = (
                    value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", "") or "")
                )
                file = _file_of(home)
                if home is not None and file is not None:
                    root = _root(home.__name__, file)
                    found |= {} if is_own(file) or is_installed(root) else module_files(file, root)
                elif isinstance(value, type | FunctionType) and value not in seen:
                    waiting.append(value)
                    seen.add(value)
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
