"""Files that a scenario names: read once, cut to the run, and kept beside the trace so that a replay has them.

Most scenarios name none: what reads such files is imported inside the functions.
"""

from __future__ import annotations

import copy
import math
import stat
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from physical.digits import seconds, span
from physical.errors import InputError
from physical.params import TaskClass, Time
from physical.system import Crowd
from physical.ticks import NS_PER_S, to_ns
from sim.scenario.crowd import traced_crowd
from sim.scenario.mobility import TraceFile
from sim.scenario.tables import ScenarioTables
from traces.part import check_own
from traces.writer import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from physical.arrays import Floats
    from traces.exogenous import ExogenousTrace, LinkTrace, MobilityTrace, RequestTrace

FOLDER = "inputs"


class InputFiles:
    """The files that a scenario names: each is read when it is first asked for, once, and cut to the run.

    Parameters
    ----------
    tables : the scenario
    """

    def __init__(self, tables: ScenarioTables) -> None:
        self._tables = tables

    @cached_property
    def mobility(self) -> MobilityTrace | None:
        """Where vehicles are during the run; who is not there at any slot start is no vehicle of the run.

        Raises
        ------
        InputError : the file cannot be read, or nobody is on the road during the run
        """
        road = self._tables.mobility.trace
        return None if road is None else _during_run(road, self._tables.time)

    @cached_property
    def begin_ns(self) -> int:
        """Time of the mobility trace at which the run begins, ns; 0 without one."""
        road = self._tables.mobility.trace
        return 0 if road is None else _begin_ns(road)

    @cached_property
    def link(self) -> LinkTrace | None:
        """Rates of uplinks.

        Raises
        ------
        InputError : the file cannot be read
        """
        return None if self._tables.radio.rate_file is None else _link(self._tables.radio.rate_file)

    @cached_property
    def requests(self) -> dict[int, RequestTrace]:
        """Index of a task class -> its requests, of classes that have a file of them.

        Raises
        ------
        InputError : a file cannot be read
        """
        tasks = enumerate(self._tables.tasks)
        return {index: _requests(task.requests.file) for index, task in tasks if task.requests is not None}

    def read(self) -> None:
        """Read all files, so that nobody has to later.

        Raises
        ------
        InputError : a file cannot be read, or nobody is on the road during the run
        """
        for name in ("mobility", "begin_ns", "link", "requests"):
            getattr(self, name)

    def crowd(self) -> Crowd | None:
        """Return how many vehicles the mobility trace has; None without one."""
        if self.mobility is None:
            return None
        from traces.exogenous.presence import Whereabouts

        time = self._tables.time
        return traced_crowd(Whereabouts.of(self.mobility), self.begin_ns, to_ns(time.slot_duration_s), time.num_slot)

    def sizes(self) -> dict[int, Floats]:
        """Return equally likely sizes of the classes with requests, in their units: class index -> [requests]."""
        return {index: trace.column("num_input_token").astype(np.float64) for index, trace in self.requests.items()}

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for what cannot be in the files: a vehicle that jumps."""
        road = self._tables.mobility.trace
        if road is None or self.mobility is None:
            return ()
        from traces.exogenous.presence import jump_of

        jump = jump_of(self.mobility)
        return (f"{road.file}: {jump}",) if jump else ()

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for what was recognised in the files, or derived from them."""
        tables, requests, road = self._tables, self.requests, self._tables.mobility.trace
        named: list[tuple[str | None, ExogenousTrace | None]] = [
            (road.file if road is not None else None, self.mobility),
            (tables.radio.rate_file, self.link),
            *((task.requests.file, requests[index]) for index, task in enumerate(tables.tasks) if task.requests),
        ]
        return tuple(f"{file}: {note}" for file, trace in named if trace for note in trace.provenance.notes)

    def store(self, directory: Path) -> dict[str, Any]:
        """Write the inputs below the directory of a run; return what the manifest says of them."""
        listed: dict[str, Any] = {}
        of_classes = {f"requests-{index}": trace for index, trace in self.requests.items()}
        for name, trace in {"mobility": self.mobility, **of_classes, "link": self.link}.items():
            if trace is None:
                continue
            from traces.exogenous.canonical import write_canonical

            path = directory / FOLDER / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_canonical(trace, path)
            origin = trace.provenance.source
            listed[name] = {"file": f"{FOLDER}/{path.name}", "digest": trace.digest, "origin": origin}
        if self.mobility is not None:
            told = {"begin_s": self.begin_ns / NS_PER_S, "entities": "entities", "warnings": list(self.warnings())}
            listed["mobility"] |= told
        return listed


def _during_run(road: TraceFile, time: Time) -> MobilityTrace:
    """Return the rows of the mobility trace that tell where vehicles are during the run."""
    from traces.exogenous.presence import Whereabouts, span_ns

    trace = _mobility(road.file)
    found = Whereabouts.of(trace)
    kept = found.needed(_begin_ns(road), to_ns(time.slot_duration_s), time.num_slot)
    if not kept.any():
        accepted = _begins(*span_ns(trace))
        raise InputError("nobody is on the road during the run", where=road.file, key="begin_s", accepted=accepted)
    return found.cut(trace, kept)


def _begin_ns(road: TraceFile) -> int:
    """Return the time of the mobility trace at which the run begins, ns: as the scenario says, or the earliest."""
    if road.begin_s is not None:
        return to_ns(road.begin_s)
    from traces.exogenous.presence import span_ns

    return span_ns(_mobility(road.file))[0]


class Length(NamedTuple):
    """How long a run may be with an input that it takes from a file.

    num_slot : slots that begin before the input ends, or when it does; with requests also the next one, which has them
    told : file, and what it holds
    """

    num_slot: int
    told: str


def length_of_inputs(scenario: ScenarioTables) -> Length | None:
    """Return how long the shortest input from a file is; None if there is none that ends.

    Rates of a link trace do not end: they come round and round.

    Raises
    ------
    InputError : a file cannot be read, or the run begins outside it
    """
    slot_ns = to_ns(scenario.time.slot_duration_s)
    found = []
    if (road := scenario.mobility.trace) is not None:
        found.append(_length_of_mobility(road, slot_ns))
    for index, task in enumerate(scenario.tasks):
        if task.requests is not None:
            found.append(_length_of_requests(task, slot_ns, f"tasks.{index}.requests.begin_s"))
    return min(found, default=None)


def _length_of_mobility(mobility: TraceFile, slot_ns: int) -> Length:
    from traces.exogenous.presence import span_ns

    trace = _mobility(mobility.file)
    first_ns, last_ns = span_ns(trace)
    begin_ns = _begin_ns(mobility)
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
    file, end_ns = task.requests.file, _requests(task.requests.file).end_ns
    begin_ns = to_ns(task.requests.begin_s)
    if begin_ns > end_ns:
        problem = f"{seconds(begin_ns)} s is after the last request of {file}"
        raise InputError(problem, key=key, accepted=f"0 to {seconds(end_ns)} s")
    speed = f" at speed {task.requests.speed:g}" if task.requests.speed != 1 else ""
    after = f" from {seconds(begin_ns)} s on" if begin_ns else ""
    told = f"the request trace {file} has {seconds(end_ns - begin_ns)} s{after}{speed}"
    return Length(math.ceil((end_ns - begin_ns) / (task.requests.speed * slot_ns)) + 1, told)


def _mobility(file: str) -> MobilityTrace:
    from traces.exogenous import MobilityTrace, read_mobility

    trace = _read(read_mobility, file, _version(file))
    assert isinstance(trace, MobilityTrace)
    return trace


def _link(file: str) -> LinkTrace:
    from traces.exogenous import LinkTrace, read_link

    trace = _read(read_link, file, _version(file))
    assert isinstance(trace, LinkTrace)
    return trace


def _requests(file: str) -> RequestTrace:
    from traces.exogenous import RequestTrace, read_requests

    trace = _read(read_requests, file, _version(file))
    assert isinstance(trace, RequestTrace)
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


# A scenario is as long as its traces, so they are read when it is loaded, and again by each run that it gives: a study
# makes hundreds of runs of one scenario in a process.
@lru_cache(maxsize=8)
def _read(reader: Callable[[str], ExogenousTrace], file: str, version: tuple[int, int]) -> ExogenousTrace:  # noqa: ARG001 - part of the key of the cache
    return reader(file)


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
