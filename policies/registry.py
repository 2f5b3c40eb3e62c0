"""Policies by name: one literal table, options in the name, third parties through entry points."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from physical.errors import InputError
from policies.api import Policy

ENTRY_POINT_GROUP = "vectwin.policies"


@dataclass(frozen=True)
class PolicySpec:
    """Where a policy is, what it does, and which extra it needs.

    target : ``module:attr``, imported when the policy is made
    """

    name: str
    target: str
    summary: str
    extra: str = ""


_BUILT_IN = (
    PolicySpec("local-only", "policies.baselines:LocalOnly", "every task runs on its vehicle"),
    PolicySpec("edge-equal", "policies.baselines:EdgeEqual", "every task is offloaded, equal shares of the server"),
    PolicySpec("random", "policies.baselines:Random", "uniform ratios, random shares of the server"),
    PolicySpec("greedy-latency", "policies.baselines:GreedyLatency", "offload what then ends sooner"),
    PolicySpec("greedy-cost", "policies.baselines:GreedyCost", "offload what then costs less QoS, energy and misses"),
)
_registered: dict[str, PolicySpec] = {spec.name: spec for spec in _BUILT_IN}


def register(name: str, target: str, summary: str = "", extra: str = "") -> None:
    """Add a policy under a name of its own; packages do the same with the entry-point group ``vectwin.policies``."""
    if name in specs():
        raise InputError(f"there is a policy {name!r} already", where="register")
    if not name or not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_"):
        accepted = "lower-case letters, digits, - and _"
        raise InputError(f"{name!r} is not a policy name", where="register", accepted=accepted)
    _registered[name] = PolicySpec(name, target, summary, extra)


def specs() -> dict[str, PolicySpec]:
    """Return all known policies by name: built in, registered, and from installed packages."""
    found = dict(_registered)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        package = entry.dist.name if entry.dist else "an installed package"
        found.setdefault(entry.name, PolicySpec(entry.name, entry.value, f"from {package}"))
    return found


def names() -> list[str]:
    """Return the names of all known policies.

    >>> "edge-equal" in names()
    True
    """
    return list(specs())


def make(text: str) -> Policy:
    """Make the policy that `text` names: ``name`` or ``name:option=value,option=value``.

    Raises
    ------
    InputError : unknown name (with the nearest ones), missing extra (with the pip command), unknown or wrong option
    """
    name, _, option_text = text.partition(":")
    known = specs()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise InputError(f"there is no policy {name!r}{hint}", where="--policy", accepted=", ".join(known))
    policy_type = _load(known[name])
    return _construct(policy_type, name, _parse_options(option_text, name))


def _load(spec: PolicySpec) -> Callable[..., Any]:
    module_name, _, attribute = spec.target.partition(":")
    try:
        loaded = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        if spec.extra:
            command = f'pip install "vectwin[{spec.extra}]"'
            raise InputError(f"policy {spec.name} needs the extra {spec.extra}: {command}", where="--policy") from error
        raise InputError(f"policy {spec.name} cannot be imported: {error}", where="--policy") from error
    except AttributeError as error:
        raise InputError(f"policy {spec.name}: {module_name} has no {attribute}", where="--policy") from error
    if not callable(loaded):
        raise InputError(f"policy {spec.name}: {spec.target} is not a class", where="--policy")
    made: Callable[..., Any] = loaded
    return made


def _parse_options(text: str, name: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in text.split(",") if text else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{part!r} is not an option", where="--policy", key=name, accepted="option=value")
        options[key.strip().replace("-", "_")] = value.strip()
    return options


def option_names(policy_type: Callable[..., Any]) -> list[str]:
    """Return the options of a policy: the arguments of its constructor."""
    return list(inspect.signature(policy_type).parameters)


def _construct(policy_type: Callable[..., Any], name: str, options: dict[str, str]) -> Policy:
    accepted = option_names(policy_type)
    for key in options:
        if key not in accepted:
            problem = f"there is no option {key!r}"
            raise InputError(problem, where="--policy", key=name, accepted=", ".join(accepted) or "no options")
    try:
        policy = policy_type(**_typed(policy_type, options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([name, *(str(part) for part in first["loc"])])
        raise InputError(f"{first['input']!r}: {first['msg']}", where="--policy", key=key) from error
    except (TypeError, ValueError) as error:
        raise InputError(str(error), where="--policy", key=name) from error
    if not isinstance(policy, Policy):
        raise InputError("has no reset(system, seed) and decide(snapshot)", where="--policy", key=name)
    return policy


def _typed(policy_type: Callable[..., Any], options: dict[str, str]) -> dict[str, Any]:
    """Convert option texts to the annotated types of a dataclass; other classes get them as text."""
    if not dataclasses.is_dataclass(policy_type):
        return dict(options)
    hints = get_type_hints(policy_type)
    config = ConfigDict(arbitrary_types_allowed=True)
    typed: dict[str, Any] = {}
    for key, value in options.items():
        typed[key] = TypeAdapter(hints.get(key, str), config=config).validate_python(value)
    return typed
