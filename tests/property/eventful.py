"""Small systems of both families in which vehicles, nodes and biases come, go and jump."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.property.dice import Dice
from tests.property.families import Case, case_of
from tests.property.layer_families import layer_case_of


def hardware_case_of(seed: int) -> Case:
    """Draw a case of either family in mode "corrected", and let vehicles, nodes and biases come, go and jump."""
    dice = Dice(seed)
    case = case_of(seed) if dice.pick([False, True]) else layer_case_of(seed)
    slot_s, num_slot = case.scenario.time.slot_duration_s, case.scenario.time.num_slot
    at_s = sorted(slot_s * dice.real(0.0, num_slot) for _ in range(3))
    vehicle = dice.integer(0, case.scenario.system().num_vehicle - 1)
    node = dice.pick([node.name for node in case.scenario.nodes])
    jump_hz = dice.pick([-0.3, 0.3]) * case.scenario.server.frequency_hz
    happenings: list[list[dict[str, Any]]] = [
        [],
        [],
        [{"kind": "bias", "at_s": at_s[0], "cpu_frequency_hz": jump_hz}],
        [
            {"kind": "vehicle-leaves", "at_s": at_s[0], "vehicle": vehicle},
            {"kind": "vehicle-enters", "at_s": at_s[1], "vehicle": vehicle},
        ],
        [{"kind": "node-down", "at_s": at_s[1], "node": node}, {"kind": "node-up", "at_s": at_s[2], "node": node}],
    ]
    rules = ["forward", "drop"] + ["finish"] * (case.scenario.server.discipline != "fifo")
    corrected = {"mode": "corrected", "capacity": None, "handover": dice.pick(rules)}
    data = case.data | {"model": case.data["model"] | corrected, "timeline": dice.pick(happenings)}
    faults = () if data["timeline"] else case.faults
    return replace(case, data=data, faults=faults)
