"""The plain event engine: one event per hop, everything an object, nothing clever.

It takes the same inputs as `sim.world.World` (motion, channel, tasks, network and bias are drawn by the same code from
the same streams) and works out what follows from them on its own. Both must agree on every task to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from physical.phase import Phase
from physical.plane.fleet import VehicleStates
from physical.plane.ticks import TICK_BITS, ticks_from_ns, to_ns
from policies import Policy, make
from policies.fallback import GuardedPolicy
from sim.inputs import Block, Inputs
from sim.network import Passage
from sim.scenario import Scenario
from sim.streams import Streams
from tests.oracle.server import Server
from tests.oracle.task import Clock, Task
from tests.oracle.twin import Belief, BiasTable, Cloud, Report
from tests.oracle.vehicle import Vehicle
from twin.decision import Ruling
from twin.messages import LOST_NS
from twin.snapshot import TwinSnapshot

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """A command that reaches the server out of nowhere: `allocation_hz` [N, K] at `time_ns`, as if for `slot`."""

    time_ns: int
    slot: int
    allocation_hz: Floats


@dataclass
class Decided:
    """One decision, as `decisions` and `twin` of a trace show it."""

    slot: int
    decided_ns: int
    latency_ns: int
    fallback: bool
    repaired: bool
    size_bytes: Floats
    offloading_ratio: Floats
    compute_allocation_hz: Floats
    age_s: Floats
    x_m: Floats
    channel_gain: Floats


@dataclass
class OracleResult:
    """What happened.

    tasks : in the order of their keys
    backlog_bytes, arrived_bytes : one [K] per slot
    messages : "sent", "delivered", "lost", "in flight"
    """

    tasks: list[Task] = field(default_factory=list)
    decisions: list[Decided] = field(default_factory=list)
    backlog_bytes: list[Floats] = field(default_factory=list)
    arrived_bytes: list[Floats] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)

    def task_rows(self, scenario: Scenario) -> dict[str, list[Any]]:
        """Return the columns of the table `tasks`."""
        slot_ns = to_ns(scenario.time.slot_duration_s)
        stages = ("start", "local_end", "upload_end", "arrive", "serve", "served", "done")
        names = ("started", "local_end", "upload_end", "arrived", "service_begin", "service_end", "done")
        rows: dict[str, list[Any]] = {
            name: [getattr(task, name) for task in self.tasks]
            for name in ("slot", "vehicle", "task_class", "size_bytes", "offloading_ratio")
        }
        rows["generated_ns"] = [task.slot * slot_ns for task in self.tasks]
        for name, stage in zip(names, stages, strict=True):
            rows[f"{name}_ns"] = [_to_ns(getattr(task, stage)) for task in self.tasks]
        deadlines_ns = [to_ns(task_class.deadline_s) for task_class in scenario.tasks]
        rows["outcome"] = [
            "late" if task.outcome == "completed" and done - begin > deadlines_ns[task.task_class] else task.outcome
            for task, begin, done in zip(self.tasks, rows["generated_ns"], rows["done_ns"], strict=True)
        ]
        return rows


def _to_ns(ticks: int | None) -> int | None:
    return None if ticks is None else (ticks + (1 << (TICK_BITS - 1))) >> TICK_BITS


class Oracle:
    """One run of a scenario with a policy object."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int = 0, faults: Sequence[Fault] = ()) -> None:
        streams = Streams(seed)
        self.result = OracleResult()
        self._scenario = scenario
        self._system = scenario.system()
        self._clock = Clock()
        self._inputs = Inputs(scenario, self._system, streams)
        self._biases = BiasTable(scenario, self._system, streams)
        self._server = Server(self._clock, self._system)
        command, count = scenario.twin.command, self._system.num_vehicle
        patience = ticks_from_ns(to_ns(command.patience_s))
        shared_cpu = scenario.vehicles.cpu == "shared"
        self._vehicles = [
            Vehicle(v, self._clock, self._system, self._server, command.missing, patience, shared_cpu=shared_cpu)
            for v in range(count)
        ]
        registered, correlation = self._inputs.registration(), self._inputs.fading_correlation
        belief = Belief(scenario, self._system, registered, correlation, self._biases)
        guarded = GuardedPolicy(policy, make(scenario.policy.fallback))
        guarded.reset(self._system, streams.policy_seed())
        generator = streams.generator("decision-latency", "cloud")
        self._cloud = Cloud(self._clock, scenario, belief, guarded, self._send_commands, generator)
        self._blocks: dict[int, Block] = {}
        self._deliveries_ns: list[int] = []
        for fault in faults:
            self._clock.env.process(self._fail(fault))

    def run(self) -> OracleResult:
        """Simulate all slots; the run ends when the slot after the last one would begin."""
        num_slot = self._scenario.time.num_slot
        end = self._clock.at(self._begin(num_slot), Phase.TICK)
        for slot in range(num_slot):
            self._clock.env.process(self._live(slot))
        self._clock.env.run(until=end)
        self._settle(num_slot)
        return self.result

    def _begin(self, slot: int) -> int:
        return int(ticks_from_ns(slot * to_ns(self._scenario.time.slot_duration_s)))

    def _settle(self, num_slot: int) -> None:
        end_ns = self._begin(num_slot) >> TICK_BITS
        self.result.tasks.sort(key=lambda task: task.row)
        self.result.arrived_bytes.append(self._server.arrived_bytes)
        for delivered_ns in self._deliveries_ns:
            fate = "lost" if delivered_ns >= LOST_NS else "delivered" if delivered_ns <= end_ns else "in flight"
            self.result.messages["sent"] += 1
            self.result.messages[fate] += 1

    def _fail(self, fault: Fault) -> Generator[Event, None, None]:
        yield self._clock.at(ticks_from_ns(fault.time_ns), Phase.FAULT)
        self._server.obey(fault.slot, fault.allocation_hz)

    def _live(self, slot: int) -> Generator[Event, None, None]:
        """One slot: move and fade, make tasks; report; let the server report."""
        yield self._clock.at(self._begin(slot), Phase.TICK)
        if slot:
            self.result.arrived_bytes.append(self._server.arrived_bytes)
            self._server.arrived_bytes = np.zeros_like(self._server.arrived_bytes)
        block = self._blocks[slot] = self._inputs.block(slot, 1)
        states = block.states(slot)
        for vehicle in self._vehicles:
            tasks = [self._make_task(block, vehicle.index, k) for k in range(self._system.num_class)]
            self.result.tasks += tasks
            vehicle.begin_slot(slot, tasks, float(states.uplink_rate_bps[vehicle.index]))
        yield self._clock.at(self._clock.now, Phase.REPORT)
        self._report(slot, block, states)
        yield self._clock.at(self._clock.now, Phase.RELAY)
        if slot == 0 or (self._biases.cpu_frequency_hz[slot] != self._biases.cpu_frequency_hz[slot - 1]).any():
            num_class = self._system.num_class
            self._server.set_bias(np.repeat(self._biases.cpu_frequency_hz[slot][:, np.newaxis], num_class, axis=1))
        backlog_bytes = self._server.backlog_bytes()
        self.result.backlog_bytes.append(backlog_bytes)
        hear = lambda: self._cloud.belief.hear_server(slot, backlog_bytes)  # noqa: E731 - one line says it all
        self._send(block.server_report, (0, 0, 0), Phase.RELAY, hear)

    def _make_task(self, block: Block, vehicle: int, task_class: int) -> Task:
        def latency(passage: Passage) -> int:
            latency_ns = passage.latency_ns
            return int(ticks_from_ns(latency_ns if isinstance(latency_ns, int) else latency_ns[index]))

        index = (0, vehicle, task_class)
        return Task(
            slot=block.first_slot,
            vehicle=vehicle,
            task_class=task_class,
            size_bytes=float(block.size_bytes[index]),
            uplink_latency=latency(block.upload),
            uplink_lost=block.upload.lost is not None and bool(block.upload.lost[index]),
            result_latency=latency(block.result),
            result_lost=block.result.lost is not None and bool(block.result.lost[index]),
        )

    def _report(self, slot: int, block: Block, states: VehicleStates) -> None:
        reporting = self._vehicles if slot % self._scenario.vehicles.report_interval == 0 else []
        self._cloud.expect(slot, len(reporting))
        for vehicle in reporting:
            report = Report.of(vehicle.index, slot, self._clock.now >> TICK_BITS, states)
            hear = lambda v=vehicle.index, report=report: self._cloud.hear(v, report)  # noqa: E731 - bound here
            self._send(block.report, (0, vehicle.index, 0), Phase.RELAY, hear)

    def _send_commands(self, snapshot: TwinSnapshot, ruling: Ruling, latency_ns: int) -> None:
        slot, decision = snapshot.slot, ruling.decision
        self.result.decisions.append(
            Decided(
                slot=slot,
                decided_ns=snapshot.time_ns,
                latency_ns=latency_ns,
                fallback=bool(ruling.fallback),
                repaired=ruling.repaired,
                size_bytes=snapshot.size_bytes,
                offloading_ratio=decision.offloading_ratio,
                compute_allocation_hz=decision.compute_allocation_hz,
                age_s=snapshot.age_of_information_s,
                x_m=snapshot.x_m,
                channel_gain=snapshot.channel_gain,
            )
        )
        block = self._blocks[slot]
        obey = lambda: self._server.obey(slot, decision.compute_allocation_hz)  # noqa: E731 - one line says it all
        self._send(block.server_command, (0, 0, 0), Phase.SERVER_COMMAND, obey)
        for vehicle in self._vehicles:
            ratio = decision.offloading_ratio[vehicle.index]
            follow = lambda vehicle=vehicle, ratio=ratio: vehicle.obey(slot, ratio)  # noqa: E731 - bound here
            self._send(block.command, (0, vehicle.index, 0), Phase.VEHICLE_COMMAND, follow)

    def _send(self, passage: Passage, index: tuple[int, int, int], phase: Phase, deliver: Callable[[], None]) -> None:
        """Send one message: if it is not lost, `deliver` is called when it arrives."""
        delivered_ns = int(passage.delivered_ns(self._clock.now >> TICK_BITS, index))
        self._deliveries_ns.append(delivered_ns)
        if delivered_ns < LOST_NS:
            arrival = self._clock.at(ticks_from_ns(delivered_ns), phase)
            assert arrival.callbacks is not None
            arrival.callbacks.append(lambda _: deliver())
