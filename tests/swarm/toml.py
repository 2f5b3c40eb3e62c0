"""Writes nested tables as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def to_toml(data: Mapping[str, Any]) -> str:
    """Return a scenario as the text of a file: single keys first, then tables, then lists of tables."""
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if not _is_tables(value)]
    for key, value in data.items():
        for table in [value] if isinstance(value, Mapping) else value if _is_tables(value) else []:
            lines += ["", f"[{key}]" if isinstance(value, Mapping) else f"[[{key}]]"]
            lines += [f"{name} = {_value(item)}" for name, item in table.items()]
    return "\n".join(lines).lstrip() + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))
