"""Control messages: reports to the cloud, and commands from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.commands import CommandCohort, HardwareSettings, Settings
from physical.columns.edge_server import ServerColumns
from physical.columns.fleet import Fleet
from physical.model.arrays import every
from physical.phase import Phase
from physical.quantize import freeze
from physical.states import VehicleStates
from physical.ticks import NO_ROWS, ticks_from_ns
from sim.engine.clock import Clock
from sim.inputs.blocks import Block
from sim.inputs.routes import Passage
from sim.record.messages import MessageLog
from sim.record.slots import Ledger
from twin.cloud import Cloud, Deliberation
from twin.decision import Decision
from twin.messages import LOST_NS, ReportCohort, ServerReport

_PASSAGES: dict[str, Callable[[Block], Passage]] = {
    "report": attrgetter("report"),
    "server-report": attrgetter("server_report"),
    "server-command": attrgetter("server_command"),
    "command": attrgetter("command"),
}
"""Kind of message -> what becomes of messages of this kind, as a block tells it."""
_ALL = slice(None)


class Sending:
    """Sends messages: it knows when each arrives, and logs it.

    Parameters
    ----------
    clock : tells when a message is sent
    log : takes note of all messages
    """

    def __init__(self, clock: Clock, log: MessageLog) -> None:
        self.clock = clock
        self._log = log
        self._blocks: list[Block] = []

    def open_block(self, block: Block) -> None:
        """Take the fates of the messages of further slots."""
        self._blocks.append(block)

    def close_before(self, slot: int) -> None:
        """Forget the fates of messages of slots before `slot`: none will be sent any more."""
        while self._blocks[0].first_slot + self._blocks[0].num_slot <= slot:
            del self._blocks[0]

    def send(
        self, kind: str, slot: int, who: Ints | int | None, num: int = 1, *, reached: Mask | None = None
    ) -> Ints | int:
        """Send a message to, or from, each of `who` now, and return when they are delivered; LOST_NS for lost ones.

        Parameters
        ----------
        kind : "report", "server-report", "server-command" or "command"
        slot : whose message it is
        who : vehicles [n], None for all; of a server's message, its node
        num : n
        reached : [n], who is in reach; messages to the others are lost
        """
        if not num:
            return NO_ROWS
        block = self._blocks[-1]
        if slot < block.first_slot:
            block = next(block for block in self._blocks if slot < block.first_slot + block.num_slot)
        index = (slot - block.first_slot, _ALL if who is None else who, 0)
        now_ns = self.clock.now
        delivered_ns = _PASSAGES[kind](block).delivered_ns(now_ns, index)
        if isinstance(who, int):
            delivered_ns = int(delivered_ns)
        if reached is not None:
            delivered_ns = np.where(reached, delivered_ns, LOST_NS)
        self._log.sent(kind, slot, now_ns, who, delivered_ns, num)
        return delivered_ns


class Reports:
    """What stations and servers tell the cloud.

    Parameters
    ----------
    sending : sends messages
    cloud : who gets them
    ledger : is told the true backlogs of servers
    """

    def __init__(self, sending: Sending, cloud: Cloud, ledger: Ledger) -> None:
        self._sending = sending
        self._cloud = cloud
        self._ledger = ledger

    def of_vehicles(self, slot: int, vehicle: Ints | None, states: VehicleStates) -> None:
        """Send the reports of some vehicles, [n], None for all, as their station has them in `slot`."""
        num = len(states.x_m) if vehicle is None else len(vehicle)
        delivered_ns = self._sending.send("report", slot, vehicle, num)
        self._cloud.expect(ReportCohort(slot, self._sending.clock.now, vehicle, delivered_ns, states))

    def of_server(self, node: int, slot: int, backlog_bytes: Floats, flow_cycles: Floats | None) -> None:
        """Send the backlog of a node's server at the start of `slot`: of classes, [K], and of flows, [N, K]."""
        freeze(backlog_bytes)
        self._ledger.report_backlog(node, backlog_bytes)
        delivered_ns = self._sending.send("server-report", slot, node)
        assert isinstance(delivered_ns, int)  # one message
        self._cloud.belief.expect_server(ServerReport(node, slot, delivered_ns, backlog_bytes, flow_cycles))


class Commands:
    """What the cloud tells servers and vehicles.

    Parameters
    ----------
    sending : sends messages
    fleet : the vehicles
    servers : the edge servers
    """

    def __init__(self, sending: Sending, fleet: Fleet, servers: Sequence[ServerColumns]) -> None:
        self._sending = sending
        self._fleet = fleet
        self._servers = servers
        self._serving_node: Ints | None = None
        self._all_attached = False

    def send(self, deliberation: Deliberation) -> None:
        """Send a decision to all whom it concerns."""
        slot = deliberation.snapshot.slot
        self._sending.close_before(slot)
        for server in self._servers:
            self._to_server(server, slot, deliberation)
        self._to_vehicles(slot, deliberation)

    def _to_server(self, server: ServerColumns, slot: int, deliberation: Deliberation) -> None:
        delivered_ns = self._sending.send("server-command", slot, server.node)
        assert isinstance(delivered_ns, int)  # one message
        if delivered_ns < LOST_NS:
            allocation_hz = deliberation.ruling.decision.compute_allocation_hz
            obey = partial(server.obey, slot, allocation_hz, deliberation.snapshot.serving_node)
            self._sending.clock.call_at(delivered_ns, Phase.SERVER_COMMAND, obey)

    def _to_vehicles(self, slot: int, deliberation: Deliberation) -> None:
        """Send commands to the vehicles that the twin believes to be in reach; they arrive where that is true."""
        serving_node = deliberation.snapshot.serving_node
        num_vehicle = len(serving_node)
        if deliberation.snapshot.all_attached and self._reaches_all():
            arrive_ns = self._sending.send("command", slot, None, num_vehicle)
        else:
            addressed = np.flatnonzero(serving_node >= 0)
            reached = self._fleet.plane.serving_node[addressed] >= 0
            arrive_ns = np.full(num_vehicle, LOST_NS)
            arrive_ns[addressed] = self._sending.send("command", slot, addressed, len(addressed), reached=reached)
        settings = _settings(deliberation.ruling.decision)
        self._fleet.command(CommandCohort(slot, ticks_from_ns(arrive_ns), settings, serving_node))

    def _reaches_all(self) -> bool:
        """Return whether all vehicles are attached to some node; looks again only when one has moved."""
        serving_node = self._fleet.plane.serving_node
        if serving_node is not self._serving_node:
            self._serving_node, self._all_attached = serving_node, every(serving_node >= 0)
        return self._all_attached


def _settings(decision: Decision) -> Settings:
    """Return what vehicles are told."""
    local_hz, power_w, bandwidth_hz = decision.local_frequency_hz, decision.transmit_power_w, decision.bandwidth_hz
    if local_hz is None or power_w is None or bandwidth_hz is None:
        return Settings(decision.offloading_ratio)
    return Settings(decision.offloading_ratio, HardwareSettings(local_hz, power_w, bandwidth_hz))
