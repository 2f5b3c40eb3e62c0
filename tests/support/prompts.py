"""Random states with random decisions, as prompts show them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tests.support.scenarios import make_scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


@dataclasses.dataclass(frozen=True)
class Pair:
    snapshot: TwinSnapshot
    decision: Decision


def make_snapshot(seed: int = 0, num_vehicle: int = 3, **changes: Any) -> TwinSnapshot:
    """A random state of the two-class test system."""
    system = make_scenario(f"vehicles.num_vehicle={num_vehicle}").system()
    rng = np.random.default_rng(seed)
    shape = (num_vehicle, 2)
    arrays: dict[str, Any] = {
        "size_bytes": np.round(system.size_bytes_mean * rng.uniform(0.5, 1.5, shape)),
        "x_m": rng.uniform(-500, 500, shape[0]),
        "y_m": np.zeros(shape[0]),
        "speed_mps": rng.uniform(10, 15, shape[0]),
        "heading_rad": np.zeros(shape[0]),
        "serving_node": np.zeros(shape[0], dtype=np.int64),
        "channel_gain": 10.0 ** rng.uniform(-14, -8, shape[0]),
        "age_of_information_s": np.zeros(shape[0]),
        "backlog_bytes": rng.uniform(0, 1e5, 2),
        "estimation_bias_hz": np.zeros(shape),
    }
    return TwinSnapshot(slot=0, time_ns=0, system=system, **(arrays | changes))


def make_case(seed: int, num_vehicle: int = 3) -> Pair:
    """A random state with a random decision."""
    snapshot = make_snapshot(seed, num_vehicle)
    rng = np.random.default_rng((1, seed))
    shape = snapshot.size_bytes.shape
    share = rng.dirichlet(np.ones(shape[0] * shape[1])).reshape(shape)
    return Pair(snapshot, Decision(rng.random(shape), share * snapshot.system.server.frequency_hz))
