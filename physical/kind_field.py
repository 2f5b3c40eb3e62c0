"""A table of a scenario whose keys depend on its kind: the class of the kind, found by name, validates it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from physical.errors import InputError
from physical.nearest import did_you_mean
from physical.params_base import Params
from physical.registry import ENGINES, KindSpec, Registry

_SHOWN_MAX = 60


class KindParams(Params):
    """The base of every class of a kind: its fields are the keys of its table.

    The class variable `engines` names the engines that know the kind. A kind that does not say is known to all.

    kind : name of the kind
    """

    engines: ClassVar[tuple[str, ...]] = ENGINES
    kind: str

    @classmethod
    def used(cls) -> tuple[str, ...]:
        """Return the keys that change something with this kind: those that ``twin keys`` and ``twin kinds`` list."""
        return tuple(cls.model_fields)

    @classmethod
    def meanings(cls) -> str:
        """Return the docstring: what the kind is, and lines ``key : meaning [source]``."""
        return inspect.getdoc(cls) or ""

    @classmethod
    def describe(cls, schema: dict[str, Any]) -> None:
        """Let a JSON schema of the class show what it uses, with the meanings."""
        used = {"kind", *cls.used()}
        schema["properties"] = {name: key for name, key in schema["properties"].items() if name in used}
        schema["description"] = cls.meanings()


class OfKind:
    """Part of an annotated type: validates a table by the class of its kind.

    A bare name stands for a table that has no other keys, if `is_text` says so; such a table is written as its name.

    Parameters
    ----------
    registry : the kinds
    base : what every class of a kind derives from
    default : the kind of a table that does not say; "" if each must say
    is_text : whether a name stands for a table
    """

    def __init__(self, registry: Registry, base: type[KindParams], *, default: str = "", is_text: bool = False) -> None:
        self.registry = registry
        self._base = base
        self._default = default
        self._is_text = is_text

    def validate(self, value: Any) -> KindParams:
        """Return a table as an object of its kind's class.

        Raises
        ------
        InputError : no table, no such kind, a package that cannot be imported
        ValidationError : what is wrong with the keys
        """
        if isinstance(value, self._base):
            return value
        is_name = self._is_text and not isinstance(value, Mapping)
        if not is_name and not isinstance(value, Mapping):
            raise InputError(f"{_shown(value)} is not a table", accepted="a table with a kind")
        name, key = (value, "") if is_name else (value.get("kind", self._default), "kind")
        spec = self.registry.get(name) if isinstance(name, str) else None
        if spec is None:
            raise self._unknown(name, key)
        try:
            return self.class_of(spec).model_validate({"kind": name} if is_name else {**value, "kind": name})
        except (InputError, ValidationError) as error:
            if isinstance(error, InputError):
                error.key = key
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever somebody else's validator raises, an exit too
            raise InputError(f"{name}: cannot be made: {self.registry.reason(error)}", key=key) from error

    def _unknown(self, name: Any, key: str) -> InputError:
        known = self.registry.names()
        problem = f"{_shown(name)} is not one of the choices{did_you_mean(str(name), known)}" if name else "is missing"
        return InputError(problem, key=key, accepted=", ".join(known))

    def class_of(self, spec: KindSpec) -> type[KindParams]:
        """Import the class of a kind.

        Raises
        ------
        InputError : it cannot be imported, is no class of a kind of this group, or names engines that there are not
        """
        try:
            found = self.registry.load(spec)
        except InputError as error:
            raise InputError(f"{spec.name}: {error.problem}", accepted=error.accepted) from error
        if not isinstance(found, type) or not issubclass(found, self._base):
            needed = f"a subclass of {self._base.__module__}:{self._base.__qualname__}"
            raise InputError(f"{spec.name}: {_shown(found)} is not a {self.registry.noun}", accepted=needed)
        engines: Any = found.engines
        if not isinstance(engines, tuple) or not engines or not all(one in ENGINES for one in engines):
            needed = f"a tuple of {' and '.join(map(repr, ENGINES))}, or of one of them"
            raise InputError(f"{spec.name}: engines = {_shown(engines)} names no engines", accepted=needed)
        return found

    def class_for(self, value: Any) -> type[KindParams] | None:
        """Return the class that validates a value; None if there is none, or it cannot be had."""
        name = value.get("kind", self._default) if isinstance(value, Mapping) else value
        spec = self.registry.get(name) if isinstance(name, str) else None
        try:
            return None if spec is None else self.class_of(spec)
        except InputError:
            return None

    def classes(self) -> list[type[KindParams]]:
        """Return the classes of the kinds of ours: those of others are not known everywhere."""
        return [self.class_of(spec) for spec in self.registry.built_in()]

    def names_only(self) -> bool:
        """Whether all kinds of ours are written as their names: they have no other keys."""
        return self._is_text and all(set(one.model_fields) == {"kind"} for one in self.classes())

    def _written(self, value: KindParams, info: core_schema.SerializationInfo) -> Any:
        """Write a table without other keys than its kind as its name."""
        if set(type(value).model_fields) == {"kind"}:
            return value.kind
        return value.model_dump(mode=info.mode, exclude_none=info.exclude_none, exclude_unset=info.exclude_unset)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by the class of the kind, which is imported only then."""
        writer = core_schema.plain_serializer_function_ser_schema(self._written, info_arg=True)
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=writer if self._is_text else None
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Show the kinds of ours."""
        if self.names_only():
            return {"type": "string", "enum": [spec.name for spec in self.registry.built_in()]}
        forms = []
        for one in self.classes():
            one.model_rebuild()
            forms.append(handler(one.__pydantic_core_schema__))
            one.describe(handler.resolve_ref_schema(forms[-1]))
        return {"oneOf": forms}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 4]} ..."
