"""The page of all policies that have a name, from the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from docs.tools.docstrings import blocks, fields, to_markdown
from docs.tools.markdown import anchored, barred, cell, code, prose, sentence, table
from physical.errors import InputError
from policies.registry import PolicySpec, load, parameters_of, specs
from sim.fitting import fits
from sim.scenario import Scenario, names

INTRODUCTION = """\
# Policies

This page lists the policies that have a name: what each does, its options, and which of the built-in scenarios it can
decide in. Options follow the name: `--policy random` has none, `--policy p2-exact:OPTION=VALUE,OPTION=VALUE` has two.
[`twin policies SCENARIO`](commands.md#policies) says who can decide in a scenario of yours, and why the others cannot.
[Your own policy](../tutorials/policy.md) needs no name.
"""


def page() -> str:
    """Return the page."""
    found = [spec for spec in specs().values() if not spec.summary.startswith("from ")]
    scenarios = names()
    fitting = {name: {fit.spec.name: fit.reason for fit in fits(Scenario.load(name))} for name in scenarios}
    can = {spec.name: [name for name in scenarios if not fitting[name][spec.name]] for spec in found}
    rows = [
        (f"[{code(spec.name)}](#{spec.name})", cell(sentence(spec.summary)), code(spec.extra) if spec.extra else "")
        for spec in found
    ]
    parts = [INTRODUCTION, table(("Policy", "What it does", "Needs the extra"), rows)]
    for spec in found:
        because = [fitting[name][spec.name] for name in scenarios if fitting[name][spec.name]]
        parts.append(_section(spec, can[spec.name], because[0] if because else ""))
    return "\n\n".join(parts) + "\n"


def _section(spec: PolicySpec, can: list[str], because: str) -> str:
    parts = [f"## `{spec.name}` {{ #{spec.name} }}"]
    made = _class_of(spec)
    if made is None:
        parts.append(sentence(spec.summary))
    else:
        parts += [_about(made), *_options(spec, made)]
    decides = ", ".join(f"`{name}`" for name in can) or "none of the built-in scenarios"
    parts.append(f"**Decides in** {decides}.")
    if spec.extra:
        parts.append(f'**Needs** the extra `{spec.extra}`: `pip install "vectwin[{spec.extra}]"`.')
    if because:
        parts.append(f"**Elsewhere** it refuses: {prose(because)}.")
    return "\n\n".join(parts)


def _class_of(spec: PolicySpec) -> Callable[..., Any] | None:
    """Return the class of a policy; None where its extra is not installed."""
    try:
        return load(spec)
    except InputError:
        return None


def _about(made: Callable[..., Any]) -> str:
    """Return the docstring without the list of options, which are a table of their own."""
    kept: list[str] = []
    for kind, lines in blocks(made.__doc__ or ""):
        if kind == "title" and lines[0] == "Parameters":
            continue
        if kind == "fields" and set(fields("\n".join(lines))) <= set(parameters_of(made)):
            continue
        kept.append("\n".join([*lines, "-" * len(lines[0])] if kind == "title" else lines))
    return to_markdown("\n\n".join(kept))


def _options(spec: PolicySpec, made: Callable[..., Any]) -> list[str]:
    said = fields(made.__doc__ or "")
    hints = _hints(made)
    rows = [
        (
            anchored(name, f"{spec.name}.{name}"),
            cell(sentence(said.get(name, ""))),
            barred(code(_type(hints.get(name, str)))),
            "must be given" if parameter.default is parameter.empty else code(_value(parameter.default)),
        )
        for name, parameter in parameters_of(made).items()
    ]
    return [table(("Option", "Meaning", "Type", "By default"), rows)] if rows else ["It has no options."]


def _hints(made: Callable[..., Any]) -> dict[str, Any]:
    try:
        constructor: Any = made.__init__ if isinstance(made, type) else made  # type: ignore[misc]  # that of this class
        return get_type_hints(constructor)
    except NameError:  # a type that is only imported for the type checker
        return {}


def _type(hint: Any) -> str:
    told = str(hint) if not isinstance(hint, type) else hint.__name__
    return told.replace("typing.", "").replace("pathlib.", "").replace(" | None", "")


def _value(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value) or '""'
