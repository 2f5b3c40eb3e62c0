"""Finds the files on which a module depends: its own file and the imported files beside it. No code is executed."""

from __future__ import annotations

import ast
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import FunctionType
from typing import Any

from policies.foreign.beside import OWN_PACKAGES, added_folders
from policies.foreign.strangers import class_module

_OWN_ROOT = Path(__file__).resolve().parents[2]
_IMPORTERS = {"import_module", "__import__"}
_SUFFIXES = (*EXTENSION_SUFFIXES, ".py")
"""Endings of modules, in the order in which an import looks for them."""
_INSTALLED = {"site-packages", "dist-packages"}


def is_own(file: Path) -> bool:
    """Whether a file belongs to this distribution."""
    try:
        file = file.resolve()
    except (OSError, ValueError):  # the current folder is gone, or code names an impossible file
        return False
    return file.is_relative_to(_OWN_ROOT) and file.relative_to(_OWN_ROOT).parts[0].removesuffix(".py") in OWN_PACKAGES


def is_own_code(made: Any) -> bool:
    """Whether a class, a function or an object comes from this distribution, so that its errors are our fault."""
    # A function names its file in an attribute. Classes and objects of users may give false answers, so we do not ask.
    module = made.__module__ if type(made) is FunctionType else class_module(made)
    return str(module).partition(".")[0] in OWN_PACKAGES


def root_of(file: Path) -> Path:
    """Return the folder that holds a module's topmost package; the module's absolute name starts there."""
    folder = file.resolve().parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def module_name(file: Path, root: Path) -> str:
    """Return the absolute name of a module's file: ``package.module``, without ``__init__``."""
    parts = list(file.resolve().relative_to(root).parts)
    parts[-1] = parts[-1].partition(".")[0]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _counts(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


def _label(file: Path, root: Path) -> str:
    """Return the name of a file of a package, which is a module or data that its code may read."""
    return module_name(file, root) if file.suffix == ".py" else file.resolve().relative_to(root).as_posix()


def module_files(file: Path, root: Path | None = None) -> dict[str, Path]:
    """Return the files on which a module depends, by module name; its own file is the first.

    Imports count everywhere, also within functions, and so does ``import_module`` of a literal name. They are searched
    beside the module (in `root`) and in the folders of ``sys.path`` that hold no installed packages. For an installed
    module, its whole package counts, and the modules of the same distribution that it imports.

    Parameters
    ----------
    file : of the module
    root : folder in which its absolute name starts; by default that of its topmost package
    """
    file = file.resolve()
    root = root_of(file) if root is None else root.resolve()
    found = {module_name(file, root): file}
    package = root / module_name(file, root).partition(".")[0]
    if is_installed(root) and package.is_dir():
        found |= {_label(each, root): each for each in sorted(package.rglob("*")) if _counts(each)}
    waiting = list(found.items())
    while waiting:
        name, path = waiting.pop()
        for each in _imported(name, path):
            for label, there in _find(each, root, package.name):
                if label not in found:
                    found[label] = there
                    waiting.append((label, there))
    return found


def _find(name: str, root: Path, package: str) -> list[tuple[str, Path]]:
    """Return the files that the import of an absolute name reads, packages first; none if it does not count."""
    top = name.partition(".")[0]
    if top in OWN_PACKAGES:
        return []
    if is_installed(root):
        belongs = top == package or not _distributions(top).isdisjoint(_distributions(package))
        return _find_in(root, name) if belongs else []
    for folder in (root, *_other_roots((*sys.path, *added_folders()))):
        if top != package and top in _installed_in(folder):
            return []
        if found := _find_in(folder, name):
            return found
    return []


def _find_in(root: Path, name: str) -> list[tuple[str, Path]]:
    found = []
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        base, label = root.joinpath(*parts[:number]), ".".join(parts[:number])
        if (base / "__init__.py").is_file():
            found.append((label, (base / "__init__.py").resolve()))
            continue
        if files := [path for suffix in _SUFFIXES if (path := base.parent / (base.name + suffix)).is_file()]:
            found.append((label, files[0].resolve()))
        if files or not base.is_dir():
            break
    return found


def imports_late(files: Mapping[str, Path]) -> bool:
    """Whether a function of these modules imports one of them by name when it is called."""
    tops = {label.partition(".")[0] for label in files}
    for label, file in files.items():
        for node in ast.walk(_parsed(file)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            called = isinstance(node, ast.Call) and _called(node) in _IMPORTERS
            if (is_function or called) and any(name.partition(".")[0] in tops for name in _names(label, file, node)):
                return True
    return False


def _imported(name: str, file: Path) -> Iterator[str]:
    """Yield the absolute names of everything that a module's source imports; a name may be that of a class."""
    return _names(name, file, _parsed(file))


def _parsed(file: Path) -> ast.AST:
    source = file.with_name(f"{file.name.partition('.')[0]}.py")  # the source beside the compiled file
    try:
        return ast.parse(source.read_bytes())
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the last two if it is nested too deeply
        return ast.Module([], [])  # its import fails, but its bytes count
    except FileNotFoundError:
        return ast.Module([], [])  # it is an extension module, or the folder of an imported policy has moved


def _names(name: str, file: Path, tree: ast.AST) -> Iterator[str]:
    """Yield the imports of a part of a module's source."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*start, alias.name]) for alias in node.names if alias.name != "*" or start)
        elif isinstance(node, ast.Call) and _called(node) in _IMPORTERS:
            yield from _literal(node.args)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _literal(arguments: Sequence[ast.expr]) -> Iterator[str]:
    first = arguments[0] if arguments else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
        yield first.value


def is_installed(folder: Path) -> bool:
    """Whether a folder holds the standard library or installed packages, of any environment on the path."""
    return not _INSTALLED.isdisjoint(folder.parts) or any(folder.is_relative_to(place) for place in _installed_places())


@cache
def _installed_places() -> frozenset[Path]:
    known = [sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    known += [*site.getsitepackages(), site.getusersitepackages()]
    return frozenset(Path(place).resolve() for place in known)


@cache
def _other_roots(path: tuple[str, ...]) -> tuple[Path, ...]:
    folders = (Path(entry).resolve() for entry in path)
    return tuple(folder for folder in folders if folder.is_dir() and not is_installed(folder))


@cache
def _installed_in(folder: Path) -> frozenset[str]:
    """Return the top-level modules that ``pip install --target`` has put into a folder; it may hold other files too."""
    found = (metadata.Distribution.at(each).files or () for each in folder.glob("*.dist-info"))
    return frozenset(file.parts[0].partition(".")[0] for files in found for file in files)


@cache
def _owners() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _distributions(top: str) -> frozenset[str]:
    """Return the distributions that install a top-level module."""
    return frozenset(_owners().get(top, ()))
