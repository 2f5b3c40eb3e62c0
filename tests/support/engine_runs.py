"""Runs of an engine that a test holds in its hands: it watches, disturbs, or brings its own clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policies import Policy
from policies.guarded import GuardedPolicy
from policies.registry import make
from sim.engine.clock import Clock
from sim.engine.columns import ColumnsWorld
from sim.engine.simulation import Simulation
from sim.engine.start import begin
from sim.inputs.streams import Streams
from sim.runs.run import RunResult
from sim.runs.summary import summary_of
from sim.scenario.scenario import Scenario
from traces.writer import TraceWriter
from twin.cloud import Observer


def columns_of(engine: Simulation) -> ColumnsWorld:
    """Return what the columns simulate, to be watched or disturbed."""
    assert isinstance(engine.world, ColumnsWorld)
    return engine.world


def run_engine(
    scenario: Scenario,
    policy: str | Policy,
    seed: int,
    *,
    watch: Callable[[Simulation], None] = lambda _: None,
    clock: Clock | None = None,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Run a scenario as `sim.run` does, with its trace in memory; timed changes of the policy are left out.

    watch : called with the engine before its first slot
    clock : the event clock
    observers : told of every decision
    """
    writer = TraceWriter(None, scenario.trace.part_rows, scenario.trace.part_seconds)
    decider = GuardedPolicy(make(policy) if isinstance(policy, str) else policy, make(scenario.policy.fallback))
    engine = begin(scenario, decider, Streams(seed), writer, clock=clock, observers=observers)
    watch(engine)
    engine.run()
    decider.close()
    ledger = engine.recorder.ledger
    summary = summary_of(engine, wall_s=1.0) | {"digest": writer.digest()}
    return RunResult(summary, None, "complete", ledger.slot_penalty, ledger.delays.to_dict(), writer.tables)
