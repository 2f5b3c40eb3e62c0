"""What a policy does and what its options mean: lines ``option : meaning`` of its class's docstring."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin

from physical.docstrings import meanings
from policies.registry import PolicySpec, declared_types, load, parameters_of

_FORMS = {float: "number", int: "integer", str: "text", bool: "true or false"}
_SECTION = "Parameters"


@dataclass(frozen=True)
class Option:
    """One option of a policy.

    name : as ``name:option=value`` has it
    form : "number", "integer", "text", "true or false", choices with " | " between them; "" if the class does not say
    default : what holds if it is not given
    needed : it must be given
    about : what it is, in a phrase; "" if the class does not say
    """

    name: str
    form: str
    default: Any
    needed: bool
    about: str

    @property
    def words(self) -> str:
        """Return what there is to know of it, in one line.

        >>> Option("margin", "number", 0.0, False, "part of every deadline kept back").words
        'part of every deadline kept back (number; by default 0.0)'
        """
        told = [self.form] if self.form else []
        if self.needed:
            told.append("must be given")
        elif self.default not in (None, ""):
            default = str(self.default).lower() if isinstance(self.default, bool) else self.default
            told.append(f"by default {default}")
        return f"{self.about} ({'; '.join(told)})".strip()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def about(spec: PolicySpec) -> str:
    """Return what a policy does: the docstring of its class without its options, paragraphs with an empty line between.

    Raises
    ------
    InputError : a missing extra, a module that cannot be imported

    >>> from policies.registry import specs
    >>> about(specs()["local-only"])
    'Every vehicle runs all its tasks itself.'
    """
    text = inspect.getdoc(load(spec)) or ""
    paragraphs, told = (" ".join(part.split()) for part in text.split("\n\n")), meanings(text)
    kept = [part for part in paragraphs if not part.startswith((f"{_SECTION} ---", *(f"{name} : " for name in told)))]
    return "\n\n".join(kept).replace("``", "`")


def options(spec: PolicySpec) -> list[Option]:
    """Return the options of a policy: the arguments of its constructor, with what docstrings of its bases say of them.

    Raises
    ------
    InputError : a missing extra, a module that cannot be imported

    >>> from policies.registry import specs
    >>> [option.name for option in options(specs()["p2-exact"])]
    ['margin', 'tolerance', 'max_node']
    """
    policy_type = load(spec)
    types, told = declared_types(policy_type), meanings(inspect.getdoc(policy_type) or "")
    for base in reversed(inspect.getmro(policy_type) if isinstance(policy_type, type) else ()):
        told |= meanings(inspect.cleandoc(vars(base).get("__doc__") or ""))
    return [
        Option(
            name,
            _form(types.get(name, str)),
            None if parameter.default is parameter.empty else parameter.default,
            parameter.default is parameter.empty,
            told.get(name, ""),
        )
        for name, parameter in parameters_of(policy_type).items()
    ]


def _form(declared: Any) -> str:
    if get_origin(declared) is Literal:
        return " | ".join(map(str, get_args(declared)))
    return _FORMS.get(declared, "")
