"""Reads and checks the JSON files that `twin compare` and `twin sweep` write beside their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from physical.errors import InputError
from traces.jsonfile import read_json
from traces.manifest import explain

_ACCEPTED = "what this version of twin compare and sweep writes"
_WHOLE_MAX = 2**53

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
"""Key of a run: the name of its file, never a path."""


class _StudyPart(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Precision(_StudyPart):
    """The precision that was asked for."""

    asked: Annotated[float, Field(gt=0, lt=1)] | None = None


def _spelled(value: Any) -> Any:
    """Return a value of a grid as a text."""
    return str(value) if isinstance(value, int | float) else value


def _different(items: list[Any]) -> list[Any]:
    if len(set(items)) < len(items):
        raise InputError("holds the same twice", accepted="different ones")
    return items


class PointFile(_StudyPart):
    """The comparison at one point of a grid; a plain comparison has one point without values.

    Parameters
    ----------
    scenario : as it is written in a scenario file
    policies, seeds, baseline : what was run
    results : policy -> the key of the run of each seed
    texts : policy -> text that makes it; empty for classes and objects
    warmup_slots, warmup_rule, precision : how they were compared
    values : key of the scenario -> value at the point
    """

    scenario: dict[str, Any]
    policies: Annotated[list[str], Field(min_length=1), AfterValidator(_different)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=_WHOLE_MAX)]], Field(min_length=1), AfterValidator(_different)]
    baseline: str
    results: dict[str, list[Key]]
    texts: dict[str, str]
    warmup_slots: Annotated[int, Field(ge=0, le=_WHOLE_MAX)]
    warmup_rule: str
    precision: Precision
    values: dict[str, Annotated[str, BeforeValidator(_spelled)]] = {}

    def check(self) -> None:
        """Refuse values that do not fit together.

        Raises
        ------
        InputError : names the first such value
        """
        if self.baseline not in self.policies:
            raise InputError(f"{self.baseline!r} is not compared", key="baseline", accepted=", ".join(self.policies))
        for policy in self.policies:
            if policy not in self.texts:
                raise InputError("is missing", key=f"texts.{policy}", accepted="a text")
            if len(self.results.get(policy, ())) != len(self.seeds):
                accepted = f"{len(self.seeds)} keys, one per seed"
                raise InputError("does not fit the seeds", key=f"results.{policy}", accepted=accepted)


_Points = TypeAdapter(list[PointFile])


def read_points(file: Path) -> list[PointFile]:
    """Return the points of a sweep, or the only one of a comparison.

    Raises
    ------
    InputError : the file cannot be read, or a key is missing or wrong
    """
    told = read_json(file, _ACCEPTED)
    try:
        points = _Points.validate_python(told) if isinstance(told, list) else [PointFile.model_validate(told)]
    except ValidationError as error:
        raise explain(error, str(file)) from None
    if not points or (len(points) > 1 and not all(point.values for point in points)):
        raise InputError("holds no points of a grid", where=str(file), accepted=_ACCEPTED)
    for index, point in enumerate(points):
        if list(point.values) != list(points[0].values) or point.policies != points[0].policies:
            raise InputError("differs from the first point", where=str(file), key=str(index), accepted=_ACCEPTED)
        try:
            point.check()
        except InputError as error:
            error.where, error.key = str(file), f"{index}.{error.key}" if isinstance(told, list) else error.key
            raise
    return points
