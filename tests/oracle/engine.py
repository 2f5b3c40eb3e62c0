"""The plain event engine: one event per hop, everything an object, nothing clever.

It takes the same inputs as `sim.engine.columns` (motion, channel, tasks, network and bias are drawn by the same code
from the same streams) and works out what follows from them on its own. Both must agree on every task to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from simpy.events import Event

from physical.arrays import Floats, Ints
from physical.phase import Phase
from physical.states import VehicleStates
from physical.ticks import TICK_BITS, ticks_from_ns, to_ns
from policies import Policy, make
from policies.guarded import GuardedPolicy
from sim.inputs.blocks import Block, Inputs
from sim.inputs.routes import Passage
from sim.inputs.streams import Streams
from sim.scenario.scenario import Scenario
from tests.oracle.server import Queues, Server
from tests.oracle.spectrum import Spectrum
from tests.oracle.task import Clock, Orders, Task
from tests.oracle.twin import Belief, BiasTable, Cloud, Report, ServerState
from tests.oracle.vehicle import State, Vehicle
from twin.decision import Decision, Ruling
from twin.messages import LOST_NS
from twin.snapshot import TwinSnapshot


@dataclass(frozen=True)
class Fault:
    """A command that reaches a server out of nowhere: `allocation_hz` [N, K] at `time_ns`, as if for `slot`."""

    time_ns: int
    slot: int
    allocation_hz: Floats
    node: int = 0

    @property
    def serving_node(self) -> Ints:
        """It claims that all vehicles are at this node."""
        return np.full(len(self.allocation_hz), self.node)


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
    local_frequency_hz: Floats | None
    transmit_power_w: Floats | None
    bandwidth_hz: Floats | None
    age_s: Floats
    x_m: Floats
    channel_gain: Floats
    cpu_backlog_cycles: Floats
    uplink_backlog_bytes: Floats
    flow_backlog_cycles: Floats


@dataclass
class OracleResult:
    """What happened.

    tasks : in the order of their keys
    local_j : of each task
    backlog_bytes : one [M, K] per slot
    arrived_bytes : one [K] per slot
    serving_node : one [N] per slot
    cpu_backlog_cycles, uplink_backlog_bytes : what waits at the vehicles when a slot begins, one [N] per slot
    messages : "sent", "delivered", "lost", "in flight"
    """

    tasks: list[Task] = field(default_factory=list)
    local_j: list[float] = field(default_factory=list)
    decisions: list[Decided] = field(default_factory=list)
    backlog_bytes: list[Floats] = field(default_factory=list)
    arrived_bytes: list[Floats] = field(default_factory=list)
    serving_node: list[Ints] = field(default_factory=list)
    cpu_backlog_cycles: list[Floats] = field(default_factory=list)
    uplink_backlog_bytes: list[Floats] = field(default_factory=list)
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

    def job_rows(self, scenario: Scenario) -> dict[str, list[Any]]:
        """Return the columns of the table `jobs`."""
        system = scenario.system()
        rows: dict[str, list[Any]] = {
            name: [getattr(task, name) for task in self.tasks] for name in ("slot", "vehicle", "task_class")
        }
        layers = [system.num_layer[task.task_class] for task in self.tasks]
        rows["num_token"] = [
            int(task.size_bytes / system.bytes_per_token[task.task_class]) if num_layer else 0
            for task, num_layer in zip(self.tasks, layers, strict=True)
        ]
        rows["layers_local"] = [
            None if task.offloading_ratio is None or not num_layer else round((1 - task.offloading_ratio) * num_layer)
            for task, num_layer in zip(self.tasks, layers, strict=True)
        ]
        rows["local_frequency_hz"] = [task.local_hz for task in self.tasks]
        rows["energy_local_j"] = self.local_j
        rows["energy_transmit_j"] = [task.transmit_j if system.joint else None for task in self.tasks]
        by_job = system.model.edge_energy_rule == "job"
        joules = [0.0 if task.service is None else task.service.joules for task in self.tasks]
        rows["energy_edge_j"] = joules if by_job else [None] * len(joules)
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
        self._inputs = Inputs(scenario.resolve(), streams)
        self._biases = BiasTable(scenario, self._system, streams)
        self._queues = Queues(self._clock, self._system)
        self._servers = [Server(node, self._system, self._queues) for node in range(self._system.num_node)]
        command, count = scenario.twin.command, self._system.num_vehicle
        patience = ticks_from_ns(to_ns(command.patience_s))
        self._spectrum = Spectrum(self._clock, self._system)
        self._vehicles = self._spectrum.vehicles = [
            Vehicle(v, self._clock, self._system, self._queues, self._spectrum, command.missing, patience)
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
        self._queues.settle()
        for vehicle in self._vehicles:
            vehicle.uplink.settle()
        self.result.local_j = [self._vehicles[task.vehicle].local_j(task) for task in self.result.tasks]
        self.result.arrived_bytes.append(self._queues.take_arrived_bytes())
        for delivered_ns in self._deliveries_ns:
            fate = "lost" if delivered_ns >= LOST_NS else "delivered" if delivered_ns <= end_ns else "in flight"
            self.result.messages["sent"] += 1
            self.result.messages[fate] += 1

    def _fail(self, fault: Fault) -> Generator[Event, None, None]:
        yield self._clock.at(ticks_from_ns(fault.time_ns), Phase.FAULT)
        self._servers[fault.node].obey(fault.slot, fault.allocation_hz, fault.serving_node)

    def _live(self, slot: int) -> Generator[Event, None, None]:
        """One slot: move and fade, make tasks; report; let the servers report."""
        yield self._clock.at(self._begin(slot), Phase.TICK)
        if slot:
            self.result.arrived_bytes.append(self._queues.take_arrived_bytes())
        block = self._blocks[slot] = self._inputs.block(slot, 1)
        states = block.states(slot)
        self.result.serving_node.append(states.serving_node)
        for vehicle in self._vehicles:
            self._attach(vehicle, int(states.serving_node[vehicle.index]))
            tasks = self._make_tasks(block, vehicle.index)
            self.result.tasks += tasks
            channel = states.channel_gain[vehicle.index], states.uplink_rate_bps[vehicle.index]
            vehicle.begin_slot(slot, tasks, State(int(states.serving_node[vehicle.index]), *map(float, channel)))
        self._spectrum.settle()
        backlogs = np.array([vehicle.backlog() for vehicle in self._vehicles])
        self.result.cpu_backlog_cycles.append(backlogs[:, 0])
        self.result.uplink_backlog_bytes.append(backlogs[:, 1])
        yield self._clock.at(self._clock.now, Phase.REPORT)
        self._report(slot, block, states)
        yield self._clock.at(self._clock.now, Phase.RELAY)
        if slot == 0 or (self._biases.cpu_frequency_hz[slot] != self._biases.cpu_frequency_hz[slot - 1]).any():
            bias_hz = np.repeat(self._biases.cpu_frequency_hz[slot][:, np.newaxis], self._system.num_class, axis=1)
            for server in self._servers:
                server.set_bias(bias_hz)
        self.result.backlog_bytes.append(np.array([server.backlog_bytes() for server in self._servers]))
        for node, backlog_bytes in enumerate(self.result.backlog_bytes[-1]):
            state = ServerState(slot, backlog_bytes, self._servers[node].flow_backlog_cycles())
            hear = lambda node=node, state=state: self._cloud.belief.hear_server(node, state)  # noqa: E731 - bound here
            self._send(block.server_report, (0, node, 0), Phase.RELAY, hear)

    def _attach(self, vehicle: Vehicle, node: int) -> None:
        """Tell the servers when a vehicle goes from one to the other."""
        if vehicle.node != node:
            if vehicle.node >= 0:
                self._servers[vehicle.node].detach(vehicle.index)
            if node >= 0:
                self._servers[node].attach(vehicle.index)

    def _make_tasks(self, block: Block, vehicle: int) -> list[Task]:
        """Make a vehicle's tasks of a slot; one of size 0 is none."""
        work = self._system.work_cycles(block.size_bytes, block.serving_node)
        classes = [k for k in range(self._system.num_class) if block.size_bytes[0, vehicle, k] > 0]
        return [
            self._make_task(block, (0, vehicle, k), *(float(part[0, vehicle, k]) for part in work)) for k in classes
        ]

    def _make_task(self, block: Block, index: tuple[int, int, int], local_work: float, edge_work: float) -> Task:
        def latency(passage: Passage) -> int:
            latency_ns = passage.latency_ns
            return int(ticks_from_ns(latency_ns if isinstance(latency_ns, int) else latency_ns[index]))

        return Task(
            slot=block.first_slot,
            vehicle=index[1],
            task_class=index[2],
            size_bytes=float(block.size_bytes[index]),
            local_work=local_work,
            edge_work=edge_work,
            uplink_latency=latency(block.upload),
            uplink_lost=block.upload.lost is not None and bool(block.upload.lost[index]),
            result_latency=latency(block.result),
            result_lost=block.result.lost is not None and bool(block.result.lost[index]),
        )

    def _report(self, slot: int, block: Block, states: VehicleStates) -> None:
        is_due = slot % self._scenario.vehicles.report_interval == 0
        # Who has no node tells nobody, but its last node tells that it has lost it.
        before = [-1] * len(self._vehicles) if slot == 0 else self.result.serving_node[-2].tolist()
        reporting = [v for v in self._vehicles if (is_due if v.node >= 0 else before[v.index] >= 0)]
        self._cloud.expect(slot, len(reporting))
        for vehicle in reporting:
            waiting = (
                column[-1][vehicle.index]
                for column in (self.result.cpu_backlog_cycles, self.result.uplink_backlog_bytes)
            )
            report = Report.of(vehicle.index, slot, self._clock.now >> TICK_BITS, states, *map(float, waiting))
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
                local_frequency_hz=decision.local_frequency_hz,
                transmit_power_w=decision.transmit_power_w,
                bandwidth_hz=decision.bandwidth_hz,
                age_s=snapshot.age_of_information_s,
                x_m=snapshot.x_m,
                channel_gain=snapshot.channel_gain,
                cpu_backlog_cycles=snapshot.cpu_backlog_cycles,
                uplink_backlog_bytes=snapshot.uplink_backlog_bytes,
                flow_backlog_cycles=snapshot.flow_backlog_cycles,
            )
        )
        block, allocation_hz, nodes = self._blocks[slot], decision.compute_allocation_hz, snapshot.serving_node
        for server in self._servers:
            obey = lambda server=server: server.obey(slot, allocation_hz, nodes)  # noqa: E731 - bound here
            self._send(block.server_command, (0, server.node, 0), Phase.SERVER_COMMAND, obey)
        for vehicle in self._vehicles:
            orders = self._orders(decision, vehicle.index, int(nodes[vehicle.index]))
            follow = lambda vehicle=vehicle, orders=orders: vehicle.obey(slot, orders)  # noqa: E731 - bound here
            if orders.node >= 0:  # whom the twin believes out of reach, it sends none
                reach = vehicle.node >= 0
                self._send(block.command, (0, vehicle.index, 0), Phase.VEHICLE_COMMAND, follow, reach=reach)

    def _orders(self, decision: Decision, vehicle: int, node: int) -> Orders:
        """Return what one vehicle is told; what the system fixes is as it fixes it."""
        fixed = (self._system.cpu_hz, self._system.transmit_power_w, np.zeros(self._system.num_vehicle))
        decided = (decision.local_frequency_hz, decision.transmit_power_w, decision.bandwidth_hz)
        hz, power_w, bandwidth_hz = (
            float((own if given is None else given)[vehicle]) for own, given in zip(fixed, decided, strict=True)
        )
        return Orders(decision.offloading_ratio[vehicle], hz, power_w, bandwidth_hz, node)

    def _send(
        self,
        passage: Passage,
        index: tuple[int, int, int],
        phase: Phase,
        deliver: Callable[[], None],
        *,
        reach: bool = True,
    ) -> None:
        """Send one message: if it is not lost, `deliver` is called when it arrives."""
        delivered_ns = int(passage.delivered_ns(self._clock.now >> TICK_BITS, index)) if reach else LOST_NS
        self._deliveries_ns.append(delivered_ns)
        if delivered_ns < LOST_NS:
            arrival = self._clock.at(ticks_from_ns(delivered_ns), phase)
            assert arrival.callbacks is not None
            arrival.callbacks.append(lambda _: deliver())
