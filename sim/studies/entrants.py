"""The policies that take part in a comparison: by name, by path, or as classes and objects of the user."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from types import FunctionType
from typing import Any

from physical.errors import InputError
from policies import registry
from policies.api import Policy
from policies.foreign.by_path import reference
from policies.foreign.origin import REACHED, NoSourceError, contents, portable
from policies.foreign.strangers import class_name
from sim.scenario.kinds import GROUPS, named_kinds, registered
from sim.scenario.scenario import Scenario
from sim.studies.contents import digest_of
from sim.studies.travel import Carried, pickled, unpickled

AnyPolicy = str | Callable[..., Any] | Policy
"""Name with options, path with a class and options, class (or anything that makes one when called), or object."""
Policies = Iterable[AnyPolicy] | Mapping[str, AnyPolicy]
"""Policies, or a mapping from the names in tables to policies."""


Contents = tuple[tuple[str, str], ...]

_NUM_MAX = 1_000
"""Largest number of policies, so that an endless generator ends."""


@dataclass(frozen=True)
class Entrant:
    """One policy of a comparison, as data that can be sent to other processes.

    Parameters
    ----------
    name : its name in tables
    text : what `policies.make` reads, with absolute paths; empty for an object
    pickled : the class or object; empty for a text
    known : the policies and other kinds that were registered by hand, pickled
    contents : digests of its code and of the files that it names, by label, see `policies.foreign.origin`
    is_fixed : whether its code is sent along, so that later changes of files do not matter
    value : everything else on which it depends: its text without folders, its state
    """

    name: str
    text: str
    pickled: bytes
    known: bytes
    contents: Contents
    is_fixed: bool
    value: str

    @property
    def digest(self) -> str:
        """Digest of everything on which its decisions depend, besides scenario and seed."""
        return digest_of([self.value, self.contents])

    def make(self) -> Policy:
        """Make a new policy, in any process; an object is copied.

        Raises
        ------
        InputError : it cannot be made
        """
        self.register()
        if self.text:
            return registry.make(self.text, where=self.name, by_path=True)
        made = unpickled(self.pickled)
        if isinstance(made, type) or not isinstance(made, Policy):
            made = registry.construct(made, self.name)
        return made

    def register(self) -> None:
        """Let this process know the kinds that were registered by hand where the entrant was made."""
        if self.known:
            _register(self.known)

    def changed(self) -> list[str]:
        """Return the labels of contents that have changed since the entrant was made, and of code that is new."""
        if self.is_fixed:
            return []
        now, before = self._contents_now(), dict(self.contents)
        # A module may import more than its source names, depending on what has run. Such a module may come or go.
        gone = {label for label in before if label not in now and label.endswith(REACHED)}
        new = [label for label in now if label not in before and is_code(label) and not label.endswith(REACHED)]
        return [label for label, found in before.items() if now.get(label) != found and label not in gone] + new

    def as_it_is_now(self) -> Entrant:
        """Return the same entrant with the present contents of its files; new files are left out."""
        if self.is_fixed:
            return self
        now = self._contents_now()
        return replace(self, contents=tuple((label, now.get(label, found)) for label, found in self.contents))

    def _contents_now(self) -> dict[str, str]:
        return contents(self.text or unpickled(self.pickled), by_path=True)


def is_code(label: str) -> bool:
    """Tell whether a label of `policies.foreign.origin.contents` names a module; other labels name options."""
    return label.startswith("module ")


def entrants(policies: Policies, where: str = "--policies") -> tuple[Entrant, ...]:
    """Return the policies that take part; each is made once, to see whether it can be made.

    where : the option that errors name

    Raises
    ------
    InputError : there is no policy, a name occurs twice, a policy cannot be made
    """
    if isinstance(policies, str) or not isinstance(policies, Iterable):
        raise InputError(f"{policies!r} is no list", where=where, accepted='for instance ["p2-exact", "random"]')
    given = policies.items() if isinstance(policies, Mapping) else ((_name(policy), policy) for policy in policies)
    named = [(str(name), policy) for name, policy in islice(given, _NUM_MAX + 1)]
    names = [name for name, _ in named]
    if not names:
        raise InputError("nobody takes part", where=where, accepted='for instance ["p2-exact", "random"]')
    if len(names) > _NUM_MAX:
        raise InputError("are too many", where=where, accepted=f"at most {_NUM_MAX}")
    for name, num in Counter(names).items():
        if num > 1:
            accepted = 'names of their own: {"one": ..., "other": ...}'
            raise InputError(f"{name!r} is given twice", where=where, accepted=accepted)
    known = _known_by_hand()
    found = []
    for name, policy in named:
        try:
            found.append(_entrant(name, policy, known))
            found[-1].make()
        except InputError as error:
            if error.where in {"", name}:
                error.where = where
            raise (_as_given(error, policy) if isinstance(policy, str) else error) from error.__cause__
    return tuple(found)


def _as_given(error: InputError, text: str) -> InputError:
    """Return an error that names a file by the user's path, not by the absolute one."""
    found = reference(text)
    if found is None or (file := found.file()) is None:
        return error
    told = {"problem": error.problem, "where": error.where, "key": error.key, "accepted": error.accepted}
    told = {name: part.replace(f"{file}:", f"{found.place}:") for name, part in told.items()}
    told["key"] = found.place if told["key"] == str(file) else told["key"]
    return InputError(told.pop("problem"), **told)


def _name(policy: AnyPolicy) -> str:
    if isinstance(policy, str):
        return policy
    return policy.__name__ if type(policy) is FunctionType else class_name(policy)


def entrant_of(text: str) -> Entrant:
    """Return a policy that a scenario names; a scenario names no policy by path.

    Raises
    ------
    InputError : there is no such policy
    """
    return _of_text(text, text, _known_by_hand(), by_path=False)


def _of_text(name: str, text: str, known: bytes, *, by_path: bool) -> Entrant:
    by_hand = text.partition(":")[0].strip() in {spec.name for spec in registry.POLICIES.registered()}
    try:
        found, value = contents(text, by_path=by_path), portable(text)
    except NoSourceError as error:  # it was registered in a notebook
        found, value = error.found, f"{portable(text)} {Carried(known, by_value=True).digest}"
    return Entrant(name, text, b"", known, tuple(found.items()), by_hand, value)


def _entrant(name: str, policy: AnyPolicy, known: bytes) -> Entrant:
    if isinstance(policy, str):
        return _of_text(name, registry.resolved(policy), known, by_path=True)
    carried = pickled(policy, name)
    kind = policy if isinstance(policy, type) else type(policy)
    try:
        found = contents(policy)
    except NoSourceError as error:
        found = error.found
    # The bytes hold the state of an object and the values that a class refers to. Its files may have changed since.
    # A script may read what its command line says.
    value = [kind.__qualname__, *(sys.argv[1:] if kind.__module__ == "__main__" else ()), carried.digest]
    return Entrant(name, "", carried.data, known, tuple(found.items()), carried.by_value, digest_of(value))


def _known_by_hand() -> bytes:
    """Pickle what was registered by hand, policies and other kinds, because scenarios may name it too."""
    groups = registered()
    return pickled(groups, "register").data if groups else b""


def digests_by_hand(scenario: Scenario) -> dict[str, str]:
    """Return digests of the kinds that a scenario names and that were registered by hand: their code travels along."""
    found = {}
    for _, registry_, kind in named_kinds(scenario):
        if kind.kind in {spec.name for spec in registry_.registered()}:
            found[f"{registry_.group} {kind.kind}"] = pickled(type(kind), kind.kind).digest
    return found


@cache
def _register(known: bytes) -> None:
    """Register, once per process, the kinds that are known to the process that made the jobs."""
    for group, specs in unpickled(known).items():
        for spec in specs:
            GROUPS[group].registry.add(spec)
