"""Starts a run on one of the engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from sim.engine.clock import Clock, TickClock
from sim.engine.columns import ColumnsWorld
from sim.engine.events import EventsWorld
from sim.engine.simulation import Simulation
from sim.inputs.streams import Streams
from sim.scenario.scenario import Scenario
from traces.sink import Sink
from twin.cloud import Decider, Observer

EngineName = Literal["columns", "events"]


def begin(
    scenario: Scenario,
    decider: Decider,
    streams: Streams,
    writer: Sink,
    *,
    engine: EngineName = "columns",
    progress: Callable[[int], None] = lambda _: None,
    num_slot: int | None = None,
    clock: Clock | None = None,
    observers: Sequence[Observer] = (),
) -> Simulation:
    """Make a run, and get who decides ready; see `sim.engine.simulation.Simulation` for the parameters.

    engine : who simulates; both give the same trace

    Raises
    ------
    InputError : who decides refuses the scenario; it has been closed then
    """
    has_events = engine == "events"
    made = Simulation(
        scenario,
        EventsWorld if has_events else ColumnsWorld,
        decider,
        streams,
        writer,
        progress=progress,
        num_slot=scenario.time.num_slot if num_slot is None else num_slot,
        clock=clock or (TickClock() if has_events else Clock()),
        observers=observers,
    )
    try:
        decider.reset(made.system, streams.policy_seed())
    except BaseException:
        decider.close()
        raise
    return made
