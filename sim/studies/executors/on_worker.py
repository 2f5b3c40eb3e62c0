"""What happens on a worker of a cluster: it says what it has, takes luggage, and runs jobs.

These functions are called by name from another machine, see `sim.studies.executors.dask_workers`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from physical.errors import InputError
from physical.printable import one_line
from policies.foreign.beside import add_folder
from policies.foreign.mistakes import named
from sim.studies.contents import of_vectwin, versions
from sim.studies.entrants import Entrant
from sim.studies.executors.luggage import Bundle, Trip, is_same, relocated, unpack
from sim.studies.jobs import Failed, Outcome, perform

_PATIENCE_S = 20.0
"""A job that comes to a worker before the study has made it ready waits so long."""


class NotReadyError(Exception):
    """A worker has not been made ready for a study; the first argument is its address."""


@dataclass(frozen=True)
class _Ready:
    entrants: Sequence[Entrant]
    places: Mapping[str, str]


_studies: dict[str, _Ready] = {}
_changed = threading.Condition()


def facts() -> dict[str, str]:
    """Return what has to be the same everywhere: Python, libraries, and vectwin's own files."""
    return {"Python": f"{sys.version_info[0]}.{sys.version_info[1]}", **versions(), "code": of_vectwin()}


def lacking(bundles: Sequence[Bundle], dask_worker: Any) -> tuple[list[int], list[str]]:
    """Return which bundles are not here, and the digests of the bytes that are nowhere here."""
    found = [number for number, bundle in enumerate(bundles) if not bundle.is_here()]
    wanted: dict[str, None] = {}
    for number in found:
        for name, one in bundles[number].files:
            if not is_same(bundles[number].anchor / name, one) and not (_folder(dask_worker) / one).is_file():
                wanted[one] = None
    return found, list(wanted)


def receive(study: str, one: str, data: bytes, is_last: bool, dask_worker: Any) -> None:
    """Take the next bytes of a file.

    Parameters
    ----------
    study : name of its trip
    one : digest of the whole file
    data, is_last : the bytes, and whether they are the last ones

    Raises
    ------
    OSError : they cannot be written
    InputError : the file has changed since
    """
    folder = _folder(dask_worker)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{one}.{study}"
    with part.open("ab") as file:
        file.write(data)
    if is_last:
        part.replace(folder / one)
        if not is_same(folder / one, one):
            (folder / one).unlink()
            raise InputError("a file has changed since the study began", accepted="the same command again")


async def get_ready(trip: Trip, missing: Sequence[int], dask_worker: Any) -> dict[str, str]:
    """Get ready for the jobs of a study, and return why policies cannot be made here, by name.

    missing : bundles that are not here, whose bytes have come
    """
    return await asyncio.to_thread(_get_ready, trip, missing, _folder(dask_worker))


def _get_ready(trip: Trip, missing: Sequence[int], folder: Path) -> dict[str, str]:
    for name in trip.drops:
        os.environ.pop(name, None)
    places = {}
    for number, bundle in enumerate(trip.bundles):
        anchor = bundle.anchor
        if number in missing:
            anchor, places[bundle.source] = _unpacked(bundle, folder, trip.name)
        if bundle.is_root:
            add_folder(str(anchor))
    texts = [relocated(entrant.text, places.get) for entrant in trip.entrants]
    here = [replace(entrant, text=text) for entrant, text in zip(trip.entrants, texts, strict=True)]
    problems = {entrant.name: told for entrant in here if (told := _problem(entrant))}
    with _changed:
        _studies[trip.name] = _Ready(here, places)
        _changed.notify_all()
    return {name: _back(told, places) for name, told in problems.items()}


def _unpacked(bundle: Bundle, folder: Path, study: str) -> tuple[Path, str]:
    """Put a bundle's files where they have the same names to each other."""
    anchor, source = bundle.moved(folder / study)
    for name, one in bundle.files:
        target = anchor / name
        target.parent.mkdir(parents=True, exist_ok=True)
        came = folder / one
        if came.is_file():
            target.unlink(missing_ok=True)
            os.link(came, target)
        else:
            shutil.copyfile(bundle.anchor / name, target)
    return anchor, str(source)


def _problem(entrant: Entrant) -> str:
    """Return why a policy cannot be made here; empty if it can."""
    try:
        entrant.make()
    except InputError as error:
        return str(error)
    except Exception as error:  # whatever its own code raises
        return one_line(named(error))
    return ""


def perform_here(study: str, number: int, data: bytes) -> Outcome:
    """Run a job.

    Parameters
    ----------
    study : name of its trip
    number, data : of `luggage.Packer.pack`

    Raises
    ------
    NotReadyError : the worker has not been made ready
    """
    with _changed:
        if not _changed.wait_for(lambda: study in _studies, _PATIENCE_S):
            raise NotReadyError(_address())
        ready = _studies[study]
    outcome = perform(unpack(data, ready.entrants[number], ready.places))
    if not isinstance(outcome, Failed) or not ready.places:
        return outcome
    told = {key: _back(getattr(outcome, key), ready.places) for key in ("problem", "where", "key", "accepted")}
    return replace(outcome, **told)


def forget(study: str, dask_worker: Any) -> None:
    """Forget a study that is over; bytes that came stay for the next one."""
    with _changed:
        _studies.pop(study, None)
    shutil.rmtree(_folder(dask_worker) / study, ignore_errors=True)


def _back(told: str, places: Mapping[str, str]) -> str:
    """Return an error with the user's paths."""
    for source, place in places.items():
        told = told.replace(place, source)
    return told


def _folder(dask_worker: Any) -> Path:
    """Return the folder for luggage, which goes with the worker."""
    return Path(dask_worker.local_directory) / "vectwin"


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)
