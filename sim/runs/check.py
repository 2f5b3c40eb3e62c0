"""Checks a file that somebody has: a scenario, the directory of a run, a case set, or an import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physical.digits import counted
from physical.errors import InputError
from physical.registry import USUAL_ENGINE
from policies.cases.file import open_cases
from policies.registry import make
from sim.engine.choice import choose
from sim.scenario.readings import warnings
from sim.scenario.scenario import Scenario
from sim.scenario.sources import names
from sim.scenario.timeline import PolicySwap
from traces.digest import digest_of_run
from traces.part import check_own
from traces.reader import Trace
from traces.schema import TABLES
from traces.writer import MANIFEST

_TABLES = {"mobility": "mobility", "requests": "requests to language models", "link": "rates of links"}


@dataclass(frozen=True)
class Verdict:
    """What came out: `ok`, one line for people, and what they should know besides, a line each."""

    ok: bool
    text: str
    notes: tuple[str, ...] = ()


def check(source: str) -> Verdict:
    """Validate a scenario (built-in name or TOML file), or verify the trace in a directory, a case set or an import.

    Raises
    ------
    InputError : the file cannot be read, or is no valid scenario, trace, case set or import

    >>> check("dtecn").text
    'dtecn: is a valid scenario: 10 vehicles, 3 task classes, 1000 slots of 0.1 s'
    """
    path = Path(source)
    if source not in names() and path.name == MANIFEST:
        path = path.parent
    if source not in names() and _is_folder(path):
        return _check_trace(path)
    if source not in names() and path.suffix == ".parquet":
        return _check_import(path) or _check_cases(path)
    return _check_scenario(source)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no name of a folder: too long, or with a NUL
        return False


def _check_scenario(source: str) -> Verdict:
    scenario = Scenario.load(source)
    make(scenario.policy.name, where=f"{source}: policy.name")
    make(scenario.policy.fallback, where=f"{source}: policy.fallback")
    for index, event in enumerate(scenario.timeline):
        if isinstance(event, PolicySwap):
            make(event.name, where=f"{source}: timeline.{index}.name")
    try:
        choice = choose(scenario)
    except InputError as error:
        error.where = f"{source}: {error.where}"
        raise
    time = scenario.time
    resolved, num_class = scenario.resolve(), len(scenario.tasks)
    crowd = resolved.crowd
    at_once = "" if scenario.everybody_stays else f" (at most {crowd.most} at once)"
    slots = f"{counted(time.num_slot, 'slot')} of {time.slot_duration_s:g} s"
    text = (
        f"{counted(crowd.num_vehicle, 'vehicle')}{at_once}, {counted(num_class, 'task class', 'task classes')}, {slots}"
    )
    told = [f"{source}: warning: {warning}" for warning in warnings(resolved)]
    told += [f"{source}: {note}" for note in resolved.files.notes()]
    told += [f"{source}: keeps {reading}" for reading in scenario.readings()]
    if choice.name != USUAL_ENGINE:
        told.append(f"{source}: runs on the engine of {choice.name} ({choice.why})")
    return Verdict(True, f"{source}: is a valid scenario: {text}", tuple(told))


def _check_import(path: Path) -> Verdict | None:
    """Return what is to be said of an import; None if the file is none."""
    from sim.runs.imported import line
    from traces.exogenous import LinkTrace, MobilityTrace, RequestTrace
    from traces.exogenous.canonical import DigestError, is_canonical, read_canonical, table_of
    from traces.exogenous.tablefile import TableFile

    if not path.is_file():
        return None
    file = TableFile.open(path)
    if not is_canonical(file):
        return None
    kinds = {kind.spec.name: kind for kind in (MobilityTrace, RequestTrace, LinkTrace)}
    table = table_of(file)
    if table not in kinds:
        raise InputError(f"{table!r} is another table", where=str(path), key="table", accepted=", ".join(kinds))
    try:
        trace = read_canonical(file, kinds[table])
    except DigestError as error:
        return Verdict(False, f"{path}: {error.problem}")
    origin = trace.provenance
    licence = f", licence {origin.licence}" if origin.licence else ""
    source = f"{path}: made from {origin.source} ({origin.origin}{licence})"
    text = f"{path}: is a valid import of {_TABLES[table]}: {line(trace)}"
    return Verdict(True, text, (source, *(f"{path}: {note}" for note in origin.notes)))


def _check_cases(path: Path) -> Verdict:
    found = open_cases(path)
    if not found.is_intact:
        return Verdict(False, f"{path}: its rows do not have the digest that was written with them")
    num_known = int(np.isfinite(np.asarray(found.rows.column("realised"))).sum())
    num_vehicle, num_class = found.system["num_vehicle"], found.system["num_class"]
    of = f"{counted(num_vehicle, 'vehicle')}, {counted(num_class, 'task class', 'task classes')}"
    text = f"{counted(found.rows.num_rows, 'case')} of {of}, {num_known} with a realised objective"
    return Verdict(True, f"{path}: is a valid case set: {text}")


def _check_trace(directory: Path) -> Verdict:
    trace = Trace(directory)
    num_row = {name: trace.table(name).num_rows for name in TABLES}
    rows = ", ".join(f"{count} {name}" for name, count in num_row.items() if count)
    status = trace.manifest.get("status")
    if status == "running":
        return Verdict(True, f"{directory}: is incomplete (the run was killed, or still runs), but readable: {rows}")
    wrong = trace.mismatches()
    digests = dict(trace.manifest.get("digests", {}))
    version = trace.manifest["schema_version"]
    missing = [name for name, table in TABLES.items() if name not in digests and table.since <= version]
    wrong += _wrong_inputs(trace)
    if wrong or missing:
        tables = ", ".join([*wrong, *missing])
        return Verdict(False, f"{directory}: the digest in the manifest is not that of the rows in: {tables}")
    if trace.manifest.get("digest") != digest_of_run(digests):
        return Verdict(False, f"{directory}: the digest of the run is not that of its tables")
    state = "was interrupted" if status == "interrupted" else "is complete"
    return Verdict(True, f"{directory}: {state}, all digests are right: {rows}")


def _wrong_inputs(trace: Trace) -> list[str]:
    """Return the files that a run has kept of its inputs whose rows do not have the digest that the manifest gives."""
    from traces.exogenous import LinkTrace, MobilityTrace, RequestTrace
    from traces.exogenous.canonical import DigestError, is_canonical, read_canonical
    from traces.exogenous.tablefile import TableFile

    kinds = {"mobility": MobilityTrace, "requests": RequestTrace, "link": LinkTrace}
    wrong = []
    for name, told in trace.manifest.get("inputs", {}).items():
        path = trace.directory / told["file"]
        check_own(path, trace.directory)
        file = TableFile.open(path)
        try:
            kept = read_canonical(file, kinds[name.partition("-")[0]]) if is_canonical(file) else None
        except DigestError:
            kept = None
        if kept is None or kept.digest != told.get("digest", kept.digest):
            wrong.append(told["file"])
    return wrong
