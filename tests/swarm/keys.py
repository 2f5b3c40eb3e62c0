"""Which keys, choices and kinds there are, read off the scenario's classes, and which of them a scenario gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from physical.kind_field import KindParams, OfKind

Model = type[BaseModel]


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield what a value may be: classes, choices as texts and booleans; lists stand for their items."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Literal:
        yield from get_args(annotation)
    elif origin in {Union, UnionType, tuple, list}:
        for argument in get_args(annotation):
            yield from _alternatives(argument)
    elif annotation is bool:
        yield from (True, False)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


@cache
def _tag(model: Model) -> str:
    """Return the only value that the key `kind` of a model may have; "" if it has no such key."""
    field = model.model_fields.get("kind")
    choices = [] if field is None else list(_alternatives(field.annotation))
    return str(choices[0]) if len(choices) == 1 else ""


@cache
def _fields(model: Model) -> list[tuple[str, list[Any]]]:
    used = model.used() if issubclass(model, KindParams) else model.model_fields
    fields = [(name, model.model_fields[name]) for name in used]
    return [(name, _values(field)) for name, field in fields if not (name == "kind" and _tag(model))]


def _values(field: FieldInfo) -> list[Any]:
    """List what a value may be; of a table whose class follows from its kind, the classes, or names of kinds."""
    for one in field.metadata:
        if isinstance(one, OfKind):
            return one.registry.names() if one.names_only() else list(one.classes())
    return list(dict.fromkeys(_alternatives(field.annotation)))


def _inside(name: str, model: Model) -> str:
    return f"{name}[{_tag(model)}]" if _tag(model) else name


def every_key(model: Model, prefix: str = "") -> set[str]:
    """Name every key below a model, every choice of a key and every kind of table that it may hold."""
    found = set()
    for name, alternatives in _fields(model):
        key = prefix + name
        found.add(key)
        for one in alternatives:
            if isinstance(one, type):
                found.add(_inside(key, one))
                found |= every_key(one, f"{_inside(key, one)}.")
            else:
                found.add(f"{key}={one}")
    return found


def keys_of(data: Mapping[str, Any], model: Model, prefix: str = "") -> set[str]:
    """Name what a scenario gives, as `every_key` does."""
    found = set()
    for name, alternatives in _fields(model):
        if name not in data:
            continue
        key = prefix + name
        found.add(key)
        models = [one for one in alternatives if isinstance(one, type)]
        items = data[name] if isinstance(data[name], list) else [data[name]]
        for item in items:
            if isinstance(item, Mapping):
                chosen = next(m for m in models if _tag(m) in {"", item.get("kind")})
                found.add(_inside(key, chosen))
                found |= keys_of(item, chosen, f"{_inside(key, chosen)}.")
            elif item in [one for one in alternatives if not isinstance(one, type)]:
                found.add(f"{key}={item}")
    return found
