"""Random environments, on which the bundled model is trained and scored.

An environment is a `dtecn` system with random parameters. Prompts do not contain most of them: the model has to infer
capacity, CPU types, cycles, deadlines, weights and bias from the cases. Slots are independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np

from physical import drawn
from physical.arrays import Floats
from physical.model import channel, mobility
from physical.params import BaseStation, Model, Objective, Radio, Server, TaskClass, Time, Vehicles
from physical.system import System, build_system
from policies.cases.case import Case, CaseSet
from policies.optimal.p2_exact import P2Exact
from policies.scoring import predicted_objective
from twin.snapshot import TwinSnapshot

Range = tuple[float, float]
Group = Literal["capacity", "cycles", "deadlines", "vehicles", "price"]

GROUPS: tuple[Group, ...] = ("capacity", "cycles", "deadlines", "vehicles", "price")
"""Groups of parameters that may lie outside the ranges of the training; see `outside`."""

_SIZE_BYTES = (20e3, 40e3, 100e3)
_CYCLES_PER_BYTE = (2000.0, 3000.0, 4000.0)
_DEADLINE_S = (0.04, 0.08, 0.5)
_HALF_ROAD_M = 500.0
_STATION = BaseStation()


@dataclass(frozen=True)
class Ranges:
    """Ranges of the parameters, which are logarithmically uniform unless a line says otherwise.

    The defaults are the ranges of the training. Factors multiply the values of `dtecn-congested` or, in some
    environments, those of Table I.

    Parameters
    ----------
    num_vehicle : whole numbers, uniform
    server_per_vehicle_hz : Hz, capacity of the server divided by N
    cycles, deadlines, sizes : factors on those of a class
    deadline_price : P_m; the part `no_price` of the environments has none
    table_one : part of the environments that are like Table I, with small tasks and a large server
    """

    num_vehicle: tuple[int, int] = (4, 12)
    server_per_vehicle_hz: Range = (3e9, 12e9)
    table_one_server_per_vehicle_hz: Range = (12e9, 100e9)
    cycles: Range = (0.6, 1.5)
    deadlines: Range = (0.7, 1.5)
    sizes: Range = (0.7, 1.4)
    deadline_price: Range = (0.05, 4.0)
    no_price: float = 0.15
    table_one: float = 0.12


TRAINING = Ranges()


def outside(group: Group, rng: np.random.Generator) -> Ranges:
    """Return ranges of which one group lies outside those of the training, on both sides if there are two."""
    low = bool(rng.random() < 0.5)
    changes: dict[Group, dict[str, object]] = {
        "capacity": {"server_per_vehicle_hz": (2e9, 3e9) if low else (12e9, 16e9)},
        "cycles": {"cycles": (0.45, 0.6) if low else (1.5, 2.0)},
        "deadlines": {"deadlines": (0.55, 0.7) if low else (1.5, 1.9)},
        "vehicles": {"num_vehicle": (13, 14)},
        "price": {"deadline_price": (4.0, 6.0), "no_price": 0.0},
    }
    return replace(TRAINING, table_one=0.0, **changes[group])  # type: ignore[arg-type]  # values of the fields' types


@dataclass(frozen=True)
class SlotDraws:
    """The distributions from which the slots of one environment are drawn.

    Parameters
    ----------
    half_width : sizes are uniform in the mean times 1 -+ half_width
    burst : probability that a vehicle's tasks are larger
    burst_factor : factor by which they are larger
    backlog : mean backlog of a class that has one, in units of `System.backlog_unit_bytes`
    has_backlog : probability that a class has one
    bias_hz : Hz, estimation bias of all vehicles
    """

    half_width: float
    burst: float
    burst_factor: float
    backlog: float
    has_backlog: float
    bias_hz: float


class RandomEnvironment:
    """One environment; iteration gives snapshots without end.

    Parameters
    ----------
    seed : of all random numbers
    ranges : of its parameters
    """

    def __init__(self, seed: int | tuple[int, ...], ranges: Ranges = TRAINING) -> None:
        self._rng = np.random.default_rng(seed)
        if self._rng.random() < ranges.table_one:
            self.system, self._radio, self.slots = _like_table_one(self._rng, ranges)
        else:
            self.system, self._radio, self.slots = _like_congested(self._rng, ranges)

    def __iter__(self) -> Iterator[TwinSnapshot]:
        """Return the slots."""
        slot = 0
        while True:
            yield self._draw(slot)
            slot += 1

    def _draw(self, slot: int) -> TwinSnapshot:
        rng, system, slots = self._rng, self.system, self.slots
        shape = (system.num_vehicle, system.num_class)
        x_m = rng.uniform(-_HALF_ROAD_M, _HALF_ROAD_M, shape[0])
        factor = np.where(rng.random(shape[0]) < slots.burst, slots.burst_factor, 1.0)
        spread = rng.uniform(1.0 - slots.half_width, 1.0 + slots.half_width, shape)
        mean = system.size_bytes_mean / (1.0 + slots.burst * (slots.burst_factor - 1.0))
        has_backlog = rng.random(shape[1]) < slots.has_backlog
        backlog = has_backlog * rng.exponential(slots.backlog, shape[1]) * system.backlog_unit_bytes
        return TwinSnapshot(
            slot=slot,
            time_ns=round(slot * system.slot_duration_s * 1e9),
            system=system,
            size_bytes=np.round(spread * mean * factor[:, np.newaxis]),
            x_m=x_m,
            y_m=np.zeros(shape[0]),
            speed_mps=np.full(shape[0], 12.5),
            heading_rad=np.zeros(shape[0]),
            serving_node=np.zeros(shape[0], dtype=np.int64),
            channel_gain=_gains(rng, x_m, self._radio),
            age_of_information_s=np.zeros(shape[0]),
            backlog_bytes=np.round(backlog),
            estimation_bias_hz=np.full(shape, slots.bias_hz),
        )


def solved_cases(environment: RandomEnvironment, num_case: int, num_query: int) -> tuple[CaseSet, list[TwinSnapshot]]:
    """Return cases with the optimum's decisions, and the slots after them."""
    policy = P2Exact()
    policy.reset(environment.system, 0)
    cases = CaseSet(environment.system)
    slots = islice(environment, num_case + num_query)
    for snapshot in islice(slots, num_case):
        decision = policy.decide(snapshot)
        price = policy.diagnostics().capacity_price
        cases.append(Case(snapshot, decision, predicted_objective(snapshot, decision), capacity_price=price))
    return cases, list(slots)


def _gains(rng: np.random.Generator, x_m: Floats, radio: Radio) -> Floats:
    """Return linear power gains to the base station: path loss, shadowing and Rayleigh fading, [N]."""
    position_m = np.stack([x_m, np.zeros_like(x_m)], axis=-1)
    distance_m = mobility.distance_m(position_m, np.array(_STATION.position_m), radio.distance_m_min)
    large = drawn.large_scale_gain(radio, distance_m, rng.standard_normal(x_m.shape))
    # The power gain of Rayleigh fading is exponential. Slots are independent, so one random number is enough.
    gains: Floats = channel.channel_gain(large, rng.exponential(1.0, x_m.shape))
    return gains


def _log_uniform(rng: np.random.Generator, bounds: Range, size: int | None = None) -> Floats:
    return np.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1]), size))


def _price(rng: np.random.Generator, ranges: Ranges, none: float) -> float:
    return 0.0 if rng.random() < none else float(_log_uniform(rng, ranges.deadline_price))


def _like_congested(rng: np.random.Generator, ranges: Ranges) -> tuple[System, Radio, SlotDraws]:
    """Draw a system similar to `dtecn-congested`."""
    count = int(rng.integers(ranges.num_vehicle[0], ranges.num_vehicle[1] + 1))
    num_type = int(rng.integers(1, 4))
    type_of = rng.integers(0, num_type, count)
    vehicles = Vehicles(
        num_vehicle=count,
        cpu_hz=tuple(_log_uniform(rng, (1.2e9, 4.5e9), num_type)[type_of].tolist()),
        kappa=tuple(_log_uniform(rng, (3e-28, 1.2e-27), num_type)[type_of].tolist()),
        transmit_power_w=0.2,
    )
    half_width, burst = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.0, 0.25))
    burst_factor = float(rng.uniform(1.5, 3.0))
    classes = rng.permutation(3)
    size_bytes = np.array(_SIZE_BYTES)[classes] * _log_uniform(rng, ranges.sizes, 3)
    cycles = np.array(_CYCLES_PER_BYTE)[classes] * _log_uniform(rng, ranges.cycles, 3)
    deadline_s = np.array(_DEADLINE_S)[classes] * _log_uniform(rng, ranges.deadlines, 3)
    tasks = _task_classes(size_bytes * (1.0 + burst * (burst_factor - 1.0)), cycles, deadline_s)
    frequency_hz = count * float(_log_uniform(rng, ranges.server_per_vehicle_hz))
    num_core = 2 * count
    full_w = count * float(_log_uniform(rng, (4.0, 20.0)))
    server = Server(frequency_hz=frequency_hz, num_core=num_core, kappa=full_w * num_core**2 / frequency_hz**3)
    radio = Radio(bandwidth_hz=float(_log_uniform(rng, (4e6, 16e6))))
    backlog = float(_log_uniform(rng, (0.1, 2.0)))
    # What the whole server earns by draining a mean backlog for a slot: of the order of what a slot costs, or less.
    worth = float(_log_uniform(rng, (0.02, 0.4)))
    slot_of_server = frequency_hz * Time().slot_duration_s / float(cycles.mean() * size_bytes.mean() * count)
    objective = Objective(
        energy_weight=float(_log_uniform(rng, (0.05, 0.8))) / count,
        deadline_price=_price(rng, ranges, ranges.no_price),
        beta=min(worth / (backlog * slot_of_server), 0.3),
    )
    bias_hz = float(rng.uniform(-0.3e9, 0.1e9)) if rng.random() < 0.5 else 0.0
    has_backlog = float(rng.uniform(0.0, 0.9)) if rng.random() < 0.7 else 0.0
    slots = SlotDraws(half_width, burst, burst_factor, backlog, has_backlog, bias_hz)
    system = build_system(Time(), Model(), vehicles, radio, (server,), tasks, objective)
    return system, radio, slots


def _like_table_one(rng: np.random.Generator, ranges: Ranges) -> tuple[System, Radio, SlotDraws]:
    """Draw a system similar to `dtecn`."""
    count = int(rng.integers(ranges.num_vehicle[0], ranges.num_vehicle[1] + 1))
    vehicles = Vehicles(
        num_vehicle=count,
        cpu_hz=(5e9 * float(_log_uniform(rng, (0.6, 1.3))),),
        kappa=(1e-28 * float(_log_uniform(rng, (0.5, 2.0))),),
        transmit_power_w=0.2,
    )
    size_bytes = 1250.0 * _log_uniform(rng, ranges.sizes) * np.ones(3)
    cycles = 0.25e6 * _log_uniform(rng, ranges.cycles) * np.ones(3)
    deadline_s = 0.1 * _log_uniform(rng, ranges.deadlines) * np.ones(3)
    frequency_hz = count * float(_log_uniform(rng, ranges.table_one_server_per_vehicle_hz))
    full_w = float(_log_uniform(rng, (0.003, 0.1)))
    server = Server(frequency_hz=frequency_hz, num_core=10, kappa=full_w * 100.0 / frequency_hz**3)
    radio = Radio(bandwidth_hz=20e6, noise_w=1e-14)
    objective = Objective(
        energy_weight=float(_log_uniform(rng, (0.3, 2.0))),
        deadline_price=_price(rng, ranges, 0.5),
        beta=float(_log_uniform(rng, (0.1, 1.0))),
    )
    bias_hz = float(rng.uniform(-1e9, 1e9)) if rng.random() < 0.5 else 0.0
    system = build_system(
        Time(), Model(), vehicles, radio, (server,), _task_classes(size_bytes, cycles, deadline_s), objective
    )
    return system, radio, SlotDraws(float(rng.uniform(0.1, 0.3)), 0.0, 1.0, 1.0, 0.0, bias_hz)


def _task_classes(size_bytes: Floats, cycles_per_byte: Floats, deadline_s: Floats) -> tuple[TaskClass, ...]:
    """Return classes of these mean sizes, [K] each."""
    return tuple(
        TaskClass(name=f"class-{index + 1}", size_bytes=(size, size), cycles_per_byte=cycles, deadline_s=deadline)
        for index, (size, cycles, deadline) in enumerate(
            zip(np.round(size_bytes), cycles_per_byte, deadline_s, strict=True)
        )
    )
