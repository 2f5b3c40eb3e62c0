"""The inputs of a run, which no decision changes: motion, channels, tasks, and what happens to messages.

They are made in blocks of slots. Each vehicle draws from its own named streams, so the block length changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.random import Generator

from physical.arrays import Floats, Ints
from physical.quantize import freeze
from physical.states import AWAY, VehicleStates
from sim.inputs.association import Association
from sim.inputs.channels import Channels
from sim.inputs.checked_motion import checked
from sim.inputs.draws import draw_uniform
from sim.inputs.routes import Graph, Passage, Route, build_graph
from sim.inputs.streams import Streams
from sim.inputs.workload import Workload
from sim.scenario.links import CLOUD, EDGE_SERVER, VEHICLE
from sim.scenario.mobility import Course, Motion
from sim.scenario.resolved import Resolved

_MAX_SLOT = 512
_MAX_VEHICLE_SLOT = 1 << 17


@dataclass(frozen=True)
class Block:
    """Inputs of the slots `first_slot` to ``first_slot + num_slot - 1``; arrays [B, N] unless noted, read-only."""

    first_slot: int
    num_slot: int
    x_m: Floats
    y_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    serving_node: Ints
    large_scale_gain: Floats
    channel_gain: Floats
    uplink_rate_bps: Floats
    size_bytes: Floats  # [B, N, K]
    report: Passage  # [B, N]
    command: Passage  # [B, N]
    upload: Passage  # [B, N, K]
    result: Passage  # [B, N, K]
    server_report: Passage  # [B, M]
    server_command: Passage  # [B, M]

    def states(self, slot: int) -> VehicleStates:
        """Return the states at the start of a slot; the engine fills in what waits then."""
        row = slot - self.first_slot
        return VehicleStates(
            self.x_m[row],
            self.y_m[row],
            self.speed_mps[row],
            self.heading_rad[row],
            self.serving_node[row],
            self.large_scale_gain[row],
            self.channel_gain[row],
            self.uplink_rate_bps[row],
            self.size_bytes[row],
            *nothing_waits(self.size_bytes.shape[1]),
        )


class Inputs:
    """Makes the blocks of a run, one after the other.

    Parameters
    ----------
    resolved : what the run is made of
    streams : its random streams
    """

    def __init__(self, resolved: Resolved, streams: Streams) -> None:
        tables, files, system = resolved.tables, resolved.files, resolved.system
        self._radio, self._network = tables.radio, tables.network
        self._node_names = [node.name for node in resolved.nodes]
        self._system = system
        self._count = system.num_vehicle
        self.timeline = resolved.timeline
        self.motion = motion_of(resolved, streams)
        speed_mps = self.motion.typical_speed_mps
        self._channels = Channels(tables.radio, resolved.nodes, system, streams, speed_mps, files.link)
        self._workload = Workload(tables.tasks, tables.bursts, files.requests, self.timeline, streams, self._count)
        self.fading_correlation = self._channels.fading_correlation
        num_class, num_node = system.num_class, system.num_node
        self._ways = {
            "report": _Way(VEHICLE, CLOUD, "report", streams, self._count, 1),
            "command": _Way(CLOUD, VEHICLE, "command", streams, self._count, 1),
            "upload": _Way(VEHICLE, EDGE_SERVER, "upload", streams, self._count, num_class),
            "result": _Way(EDGE_SERVER, VEHICLE, "result", streams, self._count, num_class),
            "server_report": _Way(EDGE_SERVER, CLOUD, "server-report", streams, num_node, 1),
            "server_command": _Way(CLOUD, EDGE_SERVER, "server-command", streams, num_node, 1),
        }

    def block_length(self, first_slot: int) -> int:
        """Return how many slots the block that begins with `first_slot` should have: links do not change inside."""
        length = int(np.clip(_MAX_VEHICLE_SLOT // self._count, 1, _MAX_SLOT))
        change = self.timeline.next_link_change(first_slot)
        return length if change is None else min(length, change - first_slot)

    def block(self, first_slot: int, num_slot: int) -> Block:
        """Make the next `num_slot` slots; blocks must be asked for in order."""
        course = self._course(first_slot, num_slot)
        down = self.timeline.down(self._node_names, first_slot, num_slot)
        serving_node, large_scale_gain, channel_gain = self._channels.gains(course, first_slot, down)
        uplink_rate_bps = self._uplink_rate_bps(channel_gain, serving_node)
        size_bytes = self._workload.size_bytes(first_slot, num_slot, course.present)
        position_m = course.position_m
        x_m, y_m = np.ascontiguousarray(position_m[..., 0]), np.ascontiguousarray(position_m[..., 1])
        freeze(x_m, y_m, serving_node, large_scale_gain, channel_gain, uplink_rate_bps, size_bytes)
        graph = build_graph(self._network.changed(self.timeline.link_changes(first_slot)))
        passages = {name: way.passage(graph, num_slot) for name, way in self._ways.items()}
        return Block(
            first_slot,
            num_slot,
            x_m,
            y_m,
            course.speed_mps,
            course.heading_rad,
            serving_node,
            large_scale_gain,
            channel_gain,
            uplink_rate_bps,
            size_bytes,
            **passages,
        )

    def _course(self, first_slot: int, num_slot: int) -> Course:
        """Return the motion; vehicles that the timeline takes off the scene are absent."""
        course = self.motion.course(first_slot, num_slot)
        away = self.timeline.away(self._count, first_slot, num_slot)
        if away is None:
            return course
        present = ~away if course.present is None else course.present & ~away
        return replace(course, present=present)

    def registration(self) -> VehicleStates:
        """Return what the twin knows before the first report: where vehicles start, and averages of the rest."""
        course = self.motion.course(0, 1)
        position_m = course.position_m[0]
        gains = self._channels.large_scale_gain(position_m, 0.0)
        association = Association(self._radio, self._channels.node_m, self._count)
        node = association.attach(course.position_m, gains[np.newaxis], None, course.present)[0]
        gain = np.take_along_axis(gains, np.maximum(node, 0)[:, np.newaxis], axis=-1)[:, 0]
        size_bytes = np.where((node == AWAY)[:, np.newaxis], 0.0, self._system.size_bytes_mean)
        rate_bps = self._uplink_rate_bps(gain, node)
        x_m, y_m = position_m[..., 0].copy(), position_m[..., 1].copy()
        freeze(x_m, y_m, node, gain, rate_bps, size_bytes)
        speed_mps, heading_rad = course.speed_mps[0], course.heading_rad[0]
        return VehicleStates(
            x_m, y_m, speed_mps, heading_rad, node, gain, gain, rate_bps, size_bytes, *nothing_waits(self._count)
        )

    def _uplink_rate_bps(self, channel_gain: Floats, serving_node: Ints) -> Floats:
        """Return the rates [..., N]; 0 without a node, and where policies decide the rates."""
        rate_bps: Floats = self._system.uplink_rate_bps(channel_gain)
        if self._system.spectrum is not None:
            return np.zeros_like(rate_bps)
        return np.where(serving_node < 0, 0.0, rate_bps) if (serving_node < 0).any() else rate_bps


@cache
def nothing_waits(num_vehicle: int) -> tuple[Floats, Floats]:
    """Return backlogs of 0 at CPUs and uplinks, [N] each."""
    nothing = np.zeros(num_vehicle)
    freeze(nothing)
    return nothing, nothing


def motion_of(resolved: Resolved, streams: Streams) -> Motion:
    """Return the source of motion that a scenario names; one that is not ours is checked whenever it is asked."""
    kind, files = resolved.tables.mobility, resolved.files
    run = replace(resolved.tables.run_size(), rows=files.mobility, begin_ns=files.begin_ns)
    return checked(kind, resolved.crowd.num_vehicle, lambda: kind.motion(run, streams))


class _Way:
    """One kind of message: where it goes, and the random numbers of its senders."""

    def __init__(
        self, source: str, target: str, purpose: str, streams: Streams, num_sender: int, num_message: int
    ) -> None:
        self._ends = (source, target)
        self._num_message = num_message
        self._purpose = purpose
        self._num_sender = num_sender
        self._streams = streams
        self._generators: list[Generator] = []

    def passage(self, graph: Graph, num_slot: int) -> Passage:
        """Draw what happens to the messages of the next slots: [B, senders, messages]."""
        route = Route(graph, *self._ends)
        if not route.num_draw:
            return route.passage(None)
        if not self._generators:
            self._generators = self._make_generators()
        uniform = draw_uniform(self._generators, num_slot, self._num_message * route.num_draw)
        return route.passage(uniform.reshape(num_slot, self._num_sender, self._num_message, route.num_draw))

    def _make_generators(self) -> list[Generator]:
        if not self._purpose.startswith("server"):
            return self._streams.of_vehicles(self._purpose, self._num_sender)
        names = ["edge-server", *(f"edge-server-{node}" for node in range(1, self._num_sender))]
        return [self._streams.generator(self._purpose, name) for name in names]
