"""The world of the columns: all vehicles, stations and servers as rows of arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from simpy.events import ProcessGenerator

from physical.arrays import Floats
from physical.columns.edge_server import ServerColumns
from physical.columns.fleet import Fleet
from physical.columns.pipeline import DataPlane, Fate
from physical.columns.processes import Relay, Reporting
from physical.quantize import freeze
from physical.states import VehicleStates
from physical.sums import added
from physical.task_rows import TaskRows
from physical.ticks import ticks_from_ns, to_ns
from sim.engine.sending import Commands, Reports
from sim.engine.simulation import WorldParts
from sim.inputs.biases import FrequencyBias
from sim.inputs.blocks import Block
from sim.inputs.routes import Passage
from twin.cloud import Cloud


class ColumnsWorld:
    """The columns' side of a run; see `World`.

    plane, fleet : tasks and vehicles
    servers : the edge servers, of the nodes
    cloud : the twin's process
    """

    def __init__(self, parts: WorldParts) -> None:
        resolved, streams = parts.resolved, parts.streams
        twin, system = resolved.tables.twin, resolved.system
        self.plane = DataPlane(system)
        command = twin.command
        self.fleet = Fleet(self.plane, command.missing, ticks_from_ns(to_ns(command.patience_s)))
        self.servers: list[ServerColumns] = []
        self.cloud = Cloud(
            parts.clock,
            parts.belief,
            twin,
            parts.decider,
            Commands(parts.sending, self.fleet, self.servers).send,
            parts.observers,
            streams.generator("decision-latency", "cloud"),
        )
        self._clock = parts.clock
        self._system = system
        reports = Reports(parts.sending, self.cloud, parts.ledger)
        for node in range(system.num_node):
            bias = FrequencyBias(twin.bias, system, parts.inputs.timeline, streams)
            self.servers.append(
                ServerColumns(node, parts.clock, parts.slots, system, self.fleet, bias.at, reports.of_server)
            )
        self._stations = [Relay(server.node, parts.slots, self.fleet, reports.of_vehicles) for server in self.servers]
        self._vehicles = Reporting(parts.slots, self._stations, resolved.tables.vehicles.report_interval)

    def processes(self) -> Iterable[ProcessGenerator]:
        """Return the processes: one for all vehicles, one for each station and server, and the cloud's."""
        return [
            self._vehicles.run(),
            self.cloud.run(),
            *(station.run() for station in self._stations),
            *(server.run() for server in self.servers),
        ]

    @property
    def _now(self) -> int:
        ticks: int = ticks_from_ns(self._clock.now)
        return ticks

    def open_block(self, block: Block) -> None:
        """Append the tasks of further slots."""
        uplink, result = _fate(block.upload), _fate(block.result)
        self.plane.append_slots(block.first_slot, block.size_bytes, block.serving_node, uplink, result)

    def begin_slot(self, slot: int, states: VehicleStates) -> None:
        """Move to the states of a slot, and hold its tasks."""
        self.fleet.begin_slot(slot, self._now, states)

    def observe(self) -> VehicleStates:
        """Return the states of the slot that has just begun, with what waits at vehicles."""
        now = self._now
        if self.plane.radio.uplink.busy:  # what channels that change let end at once has ended
            self.plane.advance(now)
        if (waits := self.plane.backlogs(now)) is not None:
            freeze(*waits)
            self.fleet.states = self.fleet.states._replace(cpu_backlog_cycles=waits[0], uplink_backlog_bytes=waits[1])
        return self.fleet.states

    def close_slot(self) -> tuple[float, Floats, Floats]:
        """Return energy, what was offered and what arrived since the last call."""
        taken = [server.meter.take(self._clock.now) for server in self.servers]
        joules = added(part[0] for part in taken)
        service_bytes = taken[0][1] if len(taken) == 1 else np.sum([part[1] for part in taken], axis=0)
        return joules, service_bytes, self.plane.take_arrived_bytes()

    def fail(self, node: int) -> None:
        """Cut the vehicles of a node off."""
        self.advance()
        self.plane.fail(self._now, self.plane.serving_node == node)
        self.servers[node].refresh()

    def backlog_bytes(self, node: int) -> Floats:
        """Return the true backlog of a node's server, [K]."""
        return self.servers[node].backlog(self._now)[0]

    def advance(self) -> None:
        """Bring the columns up to the present."""
        self.fleet.advance(self._now)

    def take_finished(self, end_ns: int) -> TaskRows:
        """Hand out the tasks that have ended by `end_ns`, and forget them."""
        return self.fleet.take_finished(ticks_from_ns(end_ns))

    def take_unfinished(self) -> TaskRows:
        """Charge what is in progress for the time up to now, and hand out what is in flight or held."""
        self.plane.settle(self._now)
        return self.fleet.take_unfinished(self._now)


def _fate(passage: Passage) -> Fate:
    return Fate(ticks_from_ns(passage.latency_ns), passage.lost)
