"""The page of all kinds that a scenario can name, from `sim.scenario.kinds`."""

from __future__ import annotations

from docs.tools.markdown import anchored, cell, code, prose, sentence, table
from sim.scenario.kinds import GROUPS, Group, told

INTRODUCTION = """\
# Kinds

This page lists what a scenario can name, by groups: how vehicles move, and what the twin makes of reports. A kind is
one class, and its fields are its keys. [`twin kinds`](commands.md#kinds) prints the same lists, with the kinds of
installed packages. [Bring your own](../how-to/kinds.md) says how to write one. The policies have
[a page of their own](policies.md).

Both engines of [`twin run`](commands.md#run--engine) know all of these kinds. The batch engine, which
[learns](../how-to/training.md) and compares many environments at once, knows those that the last column marks.
"""
_HEADERS = ("Kind", "What it is", "Keys", "Batch engine")


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for name, group in GROUPS.items():
        if group.field is not None:
            parts += [f"## {code(name)} {{ #{name} }}", _about(group), _table(name, group)]
    return "\n\n".join(parts) + "\n"


def _about(group: Group) -> str:
    place = group.registry.entry_point_group
    names = f"The key `{group.key}` names one. A package announces its own under `{place}`."
    return f"{prose(sentence(group.about))} {names}"


def _table(name: str, group: Group) -> str:
    rows = []
    for spec in group.registry.built_in():
        found = told(group, spec)
        keys = [f"[{code(key.name.rpartition('.')[2])}](scenario.md#{key.name})" for key in found.keys]
        batches, anchor = "yes" if "batches" in found.engines else "", anchored(spec.name, f"{name}.{spec.name}")
        rows.append((anchor, cell(sentence(spec.summary)), ", ".join(keys), batches))
    return table(_HEADERS, rows)
