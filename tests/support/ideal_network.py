"""Scenarios in which every task ends in its own slot, and policies that scatter their decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from physical.params import Discipline
from physical.system import System
from policies.feasible import capacity_hz
from sim.scenario.scenario import Scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

VEHICLE_SHARE_HZ = 8e9
NUM_CLASS = 3


def server(num_vehicle: int, discipline: Discipline) -> dict[str, Any]:
    server_hz = num_vehicle * VEHICLE_SHARE_HZ
    return {"frequency_hz": server_hz, "num_core": 10, "kappa": 1 / server_hz**3, "discipline": discipline}


def scenario(num_vehicle: int, **tables: Any) -> Scenario:
    """Return slots so long that every task ends in its own; 1 ns is less than 1e-9 of every deadline."""
    task = {"size_bytes": [1000, 1500], "cycles_per_byte": 1e6}
    deadlines_s = (1.0, 1.3, 2.0)
    data: dict[str, Any] = {
        "time": {"slot_duration_s": 4.0, "num_slot": 6},
        "vehicles": {
            "num_vehicle": num_vehicle,
            "cpu_hz": [5e9, 3e9],
            "cpu": "per-task",  # eqs. 7 and 9 know of no waiting at the vehicle
            "kappa": 1e-28,
            "transmit_power_w": 0.2,
        },
        "radio": {"bandwidth_hz": 20e6, "noise_w": 1e-14, "uplink": "each"},
        "server": server(num_vehicle, "slices"),
        "tasks": [task | {"name": f"k{k}", "deadline_s": deadline_s} for k, deadline_s in enumerate(deadlines_s)],
        "objective": {"deadline_price": 3.0},
    }
    return Scenario.from_dict(data | tables)


@dataclass
class Scattered:
    """Random ratios, some of them exactly 0 or 1, and random parts of 0.8 of the server, none much below the mean."""

    def reset(self, system: System, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        ratio = np.clip(1.5 * self._generator.random(self._shape) - 0.25, 0.0, 1.0)
        part = self._generator.uniform(0.5, 1.5, size=self._shape)
        bias_hz = snapshot.estimation_bias_hz
        spare_hz = 0.8 * capacity_hz(snapshot.system, bias_hz)
        if snapshot.system.model.capacity_rule == "effective":
            spare_hz -= float(bias_hz.sum())
        return Decision(ratio, spare_hz * part / part.sum())


@dataclass
class Tides:
    """Offloads everything to a server that is scarce for some slots and plentiful for some."""

    def reset(self, system: System, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        part = self._generator.exponential(size=self._shape)
        load = 0.1 if snapshot.slot % 20 < 8 else 0.9
        return Decision(np.ones(self._shape), load * snapshot.system.server.frequency_hz * part / part.sum())
