"""All keys that a scenario can have: meaning, accepted values, unit, range and default.

Meanings are those of the docstrings of the parameter classes, which are read when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from physical import docstrings
from physical.errors import InputError
from physical.kind_field import KindParams
from physical.nearest import did_you_mean
from physical.quantity import spelled
from sim.scenario.tables import ScenarioTables

_FORMS = {"number": "number", "integer": "integer", "string": "text", "boolean": "true or false"}
_LIMITS = ("unit", "minimum", "maximum")


@dataclass(frozen=True)
class Key:
    """One key of a scenario.

    name : dotted, as ``--set`` takes it; the first item of a list of tables stands for all of them
    kind : of the tables that have it, with commas between several; "" where all have it
    form : "number", "integer", "text", "true or false", "choice"; "value" for what only a package's kind takes
    count : how many of them it takes: "", "2", or "1 or more"
    unit : "" without one
    low, high : ends of its range, both included; None where it has none
    choices : texts that it takes, or takes besides numbers
    default : what holds if it is not given; None for nothing
    needed : it must be given, in tables that are there
    reason : for its range
    about : what it is and what it changes, in a phrase
    source : where it comes from, with the symbol there: "dtecn eq. 2 (w), dtecn Table I", "our choice"; "" if nowhere
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
    about: str = ""
    source: str = ""

    @property
    def accepted(self) -> str:
        """Return what it takes, in a few words.

        >>> keys("mobility.speed_mps")[0].accepted
        '2 of 0 to 299792458 m/s'
        """
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
    hint = did_you_mean(wanted, sorted(tables))
    accepted = f"a table or a key, such as {', '.join(sorted({key.name.split('.')[0] for key in found}))}"
    raise InputError(f"there is no key {prefix[:60]!r}{hint}", where="PREFIX", accepted=accepted)


def keys_of_kind(kind: type[KindParams], prefix: str) -> list[Key]:
    """Return the keys that a kind uses; `prefix` is the dotted name of the table that is of this kind."""
    schema = kind.model_json_schema()
    kind.describe(schema)
    del schema["properties"]["kind"]
    return list(_Walk(schema).of_table(schema, f"{prefix}.", "", {}))


def tables() -> dict[str, str]:
    """Return what each table is, by its dotted name; the kinds of one that has several as ``name (kind)``.

    >>> tables()["network.access"]
    'Vehicle - base station or RSU: reports, commands, uploads (on top of size / rate) and results'
    """
    walk = _walker()
    list(walk.of_all())
    return walk.tables


def _walk() -> Iterator[Key]:
    yield from _walker().of_all()


def _walker() -> _Walk:
    return _Walk(ScenarioTables.model_json_schema())


class _Walk:
    """Finds keys in a JSON schema; `limits` are unit and range where the key that holds a table tells them.

    tables : what each table that it has passed is, by its dotted name
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.tables: dict[str, str] = {}
        self._schema = schema

    def of_all(self) -> Iterator[Key]:
        """Yield all keys."""
        yield from self.of_table(self._schema, "", "", {})

    def of_table(self, table: Any, prefix: str, kind: str, limits: Any) -> Iterator[Key]:
        """Yield the keys of a table."""
        needed = set(table.get("required", ()))
        told = docstrings.sourced_meanings(table.get("description", ""))
        for name, key in table["properties"].items():
            if "const" not in key:
                about, source = told.get(name, (key.get("description", ""), ""))
                default = key.get("default")
                found = Key(f"{prefix}{name}", kind, default=default, needed=name in needed, about=about, source=source)
                yield from self._of_key(key, found, limits)

    def _of_key(self, key: Any, found: Key, limits: Any) -> Iterator[Key]:
        """Yield a key, or the keys of the table that it holds; what is `found` of it holds for all forms."""
        forms = self._forms(key)
        tables = [form for form in forms if "properties" in form]
        plain = [form for form in forms if "properties" not in form]
        if tables:
            own = {limit: key[limit] for limit in _LIMITS if limit in key}
            yield from self._of_tables(tables, plain, found, own)
            return
        value, count = plain[0], ""
        if value["type"] == "array":
            items = value.get("prefixItems") or self._forms(value["items"])
            if all("properties" in item for item in items):
                yield from self._of_tables(items, [], replace(found, name=f"{found.name}.0", default=None), {})
                return
            count = str(len(items)) if "prefixItems" in value else "1 or more" if "minItems" in value else "0 or more"
            value = items[0]
            if "prefixItems" in value:  # points of a bias: a time and a value each
                count, value = f"{count} pairs of a time and a number", value["prefixItems"][1]
        yield _leaf(replace(found, count=count), {**limits, **value})

    def _of_tables(self, tables: list[Any], plain: list[Any], found: Key, limits: Any) -> Iterator[Key]:
        """Yield the keys of a table of one or several kinds: which, what all have, then what each has; `plain` too."""
        name, default = found.name, found.default
        about = found.about or docstrings.summary(tables[0].get("description", ""))
        if "const" not in tables[0]["properties"].get("kind", {}):
            self.tables[name] = _large(about)
            yield from self.of_table(tables[0], f"{name}.", found.kind, {})
            return
        of_kinds = {table["properties"]["kind"]["const"]: table for table in tables}
        kinds = {kind: docstrings.summary(table.get("description", "")) for kind, table in of_kinds.items()}
        self.tables |= {name: _large(found.about)} | {f"{name} ({kind})": words for kind, words in kinds.items()}
        listed = {kind: list(self.of_table(table, f"{name}.", kind, limits)) for kind, table in of_kinds.items()}
        choices = tuple(choice for form in plain for choice in form["enum"])
        told = default.get("kind") if isinstance(default, Mapping) else None
        if "constant" in kinds:  # a number stands for such a table
            value = listed["constant"][0]
            number = default.get(value.name.rsplit(".", 1)[-1], value.default) if told else default
            yield replace(
                value, name=name, kind=found.kind, choices=choices, default=number, about=about, source=found.source
            )
        meaning = "; ".join(f'"{kind}": {_small(words)}' for kind, words in kinds.items())
        yield Key(
            f"{name}.kind",
            found.kind,
            form="choice",
            choices=tuple(kinds),
            default=None if "constant" in kinds else told,
            needed="constant" in kinds or told is None,
            about=f"which of these: {meaning}",
        )
        keys_ = _merged(listed)
        yield from sorted(keys_, key=lambda key: key.kind != "")

    def _forms(self, key: Any) -> list[Any]:
        """Return what a value may be: unions are spelled out, and tables are looked up."""
        members = key.get("anyOf") or key.get("oneOf")
        if members:
            return [form for member in members for form in self._forms(member) if form.get("type") != "null"]
        return [self._schema["$defs"][key["$ref"].rsplit("/", 1)[-1]]] if "$ref" in key else [key]


def _small(words: str) -> str:
    """Begin a sentence with a small letter."""
    return words[:1].lower() + words[1:]


def _large(words: str) -> str:
    """Begin a sentence with a capital letter."""
    return words[:1].upper() + words[1:]


def _merged(listed: Mapping[str, list[Key]]) -> list[Key]:
    """Return the keys of all kinds, each once; where it means something else in each of its kinds, it says so."""
    found: dict[str, dict[str, Key]] = {}
    for kind, keys_ in listed.items():
        for key in keys_:
            found.setdefault(key.name, {})[kind] = key
    merged = []
    for by_kind in found.values():
        first = next(iter(by_kind.values()))
        meanings = [key.about for key in by_kind.values()]
        about = meanings[0]
        if len(set(meanings)) > 1:
            about = "; ".join(f'with "{kind}", {key.about}' for kind, key in by_kind.items())
        kinds = "" if len(by_kind) == len(listed) else ", ".join(by_kind)
        merged.append(replace(first, kind=kinds if first.kind in listed else first.kind, about=about))
    return merged


def _leaf(key: Key, value: Any) -> Key:
    """Complete a key by what its values may be."""
    choices = tuple(value.get("enum", ()))
    return replace(
        key,
        form="choice" if choices else _FORMS.get(value.get("type", ""), "value"),
        choices=choices,
        unit=value.get("unit", ""),
        low=value.get("minimum"),
        high=value.get("maximum"),
        reason=value.get("reason", ""),
    )
