"""Kinds by name: a literal table, what is registered by hand, and what installed packages bring.

A group, such as "mobility", has kinds. A kind is one class. A package brings one with an entry point of the group
``vectwin.mobility``; a script with `Registry.register`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any, Literal

from physical.errors import InputError
from physical.extras import needs, not_installed
from physical.nearest import did_you_mean
from physical.printable import one_line

EngineName = Literal["columns", "events"]
ENGINES: tuple[EngineName, ...] = ("columns", "events")
"""The engines that run scenarios; a kind may be known to one of them only."""
USUAL_ENGINE = ENGINES[0]
"""The engine that runs a scenario where nothing speaks against it."""
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True)
class KindSpec:
    """Where a kind is, what it does, and which extra it needs.

    Parameters
    ----------
    name : what scenarios and the command line call it
    target : ``module:attr``, imported when the kind is used; or the class itself
    summary : one line
    extra : the extra of vectwin whose libraries it needs; "" for none
    package : the installed package that brings it; "" for one of ours, and for one that was registered by hand
    """

    name: str
    target: Any
    summary: str
    extra: str = ""
    package: str = ""

    @property
    def installed(self) -> bool:
        """Whether the libraries of the extra are there."""
        return not self.not_installed()

    def not_installed(self) -> list[str]:
        """Return the libraries of the extra that are not there."""
        return not_installed(self.extra)


def _said(error: BaseException) -> str:
    try:
        return one_line(f"{type(error).__name__}: {error}")
    except Exception:  # its words are somebody else's code, too
        return "an error without words"


class Registry:
    """The kinds of one group, by name.

    Parameters
    ----------
    group : its name; packages announce kinds under ``vectwin.<group>``
    noun : what errors call one of its kinds: "there is no policy 'x'"
    built_in : kinds of ours; nobody else takes their names
    reason : puts what the import of somebody else's module has raised into words
    """

    def __init__(
        self, group: str, noun: str, built_in: Iterable[KindSpec], reason: Callable[[BaseException], str] = _said
    ) -> None:
        self.group = group
        self.noun = noun
        self._built_in = {kind.name: kind for kind in built_in}
        self._by_hand: dict[str, KindSpec] = {}
        self._installed: dict[str, KindSpec] | None = None
        self.reason = reason

    @property
    def entry_point_group(self) -> str:
        """Under what packages announce their kinds."""
        return f"vectwin.{self.group}"

    def register(self, name: str, target: str | Callable[..., Any], summary: str = "", extra: str = "") -> None:
        """Add a kind under a name of its own: a class, or ``module:attr``.

        The same target may be registered again, by the same file under another module's name, too: a script is
        imported once more by its workers.

        Raises
        ------
        InputError : the name is another target's, or has other characters than ``a-z 0-9 - _``
        """
        if not _is_name(name):
            accepted = "lower-case letters, digits, - and _"
            raise InputError(f"{name!r} is not a {self.noun} name", where="register", accepted=accepted)
        known = self.kinds().get(name)
        if known is not None and not _is_same(known.target, target):
            raise InputError(f"there is a {self.noun} {name!r} already", where="register")
        self._by_hand[name] = KindSpec(name, target, summary, extra)

    def kinds(self) -> dict[str, KindSpec]:
        """Return all known kinds by name: built in, then registered, then from installed packages."""
        found = {**self._built_in, **self._by_hand}
        for kind in self._from_packages().values():
            found.setdefault(kind.name, kind)
        return found

    def names(self) -> list[str]:
        """Return the names of all known kinds."""
        return list(self.kinds())

    def is_built_in(self, name: str) -> bool:
        """Whether a kind is one of ours."""
        return name in self._built_in

    def built_in(self) -> tuple[KindSpec, ...]:
        """Return the kinds of ours."""
        return tuple(self._built_in.values())

    def registered(self) -> tuple[KindSpec, ...]:
        """Return the kinds that were registered by hand in this process."""
        return tuple(kind for name, kind in self._by_hand.items() if name not in self._built_in)

    def add(self, kind: KindSpec) -> None:
        """Register what another process of ours has registered."""
        self._by_hand[kind.name] = kind

    def get(self, name: str) -> KindSpec | None:
        """Return a kind, or None; packages are looked through only for a name that is not known without them."""
        return self._by_hand.get(name) or self._built_in.get(name) or self._from_packages().get(name)

    def unknown(self, name: str, *, more: str = "") -> InputError:
        """Return the error that there is no kind of a name; it names those that are like it.

        more : what is accepted besides the names

        >>> print(Registry("colours", "colour", [KindSpec("red", dict, "")]).unknown("rad"))
        there is no colour 'rad'; did you mean red? (accepted: red)
        """
        known = self.names()
        hint = did_you_mean(name, known, num_name=3, cutoff=0.5)
        self.forget_packages()  # a notebook may install the package now, and ask again
        return InputError(f"there is no {self.noun} {name!r}{hint}", accepted=f"{', '.join(known)}{more}")

    def load(self, kind: KindSpec) -> Any:
        """Import a kind's class; whatever its module raises is the answer, in one line.

        Raises
        ------
        InputError : a missing extra, a module that cannot be imported or does not have the class
        """
        if not isinstance(kind.target, str):
            return kind.target
        module_name, _, attribute = kind.target.partition(":")
        for library in kind.not_installed():  # the module itself may import its library only when it is used
            raise needs(kind.extra, f"No module named {library!r}", key=kind.name)
        try:
            loaded: Any = importlib.import_module(module_name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a third party's module may raise anything
            reason = self.reason(error)
            if kind.extra and isinstance(error, ImportError):
                raise needs(kind.extra, error, key=kind.name) from error
            raise InputError(f"{module_name} cannot be imported: {reason}", key=kind.name) from error
        for part in attribute.split("."):
            if not hasattr(loaded, part):
                named = attribute or "attribute, the target names none"
                raise InputError(f"{module_name} has no {named}", key=kind.name)
            loaded = getattr(loaded, part)
        if not callable(loaded):
            raise InputError(f"{kind.target} is not a class", key=kind.name)
        return loaded

    def forget_packages(self) -> None:
        """Look for installed packages again when somebody asks next."""
        self._installed = None

    def _from_packages(self) -> dict[str, KindSpec]:
        """Return what installed packages bring; nothing is imported, so that a broken one shows when it is used."""
        if self._installed is None:
            found: dict[str, KindSpec] = {}
            for entry in _entries(self.entry_point_group):
                package = entry.dist.name if entry.dist else "an installed package"
                target = entry.value.partition("[")[0].strip()  # a value may end with extras
                found.setdefault(entry.name, KindSpec(entry.name, target, f"from {package}", package=package))
            self._installed = found
        return self._installed


def _entries(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group, also where one is malformed.

    importlib_metadata, which Dask imports, refuses all entry points of a package for one that is malformed.
    """
    try:
        return entry_points(group=group)
    except ValueError:
        return [entry for package in distributions() for entry in _entries_of(package, group)]


def _entries_of(package: Distribution, group: str) -> Iterable[EntryPoint]:
    try:
        return package.entry_points.select(group=group)
    except ValueError:
        told = ConfigParser(delimiters="=", interpolation=None)
        told.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capital letters
        told.read_string(package.read_text("entry_points.txt") or "")
        named = told[group].items() if group in told else ()
        return [EntryPoint(name, value, group)._for(package) for name, value in named]  # type: ignore[attr-defined]  # as the library does


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name) and _NAME.issuperset(name)


def _is_same(known: object, target: object) -> bool:
    """Whether two targets are the same: in the same file, or module without one, with the same qualified name."""
    if known is target or known == target:
        return True
    place = _place_of(known)
    return place is not None and place == _place_of(target)


def _place_of(target: object) -> tuple[str, str] | None:
    """Return file, or else module, and qualified name of a target; None for what a function made."""
    if isinstance(target, str):
        name, _, qualified = target.partition(":")
    else:
        name, qualified = getattr(target, "__module__", ""), getattr(target, "__qualname__", "<")
    if "<" in qualified:
        return None
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None and isinstance(target, str) and name.isidentifier():  # of a package's module, finding is importing
        with contextlib.suppress(ImportError, ValueError):
            file = getattr(importlib.util.find_spec(name), "origin", None)
    return (str(Path(file).resolve()) if file else name), qualified
