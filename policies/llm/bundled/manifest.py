"""The manifest of a model that was trained here: its training, its digest, and one of its decisions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, model_validator

from physical.errors import InputError
from physical.reading import read_bytes
from policies.llm.bundled.reading import Reading
from policies.llm.models import manifest_path, sha256

_BYTES_MAX = 1 << 20
SCHEMA = 3
"""Version of the language; a model that was trained on another version is refused."""


class Golden(BaseModel):
    """A decision that the model made right after its training.

    Parameters
    ----------
    seed : of the random environment
    num_case : cases in the prompt; the slot after them was decided
    offloaded : [N, K]
    share : [N, K], parts of the server
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(ge=0, le=2**63)
    num_case: int = Field(ge=0, le=128)
    offloaded: list[list[bool]]
    share: list[list[FiniteFloat]]

    @model_validator(mode="after")
    def _is_even(self) -> Golden:
        lengths = {*map(len, self.offloaded), *map(len, self.share)}
        if len(lengths) != 1 or len(self.offloaded) != len(self.share):
            raise ValueError("offloaded and share must have as many rows, all of one length")
        return self


class ModelManifest(BaseModel):
    """The file beside a model.

    Parameters
    ----------
    sha256 : of the model's file
    quantisation : of its matrices
    shape : of the network
    dataset, learning : arguments of `training.dataset.generate` and of the training
    reading : how answers are read off probabilities, the arguments of `policies.llm.bundled.reading.Reading`
    golden : a decision to compare with
    versions : of the libraries
    schema_version : of the language
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    quantisation: str
    shape: dict[str, Any]
    dataset: dict[str, Any]
    learning: dict[str, Any]
    reading: dict[str, Any]
    golden: Golden
    versions: dict[str, str]
    schema_version: int = SCHEMA

    def how_to_read(self) -> Reading:
        """Return how answers are read off probabilities.

        Raises
        ------
        ValueError : the arguments are invalid
        """
        known = {field.name for field in dataclasses.fields(Reading)}
        if unknown := sorted(self.reading.keys() - known):
            raise ValueError(f"{unknown[0]} is not known")
        return TypeAdapter(Reading).validate_python(self.reading)


def read_manifest(model: Path) -> ModelManifest:
    """Read the manifest beside a model.

    Raises
    ------
    InputError : missing, unreadable, or of another version
    """
    path = manifest_path(model)
    accepted = "the .json file that twin models train writes beside a model"
    try:
        manifest = ModelManifest.model_validate_json(read_bytes(path, _BYTES_MAX).decode("utf-8"))
    except FileNotFoundError:
        raise InputError("does not exist", where=str(path), accepted=accepted) from None
    except InputError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"is not a manifest: {first['msg']}", where=str(path), key=key, accepted=accepted) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), accepted=accepted) from None
    if manifest.schema_version != SCHEMA:
        problem = f"is of version {manifest.schema_version} of the language"
        raise InputError(problem, where=str(path), key="schema_version", accepted=str(SCHEMA))
    try:
        manifest.how_to_read()
    except ValueError as error:  # of pydantic's too
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"is wrong: {told}", where=str(path), key="reading", accepted=accepted) from None
    return manifest


def check_manifest(model: Path) -> ModelManifest:
    """Read the manifest beside a model and check that it describes this model.

    Raises
    ------
    InputError : a file is missing or damaged
    """
    manifest = read_manifest(model)
    found = sha256(model)
    if found != manifest.sha256:
        problem = f"is damaged, or not the model of {manifest_path(model).name}: its SHA-256 is {found}"
        raise InputError(problem, where=str(model), accepted=manifest.sha256)
    return manifest
