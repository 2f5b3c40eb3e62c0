"""Files that a scenario names: read once, cut to the run, and kept beside the trace so that a replay has them.

Most scenarios name none: what reads such files is imported inside the functions.
"""

from __future__ import annotations

import copy
import math
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from physical.digits import seconds, span
from physical.errors import InputError
from physical.params import Mobility, TaskClass
from physical.ticks import NS_PER_S, to_ns
from traces.part import check_own
from traces.writer import MANIFEST

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario
    from traces.exogenous import ExogenousTrace, LinkTrace, MobilityTrace, RequestTrace

FOLDER = "inputs"


def mobility_of(scenario: Scenario) -> tuple[MobilityTrace, int]:
    """Return the mobility trace during the run, and the time of the trace at which the run begins, ns.

    Who is not there at any slot start is no vehicle of the run.

    Raises
    ------
    InputError : the file cannot be read, or nobody is on the road during the run
    """
    file, slot_ns = scenario.mobility.file, to_ns(scenario.time.slot_duration_s)
    assert file is not None
    begin_ns = None if scenario.mobility.begin_s is None else to_ns(scenario.mobility.begin_s)
    return _cut(file, _version(file), begin_ns, slot_ns, scenario.time.num_slot)


@lru_cache(maxsize=4)
def _cut(
    file: str, version: tuple[int, int], begin_ns: int | None, slot_ns: int, num_slot: int
) -> tuple[MobilityTrace, int]:
    from traces.exogenous import MobilityTrace, read_mobility
    from traces.exogenous.presence import Whereabouts, span_ns

    trace = _read(read_mobility, file, version)
    assert isinstance(trace, MobilityTrace)
    first_ns, last_ns = span_ns(trace)
    begin_ns = first_ns if begin_ns is None else begin_ns
    found = Whereabouts.of(trace)
    kept = found.needed(begin_ns, slot_ns, num_slot)
    if not kept.any():
        accepted = _begins(first_ns, last_ns)
        raise InputError("nobody is on the road during the run", where=file, key="begin_s", accepted=accepted)
    return found.cut(trace, kept), begin_ns


class Length(NamedTuple):
    """How long a run may be with an input that it takes from a file.

    num_slot : slots that begin before the input ends, or when it does; with requests also the next one, which has them
    told : file, and what it holds
    """

    num_slot: int
    told: str


def length_of_inputs(scenario: Scenario) -> Length | None:
    """Return how long the shortest input from a file is; None if there is none that ends.

    Rates of a link trace do not end: they come round and round.

    Raises
    ------
    InputError : a file cannot be read, or the run begins outside it
    """
    slot_ns = to_ns(scenario.time.slot_duration_s)
    found = []
    if scenario.mobility.file is not None:
        found.append(_length_of_mobility(scenario.mobility, slot_ns))
    for index, task in enumerate(scenario.tasks):
        if task.requests is not None:
            found.append(_length_of_requests(task, slot_ns, f"tasks.{index}.requests.begin_s"))
    return min(found, default=None)


def _length_of_mobility(mobility: Mobility, slot_ns: int) -> Length:
    from traces.exogenous import MobilityTrace, read_mobility
    from traces.exogenous.presence import span_ns

    assert mobility.file is not None
    trace = _read(read_mobility, mobility.file, _version(mobility.file))
    assert isinstance(trace, MobilityTrace)
    first_ns, last_ns = span_ns(trace)
    begin_ns = first_ns if mobility.begin_s is None else to_ns(mobility.begin_s)
    if not first_ns <= begin_ns <= last_ns:
        when = "during the run" if begin_ns > last_ns else "when it begins"
        raise InputError(
            f"nobody is on the road {when}", where=mobility.file, key="begin_s", accepted=_begins(first_ns, last_ns)
        )
    after = "" if begin_ns == first_ns else f", and the run begins {seconds(begin_ns - first_ns)} s after its begin"
    told = f"the mobility trace {mobility.file} has {span(first_ns, last_ns)}{after}"
    return Length((last_ns - begin_ns) // slot_ns + 1, told)


def _begins(first_ns: int, last_ns: int) -> str:
    """Return the values that ``begin_s`` may have, as they are to be written, and the dates that they are."""
    values, told = f"{seconds(first_ns)} to {seconds(last_ns)} s", span(first_ns, last_ns)
    return values if told == values else f"{values}: {told}"


def _length_of_requests(task: TaskClass, slot_ns: int, key: str) -> Length:
    assert task.requests is not None
    file, end_ns = task.requests.file, requests_of(task).end_ns
    begin_ns = to_ns(task.requests.begin_s)
    if begin_ns > end_ns:
        problem = f"{seconds(begin_ns)} s is after the last request of {file}"
        raise InputError(problem, key=key, accepted=f"0 to {seconds(end_ns)} s")
    speed = f" at speed {task.requests.speed:g}" if task.requests.speed != 1 else ""
    after = f" from {seconds(begin_ns)} s on" if begin_ns else ""
    told = f"the request trace {file} has {seconds(end_ns - begin_ns)} s{after}{speed}"
    return Length(math.ceil((end_ns - begin_ns) / (task.requests.speed * slot_ns)) + 1, told)


def warnings(scenario: Scenario) -> tuple[str, ...]:
    """Return a sentence for what cannot be in the files that a run takes: a vehicle that jumps."""
    if scenario.mobility.file is None:
        return ()
    from traces.exogenous.presence import jump_of

    jump = jump_of(mobility_of(scenario)[0])
    return (f"{scenario.mobility.file}: {jump}",) if jump else ()


def notes(scenario: Scenario) -> tuple[str, ...]:
    """Return a sentence for what was recognised in the files that a run takes, or derived from them."""
    named: list[tuple[str, ExogenousTrace]] = []
    if scenario.mobility.file is not None:
        named.append((scenario.mobility.file, mobility_of(scenario)[0]))
    if scenario.radio.rate_file is not None:
        named.append((scenario.radio.rate_file, link_of(scenario)))
    named += [(task.requests.file, requests_of(task)) for task in scenario.tasks if task.requests is not None]
    return tuple(f"{file}: {note}" for file, trace in named for note in trace.provenance.notes)


def requests_of(task: TaskClass) -> RequestTrace:
    """Return the request trace of a task class."""
    from traces.exogenous import RequestTrace, read_requests

    assert task.requests is not None
    trace = _read(read_requests, task.requests.file, _version(task.requests.file))
    assert isinstance(trace, RequestTrace)
    return trace


def link_of(scenario: Scenario) -> LinkTrace:
    """Return the trace of uplink rates."""
    from traces.exogenous import LinkTrace, read_link

    file = scenario.radio.rate_file
    assert file is not None
    trace = _read(read_link, file, _version(file))
    assert isinstance(trace, LinkTrace)
    return trace


def _version(file: str) -> tuple[int, int]:
    """Return what tells a file from an earlier one of the same name."""
    try:
        found = Path(file).stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        raise InputError("there is no such file", where=file) from None
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device may never end
        raise InputError("is not a regular file", where=file)
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _read(reader: Callable[[str], ExogenousTrace], file: str, version: tuple[int, int]) -> ExogenousTrace:  # noqa: ARG001 - part of the key of the cache
    return reader(file)


def store(scenario: Scenario, directory: Path) -> dict[str, Any]:
    """Write the inputs that a run takes from files below its directory; return what the manifest says of them."""
    found: dict[str, tuple[ExogenousTrace, dict[str, Any]]] = {}
    if scenario.mobility.file is not None:
        mobility, begin_ns = mobility_of(scenario)
        more: dict[str, Any] = {"begin_s": begin_ns / NS_PER_S, "entities": "entities"}
        found["mobility"] = (mobility, {**more, "warnings": list(warnings(scenario))})
    for index, task in enumerate(scenario.tasks):
        if task.requests is not None:
            found[f"requests-{index}"] = (requests_of(task), {})
    if scenario.radio.rate_file is not None:
        found["link"] = (link_of(scenario), {})
    listed = {}
    for name, (trace, more) in found.items():
        path = directory / FOLDER / f"{name}.parquet"
        from traces.exogenous.canonical import write_canonical

        path.parent.mkdir(parents=True, exist_ok=True)
        write_canonical(trace, path)
        listed[name] = {
            "file": f"{FOLDER}/{path.name}",
            "digest": trace.digest,
            "origin": trace.provenance.source,
            **more,
        }
    return listed


def with_stored(scenario: dict[str, Any], directory: Path, listed: dict[str, Any]) -> dict[str, Any]:
    """Return a scenario's plain data with the files that its run has kept in place of those that it named.

    listed : what the manifest says of them

    Raises
    ------
    InputError : a file that the scenario names is not kept, or one is kept that it does not name
    """
    changed, where = copy.deepcopy(scenario), str(directory / MANIFEST)
    places = _places(changed)
    for name in listed:
        if name not in places:
            accepted = ", ".join(places) or "none: it names no file"
            raise InputError("is no file of the scenario", where=where, key=f"inputs.{name}", accepted=accepted)
    for name, (table, key) in places.items():
        if name not in listed:  # another file than the run's own would be read, or none that is here
            accepted = f"{FOLDER}/{name}.parquet, which a run with such a file keeps"
            raise InputError("is missing", where=where, key=f"inputs.{name}", accepted=accepted)
        path = directory / FOLDER / f"{name}.parquet"
        check_own(path, directory)
        table[key] = str(path)
        if name == "mobility":
            table["begin_s"] = listed[name]["begin_s"]
    return changed


def _places(data: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Return where a scenario's plain data, which may be of any form, name files: name of the input -> table, key."""
    tasks = data.get("tasks")
    found = {"mobility": (data.get("mobility"), "file"), "link": (data.get("radio"), "rate_file")}
    for index, task in enumerate(tasks if isinstance(tasks, list) else ()):
        found[f"requests-{index}"] = (task.get("requests") if isinstance(task, dict) else None, "file")
    return {
        name: (table, key)
        for name, (table, key) in found.items()
        if isinstance(table, dict) and isinstance(table.get(key), str)
    }


def mean_units(task: TaskClass) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return equally likely sizes of a class's tasks, in its units."""
    if task.requests is not None:
        return requests_of(task).column("num_input_token").astype(np.float64)
    low, high = task.units
    return np.arange(low, high + 1.0)
