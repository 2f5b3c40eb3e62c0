"""Towns in which everything happens: nodes fail, vehicles come and go, links, biases, sizes and policies change."""

from __future__ import annotations

from typing import Any

from sim import Scenario
from tests.property.dice import Dice, delays
from tests.support.town import TOWN


def town_case_of(seed: int) -> tuple[Scenario, str]:
    """Draw a town in which everything happens."""
    dice = Dice(seed)
    events: list[dict[str, Any]] = []
    for vehicle in range(8):
        kinds = ["vehicle-leaves", "vehicle-enters"]
        if dice.pick([False, True]):
            kinds = kinds[::-1]
        for kind in kinds[: dice.integer(0, 2)]:
            events.append({"kind": kind, "at_s": dice.part(0.2, 0.4, 0.9), "vehicle": vehicle})
    for node in ("base-station", "west", "east"):
        if dice.pick([False, True]):
            at_s, period_s = dice.part(0.1, 0.5), dice.pick([0.5, 0.77])
            events.append({"kind": "node-down", "at_s": at_s, "every_s": period_s, "node": node})
            events.append({"kind": "node-up", "at_s": at_s + 0.3, "every_s": period_s, "node": node})
    events.append({"kind": "burst", "at_s": 0.3, "duration_s": 0.2, "size_factor": 2.5})
    events.append({"kind": "link", "at_s": dice.part(0.2, 0.7), "link": dice.pick(["access", "lan"]), "loss": 0.3})
    events.append({"kind": "bias", "at_s": 0.6, "cpu_frequency_hz": dice.pick([-1e8, 1e8])})
    events.append({"kind": "policy", "at_s": dice.part(0.5, 1.2), "name": dice.pick(["random", "greedy-latency"])})
    data = TOWN | {
        "timeline": events,
        "mobility": {"kind": dice.pick(["highway", "straight"]), "length_m": 1500.0, "speed_mps": [0, 400]},
        "model": {
            "handover": dice.pick(["forward", "finish", "drop"]),
            "order": dice.pick(["sequential", "parallel"]),
            "mode": dice.pick(["paper", "corrected"]),
        },
        "network": {"access": {"latency_s": delays(dice, 0.02)}, "backhaul": {"latency_s": delays(dice, 0.05)}},
        "twin": {
            "sync_window_s": dice.part(0.0, 0.05, 0.15),
            "decision": {"latency": delays(dice, 0.1) if dice.pick([False, True]) else "zero"},
            "command": {"missing": dice.pick(["previous", "local", "wait"]), "patience_s": dice.part(0.02, 0.15)},
        },
    }
    data["server"] = {**TOWN["server"], "frequency_hz": dice.pick([1e9, 5e9, 2e10])}
    data["radio"] = {**TOWN["radio"], "range_m": dice.pick([None, 400.0]), "fading": "rayleigh"}
    data["vehicles"] = {**TOWN["vehicles"], "cpu": dice.pick(["per-task", "sharing"]), "cpu_hz": dice.pick([3e8, 2e9])}
    policy = dice.pick(["edge-equal", "random", "greedy-latency"])
    if dice.pick([False, True]):  # away for a slot, in which commands are on their way
        for kind, at_s in (("vehicle-leaves", 0.3), ("vehicle-enters", 0.4)):
            events.append({"kind": kind, "at_s": at_s, "every_s": 0.4, "vehicle": 7})
        data["network"]["backhaul"]["latency_s"] = 0.13
    return Scenario.from_dict(data), policy
