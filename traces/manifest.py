"""The manifest of a run, `manifest.json`, whose contents are checked before they are used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from physical.errors import InputError, expected
from traces.jsonfile import is_file, read_json, shown
from traces.schema import READABLE_VERSIONS, TABLES
from traces.writer import MANIFEST

ACCEPTED = "the manifest of a run"
_INPUT = re.compile(r"mobility|link|requests-\d{1,6}")
_TEXTS = {"engine", "engine_reason", "digest", "gap_model", "fallback_first", "not_closed"}
"""Keys of the summary whose values are texts."""
_WHOLE_MAX = 2**53


def problem_of_summary(summary: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return the first key with an invalid value, the problem, and the accepted values; None if all values are valid.

    >>> problem_of_summary({"slots": 3, "stable": None, "digest": "12ab"})
    >>> problem_of_summary({"penalty_mean": "low"})
    ('penalty_mean', '"low" is not what belongs here', 'a finite number, or null')
    """
    for key, value in summary.items():
        if value is None and key != "slots":
            continue
        if key in _TEXTS:
            wanted, fits = "a text", isinstance(value, str)
        elif key == "stable":
            wanted, fits = "true, false or null", isinstance(value, bool)
        elif key == "slots":
            wanted, fits = "an integer >= 0", _is_whole(value) and value >= 0
        else:
            wanted = "a finite number, or null"
            fits = _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
        if not fits:
            return key, f"{shown(value)} is not what belongs here", wanted
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _WHOLE_MAX


def _summary(summary: dict[str, Any]) -> dict[str, Any]:
    if (found := problem_of_summary(summary)) is not None:
        key, problem, accepted = found
        raise InputError(problem, key=key, accepted=accepted)
    return summary


def _digests(digests: dict[str, str]) -> dict[str, str]:
    for name in digests:
        if name not in TABLES:
            raise InputError("there is no such table", key=name, accepted=", ".join(TABLES))
    return digests


def _version(version: Any) -> Any:
    if type(version) is not int or version not in READABLE_VERSIONS:
        accepted = ", ".join(map(str, READABLE_VERSIONS))
        raise InputError(f"{shown(version)} is another version", accepted=accepted)
    return version


class _ManifestPart(BaseModel):
    """Base of the parts of a manifest: types are strict, and unknown keys of later versions are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Input(_ManifestPart):
    """The copy of a file that the scenario names, as the run kept it.

    Parameters
    ----------
    file : place below the folder of the run
    digest : digest of its rows
    begin_s : time of a mobility trace at which the run begins, in seconds
    """

    file: str
    digest: str = ""
    begin_s: Annotated[float, Field(ge=-1e11, le=1e11)] | None = None


class EngineUsed(_ManifestPart):
    """Which engine simulated, and why that one.

    Parameters
    ----------
    name : columns or events
    why : asked for, or what `auto` goes by
    """

    name: str
    why: str = ""


def _inputs(inputs: dict[str, Input]) -> dict[str, Input]:
    for name, entry in inputs.items():
        if not _INPUT.fullmatch(name):
            raise InputError("there is no such input", key=name, accepted="mobility, link, requests-0, requests-1, ...")
        own = f"inputs/{name}.parquet"
        if entry.file != own:  # any other path leads to a file outside the run
            raise InputError(f"{shown(entry.file)} is no file of the run", key=f"{name}.file", accepted=own)
        if name == "mobility" and entry.begin_s is None:
            raise InputError("is missing", key=f"{name}.begin_s", accepted="seconds")
    return inputs


class Manifest(_ManifestPart):
    """The contents of a manifest; digests and summary are written when the run ends.

    Parameters
    ----------
    schema_version : version of the tables, see `traces.schema`
    status : "complete", "interrupted" by a signal, or "running", also of a run that was killed
    scenario : the whole scenario, as a scenario file has it
    policy : who decided, as it was given
    seed : seed of all random numbers
    engine : which engine simulated, and why; null in runs of versions that had one engine only
    versions : versions of Python, vectwin and the libraries that results depend on
    inputs : what the run has kept of the files that its scenario names, by "mobility", "link", "requests-0" and so on
    digest : digest of the run, which follows from those of its tables
    digests : digest of each table
    summary : what came of the run, in numbers
    """

    schema_version: Annotated[int, BeforeValidator(_version)]
    status: Literal["running", "complete", "interrupted"] = "running"
    scenario: dict[str, Any]
    policy: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)]
    engine: EngineUsed | None = None
    versions: dict[str, str] = {}
    inputs: Annotated[dict[str, Input], AfterValidator(_inputs)] = {}
    digest: str = ""
    digests: Annotated[dict[str, str], AfterValidator(_digests)] = {}
    summary: Annotated[dict[str, Any], AfterValidator(_summary)] = {}


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest in the folder of a run.

    Raises
    ------
    InputError : there is none, it is no JSON, or a key is missing or wrong
    """
    path = directory / MANIFEST
    if not is_file(path):
        raise InputError(f"is not a run: it has no {MANIFEST}", where=str(directory))
    told = read_json(path, ACCEPTED)
    if not isinstance(told, dict):
        raise InputError(f"{shown(told)} is no manifest", where=str(path), accepted=ACCEPTED)
    try:
        Manifest.model_validate(told)
    except ValidationError as error:
        raise explain(error, str(path)) from None
    return told


def explain(error: ValidationError, where: str) -> InputError:
    """Return a sentence about the first error in a file."""
    # The version is checked first, because in another version everything else may be different.
    first = min(error.errors(), key=lambda one: one["loc"][:1] != ("schema_version",))
    key, kind, context = ".".join(map(str, first["loc"])), first["type"], first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, InputError):
        key = ".".join(part for part in (key, cause.key) if part)
        return InputError(cause.problem, where=where, key=key, accepted=cause.accepted)
    if kind == "missing":
        return InputError("is missing", where=where, key=key)
    if kind in {"too_short", "string_too_short"}:
        return InputError("is empty", where=where, key=key, accepted="a text" if kind[0] == "s" else "at least one")
    if kind in {"greater_than_equal", "less_than_equal", "greater_than", "less_than"}:
        problem = f"{shown(first['input'])} is out of range"
    elif kind == "literal_error":
        accepted = context["expected"].replace("'", "").replace(" or ", ", ")
        return InputError(f"{shown(first['input'])} is not one of the choices", where=where, key=key, accepted=accepted)
    else:
        problem = f"{shown(first['input'])} is not what belongs here"
    wanted = "a table" if kind in {"dict_type", "model_type"} else expected(first["msg"]).replace("a valid ", "a ")
    return InputError(problem, where=where, key=key, accepted="a text" if wanted == "a string" else wanted)
