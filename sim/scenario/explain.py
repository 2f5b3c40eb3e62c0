"""Turns what is wrong with a scenario into one line: where, key, offending value, what is accepted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from physical.errors import InputError
from physical.kind_field import OfKind
from physical.nearest import did_you_mean
from physical.quantity import Range
from sim.scenario.keys import keys as keys_of

_INTEGER_MAX = 2**53
_NUMBERS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "list": "a list",
}
# "[20.0, 10.0] is not a range with ..." says what is wrong and what is accepted in one sentence.
_SENTENCE = re.compile(r"(.*?) (?:is|are|do|does) not (an? .+|have .+)")

_TYPO = 0.85  # so much alike are a word and the same with a slip

Loc = tuple[str | int, ...]


def explain(
    error: ValidationError, model: type[BaseModel], data: Mapping[str, Any], where: str, origin: Mapping[str, str]
) -> InputError:
    """Return the error that a user should see.

    Parameters
    ----------
    error : what pydantic found
    model : the validated type, to look up which keys there are
    data : what was validated
    where : file or scenario
    origin : dotted keys that did not come from there, and where they came from
    """
    first, choices = _most_telling(error.errors())
    key, value = _locate(first["loc"], first["type"] == "missing", data)
    problem, accepted, inner = _words(first, model, value, data)
    if choices and (value is not None and not isinstance(value, dict)):
        accepted = f"{', '.join(choices)}, {accepted}"
    dotted = ".".join(str(part) for part in (*key, *inner))
    return InputError(problem, where=place_of(dotted, where, origin), key=dotted, accepted=accepted)


def place_of(key: str, where: str, origin: Mapping[str, str]) -> str:
    """Return where the value of a key came from."""
    for given, source in origin.items():
        if key == given or key.startswith(given + "."):
            return source
    return where


def check_plain(data: Mapping[str, Any], model: type[BaseModel], where: str, origin: Mapping[str, str]) -> None:
    """Reject what pydantic would bend into shape: true as 1, "12" as 12, numbers that are not finite or huge.

    Raises
    ------
    InputError : the first such value
    """
    for loc, value, leaves in _scalars(data, (), [model], False):
        problem, accepted = _misfit(value, leaves)
        if problem:
            key = ".".join(str(part) for part in loc)
            place = place_of(key, where, origin)
            raise InputError(f"{shown(value)} {problem}", where=place, key=key, accepted=accepted)


def shown(value: object) -> str:
    """Spell a value as TOML would, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > _INTEGER_MAX:
        return f"an integer of {value.bit_length()} bits"
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def _misfit(value: object, leaves: set[Any]) -> tuple[str, str]:
    """Say what is wrong with a scalar, and what its key accepts; `leaves` holds the key's types, and "parsed"."""
    wanted = "true or false" if bool in leaves else "a number" if float in leaves else "an integer"
    if not leaves or (value is None and type(None) in leaves):
        return "", ""  # an unknown key, which is reported as such; or one that is not given
    if isinstance(value, float) and not math.isfinite(value):
        return "is not finite", "a finite number"
    if isinstance(value, bool) != (bool in leaves):
        wanted = wanted if leaves & {bool, int, float} else "a quantity" if "parsed" in leaves else "a text"
        return "is not what belongs here", wanted
    if isinstance(value, int) and abs(value) > _INTEGER_MAX:
        return "is too large", f"at most {_INTEGER_MAX}"
    if isinstance(value, str) and leaves <= {int, float}:
        return "is a text", wanted
    return "", ""


def _scalars(value: Any, loc: Loc, annotations: list[Any], parsed: bool) -> Iterator[tuple[Loc, Any, set[Any]]]:
    """Yield every value that is no table or list, with the types that its key has."""
    if isinstance(value, Mapping):
        models = {found for annotation in annotations for found in _models_in(annotation)}
        for key, item in value.items():
            fields = [m.model_fields[key] for m in models if key in m.model_fields]
            converted = parsed or any(_reads(m) for field in fields for m in field.metadata)
            yield from _scalars(item, (*loc, key), [_type_of(field, item) for field in fields], converted)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _scalars(item, (*loc, index), annotations, parsed)
    else:
        leaves = {leaf for annotation in annotations for leaf in _leaves(annotation)}
        yield loc, value, leaves | {"parsed"} if leaves and parsed else leaves


def _reads(metadata: Any) -> bool:
    """Tell whether values are converted before they are validated, such as texts with a unit."""
    return isinstance(metadata, BeforeValidator) or (isinstance(metadata, Range) and metadata.reads)


def _leaves(annotation: Any) -> set[Any]:
    """Collect the types that values of an annotation can have; "parsed" if some are converted first."""
    if get_origin(annotation) is Literal:
        return {str}
    if _reads(annotation):
        return {"parsed"}
    if isinstance(annotation, type) and not get_args(annotation):
        return {annotation}
    arguments = (*get_args(annotation), *getattr(annotation, "__metadata__", ()))
    return {leaf for argument in arguments for leaf in _leaves(argument)}


def _most_telling(errors: list[Any]) -> tuple[Any, list[str]]:
    """Return the error to report, and the choices of a union that it leaves out."""
    # A misspelled key is also a missing one; the spelling tells more.
    first = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    if first["type"] != "literal_error":
        return first, []
    others = [error for error in errors[1:] if error["loc"][: len(first["loc"]) - 1] == first["loc"][:-1]]
    if not others:
        return first, []
    return others[0], [_plain(first["ctx"]["expected"])]


def _locate(loc: Loc, missing: bool, data: Any) -> tuple[list[str | int], Any]:
    """Return the keys that a user wrote, without the names of union members, and the value there."""
    kept: list[str | int] = []
    kind = None  # of the table at hand, if pydantic may name it before going inside; a key may have the same name
    for position, part in enumerate(loc):
        if part == kind and position < len(loc) - 1:
            kind = None
            continue
        is_key = isinstance(data, Mapping) and part in data
        is_index = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if is_key or is_index:
            kept.append(part)
            data = data[part]
            kind = data.get("kind") if isinstance(data, Mapping) else None
        elif missing and position == len(loc) - 1:
            return [*kept, part], None
        elif not isinstance(data, Mapping | list | tuple):
            break
    return kept, data


def _words(error: Any, model: type[BaseModel], value: Any, data: Any) -> tuple[str, str, Loc]:
    """Return the problem, what is accepted, and keys further inside if the message tells them."""
    kind, context = error["type"], error.get("ctx", {})
    models = _models_at(error["loc"][:-1] if kind == "extra_forbidden" else error["loc"], model, data)
    keys = sorted({name for m in models for name in m.model_fields})
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        hint = did_you_mean(name, keys, cutoff=_TYPO) or _elsewhere(name, error["loc"]) or did_you_mean(name, keys)
        return f"unknown key{hint}", ", ".join(keys), ()
    if kind == "missing":
        return "is missing", "", ()
    if kind == "value_error":
        return _own_words(context["error"], error["msg"].removeprefix("Value error, "), keys, value)
    if kind in {"literal_error", "enum"}:
        choices = _plain(context["expected"])
        return f"{shown(value)} is not one of the choices{did_you_mean(str(value), choices.split(', '))}", choices, ()
    if kind == "union_tag_invalid":
        tag, tags = context["tag"], _plain(context["expected_tags"])
        return f"{tag!r} is not one of the kinds{did_you_mean(tag, tags.split(', '))}", tags, ("kind",)
    if kind == "union_tag_not_found":
        tags = ", ".join(sorted(str(_tag(m)) for m in models))
        return ("is missing", tags, ("kind",)) if isinstance(value, Mapping) else _not_a("a table with a kind", value)
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return _not_a(f"a table with {', '.join(keys)}", value)
    if kind in _NUMBERS:
        limit = context[_NUMBERS[kind]]
        return f"{shown(value)} is out of range", f"{_SIGNS[_NUMBERS[kind]]} {limit:g}", ()
    if kind in {"too_short", "too_long"}:
        least, most = context.get("min_length"), context.get("max_length")
        accepted = f"at least {least} items" if least is not None else f"at most {most} items"
        return f"{shown(value)} has {context['actual_length']} items", accepted.replace(" 1 items", " 1 item"), ()
    if kind == "string_too_short":
        return "is empty", "a text that is not empty", ()
    if kind.split("_")[0] in _KINDS:
        return _not_a(_KINDS[kind.split("_")[0]], value)
    return shown(value), error["msg"][:1].lower() + error["msg"][1:], ()


def _not_a(accepted: str, value: object) -> tuple[str, str, Loc]:
    return f"{shown(value)} is not {accepted.partition(' with ')[0]}", accepted, ()


def _own_words(cause: ValueError, message: str, keys: list[str], value: Any) -> tuple[str, str, Loc]:
    """Read the message of a validator of ours."""
    if isinstance(cause, InputError):
        return cause.problem, cause.accepted, (cause.key,) if cause.key else ()
    message = message.splitlines()[0]
    key, _, rest = message.partition(" ")
    inner: Loc = (key,) if key in keys else ()
    problem, _, accepted = (part.strip() for part in (rest if inner else message).partition(";"))
    if not inner:
        inner = _leaf_named(problem, value)
    if not accepted and (match := _SENTENCE.fullmatch(problem)):
        problem, accepted = f"{match[1]} is wrong", match[2]
    return problem, accepted, inner


def _leaf_named(problem: str, value: Any) -> Loc:
    """Return where in a table the value is that a message begins with."""
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        if isinstance(item, Mapping | list | tuple):
            if inner := _leaf_named(problem, item):
                return (key, *inner)
        elif problem.startswith(f"{item!r} "):
            return (key,)
    return ()


def _plain(choices: str) -> str:
    """Turn pydantic's ``'a', 'b' or 'c'`` into ``a, b, c``."""
    return choices.replace("'", "").replace(" or ", ", ")


def _elsewhere(name: str, here: Loc) -> str:
    """Return a hint at the keys of that name in other tables than the one here; of a name that many have, none."""
    full = sorted({key.name for key in keys_of() if key.name.rpartition(".")[2] == name})
    if ".".join(map(str, here)) in full:  # of another kind of the same table
        return ""
    return f"; did you mean {' or '.join(full)}?" if 0 < len(full) <= 3 else ""


def _models_at(loc: Loc, model: type[BaseModel], data: Any) -> set[type[BaseModel]]:
    """Return the types that the table at `loc` of the data may have; tags select a member of a union."""
    models = {model}
    for part in loc:
        tagged = {m for m in models if _tag(m) == part}
        if not tagged:
            data = _item(data, part)
        if isinstance(part, str) and (tagged or any(part in m.model_fields for m in models)):
            fields = [m.model_fields[part] for m in models if part in m.model_fields]
            models = tagged or {found for field in fields for found in models_of(field, data)}
    return models


def _item(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    return data[part] if isinstance(data, list | tuple) and isinstance(part, int) and part < len(data) else None


def _type_of(field: FieldInfo, value: Any) -> Any:
    """Return the type of a key's values; of a table by its kind, the class of the kind that this one names."""
    kinds = (one.class_for(value) for one in field.metadata if isinstance(one, OfKind))
    return next((found for found in kinds if found is not None), field.annotation)


def models_of(field: FieldInfo, value: Any = None) -> set[type[BaseModel]]:
    """Return the classes of tables that a key may hold, or only those that a given value may be.

    >>> from sim.scenario.tables import ScenarioTables
    >>> sorted(one.__name__ for one in models_of(ScenarioTables.model_fields["mobility"]))
    ['Area', 'Highway', 'Stationary', 'Straight', 'TrafficTrace']
    """
    kinds = [one for one in field.metadata if isinstance(one, OfKind)]
    if not kinds:
        return _models_in(field.annotation)
    found = kinds[0].class_for(value)
    return {found} if found is not None else set(kinds[0].classes())


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return str(kind.default) if kind is not None else None


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Collect the model types anywhere inside an annotation."""
    if isinstance(annotation, type) and not get_args(annotation):
        return {annotation} if issubclass(annotation, BaseModel) else set()
    return {found for argument in get_args(annotation) for found in _models_in(argument)}
