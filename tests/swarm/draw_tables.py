"""Draws the tables that have little to do with the others: twin, network, objective, timed events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.property.dice import biases, delays
from tests.swarm.lot import Lot


def some_delay(lot: Lot, slot_s: float) -> Any:
    """Draw a delay of the order of a slot, in any of its forms."""
    return lot.pick([lot.quantity(0.25 * slot_s, "s"), 0.0, delays(lot, slot_s), delays(lot, slot_s)])


def _link(lot: Lot, slot_s: float) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if lot.chance(0.7):
        table["latency_s"] = some_delay(lot, 0.5 * slot_s)
    if lot.chance(0.4):
        table["jitter_s"] = lot.pick([0.0, 0.3 * slot_s])
    if lot.chance(0.4):
        table["loss"] = lot.pick([0.0, 0.05, 0.3, 1.0])
    return table


def networks(lot: Lot, slot_s: float) -> dict[str, Any]:
    if lot.chance(0.3):
        return {}
    return {name: _link(lot, slot_s) for name in ("access", "backhaul", "lan") if lot.chance(0.6)}


def _bias(lot: Lot, scale: float, slot_s: float, *, own: bool = True) -> Any:
    if lot.chance(0.5):
        return {"kind": "constant"}
    if lot.chance(0.3):
        return {"kind": "constant", "value": scale * lot.pick([-0.5, 0.5])}
    return biases(lot, scale, slot_s, own=own)


def twins(lot: Lot, slot_s: float, share_hz: float) -> dict[str, Any]:
    scales = {
        "cpu_frequency_hz": share_hz,
        "task_size_bytes": 500.0,
        "position_m": 30.0,
        "channel_gain_db": 3.0,
        "cpu_backlog_cycles": 1e6,
        "uplink_backlog_bytes": 500.0,
    }
    bias = {key: _bias(lot, scale, slot_s) for key, scale in scales.items() if lot.chance(0.3)}
    if lot.chance(0.3):
        bias["server_backlog_bytes"] = _bias(lot, 500.0, slot_s, own=False)
    if lot.chance(0.5):
        bias["known"] = lot.chance(0.5)
    table: dict[str, Any] = {}
    if lot.chance(0.6):
        table["estimator"] = lot.pick(["hold", "hold", "predict"])
    if lot.chance(0.7):
        table["sync_window_s"] = slot_s * lot.part(0.0, 0.25, 1.0, 2.5)
    if bias or lot.chance(0.2):
        table["bias"] = bias
    if lot.chance(0.7):
        latency: Any = lot.pick(["zero", "measured", *[None] * 6])
        table["decision"] = {"latency": some_delay(lot, lot.pick([0.3, 3.0]) * slot_s) if latency is None else latency}
        if lot.chance(0.4):
            table["decision"]["deadline_s"] = slot_s * lot.pick([0.2, 1.0, 1.7])
    if lot.chance(0.7):
        table["command"] = {
            "missing": lot.pick(["previous", "local", "wait"]),
            "patience_s": slot_s * lot.part(0.0, 0.5, 1.0, 2.0),
        }
    return table


def objectives(lot: Lot, *, joint: bool) -> dict[str, Any]:
    """Draw what counts: the weights of P2, or with joint allocation the weighted cost."""
    if joint:
        cost: dict[str, Any] = {"time_weight": lot.pick([0.1, 0.5, 0.9])} if lot.chance(0.7) else {}
        return {"cost": cost | ({"normalise": lot.chance(0.5)} if lot.chance(0.5) else {})}
    options: dict[str, list[float]] = {
        "qos_weight": [0, 1.0, 2.5],
        "energy_weight": [0, 0.5, 1e-3],
        "deadline_price": [0, 2.0],
        "beta": [0, 0.1, 3],
        "v": [0, 1, 7.5],
        "qos_floor": [0, -0.5, -4],
    }
    chosen = {key: lot.pick(values) for key, values in options.items() if lot.chance(0.4)}
    return {"objective": chosen} if chosen else {}


def timelines(
    lot: Lot,
    slot_s: float,
    end_s: float,
    nodes: Sequence[str],
    tasks: Sequence[str],
    count: int | None,
    policies: Sequence[str],
) -> list[dict[str, Any]]:
    """Draw timed events, none in half of the cases; `count` : vehicles that may come and go, None with a trace."""
    kinds = ["node-down", "node-up", "link", "bias", "burst", "policy"]
    kinds += ["vehicle-leaves", "vehicle-enters"] if count is not None else []
    found = []
    for _ in range(lot.pick([0, 0, 0, 1, 2, 4])):
        kind = lot.pick(kinds)
        at_s = lot.pick(
            [0.0, lot.real(0.0, end_s), slot_s * lot.integer(0, max(round(end_s / slot_s), 1)), 2.0 * end_s]
        )
        event: dict[str, Any] = {"kind": kind, "at_s": lot.quantity(at_s, "s")}
        if lot.chance(0.3):
            event["every_s"] = slot_s * lot.pick([0.4, 1.0, 1.5, 3.0])
            if lot.chance(0.5):
                event["until_s"] = lot.pick([end_s, 0.6 * end_s + 1e-9])
        if kind.startswith("node"):
            event["node"] = lot.pick(nodes)
        elif kind.startswith("vehicle"):
            event["vehicle"] = lot.integer(0, (count or 1) - 1)
        elif kind == "bias":
            event["cpu_frequency_hz"] = lot.pick(["10 MHz", -3e7])
        elif kind == "policy":
            event["name"] = lot.pick(policies)
        elif kind == "link":
            event["link"] = lot.pick(["access", "backhaul", "lan"])
            event |= _link(lot, slot_s)
        else:
            event |= {"size_factor": lot.pick([0.5, 2.5]), "duration_s": slot_s * lot.pick([0.5, 1.0, 2.0])}
            if lot.chance(0.5):
                event["task"] = lot.pick(tasks)
        found.append(event)
    return found
