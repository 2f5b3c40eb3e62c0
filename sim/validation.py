"""Turns the first of pydantic's errors into one line: where, key, what is wrong, what is accepted."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from physical.errors import InputError


def explain(error: ValidationError, model: type[BaseModel], where: str, origin: Mapping[str, str]) -> InputError:
    """Return the error that a user should see.

    Parameters
    ----------
    error : what pydantic found
    model : the validated type, to look up which keys there are
    where : file or scenario
    origin : dotted keys that did not come from there, and where they came from
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in _real_keys(first["loc"], model))
    source = next((origin[given] for given in origin if key == given or key.startswith(given + ".")), where)
    if first["type"] == "extra_forbidden":
        return _unknown_key(first["loc"], model, source, key)
    context = first.get("ctx", {})
    message = first["msg"].removeprefix("Value error, ")
    accepted = ""
    if first["type"] == "missing":
        return InputError("is missing", where=source, key=key)
    if "expected" in context:
        accepted = str(context["expected"]).replace("'", "")
        message = f"{first['input']!r} is not one of the choices"
    elif "expected_tags" in context:
        accepted = str(context["expected_tags"]).replace("'", "")
        message = f"kind {context.get('tag', '(none)')!r} is not one of the choices"
    elif first["type"] == "union_tag_not_found":
        message, accepted = f"{first['input']!r} has no kind", "a table with a kind"
    elif first["type"] != "value_error":
        message, accepted = repr(first["input"]), message[:1].lower() + message[1:]
    elif ";" in message:
        message, _, accepted = (part.strip() for part in message.partition(";"))
    return InputError(message.splitlines()[0], where=source, key=key, accepted=accepted)


def _real_keys(loc: tuple[str | int, ...], model: type[BaseModel]) -> list[str | int]:
    """Drop the names of union members, which pydantic puts between the keys."""
    kept: list[str | int] = []
    for part in loc:
        if isinstance(part, str) and (part not in _keys_at(kept, model)) and kept and not _is_new_key(part):
            continue
        kept.append(part)
    return kept


def _is_new_key(part: str) -> bool:
    """Tell a key that a user wrote from a tag such as ``constant`` or ``function-before[...]``."""
    tags = {"constant", "uniform", "exponential", "lognormal", "per-vehicle", "random-walk", "timed"}
    return part not in tags and "[" not in part and not part.startswith("literal")


def _unknown_key(loc: tuple[str | int, ...], model: type[BaseModel], source: str, key: str) -> InputError:
    known = sorted(_keys_at(list(loc[:-1]), model))
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return InputError(f"unknown key{hint}", where=source, key=key, accepted=", ".join(known))


def _keys_at(loc: list[str | int], model: type[BaseModel]) -> set[str]:
    """Return the keys of the table at `loc`; tags select a member of a union."""
    models = {model}
    for part in loc:
        if isinstance(part, int):
            continue
        tagged = {m for m in models if _tag(m) == part}
        if tagged:
            models = tagged
            continue
        models = {found for m in models if part in m.model_fields for found in _models_in(m.model_fields[part])}
    return {name for m in models for name in m.model_fields}


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return str(kind.default) if kind is not None else None


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Collect the model types anywhere inside an annotation."""
    annotation = getattr(annotation, "annotation", annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for argument in get_args(annotation) for found in _models_in(argument)}
