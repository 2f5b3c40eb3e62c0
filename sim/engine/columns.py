"""The engine of the columns: wires a scenario to running processes on one clock, and begins slot after slot."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial

import numpy as np
from simpy.events import Event

from physical.columns.edge_server import EdgeServer
from physical.columns.fleet import Fleet
from physical.columns.pipeline import DataPlane, Fate
from physical.columns.processes import Reporting, Station
from physical.columns.slots import Slots
from physical.phase import Phase
from physical.quantize import freeze
from physical.system import System
from physical.ticks import ticks_from_ns, to_ns
from sim.engine.clock import Clock, Pace
from sim.engine.sending import Commands, Reports, Sending
from sim.inputs.biases import FrequencyBias, biases_of
from sim.inputs.blocks import Block, Inputs
from sim.inputs.motion import TraceMotion
from sim.inputs.routes import Passage
from sim.inputs.streams import Streams
from sim.record.messages import MessageLog
from sim.record.recorder import Recorder
from sim.record.slots import ClosedSlot
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import Happening, NodeDown
from traces.sink import Sink
from twin.belief import Belief
from twin.cloud import Cloud, Decider, Deliberation, Observer
from twin.estimators import Knowledge, estimator_of

LEARNING_SLOTS = 8
"""Every so many slots, policies that learn are told what slots have become complete."""


def begin(
    scenario: Scenario,
    decider: Decider,
    streams: Streams,
    writer: Sink,
    *,
    progress: Callable[[int], None] = lambda _: None,
    num_slot: int | None = None,
    clock: Clock | None = None,
    observers: Sequence[Observer] = (),
) -> ColumnsEngine:
    """Make an engine, and get who decides ready; see `ColumnsEngine` for the parameters.

    Raises
    ------
    InputError : who decides refuses the scenario; it has been closed then
    """
    engine = ColumnsEngine(
        scenario,
        decider,
        streams,
        writer,
        progress=progress,
        num_slot=scenario.time.num_slot if num_slot is None else num_slot,
        clock=Clock() if clock is None else clock,
        observers=observers,
    )
    try:
        decider.reset(engine.system, streams.policy_seed())
    except BaseException:
        decider.close()
        raise
    return engine


class ColumnsEngine:
    """One run of a scenario.

    Parameters
    ----------
    scenario : what to simulate
    decider : who decides
    streams : random streams
    writer : the open trace
    progress : called with the number of slots simulated, after each slot and before the first
    num_slot : slots after which to stop
    clock : the event clock
    observers : told of every decision

    Attributes
    ----------
    end : event of the end of the run
    failure : why the fallback failed, if it did; the run then ends with the slot
    """

    def __init__(
        self,
        scenario: Scenario,
        decider: Decider,
        streams: Streams,
        writer: Sink,
        *,
        progress: Callable[[int], None],
        num_slot: int,
        clock: Clock,
        observers: Sequence[Observer],
    ) -> None:
        self.clock = clock
        self.resolved = resolved = scenario.resolve()
        self.system = system = resolved.system
        self.slot_duration_ns = resolved.slot_ns
        self.num_slot_done = 0
        self.failure = ""
        self.pace = Pace()
        self.end = Event(clock.env)
        self._node_names = [node.name for node in scenario.nodes]
        self._learner = decider if decider.wants_outcomes else None
        self.recorder = Recorder(
            system, self._node_names, writer, self.slot_duration_ns, keep_outcomes=decider.wants_outcomes
        )
        self.messages = MessageLog(writer if scenario.trace.messages else None)
        self._stopping = False
        self._num_task = 0
        self._num_slot = num_slot
        self._writer = writer
        self._progress = progress
        self._inputs = Inputs(resolved, streams)
        self._block: Block | None = None
        self._sending = Sending(clock, self.messages)
        self.slots = Slots(clock, self.slot_duration_ns)
        self.plane = DataPlane(system)
        command = scenario.twin.command
        self.fleet = Fleet(self.plane, command.missing, ticks_from_ns(to_ns(command.patience_s)))
        self.servers: list[EdgeServer] = []
        self.cloud = Cloud(
            clock,
            _belief(scenario, system, self._inputs, streams),
            scenario.twin,
            decider,
            Commands(self._sending, self.fleet, self.servers).send,
            (self.recorder, self, *observers),
            streams.generator("decision-latency", "cloud"),
        )
        self._start(scenario, streams)

    def _start(self, scenario: Scenario, streams: Streams) -> None:
        """Start the processes of servers, stations and vehicles, and the twin's."""
        clock, timeline = self.clock, self._inputs.timeline
        reports = Reports(self._sending, self.cloud, self.recorder.ledger)
        for node in range(self.system.num_node):
            bias = FrequencyBias(scenario.twin.bias, self.system, timeline, streams)
            self.servers.append(
                EdgeServer(node, clock, self.slots, self.system, self.fleet, bias.at, reports.of_server)
            )
        stations = [Station(server.node, self.slots, self.fleet, reports.of_vehicles) for server in self.servers]
        vehicles = Reporting(self.slots, stations, scenario.vehicles.report_interval)
        for happening in timeline.happenings:
            clock.call_at(happening.time_ns, Phase.FAULT, partial(self._happen, happening))
        processes = [self._live(), vehicles.run(), self.cloud.run()]
        clock.begin([*processes, *(one.run() for one in stations), *(one.run() for one in self.servers)])

    def run(self) -> None:
        """Simulate all slots."""
        if isinstance(motion := self._inputs.motion, TraceMotion):
            self.recorder.name_vehicles(motion.names, motion.kinds)
        self.clock.start()
        self.clock.env.run(until=self.end)
        self.close()

    def stop(self) -> None:
        """End the run when the present slot is over, as a `failure` of the fallback does."""
        self._stopping = True

    def decided(self, deliberation: Deliberation) -> None:
        """Take note of a fallback that fails, as an observer of the cloud."""
        self.failure = self.failure or deliberation.ruling.failure

    def close(self) -> None:
        """Record what is still in flight at the present time."""
        now_ns = self.clock.now
        self.fleet.advance(ticks_from_ns(now_ns))
        for server in self.servers:  # up to here the drift of the last slot reaches
            self.recorder.ledger.report_backlog(server.node, server.backlog(ticks_from_ns(now_ns))[0])
        self.recorder.flush(self.fleet.take_finished(ticks_from_ns(now_ns)), now_ns)
        self.plane.settle(ticks_from_ns(now_ns))
        self.recorder.flush(self.fleet.take_unfinished(ticks_from_ns(now_ns)), now_ns, final=True)
        self.messages.flush(now_ns)

    def _live(self) -> Generator[Event, int, None]:
        """Begin slot after slot."""
        while True:
            slot = yield self.slots.tick
            if slot < self._num_slot:  # the end of the run begins nothing
                self.pace.note(self.clock.late_s())
            self.fleet.advance(ticks_from_ns(self.clock.now))
            if slot > 0:
                self._close_slot(slot - 1)
                self._progress(slot)
            if slot == self._num_slot or self._stopping or self.failure:
                self.end.succeed()
                return
            self.slots.schedule(slot + 1)
            self._begin_slot(slot)

    def _happen(self, happening: Happening) -> None:
        event = happening.event
        slot = happening.time_ns // self.slot_duration_ns
        self.recorder.event(happening.time_ns, event.kind, slot, happening.describe())
        if isinstance(event, NodeDown):
            node = self._node_names.index(event.node)
            now = ticks_from_ns(self.clock.now)
            self.fleet.advance(now)
            self.plane.fail(now, self.plane.serving_node == node)
            self.servers[node].refresh()

    def _begin_slot(self, slot: int) -> None:
        """Move and fade, then generate the slot's tasks."""
        if self._learner is not None and slot and slot % LEARNING_SLOTS == 0:
            # Only now, whatever other flushes there have been: those may depend on the size of parts and on wall time.
            self._flush()
            if outcomes := self.recorder.take_outcomes():
                self._learner.learn(outcomes)
        block = self._block
        if block is None or slot == block.first_slot + block.num_slot:
            self._flush()
            block = self._open_block(slot)
        elif self._writer.overdue:
            self._flush()
        now, states = ticks_from_ns(self.clock.now), block.states(slot)
        self.fleet.begin_slot(slot, now, states)
        # Only now: what is left of vehicles that go, or that lose their node, has been dropped.
        if (waits := self.plane.backlogs(now)) is not None:
            freeze(*waits)
            states = states._replace(cpu_backlog_cycles=waits[0], uplink_backlog_bytes=waits[1])
            self.fleet.states = states
        self.recorder.begin_slot(slot, states)
        self._num_task = int(np.count_nonzero(states.size_bytes))

    def _open_block(self, slot: int) -> Block:
        length = min(self._inputs.block_length(slot), self._num_slot - slot)
        block = self._inputs.block(slot, length)
        self.plane.append_slots(slot, block.size_bytes, block.serving_node, _fate(block.upload), _fate(block.result))
        self._sending.open_block(block)
        self._block = block
        return block

    def _flush(self) -> None:
        now_ns = self.clock.now
        self.messages.flush(now_ns)  # first: the other one closes the part
        self.recorder.flush(self.fleet.take_finished(ticks_from_ns(now_ns)), now_ns)
        self._progress(self.num_slot_done)

    def settle_before_slot(self) -> None:
        """Record the tasks that had ended at the start of the present slot, to which all stages are up to date."""
        begin_ns = self.num_slot_done * self.slot_duration_ns
        self.recorder.flush(self.fleet.take_finished(ticks_from_ns(begin_ns)), begin_ns)

    def _close_slot(self, slot: int) -> None:
        taken = [server.meter.take(self.clock.now) for server in self.servers]
        joules = sum(part[0] for part in taken)
        service_bytes = taken[0][1] if len(taken) == 1 else np.sum([part[1] for part in taken], axis=0)
        if self.system.model.edge_energy_rule == "power":
            joules /= self.system.slot_duration_s  # the paper adds the number of watts (eq. 16)
        arrived_bytes = self.plane.take_arrived_bytes()
        closed = ClosedSlot(arrived_bytes, service_bytes, joules, self._num_task)
        self.recorder.ledger.close_slot(closed, self.fleet.states)
        self.num_slot_done = slot + 1


def _belief(scenario: Scenario, system: System, inputs: Inputs, streams: Streams) -> Belief:
    """Return what the twin believes before the first report."""
    motion, biases = inputs.motion, biases_of(scenario.twin.bias, system, inputs.timeline, streams)
    known = Knowledge(system, inputs.fading_correlation, motion.wraps_at_m, motion.rounded)
    return Belief(system, inputs.registration(), estimator_of(scenario.twin.estimator, known), biases)


def _fate(passage: Passage) -> Fate:
    return Fate(ticks_from_ns(passage.latency_ns), passage.lost)
