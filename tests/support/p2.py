"""Problem P2 in small: systems, snapshots, random slots, and a plain oracle for their objective."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.closed_form.slot import slot_step
from physical.params import Model, Objective, Radio, Server, TaskClass, Time, Vehicles
from physical.system import System, build_system
from policies.feasible import capacity_hz, least_allocation_hz, project
from policies.optimal.p2_exact import P2Exact
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

CLASSES = (("short", (10e3, 30e3), 2e3, 0.04), ("medium", (20e3, 60e3), 3e3, 0.08), ("long", (50e3, 150e3), 4e3, 0.5))
CPU_HZ = (1.5e9, 2.5e9, 1.5e9, 4e9)
KAPPA = (1e-27, 6e-28, 1e-27, 4e-28)
READINGS = [
    {"order": order, "upload": upload, "capacity": capacity, "edge_energy": edge_energy}
    for order, upload, (capacity, edge_energy) in itertools.product(
        ("sequential", "parallel"),
        ("proportional", "whole", "always"),
        (("alloc", "power"), ("effective", "energy")),
    )
]


def make_system(num_vehicle: int, num_class: int = 3, reading: dict[str, Any] | None = None, **given: Any) -> System:
    """Return `dtecn-congested`, scaled down: 6 GHz per vehicle, 8 MHz per vehicle.

    given : `weights` of the objective, `server_hz`, `cpu_hz`, `kappa`
    """
    weights = {"qos_weight": 1.0, "energy_weight": 0.2 / num_vehicle, "deadline_price": 1.0, "beta": 0.1}
    server_hz = given.get("server_hz", 6e9 * num_vehicle)
    return build_system(
        Time(slot_duration_s=0.1),
        Model(**(reading or {})),
        Vehicles(
            num_vehicle=num_vehicle,
            cpu_hz=given.get("cpu_hz", CPU_HZ),
            kappa=given.get("kappa", KAPPA),
            transmit_power_w=0.2,
        ),
        Radio(bandwidth_hz=8e6),
        (Server(frequency_hz=server_hz, num_core=max(round(server_hz / 3e9), 1), kappa=1.85e-28),),
        tuple(
            TaskClass(name=name, size_bytes=size, cycles_per_byte=per_byte, deadline_s=deadline)
            for name, size, per_byte, deadline in CLASSES[:num_class]
        ),
        Objective(**(weights | given.get("weights", {}))),
    )


def make_snapshot(
    system: System, rng: np.random.Generator, bias_hz: float = 0.0, backlog: float = 1.0, rate_bps: float | None = None
) -> TwinSnapshot:
    """Draw a slot; one vehicle in five is in a burst. `backlog` is the largest one, in mean slots."""
    num_vehicle, num_class = system.num_vehicle, system.num_class
    low = np.array([size[0] for _, size, _, _ in CLASSES[:num_class]])
    burst = np.where(rng.random((num_vehicle, 1)) < 0.2, 2.5, 1.0)
    distance_km = np.hypot(rng.uniform(-500, 500, num_vehicle), 20.0) / 1000
    loss_db = 128.1 + 37.6 * np.log10(distance_km) + 8 * rng.standard_normal(num_vehicle)
    gain = 10 ** (-loss_db / 10) * rng.exponential(size=num_vehicle)
    if rate_bps is not None:
        gain = np.full(num_vehicle, (2 ** (rate_bps / 8e6) - 1) * system.noise_w / 0.2)
    zero = np.zeros(num_vehicle)
    return TwinSnapshot(
        slot=0,
        time_ns=0,
        system=system,
        size_bytes=np.rint(rng.uniform(low, 3 * low, (num_vehicle, num_class))) * burst,
        x_m=zero,
        y_m=zero,
        speed_mps=zero,
        heading_rad=zero,
        serving_node=np.zeros(num_vehicle, dtype=np.int64),
        channel_gain=gain,
        age_of_information_s=zero,
        backlog_bytes=backlog * system.backlog_unit_bytes * rng.random(num_class),
        estimation_bias_hz=np.full((num_vehicle, num_class), bias_hz),
    )


def score(snapshot: TwinSnapshot, ratio: Floats, allocation_hz: Floats) -> Floats:
    """Return P2 of decisions [..., N, K] on the snapshot."""
    objective: Floats = slot_step(
        snapshot.system,
        snapshot.size_bytes,
        snapshot.uplink_rate_bps,
        ratio,
        allocation_hz,
        snapshot.backlog_bytes,
        snapshot.estimation_bias_hz,
    ).objective
    return objective


class Oracle:
    """Exact allocations for given ratios and given tasks that must be in time, many at once: plain bisection."""

    def __init__(self, snapshot: TwinSnapshot) -> None:
        self.snapshot = snapshot
        system = self.system = snapshot.system
        weights = system.objective
        self.work = snapshot.size_bytes * system.cycles_per_byte
        self.local_s = self.work / system.cpu_hz[:, None]
        upload_s = 8 * snapshot.size_bytes / snapshot.uplink_rate_bps[:, None]
        proportional = system.model.upload_rule == "proportional"
        self.paid_s, self.upload_s = (0 * upload_s, upload_s) if proportional else (upload_s, 0 * upload_s)
        self.q = weights.qos_weight / (system.deadline_s * self.work.size) + 0 * self.work
        unit = system.backlog_unit_bytes
        drain = weights.beta * snapshot.backlog_bytes / unit * system.slot_duration_s / (system.cycles_per_byte * unit)
        self.drain = drain + 0 * self.work
        self.parallel = system.model.order == "parallel"
        self.effective = system.model.capacity_rule == "effective"
        self.bias = snapshot.estimation_bias_hz
        self.capacity = capacity_hz(system, self.bias)
        server = system.server
        sigma = system.slot_duration_s if system.model.edge_energy_rule == "energy" else 1.0
        self.cubic = weights.energy_weight * sigma * server.kappa / server.num_core**2

    def speeds_hz(self, ratio: Floats, in_time: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return bounds of useful speeds: the floor and the deadline below, the end of the local part above."""
        low = np.broadcast_to(least_allocation_hz(self.system, self.bias) + self.bias, ratio.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            local = (1 - ratio) * self.local_s
            left = self.system.deadline_s - self.paid_s - ratio * self.upload_s - (0.0 if self.parallel else local)
            needed = np.where(left > 0, ratio * self.work / left, np.inf) * (1 + 1e-12)
            slack = local - self.paid_s - ratio * self.upload_s
            high = np.where(slack > 0, ratio * self.work / slack, np.inf) if self.parallel else np.inf
            low = np.where(in_time, np.maximum(low, needed), low)
            low = np.where(in_time & self.parallel & (local > self.system.deadline_s), np.inf, low)
        return np.where(ratio > 0, low, 0.0), np.where(ratio > 0, np.maximum(high, low), 0.0)

    def best(self, ratio: Floats, in_time: NDArray[np.bool_]) -> Floats:
        """Return P2 at the best allocation for each [B, N, K] of ratios; infinite where the tasks do not fit."""
        low_y, high_y = self.speeds_hz(ratio, in_time)
        active = ratio > 0
        beyond = 0.0 if self.effective else self.bias  # y - v
        low, high = np.where(active, low_y - beyond, 0.0), np.where(active, high_y - beyond, 0.0)
        fits = low.sum((-2, -1)) <= self.capacity
        low, high = np.where(np.isfinite(low), low, 0.0), np.minimum(high, self.capacity)
        a = self.q * ratio * self.work
        offer = np.sqrt if self.cubic else None

        def demand(price: Floats) -> Floats:
            net = np.maximum(price[:, None, None] - self.drain, 1e-100)
            best: Floats = np.clip(np.sqrt(a / net) - beyond, low, np.maximum(high, low))
            return best

        def offered(price: Floats) -> Floats:
            total = offer(price / (3 * self.cubic)) if offer else np.full(len(price), np.inf)
            least: Floats = np.minimum(total, self.capacity)
            return least

        floor = np.full(len(ratio), self.drain.max())
        left, right = floor.copy(), floor + 1.0
        for _ in range(120):
            middle = floor + np.sqrt(np.maximum(left - floor, 1e-40) * (right - floor))
            more = demand(middle).sum((-2, -1)) > offered(middle)
            left, right = np.where(more, middle, left), np.where(more, right, middle)
        v = demand(right)
        over = np.where(right <= floor * (1 + 1e-9) + 1e-39, offered(right) - v.sum((-2, -1)), 0.0)
        v += self._drained(ratio, np.maximum(over, 0.0))
        allocation = np.where(v > 0, v - (self.bias if self.effective else 0.0), 0.0)
        value = score(self.snapshot, ratio, np.where(fits[:, None, None], allocation, 1.0))
        return np.where(fits, value, np.inf)

    def _drained(self, ratio: Floats, over: Floats) -> Floats:
        """Give what is left over to tasks of the class that drains best; idle ones only if they can have any speed."""
        host = np.broadcast_to((self.drain == self.drain.max()) & (self.drain > 0), ratio.shape)
        if self.effective:
            host = host & ((ratio > 0) | (self.bias <= 0))
        count = host.sum((-2, -1))
        return np.where(host, (over / np.maximum(count, 1))[:, None, None], 0.0)

    def search(self, levels: Floats, deadlines: bool) -> float:
        """Return the least P2 over all ratios from `levels`, and over which tasks must be in time."""
        shape = self.work.shape
        least = np.inf
        choices = [(level, late) for level in levels for late in ((False, True) if deadlines and level else (False,))]
        for block in batches(itertools.product(choices, repeat=self.work.size), 20_000):
            array = np.array(block, dtype=float).reshape(-1, *shape, 2)
            least = min(least, float(self.best(array[..., 0].copy(), array[..., 1] > 0).min()))
        return least


def batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while block := list(itertools.islice(items, size)):
        yield block


def random_decision(snapshot: TwinSnapshot, rng: np.random.Generator) -> Decision:
    """Draw a feasible decision: some tasks idle, of these some with an allocation, some ratios 1."""
    system, bias = snapshot.system, snapshot.estimation_bias_hz
    ratio = np.clip(rng.uniform(-0.5, 1.5, snapshot.size_bytes.shape), 0.0, 1.0)
    least = least_allocation_hz(system, bias)
    has = (ratio > 0) | (rng.random(ratio.shape) < 0.3)
    capacity = capacity_hz(system, bias)
    counted = bias if system.model.capacity_rule == "effective" else np.zeros(ratio.shape)
    spare = capacity - float((least + counted).sum(where=has))
    if spare < 0:
        return Decision(np.zeros(ratio.shape), np.zeros(ratio.shape))
    part = np.where(has, rng.exponential(size=ratio.shape), 0.0)
    part *= rng.choice([0.1, 0.5, 1.0]) / max(part.sum(), 1e-9)
    return Decision(ratio, np.where(has, least + spare * part, 0.0))


def identical(snapshot: TwinSnapshot) -> TwinSnapshot:
    """Return the slot with all vehicles alike."""
    size = np.broadcast_to(snapshot.size_bytes[:1], snapshot.size_bytes.shape).copy()
    gain = np.full(len(size), snapshot.channel_gain[0])
    return replace(snapshot, size_bytes=size, channel_gain=gain)


def run(snapshot: TwinSnapshot, **options: Any) -> tuple[Decision, Diagnostics]:
    policy = P2Exact(**options)
    policy.reset(snapshot.system, 0)
    return policy.decide(snapshot), policy.diagnostics()


def check(snapshot: TwinSnapshot, **options: Any) -> Diagnostics:
    """Check what must hold for every decision, and return the diagnostics."""
    decision, found = run(snapshot, **options)
    feasible, repaired = project(snapshot.system, decision, snapshot.estimation_bias_hz, snapshot.serving_node)
    assert not repaired
    np.testing.assert_array_equal(feasible.compute_allocation_hz, decision.compute_allocation_hz)
    assert found.objective == score(snapshot, decision.offloading_ratio, decision.compute_allocation_hz)
    assert found.feasible
    assert found.gap >= 0
    assert found.lower_bound <= found.objective
    assert found.gap == (found.objective - found.lower_bound) / max(abs(found.objective), 1.0)
    return found


def random_slot(rng: np.random.Generator) -> TwinSnapshot:
    """Draw a system and a slot from everything that can be configured."""
    reading: dict[str, Any] = {
        "mode": str(rng.choice(["paper", "corrected"])),
        "order": str(rng.choice(["sequential", "parallel"])),
        "upload": (None, "proportional", "whole", "always")[rng.integers(4)],
        "capacity": (None, "alloc", "effective")[rng.integers(3)],
    }
    num_vehicle, num_class = int(rng.integers(1, 13)), int(rng.integers(1, 4))
    weights = {
        "deadline_price": float(rng.choice([0.0, 1.0, 10.0])),
        "energy_weight": float(rng.choice([0.0, 0.2 / num_vehicle, 0.2, 1.0])),
        "qos_weight": float(rng.choice([0.0, 1.0, 1.0, 1.0])),
        "beta": float(rng.choice([0.0, 0.1, 1.0])),
    }
    server_hz = num_vehicle * float(rng.choice([1e9, 6e9, 30e9]))
    system = make_system(num_vehicle, num_class, reading, weights=weights, server_hz=server_hz)
    bias_hz = min(float(rng.choice([0.0, -2e8, 2e8])), 0.5 * server_hz / (num_vehicle * num_class))
    snapshot = make_snapshot(system, rng, bias_hz, backlog=float(rng.choice([0.0, 0.3, 3.0])))
    if rng.random() < 0.3:
        spread = rng.uniform(0.0, 1.5, snapshot.size_bytes.shape)
        snapshot = replace(snapshot, estimation_bias_hz=snapshot.estimation_bias_hz * spread)
    return snapshot
