"""Snapshots of two vehicles and two classes, and what a policy decides on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from policies.registry import make
from sim import Scenario
from tests.support.scenarios import BASE
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

SERVER_HZ = 60e9
EXAMPLE: tuple[Any, Any] = ([[20e3, 40e3], [20e3, 40e3]], [1e-10, 1e-14])
"""Sizes in bytes and channel gains."""


def make_snapshot(size: Any, gain: Any, bias_hz: float, *settings_: str, backlog: float = 0.0) -> TwinSnapshot:
    """Two vehicles, two classes."""
    system = Scenario.from_dict(BASE, settings=["vehicles.num_vehicle=2", *settings_]).system()
    zeros = np.zeros(2)
    return TwinSnapshot(
        slot=0,
        time_ns=0,
        system=system,
        size_bytes=np.asarray(size, dtype=float).reshape(2, 2),
        x_m=zeros,
        y_m=zeros,
        speed_mps=zeros,
        heading_rad=zeros,
        serving_node=np.zeros(2, dtype=np.int64),
        channel_gain=np.asarray(gain, dtype=float),
        age_of_information_s=zeros,
        backlog_bytes=np.full(2, backlog),
        estimation_bias_hz=np.full((2, 2), bias_hz),
    )


def decide(name: str, snapshot: TwinSnapshot, seed: int = 0) -> Decision:
    """Let a policy decide about one snapshot."""
    policy = make(name)
    policy.reset(snapshot.system, seed)
    return policy.decide(snapshot)


SNAPSHOT = make_snapshot(*EXAMPLE, 0.0)
SHAPE = SNAPSHOT.size_bytes.shape
SHARE_HZ = 60e9 / 4


def feasible() -> Decision:
    """Return a decision about `SNAPSHOT` that needs no repair."""
    return Decision(np.full(SHAPE, 0.5), np.full(SHAPE, SHARE_HZ))
