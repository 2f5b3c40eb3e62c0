"""Replays runs: the same decisions (is it identical?), another policy, or another policy from some time on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.errors import InputError
from physical.plane.ticks import to_ns
from physical.system import System
from policies.fallback import GuardedPolicy
from policies.registry import make
from sim.scenario import Scenario
from sim.simulation import Decider, RunResult, run, simulate
from traces.diff import Difference, first_difference
from traces.reader import Trace
from traces.schema import TABLES
from twin.decision import Decision, Diagnostics, Ruling
from twin.snapshot import TwinSnapshot

Progress = Callable[[int], None]


class RecordedRun:
    """A run on disk, ready to be simulated again.

    Parameters
    ----------
    directory : where its trace is

    Raises
    ------
    InputError : no trace, a part that cannot be read, a scenario that this version does not accept, no slot recorded
    """

    def __init__(self, directory: str | Path) -> None:
        self.trace = Trace(directory)
        manifest, where = self.trace.manifest, str(self.trace.directory / "manifest.json")
        for key, kind in (("scenario", dict), ("policy", str), ("seed", int)):
            if not isinstance(manifest.get(key), kind):
                raise InputError("is missing or wrong", where=where, key=key)
        self.seed: int = manifest["seed"]
        self.policy: str = manifest["policy"]
        self.status: str = manifest.get("status", "running")
        self.tables = {name: self.trace.table(name) for name in TABLES}
        slots = self.tables["vehicles"].column("slot")
        if not len(slots):
            raise InputError("holds no slot yet", where=str(directory))
        whole = Scenario.from_dict(manifest["scenario"], where=where)
        self.num_slot = int(np.asarray(slots)[-1]) + 1
        self.scenario = whole.model_copy(update={"time": whole.time.model_copy(update={"num_slot": self.num_slot})})

    def rulings(self) -> dict[int, Ruling]:
        """Return what was decided, by slot."""
        rows = self.tables["decisions"]
        columns = {name: rows.column(name).to_pylist() for name in _PLAIN}
        arrays = {name: rows.column(name).combine_chunks() for name in _ARRAYS}
        reasons = dict(_fallback_reasons(self.tables["events"]))
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
                    **{name: columns[name][row] for name in _DIAGNOSED}, solve_s=columns["solve_wall_s"][row]
                ),
                latency_ns=columns["latency_ns"][row],
            )
        return found


_DIAGNOSED = ("feasible", "objective", "lower_bound", "gap", "num_token", "num_binding")
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


class RecordedDecisions:
    """Decides what was decided, after the same time; the fallback decides where nothing is recorded."""

    def __init__(self, rulings: dict[int, Ruling], fallback: Decider) -> None:
        self._rulings = rulings
        self._fallback = fallback

    def reset(self, system: System, seed: int) -> None:
        """Learn the shape of decisions."""
        self._shape = (system.num_vehicle, system.num_class)
        self._fallback.reset(system, seed)

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return the recorded ruling."""
        ruling = self._rulings.get(snapshot.slot)
        size = self._shape[0] * self._shape[1]
        if ruling is None or ruling.decision.offloading_ratio.size != size:
            return self._fallback.rule_by_fallback(snapshot, "the record has no decision for this slot", 0.0)
        decision = ruling.decision
        if decision.compute_allocation_hz.size != size:
            return self._fallback.rule_by_fallback(snapshot, "the recorded decision has another shape", 0.0)
        shaped = replace(
            decision,
            offloading_ratio=_as(decision.offloading_ratio, self._shape),
            compute_allocation_hz=_as(decision.compute_allocation_hz, self._shape),
        )
        return replace(ruling, decision=shaped)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision."""
        return self._fallback.rule_by_fallback(snapshot, reason, wall_s)


def _as(values: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    return values.reshape(shape)


class SwitchedDecisions:
    """One decider before a time, another one from then on."""

    def __init__(self, first: Decider, second: Decider, switch_ns: int) -> None:
        self._deciders = (first, second)
        self._switch_ns = switch_ns

    def reset(self, system: System, seed: int) -> None:
        """Get both ready; the second one draws its first number when it first decides."""
        for decider in self._deciders:
            decider.reset(system, seed)

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return the ruling of who is in charge."""
        return self._in_charge(snapshot).rule(snapshot)

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision of who is in charge."""
        return self._in_charge(snapshot).rule_by_fallback(snapshot, reason, wall_s)

    def _in_charge(self, snapshot: TwinSnapshot) -> Decider:
        return self._deciders[snapshot.time_ns >= self._switch_ns]


@dataclass(frozen=True)
class Verification:
    """What a replay found: `difference` is None if everything is identical."""

    recorded: RecordedRun
    result: RunResult
    difference: Difference | None


def verify(directory: str | Path, progress: Progress = lambda _: None) -> Verification:
    """Simulate a run again with its recorded decisions and compare every table.

    Of a run that was killed, all rows that it has are compared.

    Raises
    ------
    InputError : see `RecordedRun`
    """
    recorded = RecordedRun(directory)
    decider = RecordedDecisions(recorded.rulings(), _guarded(recorded.scenario, recorded.scenario.policy.fallback))
    result = simulate(recorded.scenario, decider, recorded.policy, recorded.seed, progress=progress)
    replayed = {name: result.table(name) for name in TABLES}
    killed = recorded.status == "running"
    return Verification(recorded, result, first_difference(recorded.tables, replayed, partial=killed))


def counterfactual(
    directory: str | Path, policy: str, out: Path | None = None, progress: Progress = lambda _: None
) -> tuple[RecordedRun, RunResult]:
    """Simulate the inputs of a run with another policy.

    Raises
    ------
    InputError : see `RecordedRun`; unknown policy, or one that refuses the scenario
    """
    recorded = RecordedRun(directory)
    result = run(recorded.scenario, policy=policy, seed=recorded.seed, out=out, progress=progress)
    return recorded, result


def branch(
    directory: str | Path, at_s: float, policy: str, out: Path | None = None, progress: Progress = lambda _: None
) -> tuple[RecordedRun, RunResult]:
    """Simulate a run again as recorded before a time, and with another policy from then on.

    Raises
    ------
    InputError : see `RecordedRun`; a time outside the run; unknown policy, or one that refuses the scenario
    """
    recorded = RecordedRun(directory)
    scenario = recorded.scenario
    end_s = scenario.time.num_slot * scenario.time.slot_duration_s
    if not 0 <= at_s < end_s:
        raise InputError(f"{at_s:g} s is outside the run", where="--at", accepted=f"from 0 to less than {end_s:g} s")
    before = RecordedDecisions(recorded.rulings(), _guarded(scenario, scenario.policy.fallback))
    decider = SwitchedDecisions(before, _guarded(scenario, policy), to_ns(at_s))
    extra: dict[str, Any] = {
        "branch": {"of": str(directory), "at_s": at_s, "digest": recorded.trace.manifest.get("digest")}
    }
    name = f"{recorded.policy} until {at_s:g} s, then {policy}"
    result = simulate(scenario, decider, name, recorded.seed, out=out, progress=progress, extra=extra)
    return recorded, result


def _guarded(scenario: Scenario, policy: str) -> GuardedPolicy:
    return GuardedPolicy(make(policy), make(scenario.policy.fallback))
