"""Reads and imports policies by path, such as ``./policy.py:BestChannels,part=0.8`` or ``module:Class``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from physical.errors import InputError
from physical.nearest import did_you_mean
from policies.digests import digest
from policies.foreign.beside import OWN_PACKAGES, add_folder
from policies.foreign.closure import imports_late, module_files, module_name, root_of
from policies.foreign.mistakes import is_plain, named
from policies.foreign.reached import reached
from policies.foreign.strangers import trace_of

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(rf"(?P<place>[^=,]+):(?P<attribute>{_NAME})\s*(?:,(?P<options>.*))?", re.DOTALL)

_WITH_COLON = re.compile(rf"(?P<name>[^=,:]+:{_NAME})\s*:(?P<options>\s*[^\W\d][\w-]*\s*=.*)", re.DOTALL)


class Reference(NamedTuple):
    """The place of a class.

    place : a Python file, or the name of a module
    attribute : the class within it
    options : ``option=value,option=value``, or nothing
    """

    place: str
    attribute: str
    options: str

    @property
    def name(self) -> str:
        """The text without its options."""
        return f"{self.place}:{self.attribute}"

    @property
    def text(self) -> str:
        """The text."""
        return f"{self.name}{',' * bool(self.options)}{self.options}"

    def file(self) -> Path | None:
        """Return the absolute path of the file; None for a module that is not in the current folder.

        Relative paths are relative to the current folder.
        """
        if _is_path(self.place):
            try:
                return Path(self.place).expanduser().resolve()
            except (RuntimeError, OSError) as error:  # a circle of links, or ~name of an unknown user
                raise InputError(f"cannot be found: {error}", key=self.place) from None
        base = Path.cwd().joinpath(*self.place.split("."))
        files = (base.with_name(f"{base.name}.py"), base / "__init__.py")
        return next((file.resolve() for file in files if file.is_file()), None)

    def has_file(self) -> bool:
        """Whether a file is meant, whether or not it exists."""
        return self.file() is not None


def _is_path(place: str) -> bool:
    """Whether a text can only be a file's path: it ends with ``.py`` or has a folder in it."""
    return place.endswith(".py") or "/" in place


def reference(text: str) -> Reference | None:
    """Read the text of a policy by path; None for a text that can only be a name with options.

    >>> reference("./policy.py:BestChannels,part=0.8")
    Reference(place='./policy.py', attribute='BestChannels', options='part=0.8')
    >>> reference("my_package.rules:Best").options
    ''
    >>> reference("random"), reference("apg:weights=./a.safetensors")
    (None, None)
    """
    found = _REFERENCE.fullmatch(text.strip())
    if found is None or not (_is_path(found["place"]) or re.fullmatch(_NAME, found["place"])):
        return None
    return Reference(found["place"], found["attribute"], found["options"] or "")


def with_comma(text: str) -> str:
    """Return a text whose options follow a colon, as after a policy's name, with a comma instead; else nothing.

    >>> with_comma("./policy.py:BestChannels:part=0.8")
    './policy.py:BestChannels,part=0.8'
    """
    found = _WITH_COLON.fullmatch(text.strip())
    return f"{found['name']},{found['options']}" if found else ""


def load_reference(found: Reference) -> Callable[..., Any]:
    """Import a policy's class, which runs its code.

    A file is imported again if it, or a module beside it that it imports, has changed.

    Raises
    ------
    InputError : there is no such file, module or class, the import raises, or the class is no policy
    """
    file = found.file()
    module = _import_module(found.place) if file is None else _import_file(file, found.place)
    made: Any = module
    for part in found.attribute.split("."):
        if not hasattr(made, part):
            classes = _classes(module)
            problem = f"there is no {found.attribute} in it{did_you_mean(found.attribute, classes, cutoff=0.5)}"
            raise InputError(problem, key=found.place, accepted=", ".join(classes) or "no class with decide is there")
        made = getattr(made, part)
    if not callable(made):
        accepted = ", ".join(_classes(module)) or "no class with decide is there"
        raise InputError(f"{found.attribute} is not a class", key=found.place, accepted=accepted)
    if missing := [name for name in ("reset", "decide") if isinstance(made, type) and not hasattr(made, name)]:
        problem = f"{found.attribute} is not a policy: it has no {' and no '.join(missing)}"
        raise InputError(problem, key=found.place, accepted="a class with reset(system, seed) and decide(snapshot)")
    checked: Callable[..., Any] = made
    return checked


def _classes(module: ModuleType) -> list[str]:
    """Return the names of a module's own classes that have a method `decide`."""
    own = inspect.getmembers(module, inspect.isclass)
    return [name for name, each in own if each.__module__ == module.__name__ and hasattr(each, "decide")]


def _import_module(name: str) -> ModuleType:
    try:
        with _told(name):
            return importlib.import_module(name)
    except InputError as error:
        if isinstance(cause := error.__cause__, ModuleNotFoundError) and name.startswith(str(cause.name)):
            accepted = "a name of twin policies, or ./FILE.py:CLASS"
            raise InputError(f"there is no policy and no module {name!r}", accepted=accepted) from None
        raise


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn every error of an import into one line; its printed text goes to stderr, because it is no result."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything, also SystemExit
        if is_plain(error):
            raise
        reason = named(error)
        line = None if isinstance(error, SyntaxError) else _line_in(error, place)  # a syntax error names its line
        at = f" (line {line})" if line else ""
        raise InputError(f"cannot be imported: {reason}{at}", key=place) from error


def _line_in(error: BaseException, place: str) -> int | None:
    """Return the last line of the file that led to an error."""
    trace, line = trace_of(error), None
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == Path(place).name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class _Loaded(NamedTuple):
    module: ModuleType
    files: dict[str, Path]
    digests: dict[str, str]


class _Loader(SourceFileLoader):
    """Always compiles the source, because Python would use old bytecode if time (in seconds) and size are the same."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the module's code."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


_loaded: dict[Path, _Loaded] = {}
_loading: set[Path] = set()


def _import_file(file: Path, place: str) -> ModuleType:
    """Return the module of a file, imported again if one of its files or of the modules that it uses has changed."""
    if not file.is_file() or file.suffix != ".py":
        problem = "is not a Python file" if file.exists() else "there is no such file"
        beside = sorted(each.name for each in file.parent.glob("*.py"))[:5] if file.parent.is_dir() else []
        raise InputError(problem, key=place, accepted=", ".join(beside) or "FILE.py:CLASS[,OPTION=VALUE,...]")
    main = sys.modules["__main__"]
    if (script := getattr(main, "__file__", None)) and Path(script).resolve() == file:
        return main
    if file in _loading:
        problem = "runs a simulation while it is imported"
        raise InputError(problem, key=place, accepted="that below: if __name__ == '__main__':")
    root = root_of(file)
    files = module_files(file, root)
    if (known := _loaded.get(file)) is not None:
        if known.files.keys() >= files.keys() and known.digests == _digests(known.files):
            return known.module
        _forget(known)
    digests = _digests(files)
    for package in OWN_PACKAGES:  # not a folder of the same name beside the file
        importlib.import_module(package)
    name = module_name(file, root)
    if "." not in name:  # any folder may have a policy.py
        name = f"{name}_{hashlib.blake2b(str(file).encode(), digest_size=6).hexdigest()}"
    _make_way(files, file, place)
    _loading.add(file)
    try:
        with _told(place), _first_in_path(root):
            module = _executed(name, file)
    finally:
        _loading.discard(file)
    known_paths = set(files.values())
    others = {label: path for label, path in reached(module).items() if path not in known_paths}
    _loaded[file] = _Loaded(module, files | others, digests | _digests(others))
    return module


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return digests of files; a file that is gone has none."""
    return {label: digest(path) if path.is_file() else "" for label, path in files.items()}


def _executed(name: str, file: Path) -> ModuleType:
    parent, _, child = name.rpartition(".")
    if parent:
        importlib.import_module(parent)
    spec = importlib.util.spec_from_file_location(name, file, loader=_Loader(name, str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def _make_way(files: dict[str, Path], file: Path, place: str) -> None:
    """Remove loaded modules that have the names of modules beside the file, because Python would use them silently.

    Modules of another policy by path are removed, because that policy has imported what it needs. So two versions of a
    folder can be compared.

    Raises
    ------
    InputError : other code may need such a module, or a function imports it when it is called
    """
    for label, path in files.items():
        present = getattr(sys.modules.get(label), "__file__", None)
        if path == file or present is None or (there := Path(present).resolve()) == path:
            continue
        owners = [known.files for known in _loaded.values() if known.files.get(label) == there]
        is_free = bool(owners) and not any(imports_late(each) for each in (files, *owners))
        if is_free or not there.exists():  # otherwise the folder has moved
            del sys.modules[label]
        else:
            problem = f"imports {label} from {path}, but {label} is {present} in this process"
            raise InputError(problem, key=place, accepted="another name for one of the two files")


def _forget(known: _Loaded) -> None:
    """Forget modules, so that they are imported again."""
    for label, path in known.files.items():
        present = getattr(sys.modules.get(label), "__file__", None)
        if present is not None and Path(present).resolve() == path and label != "__main__":
            del sys.modules[label]
    sys.modules.pop(known.module.__name__, None)
    importlib.invalidate_caches()


@contextlib.contextmanager
def _first_in_path(folder: Path) -> Iterator[None]:
    """Look for modules in a folder first, as Python does for a script, and later last, for imports in functions."""
    writes = sys.dont_write_bytecode
    place = str(folder)
    sys.path.insert(0, place)
    sys.dont_write_bytecode = True  # see `_Loader`
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(place)
        add_folder(place)
