"""Policies by name: one literal table, options in the name, third parties through entry points."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from physical.errors import InputError, expected
from physical.printable import one_line
from policies.api import Policy
from policies.extras import needs
from policies.foreign.by_path import Reference, load_reference, reference, with_comma
from policies.foreign.closure import is_own_code
from policies.foreign.mistakes import is_plain, named, offers, said, told
from policies.foreign.strangers import class_name
from policies.foreign.surroundings import executed

ENTRY_POINT_GROUP = "vectwin.policies"
_METHODS = "reset(system, seed) and decide(snapshot)"
_EXTRA_MODULES = {"marl": ("torch", "safetensors"), "llm": ("llama_cpp",)}


@dataclass(frozen=True)
class PolicySpec:
    """Where a policy is, what it does, and which extra it needs.

    target : ``module:attr``, imported when the policy is made; or the class itself, or the file where it is
    """

    name: str
    target: str | Reference | Callable[..., Any]
    summary: str
    extra: str = ""

    @property
    def installed(self) -> bool:
        """Whether the libraries of the extra are there."""
        return not self.not_installed()

    def not_installed(self) -> list[str]:
        """Return the libraries of the extra that are not there."""
        return [name for name in _EXTRA_MODULES.get(self.extra, ()) if importlib.util.find_spec(name) is None]


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
_registered: dict[str, PolicySpec] = {spec.name: spec for spec in _BUILT_IN}


def register(name: str, target: str | Callable[..., Any], summary: str = "", extra: str = "") -> None:
    """Add a policy under a name of its own: a class, or ``module:attr``.

    The same target may be registered again, by the same file under another module's name, too: a script is imported
    once more by its workers. Packages do the same with the entry-point group ``vectwin.policies``.

    Raises
    ------
    InputError : the name is another target's, or has other characters than ``a-z 0-9 - _``
    """
    known = specs().get(name)
    if known is not None and not _is_same(known.target, target):
        raise InputError(f"there is a policy {name!r} already", where="register")
    if not name or not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_"):
        accepted = "lower-case letters, digits, - and _"
        raise InputError(f"{name!r} is not a policy name", where="register", accepted=accepted)
    _registered[name] = PolicySpec(name, target, summary, extra)


def _is_same(known: str | Reference | Callable[..., Any], target: str | Reference | Callable[..., Any]) -> bool:
    """Whether two targets are the same: in the same file, or module without one, with the same qualified name."""
    if known is target or known == target:
        return True
    place = _place_of(known)
    return place is not None and place == _place_of(target)


def _place_of(target: str | Reference | Callable[..., Any]) -> tuple[str, str] | None:
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


@cache
def _installed_specs() -> tuple[PolicySpec, ...]:
    """List what installed packages offer; nothing is imported, so that a broken one shows when it is used."""
    found = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        package = entry.dist.name if entry.dist else "an installed package"
        target = entry.value.partition("[")[0].strip()  # a value may end with extras
        found.append(PolicySpec(entry.name, target, f"from {package}"))
    return tuple(found)


def specs() -> dict[str, PolicySpec]:
    """Return all known policies by name: built in, registered, and from installed packages."""
    found = dict(_registered)
    for spec in _installed_specs():
        found.setdefault(spec.name, spec)
    return found


def names() -> list[str]:
    """Return the names of all known policies.

    >>> "edge-equal" in names()
    True
    """
    return list(specs())


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
        named = look_up(text, by_path=by_path)
        return _construct(load(named.spec), named.spec.name, named.options)
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
    known = _known(name)
    if name in known:
        return Named(known[name], _parse_options(option_text, name))
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
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    is_class = by_path and name.isidentifier() and not name.islower()
    of_file = f"; of a file of yours: ./policy.py:{name}" if is_class else ""
    raise InputError(f"there is no policy {name!r}{hint}", accepted=f"{', '.join(known)}{of_file}")


def _known(name: str) -> dict[str, PolicySpec]:
    """Return policies by name; all of them only if need be: looking through packages takes as long as a short run."""
    return _registered if name in _registered else specs()


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
    if not isinstance(spec.target, str):
        return spec.target
    module_name, _, attribute = spec.target.partition(":")
    for library in spec.not_installed():  # the module itself may import its library only when it decides
        raise needs(spec.extra, f"No module named {library!r}", key=spec.name)
    try:
        loaded = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a third party's module may raise anything
        reason = named(error)
        if spec.extra and isinstance(error, ImportError):
            raise needs(spec.extra, error, key=spec.name) from error
        raise InputError(f"{module_name} cannot be imported: {reason}", key=spec.name) from error
    for part in attribute.split("."):
        if not hasattr(loaded, part):
            raise InputError(f"{module_name} has no {attribute or 'attribute, the target names none'}", key=spec.name)
        loaded = getattr(loaded, part)
    if not callable(loaded):
        raise InputError(f"{spec.target} is not a class", key=spec.name)
    made: Callable[..., Any] = loaded
    return made


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


def option_names(policy_type: Callable[..., Any]) -> list[str]:
    """Return the options of a policy: the arguments of its constructor.

    >>> option_names(lambda ratio=0.5, *, num_case=16: None)
    ['ratio', 'num_case']
    """
    return list(parameters_of(policy_type))


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
            near = difflib.get_close_matches(key, parameters, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problem = f"there is no option {key!r}{hint}"
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


def registered() -> tuple[PolicySpec, ...]:
    """Return the policies that were registered by hand in this process."""
    built_in = {spec.name for spec in _BUILT_IN}
    return tuple(spec for name, spec in _registered.items() if name not in built_in)


def add(spec: PolicySpec) -> None:
    """Register what another process of ours has registered."""
    _registered[spec.name] = spec
