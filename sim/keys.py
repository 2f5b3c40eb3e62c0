"""All keys that a scenario can have: what each takes, in which unit and range, and what holds if it is not given."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from physical.errors import InputError

_FORMS = {"number": "number", "integer": "integer", "string": "text", "boolean": "true or false"}
_LIMITS = ("unit", "minimum", "maximum")


@dataclass(frozen=True)
class Key:
    """One key of a scenario.

    name : dotted, as ``--set`` takes it; the first item of a list of tables stands for all of them
    kind : of the tables that have it, with commas between several; "" where all have it
    form : "number", "integer", "text", "true or false", "choice"
    count : how many of them it takes: "", "2", or "1 or more"
    unit : "" without one
    low, high : ends of its range, both included; None where it has none
    choices : texts that it takes, or takes besides numbers
    default : what holds if it is not given; None for nothing
    needed : it must be given, in tables that are there
    reason : for its range
    """

    name: str
    kind: str = ""
    form: str = ""
    count: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    default: Any = None
    needed: bool = False
    reason: str = ""

    @property
    def accepted(self) -> str:
        """Return what it takes, in a few words.

        >>> keys("mobility.speed_mps")[0].accepted
        '2 of 0 to 299792458 m/s'
        """
        from physical.quantity import spelled

        told = " | ".join(self.choices)
        if self.low is not None and self.high is not None:
            span = f"{spelled(self.low)} to {spelled(self.high)}"
            told = f"{told} | {span}" if told else span
        told = told or self.form
        told = f"{told} {self.unit}" if self.unit and self.low is not None else told
        return f"{self.count} of {told}" if self.count else told

    @property
    def words(self) -> str:
        """Return what there is to know of it, in one line.

        >>> keys("time.num_slot")[0].words
        '1 to 10000000; by default 1000'
        """
        told = [self.accepted]
        if self.needed:
            told.append("must be given")
        elif self.default not in (None, "", []):
            told.append(f"by default {_written(self.default)}")
        if self.kind:
            told.append(f"of {'kinds' if ',' in self.kind else 'kind'} {self.kind}")
        return "; ".join(told)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "choices": list(self.choices)}


def _written(default: Any) -> str:
    """Spell a default as TOML would."""
    from physical.quantity import spelled

    if isinstance(default, list):
        return f"[{', '.join(_written(item) for item in default)}]"
    if isinstance(default, bool):
        return str(default).lower()
    return spelled(default) if isinstance(default, float) else str(default)


def keys(prefix: str = "") -> list[Key]:
    """Return all keys, or those of one table or with one name.

    Raises
    ------
    InputError : there is none; and the nearest

    >>> [key.name for key in keys("policy")]
    ['policy.name', 'policy.fallback']
    """
    found = list(_walk())
    wanted = ".".join("0" if part.isdecimal() else part for part in prefix.split(".") if part)
    chosen = [key for key in found if not wanted or f"{key.name}.".startswith(f"{wanted}.")]
    if chosen:
        return chosen
    tables = {key.name.rsplit(".", depth)[0] for key in found for depth in range(key.name.count(".") + 1)}
    near = difflib.get_close_matches(wanted, sorted(tables), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    accepted = f"a table or a key, such as {', '.join(sorted({key.name.split('.')[0] for key in found}))}"
    raise InputError(f"there is no key {prefix[:60]!r}{hint}", where="PREFIX", accepted=accepted)


def _walk() -> Iterator[Key]:
    from sim.scenario import Scenario

    schema = Scenario.model_json_schema()
    yield from _Walk(schema["$defs"]).of_table(schema, "", "", {})


class _Walk:
    """Finds keys in a JSON schema; `limits` are unit and range where the key that holds a table tells them."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables

    def of_table(self, table: Any, prefix: str, kind: str, limits: Any) -> Iterator[Key]:
        """Yield the keys of a table."""
        needed = set(table.get("required", ()))
        for name, key in table["properties"].items():
            if "const" not in key:
                yield from self._of_key(key, f"{prefix}{name}", kind, limits, needed=name in needed)

    def _of_key(self, key: Any, name: str, kind: str, limits: Any, *, needed: bool) -> Iterator[Key]:
        forms = self._forms(key)
        tables = [form for form in forms if "properties" in form]
        plain = [form for form in forms if "properties" not in form]
        if tables:
            own = {limit: key[limit] for limit in _LIMITS if limit in key}
            yield from self._of_tables(tables, plain, name, own, key.get("default"))
            return
        value, count = plain[0], ""
        if value["type"] == "array":
            items = value.get("prefixItems") or self._forms(value["items"])
            if all("properties" in item for item in items):
                yield from self._of_tables(items, [], f"{name}.0", {}, None)
                return
            count = str(len(items)) if "prefixItems" in value else "1 or more" if "minItems" in value else "0 or more"
            value = items[0]
            if "prefixItems" in value:  # points of a bias: a time and a value each
                count, value = f"{count} pairs of a time and a number", value["prefixItems"][1]
        yield _leaf(Key(name, kind, default=key.get("default"), needed=needed, count=count), {**limits, **value})

    def _of_tables(self, tables: list[Any], plain: list[Any], name: str, limits: Any, default: Any) -> Iterator[Key]:
        """Yield the keys of a table of one or several kinds: which, what all have, then what each has; `plain` too."""
        if "const" not in tables[0]["properties"].get("kind", {}):
            yield from self.of_table(tables[0], f"{name}.", "", {})
            return
        kinds = [table["properties"]["kind"]["const"] for table in tables]
        found = [
            list(self.of_table(table, f"{name}.", kind, limits)) for table, kind in zip(tables, kinds, strict=True)
        ]
        choices = tuple(choice for form in plain for choice in form["enum"])
        told = default.get("kind") if isinstance(default, Mapping) else None
        if kinds[0] == "constant":  # a number stands for such a table
            value = found[0][0]
            number = default.get(value.name.rsplit(".", 1)[-1], value.default) if told else default
            yield replace(value, name=name, kind="", choices=choices, default=number)
        yield Key(f"{name}.kind", form="choice", choices=tuple(kinds), default=told, needed=told is None)
        merged: dict[str, Key] = {}
        for of_kind, kind in zip(found, kinds, strict=True):
            for key in of_kind:
                known = merged.get(key.name)
                merged[key.name] = key if known is None else replace(known, kind=f"{known.kind}, {kind}")
        everywhere = ", ".join(kinds)
        keys_ = [replace(key, kind="") if key.kind == everywhere else key for key in merged.values()]
        yield from sorted(keys_, key=lambda key: key.kind != "")

    def _forms(self, key: Any) -> list[Any]:
        """Return what a value may be: unions are spelled out, and tables are looked up."""
        members = key.get("anyOf") or key.get("oneOf")
        if members:
            return [form for member in members for form in self._forms(member) if form.get("type") != "null"]
        return [self._tables[key["$ref"].rsplit("/", 1)[-1]]] if "$ref" in key else [key]


def _leaf(key: Key, value: Any) -> Key:
    """Complete a key by what its values may be."""
    choices = tuple(value.get("enum", ()))
    return replace(
        key,
        form="choice" if choices else _FORMS[value["type"]],
        choices=choices,
        unit=value.get("unit", ""),
        low=value.get("minimum"),
        high=value.get("maximum"),
        reason=value.get("reason", ""),
    )
