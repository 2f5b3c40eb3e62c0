"""Scenario families: small random systems that are overloaded, late, lossy and biased, each run by both engines."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st

from physical.arrays import Floats, Ints
from physical.columns.pipeline import DataPlane
from physical.phase import Phase
from physical.registry import EngineName
from physical.system import System
from physical.ticks import to_ns
from policies import Policy
from policies.baselines import share_equally
from sim.engine.simulation import Simulation
from sim.inputs.blocks import Block, Inputs
from sim.runs.run import RunResult
from sim.scenario.scenario import Scenario
from tests.property.dice import Dice, links, twins
from tests.support.engine_runs import columns_of, run_engine, servers_of
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

CPU_RULES = ("per-task", "in-turn", "sharing")
UPLINK_RULES = ("each", "in-turn", "sharing")


@dataclass
class Moody:
    """A policy whose decisions depend on all it sees, to the last bit.

    offload : "some" ratios are 0, some 1, the others anything; "all" are 1; "none" are 0; "switch" those of every other
        vehicle in every other slot are 1
    load : part of the server that is handed out; above 1 the guard has to scale
    starved : probability that a flow gets no allocation; the guard lifts active ones to the floor
    """

    offload: str = "some"
    load: float = 1.0
    starved: float = 0.2

    def reset(self, system: System, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        seen = (
            0.37 * snapshot.x_m + 3.1 * snapshot.age_of_information_s - np.log(np.maximum(snapshot.channel_gain, 1e-30))
        )
        seen = seen + 1e3 * (snapshot.cpu_backlog_cycles + snapshot.uplink_backlog_bytes + snapshot.backlog_bytes.sum())
        mood = self._generator.random(self._shape) + 0.618 * snapshot.size_bytes + seen[:, np.newaxis]
        ratio = np.clip(1.6 * (mood % 1.0) - 0.3, 0.0, 1.0)
        if self.offload == "switch":
            ratio = ratio * ((np.arange(len(ratio)) + snapshot.slot) % 2)[:, np.newaxis]
        elif self.offload != "some":
            ratio = np.full(self._shape, float(self.offload == "all"))
        part = self._generator.exponential(size=self._shape) * (self._generator.random(self._shape) >= self.starved)
        total_hz = float(share_equally(snapshot, np.ones(self._shape, dtype=np.bool_)).sum())
        allocation_hz = self.load * total_hz * part / max(float(part.sum()), 1e-9)
        return Decision(ratio, allocation_hz, **(self._radio(snapshot.system) if snapshot.system.joint else {}))

    def _radio(self, system: System) -> dict[str, Floats]:
        """Draw frequencies, powers and bandwidths; some are 0, some more than there is, and the guard repairs them."""
        hz, power_w, bandwidth_hz = self._generator.random((3, system.num_vehicle))
        some = self._generator.random(system.num_vehicle) >= 0.1 * self.starved
        return {
            "local_frequency_hz": np.where(some, 0.2 + hz, 0.0) * system.cpu_hz,
            "transmit_power_w": 1.1 * power_w * system.transmit_power_w,
            "bandwidth_hz": self.load * bandwidth_hz * system.node_bandwidth_hz[0] / system.num_vehicle * 2,
        }


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
class Observed:
    """What a trace does not tell of a run by the columns.

    most_hz, most_bandwidth_hz : most of each node's server and spectrum that was ever in use at once, [M]
    rates_bps : times, ticks, from which on the uplinks had these rates, [N]
    """

    most_hz: Floats = field(default_factory=lambda: np.zeros(1))
    most_bandwidth_hz: Floats = field(default_factory=lambda: np.zeros(1))
    rates_bps: list[tuple[int, Floats]] = field(default_factory=list)
    _gain: Floats = field(default_factory=lambda: np.zeros(1))

    def watch(self, simulation: Simulation) -> None:
        """Watch all that changes what is in use."""
        plane = columns_of(simulation).plane
        begin_slot, set_radio, set_service_rate = plane.begin_slot, plane.set_radio, plane.set_service_rate

        def slot_begins(now: int, uplink_rate_bps: Floats, channel_gain: Floats, serving_node: Ints) -> None:
            begin_slot(now, uplink_rate_bps, channel_gain, serving_node)
            self.begin_slot(plane, now, uplink_rate_bps, channel_gain)

        def radio_changes(at: int, power_w: Floats, bandwidth_hz: Floats) -> None:
            set_radio(at, power_w, bandwidth_hz)
            self.note(plane, at)

        def rate_changes(now: int, rate_hz: Floats) -> None:
            set_service_rate(now, rate_hz)
            self.note(plane, now)

        vars(plane).update(begin_slot=slot_begins, set_radio=radio_changes, set_service_rate=rate_changes)

    def begin_slot(self, plane: DataPlane, now: int, rate_bps: Floats, gain: Floats) -> None:
        """Look at what is in use when a slot has begun."""
        self._gain = gain
        if not plane.system.joint:
            self.rates_bps.append((now, rate_bps))
        self.note(plane, now)

    def note(self, plane: DataPlane, now: int) -> None:
        """Look at what is in use now."""
        system, radios = plane.system, plane.decided_radios
        nodes = [plane.serving_node == node for node in range(system.num_node)]
        hz = [plane.service_hz[here].sum() + plane.leaving.rate_at_hz(node) for node, here in enumerate(nodes)]
        self.most_hz = np.maximum(self.most_hz, hz)
        if radios is not None:
            used_hz = [radios.bandwidth_hz[here].sum() for here in nodes]
            self.most_bandwidth_hz = np.maximum(self.most_bandwidth_hz, used_hz)
            power_w, _ = radios.granted
            assert system.spectrum is not None
            self.rates_bps.append((now, system.spectrum.rate_bps(radios.bandwidth_hz, power_w, self._gain)))


@dataclass(frozen=True)
class Case:
    """A scenario with all that a run of it needs."""

    data: dict[str, Any]
    policy: Policy
    seed: int
    faults: tuple[Fault, ...]
    block_length: int  # slots after which finished tasks are written down and forgotten
    num_idle: int = 0  # one in so many vehicles has no task in a slot; 0: none
    observed: Observed = field(default_factory=Observed)

    @cached_property
    def scenario(self) -> Scenario:
        return Scenario.from_dict(self.data | {"trace": {"messages": True}})

    def run(self, engine: EngineName = "columns") -> RunResult:
        """Run the case while some commands reach servers out of nowhere; the columns once, as they are observed."""

        def watch(simulation: Simulation) -> None:
            if engine == "columns":
                self.observed.watch(simulation)
            for fault in self.faults:
                obey = servers_of(simulation)[fault.node].obey
                command = partial(obey, fault.slot, fault.allocation_hz, fault.serving_node)
                simulation.clock.call_at(fault.time_ns, Phase.FAULT, command)

        with self._special_inputs():
            return run_engine(self.scenario, self.policy, self.seed, engine=engine, watch=watch)

    def _special_inputs(self) -> AbstractContextManager[object]:
        """Let blocks of inputs have another length, and some vehicles no task, as with a request trace."""
        make_block = Inputs.block

        def block(inputs: Inputs, first_slot: int, num_slot: int) -> Block:
            made = make_block(inputs, first_slot, num_slot)
            if not self.num_idle:
                return made
            slot, vehicle = np.ogrid[first_slot : first_slot + num_slot, : made.size_bytes.shape[1]]
            idle = (7 * slot + 3 * vehicle) % self.num_idle == 0
            return replace(made, size_bytes=np.where(idle[..., np.newaxis], 0.0, made.size_bytes))

        return patch.multiple(Inputs, block=block, block_length=lambda *_: self.block_length)


def modes(dice: Dice) -> dict[str, Any]:
    """Draw a reading of the equations; what a server really does may exceed it only if it is read as in the paper."""
    mode = dice.pick(["paper", "corrected"])
    return {"mode": mode, "capacity": dice.pick([None, "effective"] + ["alloc"] * (mode == "paper"))}


def systems(dice: Dice, slot_s: float) -> tuple[dict[str, Any], float]:
    """Draw the physical system, and return it with a fair share of its server."""
    count, num_class = dice.integer(1, 6), dice.integer(1, 3)
    cpu_hz = 1e9
    tasks: list[dict[str, Any]] = []
    for index in range(num_class):
        low = 1000 * dice.integer(1, 4)
        high = low + dice.pick([0, 1000])
        heavy = dice.pick([0.1, 0.5, 1.0, 1.9])  # local time of the largest task, in slots
        cycles_per_byte = heavy * slot_s * cpu_hz / high
        deadline_s = slot_s * dice.pick([0.5, 1.0, 1.7])
        task = {"size_bytes": [low, high], "cycles_per_byte": cycles_per_byte, "deadline_s": deadline_s}
        tasks.append(task | {"name": f"k{index}"})
    cycles = [0.5 * sum(task["size_bytes"]) * task["cycles_per_byte"] for task in tasks]
    server_hz = count * sum(cycles) / slot_s * dice.pick([0.2, 0.5, 0.8, 2.0])
    slow = dice.pick([0.02, 0.3, 1.0, 2.5])  # upload time at 3 bit/s/Hz, in slots
    bandwidth_hz = dice.pick([8 * tasks[0]["size_bytes"][1] / (3 * slow * slot_s)] * 7 + [1e18])
    sharing = dice.pick(["each", "each", "equal"])
    system = {
        "time": {"slot_duration_s": slot_s, "num_slot": dice.integer(2, 12)},
        "model": modes(dice)
        | {
            "order": dice.pick(["sequential", "parallel"]),
            "upload": dice.pick([None, "proportional", "whole", "always"]),
        },
        "vehicles": {
            "num_vehicle": count,
            "cpu_hz": dice.pick([[cpu_hz], [cpu_hz, 1.5 * cpu_hz]]),
            "kappa": 1e-28,
            "transmit_power_w": 0.2,
            "cpu": dice.pick(CPU_RULES),
            "report_interval": dice.pick([1, 1, 2, 3]),
        },
        "mobility": {
            "kind": dice.pick(["highway", "straight", "stationary"]),
            "length_m": 600.0,
            "speed_mps": dice.pick([[10, 15], [0, 40]]),
        },
        "radio": {
            "bandwidth_hz": bandwidth_hz,
            "bandwidth_sharing": sharing,
            "uplink": dice.pick(UPLINK_RULES),
            "noise_w": dice.pick([None, 1e-14]) if bandwidth_hz < 1e18 else 1e-14,
            "fading": dice.pick(["rayleigh", "none"]),
        },
        "server": {
            "frequency_hz": server_hz,
            "num_core": 4,
            "kappa": 1e-35,
            "discipline": dice.pick(["slices", "fifo"]),
        },
        "tasks": tasks,
        "objective": {"qos_weight": 1.0, "energy_weight": 0.5, "deadline_price": 2.0, "beta": 0.1},
    }
    return system, server_hz / (count * num_class)


def case_of(seed: int) -> Case:
    """Draw the whole case that belongs to a seed."""
    dice = Dice(seed)
    slot_s = dice.pick([0.01, 0.025, 0.1])
    data, share_hz = systems(dice, slot_s)
    ideal = dice.pick([True, False, False, False])
    names = ("access", "backhaul", "lan")
    data["network"] = {} if ideal else {name: links(dice, slot_s) for name in names}
    data["twin"] = twins(dice, slot_s, share_hz)
    scenario = Scenario.from_dict(data)
    policy = Moody(
        offload=dice.pick(["some", "some", "some", "some", "all", "none"]),
        load=dice.pick([0.3, 1.0, 1.5]),
        starved=dice.pick([0.0, 0.3]),
    )
    seed = dice.integer(0, 2**32 - 1)
    num_slot, shape = scenario.time.num_slot, (scenario.system().num_vehicle, len(scenario.tasks))
    faults = []
    for _ in range(dice.pick([0, 0, 1, 3])):
        at_slot = num_slot * dice.real(0.0, 0.99)
        time_ns = dice.pick([to_ns(at_slot * slot_s), int(at_slot) * to_ns(slot_s)])
        rate_hz = share_hz * dice.pick([0.0, 0.0, 0.4, 3.0])
        allocation_hz = np.full(shape, rate_hz) * (np.arange(shape[0] * shape[1]).reshape(shape) % 3 != 1)
        faults.append(Fault(time_ns, int(at_slot) + dice.integer(0, 1), allocation_hz))
    return Case(data, policy, seed, tuple(faults), dice.pick([1, 2, 3, 256]))


def cases() -> st.SearchStrategy[Case]:
    """Let hypothesis choose a case."""
    return st.integers(0, 2**64 - 1).map(case_of)
