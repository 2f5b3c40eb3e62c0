"""Positions of vehicles as small integers, for the map of a report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from sim.show.export.perfetto.lanes import deal
from sim.show.report.runs import ReportedRun
from sim.show.report.series import rounded

PLAYER_BYTES = 7_500_000
"""Room on a page for the positions of all its runs; frames are left out until they fit."""
_ABSENT = -32768
_LARGEST = 32767
_BASE64 = 4 / 3
_FRAME_BYTES = 6  # x, y, node, state of one vehicle
_BELIEF_BYTES = 4


class Blobs:
    """Arrays in base64; equal arrays are held once, because runs with the same seed have the same motion."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, values: NDArray[Any]) -> str:
        """Keep an array and return its name."""
        data = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
        name = hashlib.sha256(data).hexdigest()[:12]
        if name not in self.texts:
            self.texts[name] = base64.b64encode(data).decode("ascii")
        return name


def motion_of(run: ReportedRun, blobs: Blobs, bytes_max: int = PLAYER_BYTES) -> dict[str, Any] | None:
    """Return the data of a run for the player; None if no vehicle was ever on the road.

    bytes_max : room for this run, in bytes of base64
    """
    rows = run.table("vehicles")
    if not rows.num_rows:
        return None
    slot = rows.column("slot").to_numpy().astype(np.int64)
    vehicle = rows.column("vehicle").to_numpy().astype(np.int64)
    seat, visits = _seats(slot, vehicle)
    names = run.recorded.vehicle_names
    num_seat = int(seat.max()) + 1
    samples_max = bytes_max / _BASE64 / num_seat
    step = max(1, int(np.ceil(run.num_slot / (samples_max / _FRAME_BYTES))))
    num_frame = -(-run.num_slot // step)
    with_belief = num_frame * (_FRAME_BYTES + _BELIEF_BYTES) <= samples_max
    shown = slot % step == 0
    x_m, y_m = run.column("vehicles", "x_m"), run.column("vehicles", "y_m")
    grid = _Grid(num_frame, num_seat, slot[shown] // step, seat[shown])
    nodes = run.scenario.nodes
    axes = [
        _PackedAxis.of(values, [node.position_m[index] for node in nodes]) for index, values in enumerate((x_m, y_m))
    ]
    found: dict[str, Any] = {
        "frames": num_frame,
        "seats": num_seat,
        "frameS": step * run.slot_s,
        "step": step,
        "endS": run.num_slot * run.slot_s,
        "jumpM": rounded(_jump_m(run, step)),
        "axes": [[axis.low, axis.step, axis.high] for axis in axes],
        "x": blobs.add(grid.fill(axes[0].quantised(x_m[shown]), _ABSENT)),
        "y": blobs.add(grid.fill(axes[1].quantised(y_m[shown]), _ABSENT)),
        "node": blobs.add(grid.fill(_serving(run)[shown], 0)),
        "state": blobs.add(grid.fill(_states(run, slot, vehicle)[shown], 0)),
        "visits": [[*visit[:3], names[visit[3]]] for visit in visits] if names else visits,
        "nodes": [
            {"name": node.name, "x": node.position_m[0], "y": node.position_m[1], "rsu": node.is_rsu} for node in nodes
        ],
    }
    if with_belief:
        found["belief"] = _belief(run, blobs, axes, step, (num_frame, num_seat), (slot, vehicle, seat))
    return found


class _PackedAxis:
    """Positions along one axis as 16 bit integers."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.step = max(high - low, 1.0) / (2 * _LARGEST)

    @classmethod
    def of(cls, values: Floats, nodes: Sequence[float]) -> _PackedAxis:
        # Millimetres; rounding more would move everything visibly.
        return cls(round(float(min(values.min(), *nodes)), 3), round(float(max(values.max(), *nodes)), 3))

    def quantised(self, values: Floats) -> NDArray[np.int16]:
        steps = np.rint((values - self.low) / self.step) - _LARGEST
        quantised: NDArray[np.int16] = np.clip(steps, -_LARGEST, _LARGEST).astype(np.int16)
        return quantised


class _Grid:
    """Puts one value per row into an array [frames, seats]."""

    def __init__(self, num_frame: int, num_seat: int, frame: Ints, seat: Ints) -> None:
        self._shape = (num_frame, num_seat)
        self._place = (frame, seat)

    def fill(self, values: NDArray[Any], empty: int) -> NDArray[Any]:
        found = np.full(self._shape, empty, dtype=values.dtype)
        found[self._place] = values
        return found


def _seats(slot: Ints, vehicle: Ints) -> tuple[Ints, list[list[int]]]:
    """Assign vehicles to seats, so that many vehicles that come and go need few seats.

    Return the seat of every row, and rows [seat, from, to, vehicle]. At least one slot lies between two vehicles of a
    seat, so that no line is drawn from one to the other.
    """
    known, where = np.unique(vehicle, return_inverse=True)
    first, last = np.full(len(known), np.iinfo(np.int64).max), np.full(len(known), -1)
    np.minimum.at(first, where, slot)
    np.maximum.at(last, where, slot)
    order = np.lexsort((known, first))
    dealt = np.empty(len(known), dtype=np.int64)
    dealt[order] = deal(np.zeros(len(known), dtype=np.int64), first[order], last[order] + 2)
    visits = np.stack([dealt, first, last, known], axis=1)
    return dealt[where], visits.tolist()


def _jump_m(run: ReportedRun, step: int) -> float:
    """Return a distance that no vehicle drives between frames; if it is larger, the vehicle wrapped around."""
    speed_mps = float(np.nan_to_num(run.column("vehicles", "speed_mps")).max(initial=0.0))
    return 2.0 * speed_mps * run.slot_s * step + 1.0


def _serving(run: ReportedRun) -> NDArray[np.uint8]:
    """Return the serving node of every row of the table `vehicles`, counted from 1; 0 for none."""
    names = pa.array([node.name for node in run.scenario.nodes])
    column = run.table("vehicles").column("serving_node").cast(pa.string())
    index = pa.compute.index_in(column, names).fill_null(-1).to_numpy().astype(np.int64)
    counted: NDArray[np.uint8] = np.minimum(index + 1, 255).astype(np.uint8)
    return counted


def _states(run: ReportedRun, slot: Ints, vehicle: Ints) -> NDArray[np.uint8]:
    """Return the worst outcome of the tasks of each vehicle in each slot; 0 where nothing is known."""
    tasks = run.table("tasks")
    count = int(vehicle.max()) + 1
    key = tasks.column("slot").to_numpy().astype(np.int64) * count + tasks.column("vehicle").to_numpy()
    rows = slot * count + vehicle  # ascends, because the table is sorted
    place = np.searchsorted(rows, key)
    known = (place < len(rows)) & (rows[np.minimum(place, len(rows) - 1)] == key)
    worst = np.zeros(len(rows), dtype=np.uint8)
    np.maximum.at(worst, place[known], run.outcome[known].astype(np.uint8))
    return worst


def _belief(
    run: ReportedRun,
    blobs: Blobs,
    axes: list[_PackedAxis],
    step: int,
    shape: tuple[int, int],
    whereabouts: tuple[Ints, Ints, Ints],
) -> dict[str, str]:
    """Return the positions that the twin believed vehicles to have when it decided."""
    twin = run.table("twin")
    slot, vehicle, seat = whereabouts
    count = int(vehicle.max()) + 1
    seat_of = np.zeros(count, dtype=np.int64)
    seat_of[vehicle] = seat
    twin_slot, twin_vehicle = (twin.column(name).to_numpy().astype(np.int64) for name in ("slot", "vehicle"))
    shown = (twin_slot % step == 0) & (twin_vehicle < count) & (twin_slot <= slot[-1])
    grid = _Grid(*shape, twin_slot[shown] // step, seat_of[twin_vehicle[shown]])
    columns = [run.column("twin", name)[shown] for name in ("estimated_x_m", "estimated_y_m")]
    return {
        name: blobs.add(grid.fill(axis.quantised(values), _ABSENT))
        for name, axis, values in zip(("x", "y"), axes, columns, strict=True)
    }
