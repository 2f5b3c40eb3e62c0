"""Scenarios of tests: three vehicles of two classes, random networks, traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim import Scenario

SLOT_NS = 100_000_000
# What the quantisation of inputs and estimates to 24 bits allows (physical.quantize), on roads up to 1 km.
QUANTUM_M = 1e-4
BASE: dict[str, Any] = {
    "time": {"slot_duration_s": 0.1, "num_slot": 12},
    "vehicles": {
        "num_vehicle": 3,
        "cpu_hz": [1.5e9, 2.5e9],
        "kappa": 1e-27,
        "transmit_power_w": 0.2,
        "cpu": "per-task",
    },
    "radio": {"bandwidth_hz": 20e6, "noise_w": 1e-14, "uplink": "each"},
    "server": {"frequency_hz": 60e9, "num_core": 20, "kappa": 1.85e-28},
    "tasks": [
        {"name": "a", "size_bytes": [10_000, 30_000], "cycles_per_byte": 2000, "deadline_s": 0.04},
        {"name": "b", "size_bytes": [20_000, 60_000], "cycles_per_byte": 3000, "deadline_s": 0.5},
    ],
}
RANDOM_NETWORK = (
    'network.access.latency_s={kind="exponential", mean_s=0.001}',
    "network.access.loss=0.1",
    "network.backhaul.jitter_s=0.002",
    "network.lan.loss=0.05",
)
PASSAGES = ("report", "command", "upload", "result", "server_report", "server_command")


def make_scenario(*settings: str) -> Scenario:
    """Three vehicles, two classes, an ideal network; `settings` as on the command line."""
    return Scenario.from_dict(BASE, settings=settings)


def write_scenario(path: Path, file: Path, slot_s: float, num_slot: int | None = None) -> Path:
    """Write a scenario with one task of each vehicle in each slot."""
    length = "" if num_slot is None else f", num_slot = {num_slot}"
    path.write_text(
        f"""
time = {{ slot_duration_s = {slot_s}{length} }}
vehicles = {{ cpu_hz = 1e9, kappa = 1e-27, transmit_power_w = 0.2 }}
mobility = {{ kind = "trace", file = "{file.name}" }}
radio = {{ bandwidth_hz = 1e7 }}
server = {{ frequency_hz = 1e10, num_core = 10, kappa = 1e-28 }}
tasks = [{{ name = "t", size_bytes = 1000, cycles_per_byte = 1000, deadline_s = 0.1 }}]
""",
        "utf-8",
    )
    return path
