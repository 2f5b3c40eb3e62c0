"""Digests of everything on which the result of a run depends: bytes of files and source code, never names or times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import physical
import policies
import traces
import twin
from policies.digests import digest
from policies.foreign.origin import contents
from sim.scenario.file_entries import file_entries
from sim.scenario.kinds import named_kinds
from sim.scenario.scenario import Scenario

_PACKAGES = (physical, twin, policies, traces)
_LIBRARIES = ("numpy", "scipy", "simpy", "torch", "llama-cpp-python")
# These packages show results or start runs. They change no result.
_SHOWING = ("bench", "cli", "show")


def digest_of(value: Any) -> str:
    """Return the digest of plain data.

    >>> digest_of({"a": 1}) == digest_of({"a": 1.5})
    False
    """
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@cache
def of_vectwin() -> str:
    """Return the digest of this version, the versions of its libraries, and all its files that can change a result."""
    found = hashlib.blake2b(" ".join(versions().values()).encode(), digest_size=12)
    for file, name in sorted(_own_files(), key=lambda found: found[1]):
        found.update(f"\n{name}\n{digest(file)}".encode())
    return found.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of vectwin and of the libraries that can change a result; "none" if one is not installed."""
    return {library: _version(library) for library in ("vectwin", *_LIBRARIES)}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # of an extra
        return "none"


def _own_files() -> Iterator[tuple[Path, str]]:
    """Yield files together with their names below the folder that all packages share."""
    roots = [Path(package.__path__[0]) for package in _PACKAGES]
    roots.append(Path(__file__).parents[1])
    for root in roots:
        for file in root.rglob("*"):
            within = file.relative_to(root)
            shows = root.name == "sim" and within.parts[0] in _SHOWING
            if file.is_file() and not shows and "__pycache__" not in within.parts:
                yield file, f"{root.name}/{within.as_posix()}"


def of_scenario(scenario: Scenario) -> str:
    """Return the digest of a scenario, with the bytes of the files that it names.

    The policy that the scenario proposes is left out, because a job says which policy decides. So is the engine, as all
    engines give the same numbers.

    Raises
    ------
    InputError : a file cannot be read
    """
    plain = _plain(scenario, lambda file: digest(Path(file)))
    del plain["policy"]["name"]
    code = _code_of_kinds(scenario)
    return digest_of([plain, code] if code else plain)


def _code_of_kinds(scenario: Scenario) -> dict[str, dict[str, str]]:
    """Return digests of the code of kinds that packages bring, by group and name."""
    found = {}
    for _, registry, kind in named_kinds(scenario):
        if (spec := registry.get(kind.kind)) is not None and spec.package:
            found[f"{registry.group} {kind.kind}"] = contents(type(kind))
    return found


def place_of(scenario: Scenario) -> str:
    """Return a digest that stays the same when files that a scenario names change or their folder moves."""
    return digest_of(_plain(scenario, lambda file: Path(file).name))


def _plain(scenario: Scenario, spell: Callable[[str], str]) -> dict[str, Any]:
    """Return a scenario as plain data but for its engine, with a replacement for every file that it names."""
    data = scenario.model_dump(mode="json", exclude={"engine"})
    for table, key in file_entries(data):
        table[key] = spell(table[key])
    return data
