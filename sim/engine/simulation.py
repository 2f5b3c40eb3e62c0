"""A run, whichever engine simulates it: one clock, inputs, the slots one after the other, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from simpy.events import Event, ProcessGenerator

from physical.arrays import Floats
from physical.phase import Phase
from physical.slots import Slots
from physical.states import VehicleStates
from physical.system import System
from physical.task_rows import TaskRows
from sim.engine.clock import Clock, Pace
from sim.engine.sending import Sending
from sim.inputs.biases import biases_of
from sim.inputs.blocks import Block, Inputs
from sim.inputs.motion import TraceMotion
from sim.inputs.streams import Streams
from sim.record.messages import MessageLog
from sim.record.recorder import Recorder
from sim.record.slots import ClosedSlot, Ledger
from sim.scenario.resolved import Resolved
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import Happening, NodeDown
from traces.sink import Sink
from twin.belief import Belief
from twin.cloud import CloudProcess, Decider, Deliberation, Observer
from twin.estimators import Knowledge, estimator_of

LEARNING_SLOTS = 8
"""Every so many slots, policies that learn are told what slots have become complete."""


class WorldParts(NamedTuple):
    """What a world is made of.

    Parameters
    ----------
    clock, slots : time
    resolved : the scenario with all that it names
    inputs, streams : what is drawn; the streams again, for the biases of servers
    sending : tells when messages arrive, and logs them
    belief : what the twin knows
    decider, observers : who decides, and who is told of decisions
    ledger : is told the true backlogs of servers
    """

    clock: Clock
    slots: Slots
    resolved: Resolved
    inputs: Inputs
    streams: Streams
    sending: Sending
    belief: Belief
    decider: Decider
    observers: Sequence[Observer]
    ledger: Ledger


class World(Protocol):
    """What an engine simulates: vehicles, stations, servers and the cloud twin. All that is done is done now."""

    @property
    def cloud(self) -> CloudProcess:
        """The twin's process."""

    def processes(self) -> Iterable[ProcessGenerator]:
        """Return the processes to start; their order must not matter."""

    def open_block(self, block: Block) -> None:
        """Take the tasks of further slots, and what the network will do to them."""

    def begin_slot(self, slot: int, states: VehicleStates) -> None:
        """Move to the states of a slot, whose tasks are held from now on."""

    def observe(self) -> VehicleStates:
        """Return the states of the slot that has just begun, with what waits at vehicles."""

    def close_slot(self) -> tuple[float, Floats, Floats]:
        """Return what servers have used and done since the last call.

        Energy, J, of those that are not metered job by job; what was offered, and what arrived, both [K], bytes.
        """

    def fail(self, node: int) -> None:
        """Cut the vehicles of a serving node off."""

    def backlog_bytes(self, node: int) -> Floats:
        """Return the true backlog of a node's server, [K]."""

    def advance(self) -> None:
        """Bring everything up to the present."""

    def take_finished(self, end_ns: int) -> TaskRows:
        """Hand out the tasks that have ended by `end_ns`, and forget them."""

    def take_unfinished(self) -> TaskRows:
        """Hand out what is in flight or held at the end of the run."""


class Simulation:
    """One run of a scenario.

    Parameters
    ----------
    scenario : what to simulate
    make_world : makes what an engine simulates
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
        make_world: Callable[[WorldParts], World],
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
        self._states: VehicleStates
        self._num_slot = num_slot
        self._writer = writer
        self._progress = progress
        self._inputs = inputs = Inputs(resolved, streams)
        self._block: Block | None = None
        self._sending = Sending(clock, self.messages)
        self._slots = Slots(clock, self.slot_duration_ns)
        told: list[Observer] = [self.recorder, self, *observers]
        belief, ledger = _belief(scenario, system, inputs, streams), self.recorder.ledger
        parts = WorldParts(clock, self._slots, resolved, inputs, streams, self._sending, belief, decider, told, ledger)
        self.world = make_world(parts)
        self.cloud = self.world.cloud
        for happening in inputs.timeline.happenings:
            clock.call_at(happening.time_ns, Phase.FAULT, partial(self._happen, happening))
        clock.begin([self._live(), *self.world.processes()])

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
        self.world.advance()
        for node in range(self.system.num_node):  # up to here the drift of the last slot reaches
            self.recorder.ledger.report_backlog(node, self.world.backlog_bytes(node))
        self.recorder.flush(self.world.take_finished(now_ns), now_ns)
        self.recorder.flush(self.world.take_unfinished(), now_ns, final=True)
        self.messages.flush(now_ns)

    def _live(self) -> Generator[Event, int, None]:
        """Begin slot after slot."""
        while True:
            slot = yield self._slots.tick
            if slot < self._num_slot:  # the end of the run begins nothing
                self.pace.note(self.clock.late_s())
            self.world.advance()
            if slot > 0:
                self._close_slot(slot - 1)
                self._progress(slot)
            if slot == self._num_slot or self._stopping or self.failure:
                self.end.succeed()
                return
            self._slots.schedule(slot + 1)
            self._begin_slot(slot)

    def _happen(self, happening: Happening) -> None:
        event = happening.event
        slot = happening.time_ns // self.slot_duration_ns
        self.recorder.event(happening.time_ns, event.kind, slot, happening.describe())
        if isinstance(event, NodeDown):
            self.world.fail(self._node_names.index(event.node))

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
        self.world.begin_slot(slot, block.states(slot))
        # Only then: what is left of vehicles that go has been dropped, and what ends as channels change has ended.
        self.clock.call_at(self.clock.now, Phase.OBSERVE, partial(self._observe, slot))

    def _observe(self, slot: int) -> None:
        """Record the true states of a slot."""
        self._states = self.world.observe()
        self.recorder.begin_slot(slot, self._states)

    def _open_block(self, slot: int) -> Block:
        length = min(self._inputs.block_length(slot), self._num_slot - slot)
        block = self._block = self._inputs.block(slot, length)
        self.world.open_block(block)
        self._sending.open_block(block)
        return block

    def _flush(self) -> None:
        now_ns = self.clock.now
        self.messages.flush(now_ns)  # first: the other one closes the part
        self.recorder.flush(self.world.take_finished(now_ns), now_ns)
        self._progress(self.num_slot_done)

    def settle_before_slot(self) -> None:
        """Record the tasks that had ended at the start of the present slot, to which all stages are up to date."""
        begin_ns = self.num_slot_done * self.slot_duration_ns
        self.recorder.flush(self.world.take_finished(begin_ns), begin_ns)

    def _close_slot(self, slot: int) -> None:
        joules, service_bytes, arrived_bytes = self.world.close_slot()
        if self.system.model.edge_energy_rule == "power":
            joules /= self.system.slot_duration_s  # the paper adds the number of watts (eq. 16)
        num_task = int(np.count_nonzero(self._states.size_bytes))
        self.recorder.ledger.close_slot(ClosedSlot(arrived_bytes, service_bytes, joules, num_task), self._states)
        self.num_slot_done = slot + 1


def _belief(scenario: Scenario, system: System, inputs: Inputs, streams: Streams) -> Belief:
    """Return what the twin believes before the first report."""
    motion, biases = inputs.motion, biases_of(scenario.twin.bias, system, inputs.timeline, streams)
    known = Knowledge(system, inputs.fading_correlation, motion.wraps_at_m, motion.rounded)
    return Belief(system, inputs.registration(), estimator_of(scenario.twin.estimator, known), biases)
