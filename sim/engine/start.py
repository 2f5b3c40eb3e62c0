"""Starts a run on one of the engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from physical.registry import EngineName
from sim.engine.clock import Clock, TickClock
from sim.engine.columns import ColumnsWorld
from sim.engine.events import EventsWorld
from sim.engine.simulation import Simulation
from sim.inputs.streams import Streams
from sim.scenario.scenario import Scenario
from traces.sink import Sink
from twin.cloud import Decider, Observer

_WORLDS: dict[EngineName, type[ColumnsWorld | EventsWorld]] = {"columns": ColumnsWorld, "events": EventsWorld}


def clock_for(engine: EngineName, speed: float | None = None) -> Clock:
    """Return the clock of an engine: that of the entities counts ticks.

    speed : simulated seconds per second of wall time, at most; None: as fast as possible
    """
    return TickClock(speed) if engine == "events" else Clock(speed)


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
    clock : the event clock, of the engine's kind; None: one that runs as fast as possible

    Raises
    ------
    InputError : who decides refuses the scenario; it has been closed then
    """
    made = Simulation(
        scenario,
        _WORLDS[engine],
        decider,
        streams,
        writer,
        progress=progress,
        num_slot=scenario.time.num_slot if num_slot is None else num_slot,
        clock=clock or clock_for(engine),
        observers=observers,
    )
    try:
        decider.reset(made.system, streams.policy_seed())
    except BaseException:
        decider.close()
        raise
    return made
