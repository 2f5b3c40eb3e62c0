"""Policies by name: one literal table, options in the name, third parties through entry points."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from physical.errors import InputError, expected
from physical.nearest import did_you_mean
from physical.printable import one_line
from physical.registry import KindSpec, Registry
from policies.api import Policy
from policies.foreign.by_path import Reference, load_reference, reference, with_comma
from policies.foreign.closure import is_own_code
from policies.foreign.mistakes import is_plain, named, offers, said, told
from policies.foreign.strangers import class_name
from policies.foreign.surroundings import executed

_METHODS = "reset(system, seed) and decide(snapshot)"


PolicySpec = KindSpec
"""Where a policy is, what it does, and which extra it needs; one by path has a `Reference` as its target."""

_BUILT_IN = (
    PolicySpec("local-only", "policies.baselines:LocalOnly", "every task runs on its vehicle"),
    PolicySpec("edge-equal", "policies.baselines:EdgeEqual", "every task is offloaded, equal shares of the server"),
    PolicySpec("random", "policies.baselines:Random", "uniform ratios, random shares of the server"),
    PolicySpec("greedy-latency", "policies.baselines:GreedyLatency", "offload what then ends sooner"),
    PolicySpec("greedy-cost", "policies.baselines:GreedyCost", "offload what then costs less QoS, energy and misses"),
    PolicySpec("p2-exact", "policies.optimal.p2_exact:P2Exact", "dtecn: the optimum of the slot, with a certified gap"),
    PolicySpec("p2-slsqp", "policies.optimal.p2_slsqp:P2Slsqp", "dtecn: the slot by a general solver, with a gap"),
    PolicySpec(
        "nearest-case", "policies.cases.policies:NearestCase", "copies the decision of the most similar known case"
    ),
    PolicySpec("mean-case", "policies.cases.policies:MeanCase", "the mean of all known cases' decisions"),
    PolicySpec("layers-exact", "policies.optimal.layers.exact:LayersExact", "llm6g: the optimum, with a certified gap"),
    PolicySpec("ao-sqp-fp", "policies.optimal.layers.alternating:AoSqpFp", "llm6g: the paper's algorithm"),
    PolicySpec("rlor", "policies.optimal.layers.schemes:Rlor", "llm6g: random layers, optimal resources"),
    PolicySpec("rrlo", "policies.optimal.layers.schemes:Rrlo", "llm6g: random resources, optimal layers"),
    PolicySpec(
        "apg", "policies.marl.apg:Apg", "dtecn: one actor for any number of vehicles, analytic gradient", "marl"
    ),
    PolicySpec("maddpg", "policies.marl.maddpg:Maddpg", "dtecn: an actor per vehicle, centralised critic", "marl"),
    PolicySpec("ddpg", "policies.marl.ddpg:Ddpg", "dtecn: one actor on local information", "marl"),
    PolicySpec("llm", "policies.llm.policy:Llm", "dtecn: a quantised Llama decides in context", "llm"),
)
POLICIES = Registry("policies", "policy", _BUILT_IN, named)
"""Every policy that has a name."""
register = POLICIES.register
"""Add a policy under a name of its own; packages do the same with the entry-point group ``vectwin.policies``."""


def specs() -> dict[str, PolicySpec]:
    """Return all known policies by name: built in, registered, and from installed packages."""
    return POLICIES.kinds()


def names() -> list[str]:
    """Return the names of all known policies.

    >>> "edge-equal" in names()
    True
    """
    return POLICIES.names()


def make(text: str, *, where: str = "--policy", by_path: bool = False) -> Policy:
    """Make the policy that `text` names: ``name`` or ``name:option=value,option=value``.

    Parameters
    ----------
    text : names a policy
    where : the place that errors name
    by_path : ``./policy.py:Class,option=value`` and ``module:Class`` name policies, too, whose code is run. Only for
        what the user wrote: never for what a file says

    Raises
    ------
    InputError : unknown name (with the nearest ones), missing extra (with the pip command), unknown or wrong option,
        a file that cannot be imported or does not have the class

    >>> make("random:ratio=0.5")
    Traceback (most recent call last):
    physical.errors.InputError: --policy: random: there is no option 'ratio' (accepted: no options)
    """
    try:
        found = look_up(text, by_path=by_path)
        return _construct(load(found.spec), found.spec.name, found.options)
    except InputError as error:
        error.where = error.where or where
        raise


class Named(NamedTuple):
    """What a policy's text names.

    spec : the policy
    options : texts by option, not yet looked at
    """

    spec: PolicySpec
    options: dict[str, str]


def look_up(text: str, *, by_path: bool = False) -> Named:
    """Read ``name:option=value,option=value``, with `by_path` also what `make` says; nothing is imported.

    Raises
    ------
    InputError : unknown name, something that is not an option, a policy by path that may not be one
    """
    name, _, option_text = text.partition(":")
    name = name.strip()
    spec = POLICIES.get(name)
    if spec is not None:
        return Named(spec, _parse_options(option_text, name))
    found = reference(text)
    if found is None and (near_text := with_comma(text)):
        raise InputError(f"{text!r} names no class; did you mean {near_text}?", accepted="a comma before the options")
    if found is None and name.endswith(".py"):
        problem, accepted = f"{text!r} names no class", f"{name}:CLASS[,OPTION=VALUE,...]"
        raise InputError(problem, accepted=accepted)
    if found is not None and by_path:
        return Named(PolicySpec(found.name, found, ""), _parse_options(found.options, found.name))
    if found is not None and found.has_file():
        accepted = "the name of a policy, see twin policies; one by path goes with --policy, or with run() in Python"
        raise InputError(f"{found.name!r} is a policy by path", accepted=accepted)
    is_class = by_path and name.isidentifier() and not name.islower()
    raise POLICIES.unknown(name, more=f"; of a file of yours: ./policy.py:{name}" if is_class else "")


def resolved(text: str) -> str:
    """Return a policy's text so that it means the same in another folder; names and wrong texts stay as they are."""
    try:
        target = look_up(text, by_path=True).spec.target
    except InputError:
        return text
    if not isinstance(target, Reference) or (file := target.file()) is None:
        return text
    return target._replace(place=str(file)).text


def load(spec: PolicySpec) -> Callable[..., Any]:
    """Import a policy's class; whatever its module raises is the answer, in one line.

    Raises
    ------
    InputError : a missing extra, a module that cannot be imported or does not have the class
    """
    if isinstance(spec.target, Reference):
        return load_reference(spec.target)
    loaded: Callable[..., Any] = POLICIES.load(spec)
    return loaded


def _parse_options(text: str, name: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in text.split(",") if text else []:
        key, equals, value = part.partition("=")
        option = key.strip().replace("-", "_")
        if not equals or not option:
            raise InputError(f"{part!r} is not an option", key=name, accepted="option=value")
        if option in options:
            raise InputError(f"option {option!r} is given twice", key=name)
        options[option] = value.strip()
    return options


def parameters_of(policy_type: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the options of a policy with their defaults."""
    try:
        parameters = inspect.signature(policy_type).parameters
    except ValueError:  # a type written in C
        return {}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: parameter for name, parameter in parameters.items() if parameter.kind in by_name}


def _construct(policy_type: Callable[..., Any], name: str, options: dict[str, str]) -> Policy:
    parameters = parameters_of(policy_type)
    for key in options:
        if key not in parameters:
            problem = f"there is no option {key!r}{did_you_mean(key, parameters)}"
            raise InputError(problem, key=name, accepted=", ".join(parameters) or "no options")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in options:
            raise _missing(policy_type, name, key)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is no answer
            policy = executed(policy_type(**_typed(policy_type, name, options)))
    except (ValueError, OSError) as error:
        if is_plain(error):
            raise
        raise InputError(one_line(said(error)), key=name) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if is_own_code(policy_type):
            if isinstance(error, TypeError):  # of a value that an option cannot have
                raise InputError(str(error), key=name) from error
            raise
        raise InputError(f"cannot be made: {told(error, policy_type)}", key=name) from error
    if not offers(policy, Policy):
        made = "" if isinstance(policy_type, type) else f"is a function; the {class_name(policy)} that it returns "
        raise InputError(f"{made}is not a policy: it needs {_METHODS}", key=name)
    found: Policy = policy
    return found


def _missing(policy_type: Callable[..., Any], name: str, option: str) -> InputError:
    """Return the error for an option that has no default and is not given."""
    if isinstance(policy_type, type):
        separator = "," if ":" in name else ":"  # a policy by path has a colon already
        return InputError(f"option {option!r} is missing", key=name, accepted=f"{name}{separator}{option}=...")
    problem = f"is a function, and its argument {option!r} is missing"
    return InputError(problem, key=name, accepted=f"a class with {_METHODS}")


def _typed(policy_type: Callable[..., Any], name: str, options: dict[str, str]) -> dict[str, Any]:
    """Convert option texts to the types that the constructor declares; without a declaration they stay texts."""
    hints = declared_types(policy_type)
    config = ConfigDict(arbitrary_types_allowed=True)
    typed: dict[str, Any] = {}
    for key, value in options.items():
        try:
            typed[key] = TypeAdapter(hints.get(key, str), config=config).validate_python(value)
        except ValidationError as error:
            accepted = expected(error.errors()[0]["msg"])
            raise InputError(f"{value!r} is wrong", key=f"{name}.{key}", accepted=accepted) from error
    return typed


def declared_types(policy_type: Callable[..., Any]) -> dict[str, Any]:
    """Return the declared types of the options: of the fields of a dataclass, of the arguments otherwise."""
    hints = get_type_hints(policy_type) if dataclasses.is_dataclass(policy_type) else {}
    constructor: Any = getattr(policy_type, "__init__", None) if isinstance(policy_type, type) else policy_type
    with contextlib.suppress(NameError):  # a type that is only imported for the type checker
        hints |= get_type_hints(constructor)
    return hints


def construct(policy_type: Callable[..., Any], name: str) -> Policy:
    """Make a policy of a class that a caller has at hand, without options; `name` is what errors name.

    Raises
    ------
    InputError : it cannot be made, or is not a policy
    """
    if not callable(policy_type):
        problem = f"an object of type {class_name(policy_type)} is not a policy: it needs {_METHODS}"
        raise InputError(problem, key=name, accepted="names, paths, classes and objects")
    for option, parameter in parameters_of(policy_type).items():
        if parameter.default is parameter.empty and isinstance(policy_type, type):
            accepted = f"an object: {class_name(policy_type)}({option}=...)"
            raise InputError(f"option {option!r} is missing", key=name, accepted=accepted)
    return _construct(policy_type, name, {})
