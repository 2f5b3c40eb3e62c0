"""Files that a scenario names: read once, cut to the run, and kept beside the trace so that a replay has them.

Most scenarios name none: what reads such files is imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from physical.errors import InputError
from physical.params import TaskClass
from physical.plane.ticks import NS_PER_S, to_ns
from traces.arrays import of_numbers

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from traces.exogenous import ExogenousTrace, LinkTrace, MobilityTrace, RequestTrace

FOLDER = "inputs"


def mobility_of(scenario: Scenario) -> tuple[MobilityTrace, int]:
    """Return the mobility trace during the run, and the time of the trace at which the run begins, ns.

    Raises
    ------
    InputError : the file cannot be read, or nobody is on the road during the run
    """
    file = scenario.mobility.file
    assert file is not None
    duration_ns = scenario.time.num_slot * to_ns(scenario.time.slot_duration_s)
    begin_ns = None if scenario.mobility.begin_s is None else to_ns(scenario.mobility.begin_s)
    return _cut(file, _version(file), begin_ns, duration_ns)


@lru_cache(maxsize=4)
def _cut(file: str, version: tuple[int, int], begin_ns: int | None, duration_ns: int) -> tuple[MobilityTrace, int]:
    from traces.exogenous import MobilityTrace, read_mobility
    from traces.exogenous.schema import sorted_texts

    trace = _read(read_mobility, file, version)
    assert isinstance(trace, MobilityTrace)
    time_ns = trace.column("t_ns")
    begin_ns = int(time_ns.min()) if begin_ns is None else begin_ns
    margin_ns = 2 * (trace.provenance.step_ns or NS_PER_S)
    inside = (time_ns >= begin_ns - margin_ns) & (time_ns <= begin_ns + duration_ns + margin_ns)
    if not inside.any():
        span = f"{time_ns.min() / NS_PER_S:g} to {time_ns.max() / NS_PER_S:g} s"
        raise InputError("nobody is on the road during the run", where=file, key="begin_s", accepted=span)
    rows = trace.rows.filter(of_numbers(inside)).combine_chunks()
    for name in ("entity_id", "kind"):  # only who is there counts as a vehicle
        texts = sorted_texts(rows.column(name).combine_chunks())
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), texts)
    return MobilityTrace.of(rows, trace.provenance), begin_ns


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
    except OSError:
        raise InputError("there is no such file", where=file) from None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _read(reader: Callable[[str], ExogenousTrace], file: str, version: tuple[int, int]) -> ExogenousTrace:  # noqa: ARG001 - part of the key of the cache
    return reader(file)


def store(scenario: Scenario, directory: Path) -> dict[str, Any]:
    """Write the inputs that a run takes from files below its directory; return what the manifest says of them."""
    found: dict[str, tuple[ExogenousTrace, dict[str, Any]]] = {}
    if scenario.mobility.file is not None:
        mobility, begin_ns = mobility_of(scenario)
        found["mobility"] = (mobility, {"begin_s": begin_ns / NS_PER_S})
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
    """Return a scenario's plain data with the files that its run has kept in place of those that it named."""
    changed = {**scenario, "mobility": dict(scenario["mobility"]), "radio": dict(scenario["radio"])}
    changed["tasks"] = [dict(task) for task in scenario["tasks"]]
    for name, entry in listed.items():
        path = str(directory / entry["file"])
        if name == "mobility":
            changed["mobility"] |= {"file": path, "begin_s": entry["begin_s"]}
        elif name == "link":
            changed["radio"] |= {"rate_file": path}
        else:
            task = changed["tasks"][int(name.rpartition("-")[2])]
            task["requests"] = {**task["requests"], "file": path}
    return changed


def mean_units(task: TaskClass) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return equally likely sizes of a class's tasks, in its units."""
    if task.requests is not None:
        return requests_of(task).column("num_input_token").astype(np.float64)
    low, high = task.units
    return np.arange(low, high + 1.0)
