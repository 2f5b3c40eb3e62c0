"""Draws small files of traffic, requests and links, as others write them."""

from __future__ import annotations

import math
from typing import Any

from tests.swarm.lot import Lot


def _courses(lot: Lot, step_s: float, num_step: int, count: int) -> list[tuple[float, str, float, float, float]]:
    """Return rows of vehicles that drive along x: each enters and leaves some time, some with a gap in between."""
    rows = []
    names = [lot.pick([str, "veh{}".format, "v-0{}".format])(index) for index in range(count)]
    for index, name in enumerate(names):
        first, last = sorted((lot.integer(0, num_step), lot.integer(0, num_step)))
        if index == 0:
            first, last = 0, num_step
        gap = range(*sorted((lot.integer(first, last), lot.integer(first, last)))) if lot.chance(0.2) else range(0)
        start_m, speed_mps, lane_m = lot.real(-150.0, 150.0), lot.pick([0.0, 13.25, -8.0]), lot.pick([0.0, 3.5, -3.5])
        for step in range(first, last + 1):
            if step not in gap or step in {first, last}:
                time_s = step * step_s
                rows.append((time_s, name, start_m + speed_mps * time_s, lane_m, abs(speed_mps)))
    return sorted(rows)


def mobility_file(lot: Lot, slot_s: float, num_slot: int, count: int) -> tuple[str, str, int, dict[str, Any]]:
    """Return name and text of a file, the longest run that it allows, and keys beside the file's."""
    step_s = slot_s * lot.pick([0.4, 1.0, 2.0])
    num_step = max(math.ceil(num_slot * slot_s / step_s), 1)
    epoch_s = lot.pick([0.0, 100.0])
    rows = _courses(lot, step_s, num_step, count)
    told: dict[str, Any] = {}
    begin_ns = 0
    if lot.chance(0.5):
        begin_ns = lot.pick([0, round(0.3 * slot_s * 1e9), round(step_s * 1e9)])
        told["begin_s"] = epoch_s + begin_ns / 1e9
    longest = (round(num_step * step_s * 1e9) - begin_ns) // round(slot_s * 1e9) + 1
    if lot.chance(0.5):
        lines = ["t_s,entity_id,x_m,y_m,speed_mps"]
        lines += [f"{epoch_s + time:.6f},{name},{x:.3f},{y:.3f},{v:.3f}" for time, name, x, y, v in rows]
        return "traffic.csv", "\n".join(lines) + "\n", longest, told
    lines = ["<fcd-export>"]
    for time_s in dict.fromkeys(row[0] for row in rows):
        lines.append(f'<timestep time="{epoch_s + time_s:.6f}">')
        for _, name, x, y, v in (row for row in rows if row[0] == time_s):
            kind = ' type="car"' if lot.chance(0.5) else ""
            lines.append(f'<vehicle id="{name}" x="{x:.3f}" y="{y:.3f}" angle="90.00" speed="{v:.3f}"{kind}/>')
        lines.append("</timestep>")
    return "traffic.fcd.xml", "\n".join([*lines, "</fcd-export>"]) + "\n", longest, told


def requests_file(lot: Lot, slot_s: float, num_slot: int, count: int) -> tuple[str, int, dict[str, Any]]:
    """Return the text of a file, the longest run that it allows, and keys beside the file's."""
    speed = lot.pick([1.0, 2.0, 0.5])
    length_s = round(num_slot * slot_s * speed * lot.pick([0.5, 1.0, 1.3]), 3)
    number = lot.integer(1, max(2 * num_slot * min(count, 4), 2))
    times_s = sorted([0.0, length_s, *(round(lot.real(0.0, length_s), 4) for _ in range(number))])
    lines = ["t_s,num_input_token,num_output_token"]
    lines += [f"{time_s:.4f},{lot.pick([1, 17, 64, lot.integer(1, 300)])},{lot.integer(0, 9)}" for time_s in times_s]
    told: dict[str, Any] = {"speed": speed} if speed != 1 or lot.chance(0.5) else {}
    begin_ns = 0
    if lot.chance(0.3):
        told["begin_s"] = round(0.3 * length_s, 3)
        begin_ns = round(told["begin_s"] * 1e9)
    longest = math.ceil((round(length_s * 1e9) - begin_ns) / (speed * round(slot_s * 1e9))) + 1
    return "\n".join(lines) + "\n", min(longest, num_slot), told


def link_file(lot: Lot, slot_s: float, bandwidth_hz: float) -> str:
    """Return the text of a file of rates, some of them 0."""
    lines = ["t_s,link_id,uplink_rate_bps"]
    for link in range(lot.integer(1, 3)):
        for step in range(lot.integer(1, 6)):
            rate_bps = bandwidth_hz * lot.pick([0.0, 0.1, 2.0, 5.0])
            lines.append(f"{round(step * slot_s, 6):.6f},l{link},{rate_bps:.1f}")
    return "\n".join(lines) + "\n"
