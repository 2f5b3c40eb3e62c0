"""Drawn cases of a case set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from physical.system import System
from policies.cases.case import Case, CaseSet
from sim import Scenario
from tests.support.scenarios import make_scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

SYSTEM = make_scenario().system()
JOINT = Scenario.load("llm6g", ["vehicles.num_vehicle=3"]).system()


def make_case(seed: int, system: System = SYSTEM, **changes: Any) -> Case:
    """Draw a case: everything random that an array may hold."""
    rng = np.random.default_rng(seed)
    count, shape = system.num_vehicle, (system.num_vehicle, system.num_class)
    snapshot = TwinSnapshot(
        slot=seed,
        time_ns=seed * 100_000_000,
        system=system,
        size_bytes=rng.uniform(0.2, 1.8, shape) * system.size_bytes_mean,
        x_m=rng.normal(0, 300, count),
        y_m=rng.normal(0, 3, count),
        speed_mps=rng.uniform(5, 20, count),
        heading_rad=rng.uniform(0, 6, count),
        serving_node=rng.integers(-1, system.num_node, count),
        channel_gain=10 ** rng.uniform(-13, -9, count),
        age_of_information_s=rng.exponential(0.1, count),
        backlog_bytes=rng.exponential(1e5, system.num_class),
        estimation_bias_hz=rng.normal(0, 1e9, shape),
        cpu_backlog_cycles=rng.exponential(1e8, count),
        uplink_backlog_bytes=rng.exponential(1e4, count),
        flow_backlog_cycles=rng.exponential(1e8, shape),
    )
    joint = {}
    if system.joint:
        joint = {
            "local_frequency_hz": rng.uniform(1e8, 1e9, count),
            "transmit_power_w": rng.uniform(0.01, 0.2, count),
            "bandwidth_hz": rng.uniform(1e6, 2e6, count),
        }
    decision = Decision(rng.random(shape), rng.random(shape) * 5e9, **joint)
    objective, realised, price = rng.normal(), rng.normal(), rng.uniform(0.0, 2.0)
    case = Case(snapshot, decision, float(objective), float(realised), f"drawn slot={seed}", float(price))
    return replace(case, **changes)


def make_set(count: int, system: System = SYSTEM, first: int = 0) -> CaseSet:
    return CaseSet(system, (make_case(seed, system) for seed in range(first, first + count)))
