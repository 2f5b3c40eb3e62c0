"""Luggage: the files that jobs name, for workers on other machines.

A job names files by paths of the machine where it was made. A worker that does not see them there gets copies, and its
jobs name the copies. Neither changes what is computed, nor a job's key: that counts contents and names without folders.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from physical.errors import InputError
from policies.digests import digest
from policies.foreign.by_path import Reference
from policies.foreign.closure import is_installed, is_own, module_files, root_of
from policies.foreign.origin import REACHED, NoSourceError, files, named_files
from policies.registry import Named, load, look_up, parameters_of
from sim.scenario.file_entries import file_entries
from sim.studies.entrants import Entrant
from sim.studies.jobs import Job
from sim.studies.travel import packed, unpickled

_IN_PACKAGES = ("smollm2",)
"""Values of options that name a file of an installed package; the worker has to have that package."""


@dataclass(frozen=True)
class Bundle:
    """Files that stay together: what one path of a job names, or the modules of one folder.

    Parameters
    ----------
    source : absolute path, as the jobs of a `Trip` spell it
    anchor : folder in which `files` lie
    files : digests by name below `anchor`
    owner : who names it, for errors
    is_movable : whether jobs can name a copy
    is_root : whether modules are looked for in `anchor`
    """

    source: str
    anchor: Path
    files: tuple[tuple[str, str], ...]
    owner: str
    is_movable: bool = True
    is_root: bool = False

    def is_here(self) -> bool:
        """Tell whether this machine has all files, with these bytes, where they are named."""
        return all(is_same(self.anchor / name, found) for name, found in self.files)

    def moved(self, folder: Path) -> tuple[Path, Path]:
        """Return the anchor and the path that stands for `source` in a folder for the bundles of a trip."""
        anchor = folder / hashlib.blake2b(self.source.encode(), digest_size=6).hexdigest()
        return anchor, anchor / Path(self.source).relative_to(self.anchor)


def is_same(file: Path, found: str) -> bool:
    """Tell whether a file is there and has a digest."""
    try:
        return file.is_file() and digest(file) == found
    except (InputError, OSError, ValueError):  # it cannot be read, or its name is none on this system
        return False


@dataclass(frozen=True)
class Trip:
    """What the jobs of a study need besides themselves.

    Parameters
    ----------
    entrants : the policies, with absolute paths
    bundles : all files that are named
    drops : variables of the environment that workers drop
    name : of its own for each study, under which workers remember it
    """

    entrants: tuple[Entrant, ...]
    bundles: tuple[Bundle, ...]
    drops: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: uuid4().hex[:12])

    def place_of(self, found: str) -> Path:
        """Return where this machine has the bytes of a digest."""
        for bundle in self.bundles:
            for name, other in bundle.files:
                if other == found:
                    return bundle.anchor / name
        raise KeyError(found)


class Packer:
    """Packs jobs: what their policies hold travels once to each worker, and each job says which it is.

    Parameters
    ----------
    jobs : all jobs of a study
    drops : see `Trip`

    Raises
    ------
    InputError : a file cannot be read any more
    """

    def __init__(self, jobs: Iterable[Job], drops: Sequence[str] = ()) -> None:
        self._light: dict[Entrant, tuple[int, Entrant]] = {}
        self._scenarios: dict[str, str] = {}
        for job in jobs:
            if job.entrant not in self._light:
                light = replace(job.entrant, pickled=b"", known=b"", contents=())
                self._light[job.entrant] = len(self._light), light
            if job.scenario not in self._scenarios:
                self._scenarios[job.scenario] = _elsewhere(job.scenario, os.path.abspath)
        bundles: dict[str, Bundle] = {}
        for entrant in self._light:
            for bundle in _of_entrant(entrant):
                bundles.setdefault(bundle.source, bundle)
        for text in self._scenarios.values():
            for bundle in _of_scenario(json.loads(text)):
                bundles.setdefault(bundle.source, bundle)
        entrants = tuple(replace(entrant, text=absolute(entrant.text)) for entrant in self._light)
        self.trip = Trip(entrants, tuple(bundles.values()), tuple(drops))

    def pack(self, job: Job) -> tuple[int, bytes]:
        """Return the number of a job's policy, and the rest of the job as bytes."""
        number, light = self._light[job.entrant]
        return number, packed(replace(job, entrant=light, scenario=self._scenarios[job.scenario]))


def unpack(data: bytes, entrant: Entrant, places: Mapping[str, str]) -> Job:
    """Return a job on a worker.

    data : the job without its policy
    entrant : its policy, as it is here
    places : path that stands for each path that is not here
    """
    job: Job = unpickled(data)
    scenario = _elsewhere(job.scenario, places.get) if places else job.scenario
    return replace(job, entrant=entrant, scenario=scenario)


def _elsewhere(scenario: str, place: Callable[[str], str | None]) -> str:
    """Return a scenario with other paths; the same text if there are none."""
    told = json.loads(scenario)
    others = [(table, key, there) for table, key in file_entries(told) if (there := place(table[key])) is not None]
    for table, key, there in others:
        table[key] = there
    return json.dumps(told) if others else scenario


def relocated(text: str, place: Callable[[str], str | None]) -> str:
    """Return a policy's text with other paths.

    place : returns what stands for a path or the value of an option; None if nothing does

    >>> relocated("apg:weights=/home/ann/a.safetensors", {"/home/ann/a.safetensors": "/tmp/a.safetensors"}.get)
    'apg:weights=/tmp/a.safetensors'
    """
    try:
        spec, options = look_up(text, by_path=True)
    except InputError:
        return text
    told = {key: place(value) or value for key, value in options.items()}
    # An option may name another policy, such as a teacher.
    told = {key: relocated(value, place) if value == options[key] else value for key, value in told.items()}
    return _spelled(spec.name, spec.target, told, place) if isinstance(spec.target, Reference) or told else text


def _spelled(name: str, target: object, options: Mapping[str, str], place: Callable[[str], str | None]) -> str:
    told = ",".join(f"{key}={value}" for key, value in options.items())
    if isinstance(target, Reference):
        return target._replace(place=place(target.place) or target.place, options=told).text
    return f"{name}:{told}" if told else name


def absolute(text: str) -> str:
    """Return a policy's text with absolute paths, and with the options that name files by default."""
    try:
        found = look_up(text, by_path=True)
    except InputError:
        return text
    told = dict(found.options)
    for key, value in _defaults(found).items():
        told.setdefault(key, str(value))
    if told != found.options:
        text = _spelled(found.spec.name, found.spec.target, told, lambda _path: None)
    return relocated(text, lambda value: _absolute(value) if _names_files(value) else None)


def _defaults(found: Named) -> dict[str, str | Path]:
    """Return the options of a user's class that name files if they are not given."""
    target = found.spec.target
    if not isinstance(target, Reference) or target.file() is None:
        return {}
    parameters = parameters_of(load(found.spec))
    texts = {key: each.default for key, each in parameters.items() if isinstance(each.default, str | Path)}
    return {key: value for key, value in texts.items() if key not in found.options and _names_files(value)}


def _names_files(value: str | Path) -> bool:
    return value not in _IN_PACKAGES and bool(named_files(value))


def _absolute(value: str | Path) -> str:
    return os.path.abspath(Path(value).expanduser())


def _of_entrant(entrant: Entrant) -> Iterator[Bundle]:
    """Yield the bundles of a policy."""
    if entrant.text:
        yield from _of_text(entrant.text, entrant.name)
        return
    try:
        found = files(unpickled(entrant.pickled))
    except NoSourceError as error:
        found = error.files
    for label, path in found.items():
        # Its code travels with it; a path that it holds stays what it is.
        if label.startswith("option ") and not is_installed(path.parent):
            yield _bundle(path, [path], entrant.name, is_movable=False)


def _of_text(text: str, owner: str, *, by_path: bool = True, is_movable: bool = True) -> Iterator[Bundle]:
    """Yield the bundles of a policy's text: of its options, and of its code if it is named by path."""
    found = look_up(text, by_path=by_path)
    for value in (*found.options.values(), *_defaults(found).values()):
        if _names_files(value):
            yield _bundle(Path(_absolute(value)), named_files(_absolute(value)).values(), owner, is_movable=is_movable)
        else:
            with suppress(InputError):  # it is no policy
                yield from _of_text(str(value), owner, by_path=False, is_movable=is_movable)
    if isinstance(found.spec.target, Reference) and (file := found.spec.target.file()) is not None:
        yield from _of_code(file, text, owner)


def _of_code(file: Path, text: str, owner: str) -> Iterator[Bundle]:
    """Yield the modules of a policy by path: those of its own folder, and for each other folder those of that one."""
    root = root_of(file)
    modules = {label.removeprefix("module "): path for label, path in files(text, by_path=True).items()}
    folder = file.parent
    while folder != root:  # its package needs its own modules, too
        modules = module_files(folder / "__init__.py", root) | modules
        folder = folder.parent
    roots: dict[Path, list[Path]] = {root: [file]}
    for label, path in modules.items():
        if path.suffix and not label.startswith("option ") and not is_own(path):
            home = _home(label.removesuffix(REACHED), path)
            roots.setdefault(home, []).append(path)
    for home, paths in roots.items():
        source = file if home == root else home
        yield _bundle(source, paths, owner, anchor=home, is_root=home != root)


def _home(module: str, file: Path) -> Path:
    """Return the folder from which a module was imported by its name."""
    parts = [*module.split("."), *(["__init__"] if file.name == "__init__.py" else [])]
    folder = file.parents[len(parts) - 1] if len(parts) <= len(file.parents) else root_of(file)
    is_there = file.relative_to(folder).parts[:-1] == tuple(parts[:-1]) if file.is_relative_to(folder) else False
    return folder if is_there else root_of(file)


def _of_scenario(told: dict[str, Any]) -> Iterator[Bundle]:
    """Yield the bundles of a scenario: its files, and what the policies that it names name."""
    for table, key in file_entries(told):
        path = Path(os.path.abspath(table[key]))
        yield _bundle(path, [path], "the scenario")
    swaps = [event.get("name") for event in told.get("timeline") or () if isinstance(event, dict)]
    for text in (told["policy"].get("fallback"), *swaps):
        if isinstance(text, str):
            with suppress(InputError):  # the name of something else
                # What a scenario says is part of a job's key, so it cannot be changed.
                yield from _of_text(text, f"the scenario's {text.partition(':')[0]}", by_path=False, is_movable=False)


def _bundle(
    source: Path,
    paths: Iterable[Path],
    owner: str,
    *,
    anchor: Path | None = None,
    is_movable: bool = True,
    is_root: bool = False,
) -> Bundle:
    anchor = source.parent if anchor is None else anchor
    named = {path.relative_to(anchor).as_posix(): digest(path) for path in paths}
    return Bundle(str(source), anchor, tuple(sorted(named.items())), owner, is_movable, is_root)
