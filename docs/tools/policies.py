"""The page of all policies that have a name, from the registry."""

from __future__ import annotations

from typing import Any

from docs.tools.markdown import anchored, cell, code, prose, sentence, table
from policies.meanings import about, options
from policies.registry import PolicySpec, specs
from sim.runs.fitting import fits
from sim.scenario.scenario import Scenario
from sim.scenario.sources import names

INTRODUCTION = """\
# Policies

This page lists the policies that have a name: what each does, its options, and which of the built-in scenarios it can
decide in. Options follow the name: `--policy p2-exact:margin=0.1,max_node=50` gives two.
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
    parts = [f"## {code(spec.name)} {{ #{spec.name} }}"]
    if spec.installed:
        parts += [*map(prose, about(spec).split("\n\n")), _options(spec)]
    else:
        parts.append(f"{sentence(spec.summary)} This page was made where its extra is not installed.")
    decides = ", ".join(map(code, can)) or "none of the built-in scenarios"
    parts.append(f"**Decides in** {decides}.")
    if spec.extra:
        parts.append(f'**Needs** the extra `{spec.extra}`: `pip install "vectwin[{spec.extra}]"`.')
    if because:
        parts.append(f"**Elsewhere** it refuses: {prose(because)}.")
    return "\n\n".join(parts)


def _options(spec: PolicySpec) -> str:
    rows = [
        (
            anchored(one.name, f"{spec.name}.{one.name}"),
            cell(sentence(one.about)),
            ", ".join(map(code, one.form.split(" | "))) if "|" in one.form else one.form,
            "must be given" if one.needed else _default(one.default),
        )
        for one in options(spec)
    ]
    return table(("Option", "Meaning", "It takes", "By default"), rows) if rows else "It has no options."


def _default(value: Any) -> str:
    if value in (None, ""):
        return ""
    return code(str(value).lower() if isinstance(value, bool) else str(value))
