"""The cloud twin of the oracle: every report is an event, and the cloud waits for those of a slot or for the window."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator as RandomGenerator
from simpy.events import Event

from physical.arrays import Floats
from physical.model import channel, mobility, units
from physical.phase import Phase
from physical.quantize import quantize
from physical.states import VehicleStates
from physical.system import System
from physical.ticks import NS_PER_S, TICK_BITS, ticks_from_ns, to_ns
from policies.guarded import GuardedPolicy
from sim.inputs.mobility import Area, Highway
from sim.inputs.streams import Streams
from sim.scenario.scenario import Scenario
from tests.oracle.task import Clock
from twin.bias import BiasProcess
from twin.decision import Ruling
from twin.params import BiasParams
from twin.snapshot import TwinSnapshot


@dataclass(frozen=True)
class Report:
    """State of one vehicle at the start of a slot."""

    slot: int
    sampled_ns: int
    x_m: float
    y_m: float
    speed_mps: float
    heading_rad: float
    serving_node: int
    large_scale_gain: float
    channel_gain: float
    size_bytes: tuple[float, ...]
    cpu_backlog_cycles: float
    uplink_backlog_bytes: float

    @classmethod
    def of(
        cls, vehicle: int, slot: int, sampled_ns: int, states: VehicleStates, cycles: float = 0.0, bytes_: float = 0.0
    ) -> Report:
        """Read one vehicle's state."""
        names = ("x_m", "y_m", "speed_mps", "heading_rad", "large_scale_gain", "channel_gain")
        values = {name: float(getattr(states, name)[vehicle]) for name in names}
        node, sizes = int(states.serving_node[vehicle]), tuple(states.size_bytes[vehicle].tolist())
        waiting = {"cpu_backlog_cycles": cycles, "uplink_backlog_bytes": bytes_}
        return cls(slot, sampled_ns, serving_node=node, size_bytes=sizes, **values, **waiting)


class ServerState(NamedTuple):
    """What a server tells when a slot begins: work that waits, by class [K], and by flow of vehicles that are there."""

    slot: int
    backlog_bytes: Floats
    flow_backlog_cycles: dict[int, Floats]


class BiasTable:
    """The biases of every vehicle in every slot; part of the inputs."""

    def __init__(self, scenario: Scenario, system: System, streams: Streams) -> None:
        params, count = scenario.twin.bias, system.num_vehicle

        def table(name: str, kind: BiasParams) -> list[Floats]:
            return over_slots(
                BiasProcess(kind, count, system.slot_duration_s, lambda: streams.of_vehicles(name, count))
            )

        def over_slots(process: BiasProcess) -> list[Floats]:
            return [process.at(slot).copy() for slot in range(scenario.time.num_slot)]

        def of_classes() -> list[RandomGenerator]:
            return streams.of_classes("bias-server-backlog", system.num_class)

        self.cpu_frequency_hz = table("bias-cpu-frequency", params.cpu_frequency_hz)
        self.task_size_bytes = table("bias-task-size", params.task_size_bytes)
        self.position_m = table("bias-position", params.position_m)
        self.channel_gain_db = table("bias-channel-gain", params.channel_gain_db)
        self.cpu_backlog_cycles = table("bias-cpu-backlog", params.cpu_backlog_cycles)
        self.uplink_backlog_bytes = table("bias-uplink-backlog", params.uplink_backlog_bytes)
        of_server = BiasProcess(params.server_backlog_bytes, system.num_class, system.slot_duration_s, of_classes)
        self.server_backlog_bytes = over_slots(of_server)


class Belief:
    """Of each vehicle the newest report that has been delivered, and of each server, too."""

    def __init__(
        self,
        scenario: Scenario,
        system: System,
        registered: VehicleStates,
        fading_correlation: Floats,
        biases: BiasTable,
    ) -> None:
        self._scenario = scenario
        self._system = system
        self._fading_correlation = fading_correlation
        self._biases = biases
        # A vehicle's registration is like a report of slot 0, but any real report replaces it.
        self._reports = {v: Report.of(v, 0, 0, registered) for v in range(system.num_vehicle)}
        self._heard: set[int] = set()
        self._servers = [ServerState(-1, np.zeros(system.num_class), {}) for _ in range(system.num_node)]

    def hear(self, vehicle: int, report: Report) -> None:
        """Take in a report, unless a newer one of the same vehicle has overtaken it."""
        if vehicle not in self._heard or report.slot > self._reports[vehicle].slot:
            self._reports[vehicle] = report
            self._heard.add(vehicle)

    def hear_server(self, node: int, state: ServerState) -> None:
        """Take in a report of a server."""
        if state.slot > self._servers[node].slot:
            self._servers[node] = state

    def snapshot(self, slot: int, now_ns: int) -> TwinSnapshot:
        """Estimate the present."""
        system, biases, twin = self._system, self._biases, self._scenario.twin
        reports = [self._reports[v] for v in range(system.num_vehicle)]

        def column(name: str) -> Floats:
            return np.array([getattr(report, name) for report in reports])

        x_m, y_m, gain, size_bytes = (column(name) for name in ("x_m", "y_m", "channel_gain", "size_bytes"))
        age_s = (now_ns - column("sampled_ns")) / NS_PER_S
        # A report of a later slot than the decided one is not extrapolated backwards.
        num_missed = np.maximum(slot - np.array([report.slot for report in reports]), 0)
        if twin.estimator.kind == "predict" and num_missed.any():
            size_bytes = np.where((num_missed > 0)[:, np.newaxis], system.size_bytes_mean, size_bytes)
            origin_m = np.stack([x_m, y_m], axis=-1)
            elapsed_s = num_missed * system.slot_duration_s
            position_m = mobility.straight_position_m(origin_m, column("speed_mps"), column("heading_rad"), elapsed_s)
            x_m, y_m = position_m[..., 0], position_m[..., 1]
            road = self._scenario.mobility
            if isinstance(road, Highway | Area) and road.ends == "wrap":
                x_m = mobility.wrap_m(x_m, road.length_m)
            if isinstance(road, Area):
                y_m = mobility.wrap_m(y_m, road.length_m)
            x_m, y_m = quantize(x_m), quantize(y_m)
            correlation = self._fading_correlation**num_missed
            gain = quantize(channel.predicted_gain(column("large_scale_gain"), gain, correlation))
        if any(bias_bytes.any() for bias_bytes in biases.task_size_bytes):
            biased = np.maximum(size_bytes + biases.task_size_bytes[slot][:, np.newaxis], 1.0)
            size_bytes = np.where(size_bytes > 0, biased, 0.0)
        bias_hz = np.zeros((system.num_vehicle, system.num_class))
        if twin.bias.known:
            bias_hz = bias_hz + biases.cpu_frequency_hz[slot][:, np.newaxis]
        waiting = {
            name: np.maximum(column(name) + getattr(biases, name)[slot], 0.0)
            for name in ("cpu_backlog_cycles", "uplink_backlog_bytes")
        }
        reported_bytes = np.sum([server.backlog_bytes for server in self._servers], axis=0)
        backlog_bytes = np.maximum(reported_bytes + biases.server_backlog_bytes[slot], 0.0)
        waits = reported_bytes > 0
        part = np.where(waits, backlog_bytes / np.where(waits, reported_bytes, 1.0), 1.0)
        return TwinSnapshot(
            slot=slot,
            time_ns=now_ns,
            system=system,
            size_bytes=size_bytes,
            x_m=x_m + biases.position_m[slot],
            y_m=y_m,
            speed_mps=column("speed_mps"),
            heading_rad=column("heading_rad"),
            serving_node=np.array([report.serving_node for report in reports]),
            channel_gain=quantize(gain * units.db_to_linear(biases.channel_gain_db[slot])),
            age_of_information_s=age_s,
            backlog_bytes=backlog_bytes,
            estimation_bias_hz=bias_hz,
            flow_backlog_cycles=self._flow_backlog_cycles(reports) * part,
            **waiting,
        )

    def _flow_backlog_cycles(self, reports: list[Report]) -> Floats:
        """Return what the server at which a vehicle is believed has last told of its flows, [N, K]."""
        none = np.zeros(self._system.num_class)
        told = [self._servers[report.serving_node].flow_backlog_cycles for report in reports]
        here = [report.serving_node >= 0 for report in reports]
        return np.array([told[v].get(v, none) if here[v] else none for v in range(len(reports))])


class Cloud:
    """Decides once per slot; a slot that begins while it is busy waits, and only the newest of those is decided."""

    def __init__(
        self,
        clock: Clock,
        scenario: Scenario,
        belief: Belief,
        policy: GuardedPolicy,
        send: Callable[[TwinSnapshot, Ruling, int], None],
        generator: RandomGenerator,
    ) -> None:
        self.belief = belief
        self._clock = clock
        self._twin = scenario.twin
        self._policy = policy
        self._send = send
        self._generator = generator
        self._newest_slot = -1
        self._sent_at: dict[int, int] = {}
        self._outstanding: dict[int, int] = {}
        self._all_in: dict[int, Event] = {}
        self._new_slot = clock.env.event()
        clock.env.process(self._run())

    def expect(self, slot: int, num_report: int) -> None:
        """Learn that a slot has begun, and how many reports are on their way."""
        self._newest_slot = slot
        self._sent_at[slot] = self._clock.now
        self._outstanding[slot] = num_report
        self._all_in[slot] = self._clock.env.event()
        if not num_report:
            self._all_in[slot].succeed()
        begun, self._new_slot = self._new_slot, self._clock.env.event()
        begun.succeed()

    def hear(self, vehicle: int, report: Report) -> None:
        """Receive a report."""
        self.belief.hear(vehicle, report)
        self._outstanding[report.slot] -= 1
        if not self._outstanding[report.slot]:
            self._all_in[report.slot].succeed()

    def _run(self) -> Generator[Event, None, None]:
        slot = -1
        while True:
            if self._newest_slot == slot:
                yield self._new_slot
            slot = self._newest_slot
            closes = self._sent_at[slot] + ticks_from_ns(to_ns(self._twin.sync_window_s))
            yield self._all_in[slot] | self._clock.at(max(closes, self._clock.now), Phase.DECIDE)
            yield self._clock.at(self._clock.now, Phase.DECIDE)
            snapshot = self.belief.snapshot(slot, self._clock.now >> TICK_BITS)
            ruling, latency_ns = self._decide(snapshot)
            if latency_ns:
                yield self._clock.at(self._clock.now + ticks_from_ns(latency_ns), Phase.SEND_COMMAND)
            self._send(snapshot, ruling, latency_ns)

    def _decide(self, snapshot: TwinSnapshot) -> tuple[Ruling, int]:
        time = self._twin.decision
        assert time.latency != "measured", "the wall time of two runs differs"
        ruling = self._policy.rule(snapshot)
        latency_ns = 0
        if time.latency != "zero":
            latency_ns = to_ns(float(time.latency.quantile(self._generator.random())))
        if time.deadline_s is not None and latency_ns > to_ns(time.deadline_s):
            return self._policy.rule_by_fallback(snapshot, "too late", ruling.wall_s), to_ns(time.deadline_s)
        return ruling, latency_ns
