"""The page of all keys of a scenario, from `sim.scenario.keys`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from docs.tools.markdown import anchored, cell, code, prose, sentence, table
from physical.quantity import spelled
from sim.scenario.keys import Key, keys, tables

INTRODUCTION = """\
# Scenario keys

This page lists all keys that a scenario file or `--set KEY=VALUE` can have: what each means, what it takes, and what
holds if it is not given. [`twin keys`](commands.md#keys) prints the same list.

A quantity is a number in the unit that the table names, or a text with a unit: `"20 MHz"`, `"100 ms"`, `"23 dBm"`.
Both ends of a range are included. The full name of a key is that of its table, a dot, and its own:
`radio.bandwidth_hz`. A `0` in a name stands for an item of a list: `tasks.0.name` is the name of the first class of
tasks, and in TOML it stands in the first `[[tasks]]`. "Must be given" holds in tables that are there: a scenario
without `[bursts]` needs none of its keys. A key with kinds belongs to tables of these kinds only.

A range is that of the key alone. What several keys make together can be refused, too, such as more slots than the clock
counts: [`twin check`](commands.md#check) says so. A table that has a number for a short form is written with its kind:
`network.access.latency_s = "5 ms"`, or `network.access.latency_s = { kind = "exponential", mean_s = "5 ms" }`.

The last column says where a key comes from: *dtecn* and *llm6g* are the [two papers](../explanation/system.md), and a
symbol in brackets is what the paper calls it.
"""
_EQUATION = re.compile(r"\b(dtecn|llm6g) eq\. (\d+\w?)")
_HEADERS = ("Key", "Meaning", "It takes", "By default", "Of kinds", "Source")


def page() -> str:
    """Return the page."""
    parts, begun, told = [INTRODUCTION], set(), tables()
    for name, rows in by_table(keys()).items():
        top = name.partition(".")[0]
        is_top = name in {top, f"{top}.0"}
        if top not in begun and not is_top:  # of `network`, all keys are in tables inside it
            parts += [f"## {code(top)} {{ #{top} }}", *_about(top, told)]
        begun.add(top)
        parts += [_heading(name, is_top=is_top), *_about(name, told), table(_HEADERS, map(_row, rows))]
    return "\n\n".join(parts) + "\n"


def by_table(found: Sequence[Key]) -> dict[str, list[Key]]:
    """Return the keys of each table; tables inside a table follow it.

    >>> list(by_table(keys("rsus")))
    ['rsus.0', 'rsus.0.server', 'rsus.0.server.gpu']
    """
    grouped: dict[str, list[Key]] = {}
    for key in found:
        grouped.setdefault(key.name.rpartition(".")[0], []).append(key)
    tops = list(dict.fromkeys(name.partition(".")[0] for name in grouped))
    return {name: rows for top in tops for name, rows in grouped.items() if name.partition(".")[0] == top}


def _heading(name: str, *, is_top: bool) -> str:
    """Return the heading of a table; `radio` leads to it, and to one that a key may be, its name and `-table`."""
    if not name:
        return "## Keys in no table { #top-level }"
    if is_top:
        return f"## {code(name)} {{ #{name.removesuffix('.0')} }}"
    is_key = any(key.name == name for key in keys(name))
    return f"### {code(name)} {{ #{name}{'-table' if is_key else ''} }}"


def _row(key: Key) -> tuple[str, ...]:
    return (
        anchored(key.name.rpartition(".")[2], key.name),
        cell(sentence(key.about)),
        _taken(key),
        "must be given" if key.needed else _default(key.default),
        ", ".join(map(code, key.kind.split(", "))) if key.kind else "",
        _EQUATION.sub(r"[\1 eq. \2](../explanation/\1.md#eq-\2)", cell(key.source)),
    )


def _taken(key: Key) -> str:
    r"""Return what a key takes, with unit and range.

    >>> _taken(keys("mobility.speed_mps")[0]), _taken(keys("twin.decision.latency")[0])
    ('2 of 0 to 299\xa0792\xa0458 m/s', '`zero`, `measured`, or 0 to 140\xa0737 s')
    """
    choices = ", ".join(map(code, key.choices))
    span = ""
    if key.low is not None and key.high is not None:
        span = f"{_legible(key.low)} to {_legible(key.high)} {key.unit}".strip()
    told = f"{choices}, or {span}" if choices and span else choices or span or key.form
    return f"{key.count} of {told}" if key.count else told


def _legible(number: float) -> str:
    r"""Return a number for people: digits in threes, or a power of ten.

    >>> [_legible(number) for number in (0.5, 1e-9, 1000, 140737, 1e7, 9.2e9, -1e15)]
    ['0.5', '1e-9', '1000', '140\xa0737', '1e7', '9.2e9', '-1e15']
    """
    short = f"{number:.2g}"
    if "e" in short and float(short) == number and not 1e-4 <= abs(number) < 1e6:
        return re.sub(r"e\+?(-?)0*", r"e\1", short)
    whole = number == int(number) and abs(number) > 9999
    return f"{int(number):,}".replace(",", "\N{NO-BREAK SPACE}") if whole else spelled(number)


def _default(value: Any) -> str:
    if value in (None, "", []):
        return ""
    return code(_toml(value))


def _toml(value: Any) -> str:
    """Return a value as a scenario file has it.

    >>> _toml([1.0, 1e9]), _toml(True), _toml("hold")
    ('[1, 1e9]', 'true', '"hold"')
    """
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if not isinstance(value, float):
        return str(value)
    short = _legible(value)
    return short if short.isascii() else spelled(value)


def _about(name: str, told: Mapping[str, str]) -> list[str]:
    """Return what a table is."""
    return [prose(sentence(told[name]))] if name in told else []
