"""Checks a file that somebody has: a scenario, the directory of a run, or a case set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policies.casefile import open_cases
from policies.registry import make
from sim.exogenous import notes
from sim.readings import warnings
from sim.scenario import Scenario, names
from sim.timeline import PolicySwap
from traces.digest import digest_of_run
from traces.reader import Trace
from traces.schema import TABLES
from traces.writer import MANIFEST


@dataclass(frozen=True)
class Verdict:
    """What came out: `ok`, one line for people, and what they should know besides, a line each."""

    ok: bool
    text: str
    notes: tuple[str, ...] = ()


def check(source: str) -> Verdict:
    """Validate a scenario (built-in name or TOML file), or verify the trace in a directory, or a case set.

    Raises
    ------
    InputError : the file cannot be read, or is no valid scenario, trace or case set

    >>> check("dtecn").text
    'dtecn: is a valid scenario: 10 vehicles, 3 task classes, 1000 slots of 0.1 s'
    """
    path = Path(source)
    if source not in names() and path.name == MANIFEST:
        path = path.parent
    if source not in names() and path.is_dir():
        return _check_trace(path)
    if source not in names() and path.suffix == ".parquet":
        return _check_cases(path)
    return _check_scenario(source)


def _check_scenario(source: str) -> Verdict:
    scenario = Scenario.load(source)
    make(scenario.policy.name, where=f"{source}: policy.name")
    make(scenario.policy.fallback, where=f"{source}: policy.fallback")
    for index, event in enumerate(scenario.timeline):
        if isinstance(event, PolicySwap):
            make(event.name, where=f"{source}: timeline.{index}.name")
    time = scenario.time
    crowd, num_class = scenario.crowd(), len(scenario.tasks)
    at_once = "" if scenario.everybody_stays else f" (at most {crowd.most} at once)"
    slots = f"{time.num_slot} slots of {time.slot_duration_s:g} s"
    text = f"{crowd.num_vehicle} vehicles{at_once}, {num_class} task classes, {slots}"
    told = [f"{source}: warning: {warning}" for warning in warnings(scenario)]
    told += [f"{source}: {note}" for note in notes(scenario)]
    told += [f"{source}: keeps {reading}" for reading in scenario.readings()]
    return Verdict(True, f"{source}: is a valid scenario: {text}", tuple(told))


def _check_cases(path: Path) -> Verdict:
    found = open_cases(path)
    if not found.is_intact:
        return Verdict(False, f"{path}: its rows do not have the digest that was written with them")
    num_known = int(np.isfinite(np.asarray(found.rows.column("realised"))).sum())
    of = f"{found.system['num_vehicle']} vehicles, {found.system['num_class']} task classes"
    text = f"{found.rows.num_rows} cases of {of}, {num_known} with a realised objective"
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
    if wrong or missing:
        tables = ", ".join([*wrong, *missing])
        return Verdict(False, f"{directory}: the digest in the manifest is not that of the rows in: {tables}")
    if trace.manifest.get("digest") != digest_of_run(digests):
        return Verdict(False, f"{directory}: the digest of the run is not that of its tables")
    state = "was interrupted" if status == "interrupted" else "is complete"
    return Verdict(True, f"{directory}: {state}, all digests are right: {rows}")
