"""The world of the entities: one process for each vehicle, station and server, and one event for each hop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from simpy.events import ProcessGenerator

from physical.arrays import Floats, Ints
from physical.entities.air import DecidedAir, FixedAir
from physical.entities.link import MessageLink
from physical.entities.rows import rows_of
from physical.entities.server import EdgeQueues, EdgeServer
from physical.entities.station import Station
from physical.entities.task import Task, Travel, cut_short
from physical.entities.vehicle import Manners, Orders, Vehicle
from physical.phase import Phase
from physical.quantize import freeze
from physical.states import AWAY, VehicleStates
from physical.sums import added
from physical.system import System
from physical.task_rows import Outcome, TaskRows
from physical.ticks import ticks_from_ns, to_ns
from sim.engine.clock import TickClock
from sim.engine.simulation import WorldParts
from sim.inputs.biases import FrequencyBias
from sim.inputs.blocks import Block
from twin.cloud import Deliberation
from twin.decision import Decision
from twin.hearing import HearingCloud, VehicleReport
from twin.messages import ServerReport


class _ServerOrders(NamedTuple):
    """What a command tells a server: see `EdgeServer.obey`."""

    slot: int
    allocation_hz: Floats
    serving_node: Ints


class EventsWorld:
    """The entities' side of a run; see `sim.engine.simulation.World`.

    vehicles, stations, servers : the entities
    cloud : the twin's process
    """

    def __init__(self, parts: WorldParts) -> None:
        assert isinstance(parts.clock, TickClock)
        resolved, streams = parts.resolved, parts.streams
        tables, system = resolved.tables, resolved.system
        clock = self._clock = parts.clock
        self._system = system
        self._sending = parts.sending
        self._ledger = parts.ledger
        self._ended: list[Task] = []
        self._block: Block
        self._states: VehicleStates | None = None
        self.queues = EdgeQueues(clock, system)
        self.stations = [Station(parts.slots, self._send_reports) for _ in range(system.num_node)]
        patience = ticks_from_ns(to_ns(tables.twin.command.patience_s))
        manners = Manners(patience, tables.twin.command.missing, tables.vehicles.report_interval)
        self.vehicles = [
            Vehicle(index, clock, parts.slots, system, manners, self.queues, self._ended.append)
            for index in range(system.num_vehicle)
        ]
        for vehicle in self.vehicles:
            vehicle.station = self.stations[0]
        self.servers = []
        for node in range(system.num_node):
            bias = FrequencyBias(tables.twin.bias, system, parts.inputs.timeline, streams)
            self.servers.append(EdgeServer(node, clock, parts.slots, system, self.queues, bias.at, self._send_backlog))
        self._air: FixedAir | DecidedAir = FixedAir(self.vehicles)
        if system.spectrum is not None:
            self._air = DecidedAir(clock, system.spectrum, self.vehicles)
        generator = streams.generator("decision-latency", "cloud")
        self.cloud = HearingCloud(
            clock, parts.belief, tables.twin, parts.decider, self._send_commands, parts.observers, generator
        )
        self._to_cloud = MessageLink(clock, Phase.RELAY, self.cloud.hear)
        self._from_servers = MessageLink(clock, Phase.RELAY, self.cloud.hear_server)
        to_server, to_vehicle = Phase.SERVER_COMMAND, Phase.VEHICLE_COMMAND
        self._to_server = [MessageLink(clock, to_server, partial(_let_obey, server)) for server in self.servers]
        self._to_vehicle = [MessageLink(clock, to_vehicle, partial(self._let_obey, one)) for one in self.vehicles]

    def processes(self) -> Iterable[ProcessGenerator]:
        """Return the processes: one for each vehicle, station and server, and the cloud's."""
        return [
            self.cloud.run(),
            *(vehicle.run() for vehicle in self.vehicles),
            *(station.run() for station in self.stations),
            *(server.run() for server in self.servers),
        ]

    def open_block(self, block: Block) -> None:
        """Take the inputs of further slots."""
        self._block = block

    def begin_slot(self, slot: int, states: VehicleStates) -> None:
        """Move all vehicles, let them send over other channels, and give them their tasks."""
        nodes = states.serving_node.tolist()
        if self._states is not None:
            self._let_go(self._states.serving_node.tolist(), nodes)
        moving = [vehicle for vehicle in self.vehicles if vehicle.node != nodes[vehicle.index]]
        self._detach(moving, self._system.model.handover)
        for vehicle in moving:
            self._attach(vehicle, nodes[vehicle.index])
        self._air.change(states.uplink_rate_bps, states.channel_gain)
        for vehicle, tasks in zip(self.vehicles, _tasks_of(slot, self._block, states, self._system), strict=True):
            vehicle.hold(slot, tasks)
        self._states = states

    def observe(self) -> VehicleStates:
        """Return the states of the slot that has just begun, with what waits at vehicles."""
        assert self._states is not None  # a slot has begun
        cycles = np.array([vehicle.cpu_backlog_cycles for vehicle in self.vehicles], dtype=np.float64)
        upload_bytes = np.array([vehicle.uplink_backlog_bytes for vehicle in self.vehicles], dtype=np.float64)
        freeze(cycles, upload_bytes)
        self._states = self._states._replace(cpu_backlog_cycles=cycles, uplink_backlog_bytes=upload_bytes)
        return self._states

    def _let_go(self, before: list[int], nodes: list[int]) -> None:
        """Drop everything of the vehicles that leave the scene; stations notice whom they have lost."""
        for vehicle, old, new in zip(self.vehicles, before, nodes, strict=True):
            if new == AWAY != old:
                self._cut_short(vehicle.let_go(), Outcome.DROPPED_LEFT)
            if new < 0 <= old:
                self.stations[old].hear(vehicle.index)

    def _detach(self, vehicles: Sequence[Vehicle], rule: str) -> None:
        """Do with the work of vehicles at their old nodes as the rule says; nobody serves them any more."""
        leaving = [vehicle for vehicle in vehicles if vehicle.node >= 0]
        if rule == "drop":
            remote = [task for vehicle in leaving for task in vehicle.unfinished if task.is_remote]
            self._cut_short(remote, Outcome.DROPPED_HANDOVER)
        for vehicle in leaving:
            if rule == "finish":
                self.queues.leave_behind(vehicle.index, vehicle.node)
            self.queues.stop(vehicle.index)
            self.servers[vehicle.node].present.remove(vehicle.index)

    def _attach(self, vehicle: Vehicle, node: int) -> None:
        vehicle.attach(node, self.stations[node] if node >= 0 else None)
        if node >= 0:
            self.servers[node].present.add(vehicle.index)

    def _cut_short(self, tasks: Sequence[Task], outcome: Outcome) -> None:
        cut_short(tasks, self._clock.ticks, outcome)
        self._ended += tasks

    def close_slot(self) -> tuple[float, Floats, Floats]:
        """Return energy, what was offered and what arrived since the last call."""
        taken = [server.take() for server in self.servers]
        joules = added(part[0] for part in taken)
        service_bytes = taken[0][1] if len(taken) == 1 else np.sum([part[1] for part in taken], axis=0)
        return joules, service_bytes, self.queues.take_arrived_bytes()

    def fail(self, node: int) -> None:
        """Cut the vehicles of a node off."""
        cut_off = [vehicle for vehicle in self.vehicles if vehicle.node == node]
        self._detach(cut_off, "drop" if self._system.model.handover == "drop" else "forward")
        for vehicle in cut_off:
            self._attach(vehicle, -1)
        self._air.settle()
        self.servers[node].refresh()

    def backlog_bytes(self, node: int) -> Floats:
        """Return the true backlog of a node's server, [K]."""
        return self.servers[node].backlog()[0]

    def advance(self) -> None:
        """Do nothing: what has happened by now has happened."""

    def _send_reports(self, slot: int, vehicles: list[int]) -> None:
        """Send what vehicles have reported from their station to the cloud."""
        assert self._states is not None  # a slot has begun
        self.cloud.expect(slot, len(vehicles))
        now_ns = self._clock.now
        arrivals = _ticks(self._sending.send("report", slot, np.array(vehicles, dtype=np.int64), len(vehicles)))
        for vehicle, arrival in zip(vehicles, np.broadcast_to(arrivals, len(vehicles)).tolist(), strict=True):
            self._to_cloud.carry(VehicleReport(slot, now_ns, vehicle, self._states), arrival)

    def _send_backlog(self, node: int, slot: int, backlog_bytes: Floats, flow_cycles: Floats | None) -> None:
        freeze(backlog_bytes)
        self._ledger.report_backlog(node, backlog_bytes)
        arrival = self._sending.send("server-report", slot, node)
        assert isinstance(arrival, int)  # one message
        self._from_servers.carry(ServerReport(node, slot, arrival, backlog_bytes, flow_cycles), int(_ticks(arrival)))

    def _send_commands(self, deliberation: Deliberation) -> None:
        """Send a decision to all servers, and to the vehicles that the twin believes to be in reach."""
        decision, snapshot = deliberation.ruling.decision, deliberation.snapshot
        slot, nodes = snapshot.slot, snapshot.serving_node
        self._sending.close_before(slot)
        for server, link in zip(self.servers, self._to_server, strict=True):
            arrival = self._sending.send("server-command", slot, server.node)
            link.carry(_ServerOrders(slot, decision.compute_allocation_hz, nodes), int(_ticks(arrival)))
        addressed = np.flatnonzero(nodes >= 0)
        reached = np.array([self.vehicles[index].node >= 0 for index in addressed.tolist()], dtype=np.bool_)
        arrivals = _ticks(self._sending.send("command", slot, addressed, len(addressed), reached=reached))
        orders = _orders(decision, nodes, self._system)
        for index, arrival in zip(addressed.tolist(), np.broadcast_to(arrivals, len(addressed)).tolist(), strict=True):
            self._to_vehicle[index].carry((slot, orders[index]), arrival)

    def _let_obey(self, vehicle: Vehicle, command: tuple[int, Orders]) -> None:
        if vehicle.obey(*command):
            self._air.follow_commands()

    def take_finished(self, end_ns: int) -> TaskRows:
        """Hand out the tasks that have ended by `end_ns`, and forget them."""
        end = ticks_from_ns(end_ns)
        ended = [task for task in self._ended if task.done is not None and task.done <= end]
        later = [task for task in self._ended if task.done is not None and task.done > end]
        self._ended[:] = later
        return rows_of(ended, self._system)

    def take_unfinished(self) -> TaskRows:
        """Charge what is in progress for the time up to now, and hand out what is in flight or held."""
        self.queues.settle()
        for vehicle in self.vehicles:
            vehicle.cpu.settle()
            vehicle.uplink.settle()
        return rows_of([task for vehicle in self.vehicles for task in vehicle.unfinished], self._system)


def _tasks_of(slot: int, block: Block, states: VehicleStates, system: System) -> list[list[Task]]:
    """Make the tasks of a slot, by vehicle; one of size 0 is none."""
    shape = states.size_bytes.shape
    row = slot - block.first_slot
    local_work, edge_work = (
        np.broadcast_to(work, shape).tolist() for work in system.work_cycles(states.size_bytes, states.serving_node)
    )
    ways = []
    for passage in (block.upload, block.result):
        latency = passage.latency_ns if isinstance(passage.latency_ns, int) else passage.latency_ns[row]
        lost = False if passage.lost is None else passage.lost[row]
        ways.append([np.broadcast_to(part, shape).tolist() for part in (ticks_from_ns(latency), lost)])
    (upload, upload_lost), (result, result_lost) = ways
    return [
        [
            Task(
                slot,
                n,
                k,
                size,
                local_work[n][k],
                edge_work[n][k],
                Travel(upload[n][k], upload_lost[n][k]),
                Travel(result[n][k], result_lost[n][k]),
            )
            for k, size in enumerate(sizes)
            if size > 0.0
        ]
        for n, sizes in enumerate(states.size_bytes.tolist())
    ]


def _let_obey(server: EdgeServer, orders: _ServerOrders) -> None:
    server.obey(*orders)


def _ticks(time_ns: Ints | int) -> Ints:
    """Return arrivals in ticks; NEVER of lost messages."""
    ticks: Ints = ticks_from_ns(np.asarray(time_ns))
    return ticks


def _orders(decision: Decision, nodes: Ints, system: System) -> list[Orders]:
    """Return what each vehicle is told; what the system fixes is as it fixes it."""
    fixed = system.cpu_hz, system.transmit_power_w, np.zeros(system.num_vehicle)
    decided = decision.local_frequency_hz, decision.transmit_power_w, decision.bandwidth_hz
    told = [(own if given is None else given).tolist() for own, given in zip(fixed, decided, strict=True)]
    return [Orders(*each) for each in zip(decision.offloading_ratio, *told, nodes.tolist(), strict=True)]
