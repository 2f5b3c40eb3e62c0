"""Weight files: tensors in safetensors, and beside them a manifest about their training."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import safetensors
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load, save

from physical.errors import InputError
from physical.reading import read_bytes
from physical.system import System
from policies.marl.features import SCHEMA

Tensors = dict[str, torch.Tensor]

_BUNDLED = Path(str(files("policies.marl") / "weights"))
_SUFFIX = ".safetensors"
_SIZE_MAX = 4096
_BYTES_MAX, _MANIFEST_BYTES_MAX = 1 << 30, 1 << 20


class WeightsManifest(BaseModel):
    """The training of weights, and the systems for which they can be used.

    Parameters
    ----------
    algorithm, variant : policy to which the weights belong
    scenario : name of the scenario and its settings
    seed, steps : of the training
    arguments : of the trainer
    num_vehicle : least and greatest number of vehicles
    num_class : number of task classes
    schema_version : of the features
    score : mean cost P2 + w_U per slot at the end of the training
    versions : of the libraries
    sha256 : of the tensors' file
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str
    variant: str
    scenario: str
    seed: int
    steps: int
    arguments: dict[str, Any]
    num_vehicle: tuple[int, int]
    num_class: int
    schema_version: int = SCHEMA
    score: float
    versions: dict[str, str] = {}
    sha256: str = ""

    def size(self, name: str) -> int:
        """Return a size of the networks, of the trainer's arguments.

        Raises
        ------
        ValueError : it is missing or unreasonable; the check is needed because a network is made before it gets weights
        """
        size = self.arguments.get(name)
        if type(size) is not int or not 1 <= size <= _SIZE_MAX:
            raise ValueError(f"arguments.{name} is {size!r}, not 1 to {_SIZE_MAX}")
        return size


def write(path: Path, tensors: Tensors, manifest: WeightsManifest) -> WeightsManifest:
    """Write tensors to `path` and the manifest beside it; return it with versions and the digest of the tensors."""
    data: bytes = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    versions = {name: version(name) for name in ("vectwin", "torch", "safetensors", "numpy")}
    complete = manifest.model_copy(
        update={
            "versions": {"python": platform.python_version(), **versions},
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )
    try:
        path.write_bytes(data)
        _manifest_path(path).write_text(json.dumps(complete.model_dump(), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=str(path)) from None
    return complete


def read(path: Path) -> tuple[Tensors, WeightsManifest]:
    """Read tensors and manifest; no code in them is run.

    Raises
    ------
    InputError : a file is missing or damaged, or is not the one that the manifest describes
    """
    accepted = "a .safetensors file of twin train, with its .json beside it"
    try:
        data = read_bytes(path, _BYTES_MAX)
        text = read_bytes(_manifest_path(path), _MANIFEST_BYTES_MAX).decode("utf-8")
        manifest = WeightsManifest.model_validate_json(text)
        tensors: Tensors = load(data)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} does not exist", where=str(path), accepted=accepted) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        problem = f"is not a manifest: {first['msg']}"
        raise InputError(problem, where=str(_manifest_path(path)), key=key, accepted=accepted) from None
    except (OSError, UnicodeDecodeError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), accepted=accepted) from None
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise InputError("does not have the SHA-256 of its manifest", where=str(path), accepted=accepted)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError("has values that are not finite", where=str(path), key=name, accepted=accepted)
    return tensors, manifest


def check(
    manifest: WeightsManifest, algorithm: str, variant: str, system: System, where: str, *, any_number: bool
) -> None:
    """Refuse weights of another algorithm, number of vehicles or of classes, or other features.

    any_number : whether the actor takes any number of vehicles, so that the manifest only says which it was trained on

    Raises
    ------
    InputError : the weights do not suit the policy or the system
    """
    low, high = manifest.num_vehicle
    if (manifest.algorithm, manifest.variant) != (algorithm, variant):
        problem = f"holds weights of {manifest.algorithm}:variant={manifest.variant}"
        raise InputError(problem, where=where, accepted=f"weights of {algorithm}:variant={variant}")
    if manifest.schema_version != SCHEMA:
        problem = f"was trained on version {manifest.schema_version} of the features"
        raise InputError(problem, where=where, accepted=f"version {SCHEMA}")
    if manifest.num_class != system.num_class:
        problem = f"is for {manifest.num_class} task classes, the scenario has {system.num_class}"
        raise InputError(problem, where=where, accepted="a file for that number, see twin train")
    if not any_number and not low <= system.num_vehicle <= high:
        trained = f"{low}" if low == high else f"{low} to {high}"
        problem = f"is for {trained} vehicles, the scenario has {system.num_vehicle}"
        raise InputError(problem, where=where, accepted="a file for that number, see twin train")


def locate(choice: str, stem: str, system: System, *, per_vehicle: bool) -> Path:
    """Return the file that an option names: "auto", a bundled scenario's name, or a path.

    "auto" takes the weights of `dtecn-congested` if deadlines differ, else those of `dtecn`.

    stem : of the bundled files' names
    per_vehicle : whether there is a file for every number of vehicles

    Raises
    ------
    InputError : there is no such bundled file
    """
    if choice.endswith(_SUFFIX):
        return Path(choice)
    mixed = bool((system.deadline_s != system.deadline_s[0]).any())
    kind = ("dtecn-congested" if mixed else "dtecn") if choice == "auto" else choice
    name = f"{stem}-{kind}"
    path = _BUNDLED / (f"{name}-n{system.num_vehicle}{_SUFFIX}" if per_vehicle else f"{name}{_SUFFIX}")
    if not path.is_file():
        bundled = (entry.stem for entry in _BUNDLED.glob(f"{stem}-dtecn*{_SUFFIX}"))
        found = sorted(entry.removeprefix(f"{stem}-") for entry in bundled)
        problem = f"no weights are bundled for {kind!r} with {system.num_vehicle} vehicles"
        accepted = ", ".join([*found, f"or a path ending in {_SUFFIX}"])
        raise InputError(problem, where="--policy", key=f"{stem}.weights", accepted=accepted)
    return path


def _manifest_path(path: Path) -> Path:
    return path.with_suffix(".json")
