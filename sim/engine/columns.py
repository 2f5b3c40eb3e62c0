"""Wires a scenario to running processes: vehicles, base station, edge server and cloud twin on one clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from simpy.events import Event

from physical.arrays import Floats, Ints
from physical.columns.edge_server import EdgeServer
from physical.columns.fleet import CommandCohort, Fleet, VehicleStates
from physical.columns.pipeline import DataPlane, Fate
from physical.columns.radio import Settings
from physical.entities.base_station import BaseStation
from physical.entities.rsu import RoadsideUnit
from physical.entities.slots import Slots
from physical.entities.vehicle import Vehicle
from physical.model.arrays import some
from physical.phase import Phase
from physical.quantize import freeze
from physical.ticks import ticks_from_ns, to_ns
from sim.engine.clock import Clock
from sim.inputs.blocks import Block, Inputs
from sim.inputs.motion import TraceMotion
from sim.inputs.routes import Passage
from sim.inputs.streams import Streams
from sim.record.messages import MessageLog
from sim.record.recorder import Recorder
from sim.record.slots import ClosedSlot
from sim.runs.recorded import Decider
from sim.scenario.scenario import Scenario
from sim.scenario.timeline import Happening, NodeDown, NodeUp, VehicleEnters, VehicleLeaves
from traces.sink import Sink
from twin.belief import Belief, Biases
from twin.bias import BiasProcess
from twin.cloud import Cloud, Deliberation
from twin.decision import Decision
from twin.messages import LOST_NS, ReportCohort, ServerReport
from twin.params import BiasParams, ServerBiasParams

_SLIP_S = 1e-3
LEARNING_SLOTS = 8
"""Every so many slots, policies that learn are told what slots have become complete."""


@dataclass
class Pace:
    """How well a paced run keeps up with the wall clock.

    num_slip : slots that began more than a millisecond late
    slip_s_max : s, the latest
    """

    num_slip: int = 0
    slip_s_max: float = 0.0

    def note(self, late_s: float) -> None:
        """Take note of how late a slot begins."""
        if late_s > _SLIP_S:
            self.num_slip += 1
            self.slip_s_max = max(self.slip_s_max, late_s)


class World:
    """One run.

    Parameters
    ----------
    scenario : what to simulate
    policy : who decides, behind its guard
    streams : random streams
    writer : the open trace
    progress : called with the number of slots simulated, after each slot and before the first
    num_slot : slots after which to stop, if before the end
    speed : simulated seconds per second of wall time; None: as fast as possible
    """

    def __init__(
        self,
        scenario: Scenario,
        policy: Decider,
        streams: Streams,
        writer: Sink,
        progress: Callable[[int], None],
        *,
        num_slot: int | None = None,
        speed: float | None = None,
    ) -> None:
        self.clock = Clock(speed)
        self.system = scenario.system()
        self.slot_duration_ns = to_ns(scenario.time.slot_duration_s)
        node_names = [node.name for node in scenario.nodes]
        self._learner = policy if policy.wants_outcomes else None
        self.recorder = Recorder(
            self.system, node_names, writer, self.slot_duration_ns, keep_outcomes=policy.wants_outcomes
        )
        self.messages = MessageLog(writer if scenario.trace.messages else None)
        self.pace = Pace()
        self.num_slot_done = 0
        self.failure = ""
        self._stopping = False
        self._num_task = 0
        self._num_slot = scenario.time.num_slot if num_slot is None else num_slot
        self._scenario = scenario
        self._writer = writer
        self._progress = progress
        self._inputs = Inputs(scenario, self.system, streams)
        self._blocks: dict[int, Block] = {}
        self._end = Event(self.clock.env)
        self.slots = Slots(self.clock, self.slot_duration_ns)
        self.plane = DataPlane(self.system)
        command = scenario.twin.command
        self.fleet = Fleet(self.plane, command.missing, ticks_from_ns(to_ns(command.patience_s)))
        self._reporting: list[int] = []
        biases = self._make_biases(streams)
        # Processes of their own: the twin may still decide a slot that the servers have left behind.
        self.servers = [
            EdgeServer(
                node,
                self.clock,
                self.slots,
                self.system,
                self.fleet,
                self._make_biases(streams).cpu_frequency_hz,
                self._report_backlog,
                all_here=_is_static(scenario),
            )
            for node in range(self.system.num_node)
        ]
        self.cloud = Cloud(
            self.clock,
            self._make_belief(biases),
            scenario.twin,
            policy,
            self._send_commands,
            streams.generator("decision-latency", "cloud"),
        )
        self._start_processes()

    def _start_processes(self) -> None:
        env = self.clock.env
        interval = self._scenario.vehicles.report_interval
        vehicles = [Vehicle(index, self.fleet, self.slots, interval) for index in range(self.system.num_vehicle)]
        for happening in self._inputs.timeline.happenings:
            self._schedule(happening)
        env.process(self._live())
        for node, server in zip(self._scenario.nodes, self.servers, strict=True):
            common = (self.slots, self.fleet, self._relay)
            station = RoadsideUnit(node.name, server, *common) if node.is_rsu else BaseStation(server.node, *common)
            env.process(station.run())
            env.process(server.run())
        for vehicle in vehicles:
            env.process(vehicle.run())
        env.process(self.cloud.run())

    def _make_biases(self, streams: Streams) -> Biases:
        params = self._scenario.twin.bias
        count, num_class = self.system.num_vehicle, self.system.num_class

        def process(name: str, kind: BiasParams) -> BiasProcess:
            generators = lambda: streams.of_vehicles(f"bias-{name}", count)  # noqa: E731 - made only if needed
            return BiasProcess(kind, count, self.system.slot_duration_s, generators)

        def of_classes(name: str, kind: ServerBiasParams) -> BiasProcess:
            generators = lambda: streams.of_classes(f"bias-{name}", num_class)  # noqa: E731 - made only if needed
            return BiasProcess(kind, num_class, self.system.slot_duration_s, generators)

        frequency = process("cpu-frequency", params.cpu_frequency_hz)
        timeline = self._inputs.timeline
        known: list[tuple[Floats, float]] = []
        by_flow: list[Floats] = []

        def of_flows(slot: int) -> Floats:
            per_vehicle, jump_hz = frequency.at(slot), timeline.bias_jump_hz(slot)
            if not known or known[0][0] is not per_vehicle or known[0][1] != jump_hz:
                expanded = np.repeat((per_vehicle + jump_hz)[:, np.newaxis], num_class, axis=1)
                freeze(expanded)
                known[:], by_flow[:] = [(per_vehicle, jump_hz)], [expanded]
            return by_flow[0]

        return Biases(
            of_flows,
            process("task-size", params.task_size_bytes),
            process("position", params.position_m),
            process("channel-gain", params.channel_gain_db),
            process("cpu-backlog", params.cpu_backlog_cycles),
            process("uplink-backlog", params.uplink_backlog_bytes),
            of_classes("server-backlog", params.server_backlog_bytes),
            params.known,
        )

    def _make_belief(self, biases: Biases) -> Belief:
        return Belief(
            self.system,
            self._inputs.registration(),
            self._scenario.twin.estimator,
            biases,
            self._inputs.fading_correlation,
            self._inputs.motion.wraps_at_m,
            self._inputs.motion.rounded,
        )

    def run(self) -> None:
        """Simulate all slots."""
        if isinstance(motion := self._inputs.motion, TraceMotion):
            self.recorder.name_vehicles(motion.names, motion.kinds)
        self.clock.start()
        self.clock.env.run(until=self._end)
        self.close()

    def stop(self) -> None:
        """End the run when the present slot is over, as a `failure` of the fallback does."""
        self._stopping = True

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
                self._end.succeed()
                return
            self.slots.schedule(slot + 1)
            self._begin_slot(slot)

    def _schedule(self, happening: Happening) -> None:
        """Let a timed event be recorded when it happens; failures of nodes take effect at that very moment."""
        arrival = self.clock.at(happening.time_ns, Phase.FAULT)
        assert arrival.callbacks is not None
        arrival.callbacks.append(lambda _: self._happen(happening))

    def _happen(self, happening: Happening) -> None:
        event = happening.event
        slot = happening.time_ns // self.slot_duration_ns
        self.recorder.event(happening.time_ns, event.kind, slot, happening.describe())
        if isinstance(event, NodeDown):
            node = [known.name for known in self._scenario.nodes].index(event.node)
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
        block = self._blocks.get(slot - 1)
        if block is None or slot == block.first_slot + block.num_slot:
            self._flush()
            block = self._open_block(slot)
        elif self._writer.overdue:
            self._flush()
        self._blocks[slot] = block
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
        return block

    def _flush(self) -> None:
        now_ns = self.clock.now
        self.messages.flush(now_ns)  # first: the other one closes the part
        self.recorder.flush(self.fleet.take_finished(ticks_from_ns(now_ns)), now_ns)
        self._progress(self.num_slot_done)

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

    def _relay(self, node: int, slot: int, reporting: list[int], states: VehicleStates) -> None:
        """Send the reports of a slot to the cloud, once all nodes have passed on theirs."""
        if self.system.num_node > 1:
            self._reporting += reporting
            if node < self.system.num_node - 1:
                return
            reporting, self._reporting = sorted(self._reporting), []
        everyone = len(reporting) == self.system.num_vehicle
        vehicle = None if everyone else np.array(reporting, dtype=np.int64)
        passage, now = self._blocks[slot].report, self.clock.now
        row = slot - self._blocks[slot].first_slot
        delivered_ns: Ints | int = np.empty(0, dtype=np.int64)  # nothing is on its way if nobody reports
        if reporting:
            delivered_ns = passage.delivered_ns(now, (row, slice(None) if everyone else vehicle, 0))
        self.cloud.expect(ReportCohort(slot, now, vehicle, delivered_ns, states))
        self.messages.sent("report", slot, now, vehicle, delivered_ns, len(reporting))

    def _report_backlog(self, node: int, slot: int, backlog_bytes: Floats, flow_cycles: Floats | None) -> None:
        """Send a server's state to the cloud."""
        freeze(backlog_bytes)
        self.recorder.ledger.report_backlog(node, backlog_bytes)
        block = self._blocks[slot]
        delivered_ns = _single(block.server_report.delivered_ns(self.clock.now, (slot - block.first_slot, node, 0)))
        self.cloud.belief.expect_server(ServerReport(node, slot, delivered_ns, backlog_bytes, flow_cycles))
        self.messages.sent("server-report", slot, self.clock.now, _of_server(node), delivered_ns, 1)

    def _send_commands(self, deliberation: Deliberation) -> None:
        """Send a decision to the server and to the vehicles."""
        slot, now = deliberation.snapshot.slot, self.clock.now
        decided_in = deliberation.snapshot.time_ns // self.slot_duration_ns
        is_present = now < (decided_in + 1) * self.slot_duration_ns
        truth = self.fleet.states if is_present else self._blocks[decided_in].states(decided_in)
        self.recorder.decided(deliberation, truth)
        self.failure = self.failure or deliberation.ruling.failure
        block = self._blocks[slot]
        for older in [known for known in self._blocks if known < slot]:
            del self._blocks[older]
        row = slot - block.first_slot
        decision, serving_node = deliberation.ruling.decision, deliberation.snapshot.serving_node
        for server in self.servers:
            to_server_ns = _single(block.server_command.delivered_ns(now, (row, server.node, 0)))
            if to_server_ns < LOST_NS:
                self._deliver_to_server(server, to_server_ns, slot, deliberation)
            self.messages.sent("server-command", slot, now, _of_server(server.node), to_server_ns, 1)
        to_vehicles_ns = block.command.delivered_ns(now, (row, slice(None), 0))
        addressed = None
        if some(serving_node < 0) or some(self.plane.serving_node < 0):
            # Who is out of reach gets no command; whom the twin believes to be, it sends none.
            out_of_reach = (serving_node < 0) | (self.plane.serving_node < 0)
            to_vehicles_ns = np.where(out_of_reach, LOST_NS, to_vehicles_ns)
            addressed = np.flatnonzero(serving_node >= 0)
        cohort = CommandCohort(slot, ticks_from_ns(to_vehicles_ns), _settings(decision), serving_node)
        self.fleet.command(cohort)
        if addressed is None:
            self.messages.sent("command", slot, now, None, to_vehicles_ns, self.system.num_vehicle)
        elif addressed.size:
            self.messages.sent("command", slot, now, addressed, np.asarray(to_vehicles_ns)[addressed], addressed.size)

    def _deliver_to_server(self, server: EdgeServer, time_ns: int, slot: int, deliberation: Deliberation) -> None:
        allocation_hz = deliberation.ruling.decision.compute_allocation_hz
        serving_node = deliberation.snapshot.serving_node
        arrival = self.clock.at(time_ns, Phase.SERVER_COMMAND)
        assert arrival.callbacks is not None
        arrival.callbacks.append(lambda _: server.obey(slot, allocation_hz, serving_node))


def _is_static(scenario: Scenario) -> bool:
    """Return whether all vehicles are attached to the only node all the time."""
    moves = any(isinstance(event, NodeDown | NodeUp | VehicleLeaves | VehicleEnters) for event in scenario.timeline)
    return len(scenario.nodes) == 1 and scenario.everybody_stays and scenario.radio.range_m is None and not moves


def _settings(decision: Decision) -> Settings:
    """Return what vehicles are told."""
    settings: Settings = {"offloading_ratio": decision.offloading_ratio}
    for name in ("local_frequency_hz", "transmit_power_w", "bandwidth_hz"):
        if (values := getattr(decision, name)) is not None:
            settings[name] = values
    return settings


def _of_server(node: int) -> Ints | None:
    """Return who sends or gets a message, as the log has it: -1 for the first server, -2 for the second."""
    return None if node == 0 else np.array([-1 - node])


def _fate(passage: Passage) -> Fate:
    return Fate(ticks_from_ns(passage.latency_ns), passage.lost)


def _single(delivered_ns: Ints | int) -> int:
    return int(delivered_ns)
