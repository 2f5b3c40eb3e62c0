"""Who takes part in a comparison: policies by name, by path, or as classes and objects of one's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from physical.errors import InputError
from policies import registry
from policies.api import Policy
from policies.origin import NoSourceError, contents, portable
from sim.contents import digest_of
from sim.travel import pickled, unpickled

AnyPolicy = str | Callable[..., Any] | Policy
"""Name with options, path with a class and options, class (or anything that makes one when called), or object."""
Policies = Sequence[AnyPolicy] | Mapping[str, AnyPolicy]
"""Policies, or policies by the names that tables call them."""


@dataclass(frozen=True)
class Entrant:
    """One policy of a comparison, as data that travel to other processes.

    Parameters
    ----------
    name : what tables call it
    text : what `policies.make` reads, with absolute paths; empty for an object
    pickled : the class or object; empty for a text
    known : policies that were registered by hand, pickled
    digest : of its code and of the files that it names
    """

    name: str
    text: str
    pickled: bytes
    known: bytes
    digest: str

    def make(self) -> Policy:
        """Make the policy anew, in any process; an object is a copy of that which was given.

        Raises
        ------
        InputError : it cannot be made
        """
        if self.known:
            _register(self.known)
        if self.text:
            return registry.make(self.text, where=self.name, by_path=True)
        made = unpickled(self.pickled)
        if isinstance(made, type) or not isinstance(made, Policy):
            made = registry.construct(made, self.name)
        return made


def entrants(policies: Policies, where: str = "--policies") -> tuple[Entrant, ...]:
    """Return who takes part; each policy is made once, to see that it can be.

    where : what errors name

    Raises
    ------
    InputError : nobody, the same name twice, a policy that cannot be made
    """
    named = (
        [(_name(policy), policy) for policy in policies] if not isinstance(policies, Mapping) else [*policies.items()]
    )
    names = [name for name, _ in named]
    if not names or isinstance(policies, str):
        raise InputError("nobody takes part", where=where, accepted='a list, for instance ["p2-exact", "random"]')
    for name in names:
        if names.count(name) > 1:
            accepted = 'names of their own: {"one": ..., "other": ...}'
            raise InputError(f"{name!r} is given twice", where=where, accepted=accepted)
    known = _known_by_hand()
    found = tuple(_entrant(name, policy, known) for name, policy in named)
    for entrant in found:
        try:
            entrant.make()
        except InputError as error:
            if error.where == entrant.name:
                error.where = where
            raise
    return found


def _name(policy: AnyPolicy) -> str:
    if isinstance(policy, str):
        return policy
    return str(getattr(policy, "__name__", None) or type(policy).__name__)


def _entrant(name: str, policy: AnyPolicy, known: bytes) -> Entrant:
    if isinstance(policy, str):
        return Entrant(name, registry.resolved(policy), b"", known, digest_of([portable(policy), contents(policy)]))
    data = pickled(policy, name)
    return Entrant(name, "", data, known, _digest_of_object(policy, data))


def _digest_of_object(policy: Any, data: bytes) -> str:
    """Return the digest of a class by its source, with its values where it may have any beside.

    An object has its state, a class within a function the values there: the pickle has these. A script may read what
    its command line says.
    """
    kind = policy if isinstance(policy, type) else type(policy)
    by_value = not isinstance(policy, type) or "<locals>" in kind.__qualname__
    try:
        parts: list[Any] = [contents(policy)]
    except NoSourceError as error:
        parts, by_value = [error.found], True
    if kind.__module__ == "__main__":
        parts.append(sys.argv[1:])
    if by_value:
        parts.append(data.hex())
    return digest_of([f"{kind.__qualname__}", *parts])


def _known_by_hand() -> bytes:
    """Pickle the policies that were registered by hand: scenarios may name them, too."""
    specs = registry.registered()
    return pickled(specs, "register") if specs else b""


@cache
def _register(known: bytes) -> None:
    """Register, once per process, what the process that made the jobs knows."""
    for spec in unpickled(known):
        registry.add(spec)
