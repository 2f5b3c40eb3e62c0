"""A snapshot of vehicles at several nodes."""

from __future__ import annotations

import numpy as np

from sim import Scenario
from twin.snapshot import TwinSnapshot

NUM_VEHICLE = 20
OWN = 'rsus.1.server={frequency_hz="2 GHz", kappa=3e-26, gpu={num_core=100, flop_per_cycle=8}}'


def make_snapshot(mode: str = "corrected", *settings: str, seed: int = 1, away: bool = True) -> TwinSnapshot:
    """Return a slot of 20 vehicles at four of five nodes; the third node has none, and some vehicles no node."""
    system = Scenario.load("llm6g", [OWN, f"model.mode={mode}", *settings]).system()
    rng = np.random.default_rng(seed)
    node = rng.choice([0, 1, 3, 4], NUM_VEHICLE)
    if away:
        node[[4, 9]] = -1
    zeros = np.zeros(NUM_VEHICLE)
    return TwinSnapshot(
        slot=0,
        time_ns=0,
        system=system,
        size_bytes=8192.0 * rng.integers(64, 1025, (NUM_VEHICLE, 1)).astype(np.float64),
        x_m=zeros,
        y_m=zeros,
        speed_mps=zeros,
        heading_rad=zeros,
        serving_node=node,
        channel_gain=np.where(node < 0, 0.0, rng.uniform(1e-12, 1e-9, NUM_VEHICLE)),
        age_of_information_s=zeros,
        backlog_bytes=np.zeros(1),
        estimation_bias_hz=np.zeros((NUM_VEHICLE, 1)),
    )
