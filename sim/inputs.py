"""What the world does to the system whatever anybody decides: motion, channel, tasks, and the fate of messages.

Everything is made in blocks of slots, vehicle by vehicle from named streams, and does not depend on the block length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from physical.model import channel, mobility, workload
from physical.params import Bursts
from physical.plane.fleet import VehicleStates
from physical.quantize import freeze, quantize
from physical.system import System
from sim.network import CLOUD, EDGE_SERVER, VEHICLE, Passage, Route, build_graph
from sim.scenario import Scenario
from sim.streams import Streams

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MAX_SLOT = 512
_MAX_VEHICLE_SLOT = 1 << 17


@dataclass(frozen=True)
class Block:
    """Inputs of the slots `first_slot` to ``first_slot + num_slot - 1``; arrays [B, N] unless noted, read-only."""

    first_slot: int
    num_slot: int
    x_m: Floats
    y_m: Floats
    speed_mps: Floats  # [N]
    heading_rad: Floats  # [N]
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
        """Return the states at the start of a slot."""
        row = slot - self.first_slot
        return VehicleStates(
            self.x_m[row],
            self.y_m[row],
            self.speed_mps,
            self.heading_rad,
            self.serving_node[row],
            self.large_scale_gain[row],
            self.channel_gain[row],
            self.uplink_rate_bps[row],
            self.size_bytes[row],
        )


class Inputs:
    """Makes the blocks of a run, one after the other."""

    def __init__(self, scenario: Scenario, system: System, streams: Streams) -> None:
        self._scenario = scenario
        self._system = system
        self._count = system.num_vehicle
        self._node_m = np.array([node.position_m for node in scenario.nodes])
        self._place_vehicles(streams.of_vehicles("mobility", self._count))
        self._channels = streams.of_vehicles("channel", self._count)
        self._tasks = streams.of_vehicles("tasks", self._count)
        self._channel_state: Floats | None = None
        self._bursts = None if scenario.bursts is None else _Bursts(scenario.bursts, streams, self._count)
        graph = build_graph(scenario.network)
        num_class, num_node = system.num_class, system.num_node
        self._ways = {
            "report": _Way(Route(graph, VEHICLE, CLOUD), "report", streams, self._count, 1),
            "command": _Way(Route(graph, CLOUD, VEHICLE), "command", streams, self._count, 1),
            "upload": _Way(Route(graph, VEHICLE, EDGE_SERVER), "upload", streams, self._count, num_class),
            "result": _Way(Route(graph, EDGE_SERVER, VEHICLE), "result", streams, self._count, num_class),
            "server_report": _Way(Route(graph, EDGE_SERVER, CLOUD), "server-report", streams, num_node, 1),
            "server_command": _Way(Route(graph, CLOUD, EDGE_SERVER), "server-command", streams, num_node, 1),
        }

    def _place_vehicles(self, generators: list[Generator]) -> None:
        """Draw start, lane and speed of every vehicle."""
        params = self._scenario.mobility
        drawn = np.stack([generator.random(3) for generator in generators])
        low, high = params.speed_mps
        lane = np.floor(drawn[:, 1] * params.num_lane)
        self._start_m = (drawn[:, 0] - 0.5) * params.length_m
        self._lane_m = (lane - 0.5 * (params.num_lane - 1)) * params.lane_width_m
        self._direction = np.where(lane < 0.5 * params.num_lane, 1.0, -1.0)
        self._speed_mps = low + (high - low) * drawn[:, 2]
        if params.kind == "stationary":
            self._speed_mps = np.zeros(self._count)
        self._heading_rad = np.where(self._direction > 0, 0.0, np.pi)
        if params.kind == "area":
            self._place_in_area(generators)
        radio = self._scenario.radio
        doppler_hz = channel.doppler_hz(self._speed_mps, radio.carrier_hz)
        slot_s = self._system.slot_duration_s
        self.fading_correlation = quantize(channel.fading_correlation(doppler_hz, slot_s))
        travelled_m = self._speed_mps * slot_s
        shadowing = quantize(channel.shadowing_correlation(travelled_m, radio.shadowing_decorrelation_m))
        self._correlation = np.stack([shadowing, self.fading_correlation, self.fading_correlation], axis=1)
        freeze(self._speed_mps, self._heading_rad)

    def _place_in_area(self, generators: list[Generator]) -> None:
        """Spread the vehicles over the square, each along x or y, one way or the other."""
        drawn = np.stack([generator.random(2) for generator in generators])
        self._lane_m = (drawn[:, 0] - 0.5) * self._scenario.mobility.length_m
        quarter = np.floor(drawn[:, 1] * 4.0).astype(np.int64)
        self._direction = np.where(quarter % 2 == 0, 1.0, -1.0)
        self._along_y = quarter >= 2
        self._heading_rad = np.array([0.0, np.pi, 0.5 * np.pi, -0.5 * np.pi])[quarter]

    def block_length(self) -> int:
        """Return how many slots a block should have."""
        return int(np.clip(_MAX_VEHICLE_SLOT // self._count, 1, _MAX_SLOT))

    def block(self, first_slot: int, num_slot: int) -> Block:
        """Make the next `num_slot` slots; blocks must be asked for in order."""
        position_m = self.position_m(first_slot, num_slot)
        serving_node, large_scale_gain, channel_gain = self._gains(position_m, num_slot)
        uplink_rate_bps = self._uplink_rate_bps(channel_gain)
        size_bytes = self._sizes(num_slot)
        x_m, y_m = np.ascontiguousarray(position_m[..., 0]), np.ascontiguousarray(position_m[..., 1])
        freeze(x_m, y_m, serving_node, large_scale_gain, channel_gain, uplink_rate_bps, size_bytes)
        passages = {name: way.passage(num_slot) for name, way in self._ways.items()}
        return Block(
            first_slot,
            num_slot,
            x_m,
            y_m,
            self._speed_mps,
            self._heading_rad,
            serving_node,
            large_scale_gain,
            channel_gain,
            uplink_rate_bps,
            size_bytes,
            **passages,
        )

    def position_m(self, first_slot: int, num_slot: int) -> Floats:
        """Return positions at the starts of some slots, [B, N, 2]."""
        time_s = (np.arange(first_slot, first_slot + num_slot) * self._system.slot_duration_s)[:, np.newaxis]
        road = self._scenario.mobility
        if road.kind in {"highway", "area"}:
            position_m = mobility.highway_position_m(
                self._start_m, self._speed_mps, self._direction, self._lane_m, road.length_m, time_s
            )
            if road.kind == "area":
                position_m = np.where(self._along_y[:, np.newaxis], position_m[..., ::-1], position_m)
            return quantize(position_m)
        origin_m = np.stack([self._start_m, self._lane_m], axis=-1)
        return quantize(mobility.straight_position_m(origin_m, self._speed_mps, self._heading_rad, time_s))

    @property
    def wraps_at_m(self) -> tuple[float | None, float | None]:
        """Lengths at which x and y wrap around."""
        road = self._scenario.mobility
        around = road.length_m if road.kind in {"highway", "area"} else None
        return around, around if road.kind == "area" else None

    def registration(self) -> VehicleStates:
        """Return what the twin knows before the first report: where vehicles start, and averages of the rest."""
        position_m = self.position_m(0, 1)[0]
        node, gain = self._attach(position_m, self._large_scale_gain(position_m, 0.0))
        size_bytes = np.tile(self._system.size_bytes_mean, (self._count, 1))
        rate_bps = self._uplink_rate_bps(gain)
        x_m, y_m = position_m[..., 0].copy(), position_m[..., 1].copy()
        freeze(x_m, y_m, node, gain, rate_bps, size_bytes)
        return VehicleStates(x_m, y_m, self._speed_mps, self._heading_rad, node, gain, gain, rate_bps, size_bytes)

    def _uplink_rate_bps(self, channel_gain: Floats) -> Floats:
        """Return the rates [..., N]; 0 where it takes a decision to have one."""
        rate_bps: Floats = self._system.uplink_rate_bps(channel_gain)
        return 0.0 * rate_bps if self._system.joint else rate_bps

    def _large_scale_gain(self, position_m: Floats, shadowing_db: Floats | float) -> Floats:
        """Return the gains to all nodes, [..., N, M]."""
        radio = self._scenario.radio
        per_node = [mobility.distance_m(position_m, station_m, radio.distance_m_min) for station_m in self._node_m]
        distance_m = np.stack(per_node, axis=-1)
        path_loss_db = channel.path_loss_db(distance_m, radio.path_loss_intercept_db, radio.path_loss_slope_db)
        return quantize(channel.large_scale_gain(path_loss_db, shadowing_db))

    def _attach(self, position_m: Floats, large_scale_gain: Floats) -> tuple[Ints, Floats]:
        """Return the serving nodes and the large-scale gains to them, [..., N]; of equals, the first node serves."""
        if len(self._node_m) == 1:
            return np.zeros(position_m.shape[:-1], dtype=np.int64), np.ascontiguousarray(large_scale_gain[..., 0])
        if self._scenario.radio.association == "best-channel":
            node = large_scale_gain.argmax(axis=-1)
        else:
            away_m = position_m[..., np.newaxis, :] - self._node_m
            node = (away_m * away_m).sum(axis=-1).argmin(axis=-1)
        return node, np.take_along_axis(large_scale_gain, node[..., np.newaxis], axis=-1)[..., 0]

    def _gains(self, position_m: Floats, num_slot: int) -> tuple[Ints, Floats, Floats]:
        """Return serving nodes, large-scale and channel gains, [B, N].

        Shadowing and fading are Gauss-Markov from slot to slot, on each of the links to the M nodes.
        """
        num_node = len(self._node_m)
        innovation = _draw_normal(self._channels, num_slot, 3 * num_node)
        correlation = np.tile(self._correlation, num_node)
        states = np.empty_like(innovation)
        state = self._channel_state
        for row in range(num_slot):
            new = innovation[row]
            state = new if state is None else channel.gauss_markov(state, correlation, new)
            states[row] = state
        self._channel_state = state
        states = states.reshape(num_slot, self._count, num_node, 3)
        radio = self._scenario.radio
        all_gains = self._large_scale_gain(position_m, radio.shadowing_std_db * states[..., 0])
        node, large_scale_gain = self._attach(position_m, all_gains)
        if radio.fading == "none":
            return node, large_scale_gain, large_scale_gain.copy()
        states = np.take_along_axis(states, node[..., np.newaxis, np.newaxis], axis=2)[:, :, 0]
        # Real and imaginary part have variance 1/2 each: the fading power has mean one.
        real, imaginary = states[..., 1] * np.sqrt(0.5), states[..., 2] * np.sqrt(0.5)
        fading: Floats = channel.fading_power(real, imaginary)
        return node, large_scale_gain, quantize(channel.channel_gain(large_scale_gain, fading))

    def _sizes(self, num_slot: int) -> Floats:
        """Return task sizes in whole bytes, [B, N, K]."""
        low, high = np.array([task.units for task in self._scenario.tasks], dtype=float).T
        uniform = _draw_uniform(self._tasks, num_slot, len(low))
        units = low + np.floor(uniform * (high - low + 1.0))
        sizes: Floats = units * np.array([task.bytes_per_unit for task in self._scenario.tasks])
        return sizes if self._bursts is None else np.rint(sizes * self._bursts.factors(num_slot))


class _Bursts:
    """The chain of events, and the chains of the vehicles' bursts; all start at rest."""

    def __init__(self, params: Bursts, streams: Streams, num_vehicle: int) -> None:
        self._params = params
        self._event_generator = streams.generator("bursts", "event")
        self._generators = streams.of_vehicles("bursts", num_vehicle)
        self._event = np.zeros(1, dtype=np.bool_)
        self._burst = np.zeros(num_vehicle, dtype=np.bool_)

    def factors(self, num_slot: int) -> Floats:
        """Return the size factors of the next slots, [B, N, 1]."""
        params = self._params
        event_uniform = self._event_generator.random((num_slot, 1))
        uniform = _draw_uniform(self._generators, num_slot, 1)[..., 0]
        bursts = np.empty(uniform.shape, dtype=np.bool_)
        for row in range(num_slot):
            self._event = workload.next_state(self._event, params.event_begin, params.event_end, event_uniform[row])
            begin = params.burst_begin_in_event if self._event[0] else params.burst_begin
            self._burst = workload.next_state(self._burst, begin, params.burst_end, uniform[row])
            bursts[row] = self._burst
        return np.where(bursts, params.size_factor, 1.0)[..., np.newaxis]


class _Way:
    """One kind of message: its route, and the random numbers of its senders."""

    def __init__(self, route: Route, purpose: str, streams: Streams, num_sender: int, num_message: int) -> None:
        self._route = route
        self._shape = (num_message, route.num_draw)
        self._generators: list[Generator] = []
        if route.num_draw and purpose.startswith("server"):
            names = ["edge-server", *(f"edge-server-{node}" for node in range(1, num_sender))]
            self._generators = [streams.generator(purpose, name) for name in names]
        elif route.num_draw:
            self._generators = streams.of_vehicles(purpose, num_sender)

    def passage(self, num_slot: int) -> Passage:
        """Draw what happens to the messages of the next slots: [B, senders], or [B, senders, messages] if several."""
        if not self._generators:
            return self._route.passage(None)
        num_message, num_draw = self._shape
        uniform = _draw_uniform(self._generators, num_slot, num_message * num_draw)
        uniform = uniform.reshape(num_slot, len(self._generators), num_message, num_draw)
        return self._route.passage(uniform)


def _draw_uniform(generators: list[Generator], num_slot: int, num_draw: int) -> Floats:
    """Return [num_slot, len(generators), num_draw] uniform numbers, each generator's in slot order."""
    drawn = np.empty((len(generators), num_slot, num_draw))
    for index, generator in enumerate(generators):
        generator.random(out=drawn[index])
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))


def _draw_normal(generators: list[Generator], num_slot: int, num_draw: int) -> Floats:
    """Return [num_slot, len(generators), num_draw] standard normal numbers, each generator's in slot order."""
    drawn = np.empty((len(generators), num_slot, num_draw))
    for index, generator in enumerate(generators):
        generator.standard_normal(out=drawn[index])
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))
