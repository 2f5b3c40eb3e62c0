"""Replays runs: the same decisions (is it identical?), another policy, or another policy from some time on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from physical.errors import InputError
from physical.printable import printable
from physical.ticks import NS_PER_S, to_ns
from policies.api import Policy
from policies.guarded import GuardedPolicy
from policies.registry import make
from sim.engine.choice import with_engine
from sim.engine.policy_swap import Swap, SwitchedDecisions
from sim.record.prompts import prompts_of
from sim.runs.recorded import RecordedDecisions
from sim.runs.run import RunOptions, RunResult, contents_of, run, simulate
from sim.scenario.files import with_stored
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import PolicySwap
from traces.diff import Difference, first_difference
from traces.digest import TableDigest
from traces.limits import Extent
from traces.reader import Trace
from traces.schema import TABLES
from traces.writer import MANIFEST
from twin.decision import Decision, Diagnostics, Ruling

Progress = Callable[[int], None]


class RecordedRun:
    """A run on disk, ready to be simulated again.

    Parameters
    ----------
    directory : where its trace is

    Raises
    ------
    InputError : no trace, a part that cannot be read, a scenario that this version does not accept, rows that cannot
        be of that scenario, no slot recorded
    """

    def __init__(self, directory: str | Path) -> None:
        self.trace = Trace(directory)
        manifest, where = self.trace.manifest, str(self.trace.directory / MANIFEST)
        self.seed: int = manifest["seed"]
        self.policy: str = manifest["policy"]
        self.status: str = manifest.get("status", "running")
        data = with_stored(manifest["scenario"], self.trace.directory, manifest.get("inputs", {}))
        self.scenario = recorded_scenario(data, where)
        extent = _extent(self.scenario)
        self.tables = {name: self.trace.table(name, extent) for name in TABLES}
        if not any(self.tables[name].num_rows for name in ("decisions", "vehicles", "slots")):
            raise InputError("holds no slot yet", where=str(directory))
        self._check_names(extent.num_vehicle)
        self.num_slot = self._num_slot(where)

    def _check_names(self, num_vehicle: int) -> None:
        """Demand a name for every vehicle, or none at all."""
        rows = self.tables["entities"].num_rows
        if rows not in (0, num_vehicle):
            where, accepted = str(self.trace.directory / "entities"), f"{num_vehicle} of them, or none"
            raise InputError(f"names {rows} vehicles", where=where, accepted=accepted)

    def _num_slot(self, where: str) -> int:
        """Return how many slots were simulated; of a killed run, as far as its last part tells."""
        ends = {name: np.asarray(self.tables[name].column("slot")) for name in TABLES if name not in _WITHOUT_SLOT}
        recorded = max((int(found.max()) + 1 for found in ends.values() if found.size), default=0)
        told = self.trace.manifest.get("summary", {}).get("slots")
        if told is not None:
            if told != recorded:
                accepted = f"{recorded}, as the tables have"
                raise InputError(f"{told} is wrong", where=where, key="summary.slots", accepted=accepted)
            return recorded
        # Nobody may be on the road at the end, the last slots of a killed run may still be open, and a decision may be
        # all that is left of the slot in which it came into force.
        known = max((int(ends[name].max()) + 1 for name in ("vehicles", "slots") if ends[name].size), default=0)
        decided_ns, latency_ns = (np.asarray(self.tables["decisions"].column(f"{name}_ns")) for name in _IN_FORCE)
        in_force = (decided_ns + latency_ns) // to_ns(self.scenario.time.slot_duration_s)
        return min(max(known, int(in_force.max(initial=-1)) + 1), self.scenario.time.num_slot)

    @property
    def vehicle_names(self) -> list[str]:
        """The names that the mobility trace of the run gives its vehicles, by number; empty without one."""
        names: list[str] = self.tables["entities"].column("vehicle_id").to_pylist()
        return names

    def rulings(self) -> dict[int, Ruling]:
        """Return what was decided, by slot."""
        rows = self.tables["decisions"]
        columns = {name: rows.column(name).to_pylist() for name in _PLAIN}
        arrays = {name: rows.column(name).combine_chunks() for name in _ARRAYS}
        reasons = dict(_fallback_reasons(self.tables["events"]))
        prompts = prompts_of(self.tables["prompts"])
        found = {}
        for row, slot in enumerate(columns["slot"]):
            ratio, allocation_hz, *joint = (np.asarray(arrays[name][row].values) for name in _ARRAYS)
            decision = Decision(ratio, allocation_hz, *(values if values.size else None for values in joint))
            found[slot] = Ruling(
                decision,
                repaired=columns["repaired"][row],
                fallback=reasons.get(slot, "as recorded") if columns["fallback"][row] else "",
                wall_s=columns["policy_wall_s"][row],
                diagnostics=Diagnostics(
                    **{name: columns[name][row] for name in _DIAGNOSED},
                    solve_s=columns["solve_wall_s"][row],
                    prompt=prompts.get(slot),
                ),
                latency_ns=columns["latency_ns"][row],
            )
        return found


def recorded_scenario(data: Mapping[str, Any], where: str) -> Scenario:
    """Validate a scenario that a file tells beside other things, in its table `scenario`.

    Raises
    ------
    InputError : this version does not accept it
    """
    try:
        return Scenario.from_dict(data, where=where, recorded=True)
    except InputError as error:
        if error.where == where:
            error.key = f"scenario.{error.key}".rstrip(".")
        raise


def _extent(scenario: Scenario) -> Extent:
    return Extent(scenario.time.num_slot, scenario.num_vehicle, len(scenario.tasks), len(scenario.nodes))


_WITHOUT_SLOT = {"entities", "events"}
_IN_FORCE = ("decided", "latency")
_DIAGNOSED = ("feasible", "objective", "lower_bound", "gap", "model", "num_token", "num_binding", "capacity_price")
_PLAIN = ("slot", "repaired", "fallback", "policy_wall_s", "solve_wall_s", "latency_ns", *_DIAGNOSED)
_ARRAYS = (
    "offloading_ratio",
    "compute_allocation_hz",
    "local_frequency_hz",
    "transmit_power_w",
    "bandwidth_hz",
)


def _fallback_reasons(events: pa.Table) -> list[tuple[int, str]]:
    rows = zip(*(events.column(name).to_pylist() for name in ("kind", "slot", "detail")), strict=True)
    return [(slot, detail) for kind, slot, detail in rows if kind == "fallback"]


@dataclass(frozen=True)
class Verification:
    """What a replay found: `difference` is None if everything is identical."""

    recorded: RecordedRun
    result: RunResult
    difference: Difference | None


def verify(directory: str | Path, progress: Progress = lambda _: None, *, engine: str | None = None) -> Verification:
    """Simulate a run again with its recorded decisions and compare every table.

    Of a run that was killed, all rows that it has are compared.

    Parameters
    ----------
    directory : of the run
    progress : called with the number of slots that are done
    engine : "columns", "events" or "auto"; None: that of the recorded scenario

    Raises
    ------
    InputError : see `RecordedRun`; an engine that does not know a kind of the scenario
    """
    recorded = RecordedRun(directory)
    scenario = with_engine(recorded.scenario, engine)
    decider = _decisions_of(recorded)
    options = RunOptions(progress=progress, num_slot=recorded.num_slot)
    result = simulate(scenario, decider, recorded.policy, recorded.seed, options)
    replayed = {name: result.table(name) for name in TABLES}
    killed = recorded.status == "running"
    difference = first_difference(recorded.tables, replayed, partial=killed)
    return Verification(recorded, result, difference or (None if killed else _wrong_digest(recorded)))


def counterfactual(
    directory: str | Path,
    policy: str,
    out: Path | None = None,
    progress: Progress = lambda _: None,
    *,
    engine: str | None = None,
) -> tuple[RecordedRun, RunResult]:
    """Simulate the inputs of a run with another policy, which may be one by path; what the run names is not imported.

    Parameters
    ----------
    directory : of the run
    policy : as the command line takes it: a name with options, or a class by path
    out : where the new trace goes; None: nowhere
    progress : called with the number of slots that are done
    engine : "columns", "events" or "auto"; None: that of the recorded scenario

    Raises
    ------
    InputError : see `RecordedRun`; unknown policy, or a policy or an engine that refuses the scenario
    """
    recorded = RecordedRun(directory)
    events = tuple(event for event in recorded.scenario.timeline if not isinstance(event, PolicySwap))
    scenario = recorded.scenario.model_copy(update={"timeline": events})
    result = run(
        scenario,
        policy=policy,
        seed=recorded.seed,
        out=out,
        progress=progress,
        num_slot=recorded.num_slot,
        engine=engine,
    )
    return recorded, result


def branch(
    directory: str | Path,
    at_s: float,
    policy: str,
    out: Path | None = None,
    progress: Progress = lambda _: None,
    *,
    engine: str | None = None,
) -> tuple[RecordedRun, RunResult]:
    """Simulate a run again as recorded before a time, and with another policy from then on.

    The other policy may be one by path; what the run names is not imported.

    Parameters
    ----------
    directory : of the run
    at_s : s, from when on the other policy decides
    policy : as the command line takes it: a name with options, or a class by path
    out : where the new trace goes; None: nowhere
    progress : called with the number of slots that are done
    engine : "columns", "events" or "auto"; None: that of the recorded scenario

    Raises
    ------
    InputError : see `RecordedRun`; a time outside the run; unknown policy, or a policy or an engine that refuses the
        scenario
    """
    recorded = RecordedRun(directory)
    scenario = with_engine(recorded.scenario, engine)
    end_s = recorded.num_slot * scenario.time.slot_duration_s
    if not 0 <= at_s < end_s or to_ns(at_s) >= recorded.num_slot * to_ns(scenario.time.slot_duration_s):
        raise InputError(f"{at_s:g} s is outside the run", where="--at", accepted=f"from 0 to less than {end_s:g} s")
    other = _guarded(scenario, make(policy, by_path=True))
    decider = SwitchedDecisions(_decisions_of(recorded), [Swap(to_ns(at_s), other, "--policy")])
    swapped = (*_without_swaps_from(scenario.timeline, at_s), PolicySwap(at_s=at_s, name=policy))
    extra = {"branch": {"of": printable(str(directory)), "at_s": at_s, "digest": recorded.trace.manifest.get("digest")}}
    extra |= contents_of(policy, by_path=True)
    options = RunOptions(out=out, progress=progress, num_slot=recorded.num_slot, extra=extra)
    scenario = scenario.model_copy(update={"timeline": swapped})
    return recorded, simulate(scenario, decider, recorded.policy, recorded.seed, options)


def _wrong_digest(recorded: RecordedRun) -> Difference | None:
    """Return a table that is not as it was written, in what the replay takes from it."""
    digests = recorded.trace.manifest.get("digests", {})
    for name in recorded.trace.mismatches():
        found = TableDigest(TABLES[name])
        found.add(recorded.tables[name])
        return Difference(name, {"rows": "all"}, "digest", digests[name], found.hex())
    return None


def _without_swaps_from(timeline: tuple[Any, ...], at_s: float) -> Iterator[Any]:
    """Yield timed events, without swaps of the policy from some time on."""
    for event in timeline:
        if not isinstance(event, PolicySwap) or (event.every_s is None and event.at_s < at_s):
            yield event
        elif event.at_s < at_s:
            last_s = at_s - 1 / NS_PER_S
            yield event.model_copy(update={"until_s": min(event.until_s or last_s, last_s)})


def _decisions_of(recorded: RecordedRun) -> RecordedDecisions:
    scenario = recorded.scenario
    takes_time = scenario.twin.decision.latency != "zero"
    return RecordedDecisions(
        recorded.rulings(), _guarded(scenario, make(scenario.policy.fallback)), takes_time=takes_time
    )


def _guarded(scenario: Scenario, policy: Policy) -> GuardedPolicy:
    return GuardedPolicy(policy, make(scenario.policy.fallback))
