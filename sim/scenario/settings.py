"""Values that are set from outside a scenario's file: ``--set key=value``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from physical.errors import InputError
from sim.scenario import nesting


def with_settings(data: Mapping[str, Any], settings: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of nested tables with some values set, and the dotted keys of these values.

    settings : ``a.b.0.c=value``; the value is TOML, or else a text

    Raises
    ------
    InputError : a text that is no setting, or a key that leads through a value or beyond a list

    >>> with_settings({"time": {"num_slot": 3}}, ["time.num_slot=4", "title=short"])
    ({'time': {'num_slot': 4}, 'title': 'short'}, ['time.num_slot', 'title'])
    """
    copied = {key: _copy(item) for key, item in data.items()}
    return copied, [_apply(copied, setting) for setting in settings]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _apply(data: dict[str, Any], setting: str) -> str:
    """Set ``a.b.0.c=value`` in nested tables; return the dotted key."""
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise InputError(f"{setting!r} is not a setting", where="--set", accepted="KEY=VALUE")
    value = _value_of(text)
    *parents, last = key.split(".")
    nesting.check_depth(value, "--set", key)
    if len(parents) > nesting.DEPTH_MAX:
        raise InputError(f"has {len(parents) + 1} parts", where="--set", key=f"{key[:40]}...", accepted="KEY=VALUE")
    table: Any = data
    for parent in parents:
        if isinstance(table, list):
            table = _item(table, parent, key)
        elif isinstance(table, dict):
            table = table.setdefault(parent, {})
    if isinstance(table, list):
        _item(table, last, key)
        table[int(last)] = value
    elif isinstance(table, dict):
        table[last] = value
    else:
        raise InputError("is not a table", where="--set", key=".".join(parents))
    return key


def _value_of(text: str) -> Any:
    try:
        table = nesting.parsed(f"value = {text}", "--set")
    except InputError as error:
        if "TOML" in error.problem:
            return text.strip()
        raise
    return table["value"] if len(table) == 1 else text.strip()


def _item(items: list[Any], text: str, key: str) -> Any:
    if not text.isdecimal() or int(text) >= len(items):
        accepted = f"0 to {len(items) - 1}" if items else "none: the list is empty"
        raise InputError(f"{text!r} is not an index", where="--set", key=key, accepted=accepted)
    return items[int(text)]
