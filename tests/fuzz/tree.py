"""Mutations of what a JSON or TOML file says: values of other types and sizes, keys that are gone or foreign."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

from tests.fuzz.dice import TEXTS, Dice

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    0.5,
    1e308,
    -1e308,
    1e-300,
    5e-324,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
    [],
    {},
    [[]],
    [None],
    {"": {}},
    {"kind": "constant"},
    [1, 2],
    [2, 1],
    [1e308, -1e308],
    "nan",
    "1e308 s",
    "-1 GHz",
    "zero",
)


def _paths(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the places below the root."""
    found = []
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            found.append((*at, key))
            found += _paths(value, (*at, key))
    return found


def _holder(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    return tree


def _value(dice: Dice, old: Any) -> Any:
    kind = dice.weighed({"any": 6, "text": 2, "near": 2, "long": 0.5, "deep": 0.5})
    if kind == "text":
        return dice.pick(TEXTS)
    if kind == "long":
        return [old] * dice.pick((2, 100, 3_000))
    if kind == "deep":
        for _ in range(dice.pick((5, 90, 300))):
            old = [old] if dice.chance(0.5) else {"a": old}
        return old
    if kind == "near":
        if isinstance(old, bool) or old is None:
            return not old
        if isinstance(old, int | float):
            return _number(dice, old)
        if isinstance(old, str):
            return dice.pick((old.upper(), old + "x", [old], old[:-1], {"value": old}, f" {old}"))
        if isinstance(old, list):
            return dice.pick((old[::-1], old[:-1], old + old, [*old, None], dict(enumerate(old))))
        return dice.pick((list(old), [old], dict(list(old.items())[:1])))
    return dice.pick(VALUES)


def _number(dice: Dice, old: float) -> Any:
    """Return a number of another order, or of another type."""
    if dice.chance(0.3) or not -1e15 < old < 1e15:
        return dice.pick((-old, old + 1, str(old), [old], float(old) if abs(old) < 1e300 else 0))
    return dice.pick((1, 1.0, -1)) * (old or 1) * 10.0 ** dice.pick((-1, 1, -2, 2, -3, 3, -6, 6, -12, 12, 30))


def change(dice: Dice, tree: Any) -> tuple[Any, str]:
    """Change one place of a tree; return it with what was done."""
    paths = _paths(tree)
    if not paths:
        tree = _value(dice, tree)
        return tree, f"is {tree!r:.60}"
    path = dice.pick(paths)
    holder, key, at = _holder(tree, path), path[-1], ".".join(map(str, path))
    what = dice.weighed({"value": 6, "drop": 2, "rename": 1, "move": 1, "add": 1})
    if what == "drop":
        del holder[key]
        return tree, f"{at} is gone"
    if what == "rename" and isinstance(holder, dict):
        name = dice.pick((f"{key}x", "kind", "", "__proto__", *TEXTS[:6]))
        holder[name] = holder.pop(key)
        return tree, f"{at} is called {name!r:.60}"
    if what == "move":
        other = dice.pick(paths)
        holder[key] = json.loads(json.dumps(_holder(tree, other)[other[-1]]))
        return tree, f"{at} is as {'.'.join(map(str, other))}"
    if what == "add" and isinstance(holder, dict):
        name, value = dice.pick(("new", "kind", "file", "name", "unit", "0")), _value(dice, holder[key])
        holder[name] = value
        return tree, f"beside {at}: {name} = {value!r:.60}"
    holder[key] = _value(dice, holder[key])
    return tree, f"{at} is {holder[key]!r:.60}"


def to_toml(tree: dict[str, Any]) -> str:
    """Write one line per key; what TOML cannot say, such as null, is written as a word that it does not know."""
    return "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in tree.items())


def _key(key: object) -> str:
    return json.dumps(str(key))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return "null" if value is None else repr(value)


def change_file(dice: Dice, path: Path) -> str:
    """Change one place of a JSON or TOML file; of one that is broken already nothing."""
    text = path.read_bytes().decode(errors="replace")
    try:
        tree = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError):
        return "is broken already"
    changed, told = change(dice, tree)
    if path.suffix == ".toml":
        written = to_toml(changed) if isinstance(changed, dict) else _toml(changed)
    else:
        written = json.dumps(changed, indent=1)
    path.write_bytes(written.encode(errors="surrogatepass"))
    return told
