"""Runs a scenario: one call from parameters to a summary and a trace."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from physical.arrays import Floats
from physical.errors import InputError
from policies.api import Policy
from policies.foreign.strangers import class_name
from policies.foreign.surroundings import undisturbed
from policies.guarded import GuardedPolicy
from policies.registry import make
from sim.engine.choice import EngineChoice, choose, with_engine
from sim.engine.policy_swap import Swap, SwitchedDecisions
from sim.engine.simulation import Simulation
from sim.engine.start import begin, clock_for
from sim.inputs.streams import Streams
from sim.runs import stopping
from sim.runs.summary import summary_of
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import PolicySwap
from traces.folder import folder_for
from traces.reader import Trace, in_key_order
from traces.schema import TABLES
from traces.writer import MANIFEST, TraceWriter
from twin.cloud import Decider, Observer


@dataclass(frozen=True)
class RunResult:
    """What a run gives.

    Parameters
    ----------
    summary : numbers of the run by name, see `sim.runs.summary.ENTRIES`
    directory : where the trace is, or None if it is in memory
    status : "complete" or "interrupted"
    slot_penalty : [slots], the penalty of each slot; NaN for slots without a task that counts
    delays : how many tasks took how long, see `sim.record.delays`
    """

    summary: dict[str, Any]
    directory: Path | None
    status: str
    slot_penalty: Floats
    delays: dict[str, Any]
    _tables: dict[str, list[pa.Table]]

    def table(self, name: str) -> pa.Table:
        """Return a table of the trace, such as tasks, slots, vehicles, entities, twin, decisions or events.

        Raises
        ------
        InputError : no such table
        """
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}", where="table", accepted=", ".join(TABLES))
        return Trace(self.directory).table(name) if self.directory else in_key_order(self._tables[name], name)


def run(
    scenario: Scenario,
    policy: str | Policy | None = None,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    keep_tables: bool = True,
    progress: Callable[[int], None] = lambda _: None,
    speed: float | None = None,
    num_slot: int | None = None,
    observers: Sequence[Observer] = (),
    engine: str | None = None,
) -> RunResult:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : what to simulate
    policy : name with options, ``./policy.py:Class,option=value``, or an object; by default the scenario's
    seed : of all random numbers
    out : directory for the trace; without it the trace stays in memory
    keep_tables : False drops a trace without a directory, digest and summary remain
    progress : called with the number of slots done, before the first and after each
    speed : simulated seconds per second of wall time, at most; None: as fast as possible
    num_slot : slots after which to stop, if before the scenario's end
    observers : told of every decision when it leaves the cloud, see `twin.cloud.Observer`; they change nothing of it
    engine : "columns", "events" or "auto", see `sim.engine.choice`; None: the scenario's. All give equal tables

    Raises
    ------
    InputError : unknown policy or option, a policy by path in the scenario, a seed that is no integer >= 0, a
        directory that is not empty, an engine that does not know a kind of the scenario

    >>> result = run(Scenario.load("dtecn", ["time.num_slot=3"]), policy="local-only", seed=1)
    >>> result.summary["tasks_generated"], result.table("tasks").num_rows
    (90, 90)
    """
    scenario = with_engine(scenario, engine)
    name = policy if isinstance(policy, str) else scenario.policy.name if policy is None else class_name(policy)
    # What the caller names may be a file of hers, what a scenario names may not: it can be a stranger's.
    made = make(name, by_path=policy is not None) if policy is None or isinstance(policy, str) else policy
    decider: Decider = GuardedPolicy(made, make(scenario.policy.fallback))
    if swaps := _swaps(scenario):
        decider = SwitchedDecisions(decider, swaps)
    told = {} if out is None else contents_of(name if policy is None else policy, by_path=policy is not None)
    options = RunOptions(out, keep_tables, progress, speed, num_slot, told, observers)
    return simulate(scenario, decider, name, seed, options)


def contents_of(policy: str | Policy, *, by_path: bool) -> dict[str, Any]:
    """Return what the manifest says about a policy's code and files: digests, if there are any.

    See `policies.foreign.origin`. A policy that is in no file has the digests of the modules that it uses.
    """
    from policies.foreign.origin import NoSourceError, contents

    try:
        found = contents(policy, by_path=by_path)
    except NoSourceError as error:
        found = error.found
    return {"policy_contents": found} if found else {}


def _swaps(scenario: Scenario) -> list[Swap]:
    """Return who decides from when on, as the timeline has it; a periodic event always brings the same policy."""
    deciders: dict[PolicySwap, Swap] = {}
    for index, event in enumerate(scenario.timeline):
        if isinstance(event, PolicySwap):
            where = f"timeline.{index}.name"
            policy = GuardedPolicy(make(event.name, where=where), make(scenario.policy.fallback))
            deciders.setdefault(event, Swap(0, policy, where))
    happenings = scenario.timeline_of_run().select(PolicySwap)
    return [deciders[event]._replace(time_ns=time_ns) for time_ns, event in happenings]


@dataclass(frozen=True)
class RunOptions:
    """How to run; see `run`.

    extra : goes into the manifest
    observers : told of every decision
    """

    out: str | Path | None = None
    keep_tables: bool = True
    progress: Callable[[int], None] = lambda _: None
    speed: float | None = None
    num_slot: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    observers: Sequence[Observer] = ()


def simulate(scenario: Scenario, decider: Decider, name: str, seed: int, options: RunOptions) -> RunResult:
    """Simulate a scenario with anything that decides; `name` is what the manifest calls it.

    Raises
    ------
    InputError : a directory that is not empty, a policy or an engine that refuses the scenario, a file that cannot be
        read; a fallback that fails, too, once the trace is whole
    """
    with undisturbed(), _quiet_collector():
        return _simulate(scenario, decider, name, seed, options)


def _simulate(scenario: Scenario, decider: Decider, name: str, seed: int, options: RunOptions) -> RunResult:
    streams = Streams(seed)
    seed = streams.seed  # an int, whatever kind of integer was given
    directory = None if options.out is None else folder_for(options.out, (MANIFEST,), where="out")
    writer = TraceWriter(directory, scenario.trace.part_rows, scenario.trace.part_seconds, keep=options.keep_tables)
    num_slot = scenario.time.num_slot if options.num_slot is None else min(options.num_slot, scenario.time.num_slot)
    choice = choose(scenario)
    engine = begin(
        scenario,
        decider,
        streams,
        writer,
        engine=choice.name,
        progress=options.progress,
        num_slot=num_slot,
        clock=clock_for(choice.name, options.speed),
        observers=options.observers,
    )
    with ExitStack() as anyhow:
        anyhow.callback(decider.close)
        with stopping.after_slot(engine.stop, keeps=directory is not None):
            writer.open(_manifest(scenario, name, seed, choice) | decider.describe() | dict(options.extra))
            if directory is not None and (inputs := engine.resolved.files.store(directory)):
                writer.note(inputs=inputs)
            begin_s = time.perf_counter()
            _run(engine, writer)
            wall_s = time.perf_counter() - begin_s
            status = "interrupted" if engine.num_slot_done < num_slot else "complete"
            summary = summary_of(engine, wall_s) | {"engine": choice.name, "engine_reason": choice.why}
            summary |= {"digest": writer.digest()}
            if options.speed is not None:
                summary |= {"realtime_slips": engine.pace.num_slip, "realtime_slip_s_max": engine.pace.slip_s_max}
            anyhow.pop_all()
            if not_closed := decider.close():
                summary |= {"not_closed": not_closed}
            writer.close(status, summary)
    if engine.failure:
        kept = f"; trace: {directory}" if directory else ""
        problem = f"{engine.failure}; the run ended after {engine.num_slot_done} of {num_slot} slots{kept}"
        raise InputError(problem, where="policy.fallback", accepted="a policy that does not fail: local-only")
    ledger = engine.recorder.ledger
    return RunResult(summary, directory, status, ledger.slot_penalty, ledger.delays.to_dict(), writer.tables)


def _run(engine: Simulation, writer: TraceWriter) -> None:
    """Run, and raise errors as they were: the event engine raises copies, which know less.

    What had happened before an error is kept, as that of a killed run: a kind of somebody else may fail late.
    """
    try:
        engine.run()
    except Exception as error:
        with suppress(Exception):  # the error counts, not what it has left behind
            engine.settle_before_slot()
            writer.close_part()
        if not isinstance(error, InputError):
            raise
        raise (error.__cause__ if isinstance(error.__cause__, InputError) else error) from error.__cause__


def _manifest(scenario: Scenario, policy: str, seed: int, choice: EngineChoice) -> dict[str, Any]:
    return {
        "scenario": scenario.model_dump(mode="json"),
        "policy": policy,
        "seed": seed,
        "engine": choice._asdict(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


@cache
def _versions() -> Mapping[str, str]:
    """Return the versions of vectwin and its libraries; to look them up takes a third of the time of a tiny run."""
    return {name: version(name) for name in ("vectwin", "numpy", "scipy", "simpy", "pyarrow")}


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Keep the garbage collector from walking the world again and again: it makes no cycles while it runs.

    What was there before is frozen meanwhile, and is old afterwards. Python counts only what grows old by itself, so it
    would never look for garbage among the old: the run's own is collected here, while there is nothing else to walk.
    """
    threshold = gc.get_threshold()
    freezes = not gc.get_freeze_count()  # what a caller has frozen, or a run around this one, stays frozen
    if freezes:
        gc.freeze()
    gc.set_threshold(100_000, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        if freezes:
            gc.collect()
            gc.unfreeze()
