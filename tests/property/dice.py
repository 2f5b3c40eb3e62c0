"""Draws of scenarios: independent of each other, from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Dice:
    """Independent draws from one seed: every kind of trouble comes up as often as it should in any number of cases.

    (Hypothesis's own draws are correlated from case to case; it chooses the seeds, and reports the one that fails.)
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._generator.integers(len(choices)))]

    def integer(self, low: int, high: int) -> int:
        return int(self._generator.integers(low, high, endpoint=True))

    def real(self, low: float, high: float) -> float:
        return float(self._generator.uniform(low, high))

    def part(self, *values: float) -> float:
        """Draw one of some round values, where things coincide, or anything up to the largest."""
        return float(self.pick(values)) if self.pick([False, True]) else self.real(0.0, max(values))


def delays(dice: Dice, slot_s: float) -> Any:
    """Draw a delay of the order of a slot."""
    mean_s = slot_s * dice.part(0.05, 0.25, 0.5, 1.0, 1.5)
    kind = dice.pick(["constant", "constant", "uniform", "exponential", "lognormal"])
    return {
        "constant": {"kind": "constant", "value_s": mean_s},
        "uniform": {"kind": "uniform", "low_s": 0.5 * mean_s, "high_s": 1.5 * mean_s},
        "exponential": {"kind": "exponential", "mean_s": mean_s},
        "lognormal": {"kind": "lognormal", "median_s": mean_s, "sigma": dice.pick([0.0, 1.0])},
    }[kind]


def links(dice: Dice, slot_s: float) -> dict[str, Any]:
    """Draw a link, an ideal one as often as not."""
    if dice.pick([False, True]):
        return {}
    jitter_s = dice.pick([0.0, 0.0, 0.3 * slot_s])
    loss = dice.pick([0.0, 0.05, 0.3])
    return {"latency_s": delays(dice, slot_s), "jitter_s": jitter_s, "loss": loss}


def biases(dice: Dice, scale: float, slot_s: float, *, own: bool = True) -> Any:
    """Draw a bias process of a given size; `own`: one that may be another for each vehicle."""
    kinds = ["none", "none", "constant", "random-walk", "timed"]
    kind = dice.pick([*kinds, "values", "normal"] if own else kinds)
    value = scale * dice.pick([-0.7, 0.5])
    return {
        "none": 0.0,
        "constant": value,
        "values": {"kind": "per-vehicle", "values": [value, 0.0, -value]},
        "normal": {"kind": "per-vehicle", "mean": 0.1 * value, "std": 0.5 * scale},
        "random-walk": {"kind": "random-walk", "start": value, "step_std": 0.3 * scale},
        "timed": {"kind": "timed", "points": [[2.0 * slot_s, value], [3.5 * slot_s, 0.0], [5.0 * slot_s, -value]]},
    }[kind]


def twins(dice: Dice, slot_s: float, share_hz: float) -> dict[str, Any]:
    """Draw the twin's parameters; decisions may take longer than a slot, and windows may be longer than one."""
    slow = dice.pick([0.0, 1.0, 3.0])
    time = {"latency": delays(dice, slow * slot_s) if slow else "zero"}
    if dice.pick([False, True]):
        time["deadline_s"] = slot_s * dice.pick([0.2, 1.0, 1.7])
    bias = {
        "cpu_frequency_hz": biases(dice, share_hz, slot_s),
        "task_size_bytes": biases(dice, 500.0, slot_s),
        "position_m": biases(dice, 30.0, slot_s),
        "channel_gain_db": biases(dice, 3.0, slot_s),
        "cpu_backlog_cycles": biases(dice, 1e6, slot_s),
        "uplink_backlog_bytes": biases(dice, 500.0, slot_s),
        "server_backlog_bytes": biases(dice, 500.0, slot_s, own=False),
        "known": dice.pick([False, True]),
    }
    command = {
        "missing": dice.pick(["previous", "local", "wait"]),
        "patience_s": slot_s * dice.part(0.0, 0.25, 0.5, 1.0, 2.0),
    }
    return {
        "estimator": dice.pick(["hold", "predict"]),
        "sync_window_s": slot_s * dice.part(0.0, 0.25, 0.5, 1.0, 1.5, 2.5),
        "bias": bias,
        "decision": time,
        "command": command,
    }
