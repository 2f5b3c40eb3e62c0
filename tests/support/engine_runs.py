"""Runs of an engine that a test holds in its hands: it watches, disturbs, or brings its own clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from physical.registry import EngineName
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


def columns_of(simulation: Simulation) -> ColumnsWorld:
    """Return the columns of a run, to look into them."""
    assert isinstance(simulation.world, ColumnsWorld)
    return simulation.world


def servers_of(simulation: Simulation) -> Sequence[Any]:
    """Return the servers of a run of either engine, of the nodes; each obeys commands."""
    world: Any = simulation.world
    servers: Sequence[Any] = world.servers
    return servers


def run_engine(
    scenario: Scenario,
    policy: str | Policy,
    seed: int,
    *,
    engine: EngineName = "columns",
    watch: Callable[[Simulation], None] = lambda _: None,
    clock: Clock | None = None,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Run a scenario as `sim.run` does, with its trace in memory; timed changes of the policy are left out.

    engine : who simulates
    watch : called with the run before its first slot
    clock : the event clock
    observers : told of every decision
    """
    writer = TraceWriter(None, scenario.trace.part_rows, scenario.trace.part_seconds)
    decider = GuardedPolicy(make(policy) if isinstance(policy, str) else policy, make(scenario.policy.fallback))
    simulation = begin(scenario, decider, Streams(seed), writer, engine=engine, clock=clock, observers=observers)
    watch(simulation)
    simulation.run()
    decider.close()
    ledger = simulation.recorder.ledger
    summary = summary_of(simulation, wall_s=1.0) | {"digest": writer.digest()}
    return RunResult(summary, None, "complete", ledger.slot_penalty, ledger.delays.to_dict(), writer.tables)
