"""A data plane whose uploads take no time."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints
from physical.columns.pipeline import DataPlane
from physical.ticks import TICK_BITS
from sim import Scenario
from tests.support.scenarios import BASE

CYCLES_PER_BYTE = 1000.0
MS = 1_000_000 << TICK_BITS


def make_plane(discipline: str, num_vehicle: int, num_class: int) -> DataPlane:
    """Return a data plane whose uploads take no time, so that tasks at ratio 1 arrive when they start."""
    task = {"size_bytes": [1000, 1000], "cycles_per_byte": CYCLES_PER_BYTE, "deadline_s": 1.0}
    data = BASE | {
        "tasks": [task | {"name": f"class-{index}"} for index in range(num_class)],
        "vehicles": BASE["vehicles"] | {"num_vehicle": num_vehicle},
        "server": BASE["server"] | {"discipline": discipline},
    }
    plane = DataPlane(Scenario.from_dict(data).system())
    plane.begin_slot(0, np.full(num_vehicle, 1e40), np.ones(num_vehicle), np.zeros(num_vehicle, dtype=np.int64))
    return plane


def offload(plane: DataPlane, arrive: Ints, size_bytes: Floats) -> None:
    """Let tasks of sizes [B, N, K] arrive at the server at given ticks [B, N, K]."""
    first_row = plane.columns.append_slots(0, size_bytes)
    rows = np.arange(first_row, plane.columns.num_row)
    plane.start(rows, arrive.reshape(-1), np.ones(len(rows)))
