"""Where vehicles are at slot starts, how fast they go, and whether they are there at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import numpy as np

from physical.arrays import Floats
from physical.model import mobility
from physical.quantize import freeze, quantize, quantize_position
from sim.scenario.mobility import Course, Draw, Motion, RunSize

if TYPE_CHECKING:
    from traces.exogenous import MobilityTrace


class Lanes(Protocol):
    """What motion on a road needs to know of it; `sim.inputs.mobility.Road` says what each is."""

    length_m: float
    num_lane: int
    lane_width_m: float
    speed_mps: tuple[float, float]


class LaneMotion(Motion):
    """Vehicles that start on the lanes of a road, at constant speed, and are there all the time; base of some kinds."""

    def __init__(self, road: Lanes, run: RunSize, draw: Draw) -> None:
        self._slot_duration_s = run.slot_duration_s
        self._length_m = road.length_m
        drawn = draw(3)
        low, high = road.speed_mps
        lane = np.floor(drawn[:, 1] * road.num_lane)
        self._start_m = (drawn[:, 0] - 0.5) * road.length_m
        self._lane_m = (lane - 0.5 * (road.num_lane - 1)) * road.lane_width_m
        self._direction = np.where(lane < 0.5 * road.num_lane, 1.0, -1.0)
        self.typical_speed_mps = low + (high - low) * drawn[:, 2]
        self._heading_rad = np.where(self._direction > 0, 0.0, np.pi)
        freeze(self.typical_speed_mps, self._heading_rad)

    def course(self, first_slot: int, num_slot: int) -> Course:
        """Return the motion during some slots, in closed form."""
        slots = np.arange(first_slot, first_slot + num_slot, dtype=np.float64)
        time_s = (slots * self._slot_duration_s)[:, np.newaxis]
        shape = (num_slot, len(self.typical_speed_mps))
        return Course(
            quantize(self._position_m(time_s)),
            np.broadcast_to(self.typical_speed_mps, shape),
            np.broadcast_to(self._heading_rad, shape),
            None,
        )

    def _position_m(self, time_s: Floats) -> Floats:
        """Return positions [B, N, 2] at times [B, 1]."""
        raise NotImplementedError


class StraightMotion(LaneMotion):
    """On and on, in the direction of the lane."""

    def _position_m(self, time_s: Floats) -> Floats:
        origin_m = np.stack([self._start_m, self._lane_m], axis=-1)
        position_m: Floats = mobility.straight_position_m(origin_m, self.typical_speed_mps, self._heading_rad, time_s)
        return position_m


class StationaryMotion(StraightMotion):
    """At rest."""

    def __init__(self, road: Lanes, run: RunSize, draw: Draw) -> None:
        super().__init__(road, run, draw)
        self.typical_speed_mps = np.zeros_like(self.typical_speed_mps)
        freeze(self.typical_speed_mps)


class HighwayMotion(LaneMotion):
    """Who reaches an end of the road goes on at the other one."""

    def __init__(self, road: Lanes, run: RunSize, draw: Draw) -> None:
        super().__init__(road, run, draw)
        self.wraps_at_m = (road.length_m, None)

    def _position_m(self, time_s: Floats) -> Floats:
        position_m: Floats = mobility.highway_position_m(
            self._start_m, self.typical_speed_mps, self._direction, self._lane_m, self._length_m, time_s
        )
        return position_m


class AreaMotion(HighwayMotion):
    """In a square, each along x or y, one way or the other; who reaches a side goes on at the opposite one."""

    def __init__(self, road: Lanes, run: RunSize, draw: Draw) -> None:
        super().__init__(road, run, draw)
        self.wraps_at_m = (road.length_m, road.length_m)
        drawn = draw(2)
        self._lane_m = (drawn[:, 0] - 0.5) * road.length_m
        quarter = np.floor(drawn[:, 1] * 4.0).astype(np.int64)
        self._direction = np.where(quarter % 2 == 0, 1.0, -1.0)
        self._along_y = quarter >= 2
        self._heading_rad = np.array([0.0, np.pi, 0.5 * np.pi, -0.5 * np.pi])[quarter]
        freeze(self._heading_rad)

    def _position_m(self, time_s: Floats) -> Floats:
        position_m = super()._position_m(time_s)
        if self._along_y.any():
            position_m = np.where(self._along_y[:, np.newaxis], position_m[..., ::-1], position_m)
        return position_m


class RenewedMotion(Motion):
    """A highway with open ends: who reaches the end of its lane leaves, and another vehicle enters at the beginning.

    Places 0 to n - 1 are taken at all times. Vehicle ``place + n g`` is the g-th that takes its place after the first
    one; it has the lane of the first one, and a speed of its own. A longer run has more vehicles, and the same ones
    at first.
    """

    def __init__(self, road: Lanes, run: RunSize, draw: Draw) -> None:
        """Place the vehicles that are there at once and let the others wait."""
        first = HighwayMotion(road, run, draw)
        self.typical_speed_mps = first.typical_speed_mps
        self._slot_s, num_place, num_vehicle = run.slot_duration_s, run.num_vehicle, len(first.typical_speed_mps)
        start = first.course(0, 1)
        place = np.arange(num_vehicle) % num_place
        self._heading_rad = start.heading_rad[0, place]
        direction = np.where(self._heading_rad > 0, -1.0, 1.0)
        self._begin_m = start.position_m[0, place]
        self._begin_m[num_place:, 0] = -0.5 * road.length_m * direction[num_place:]
        away_m = np.full(num_vehicle, road.length_m)
        away_m[:num_place] = 0.5 * road.length_m - direction[:num_place] * self._begin_m[:num_place, 0]
        with np.errstate(divide="ignore"):  # who stands still stays for ever
            self._stay_s = away_m / self.typical_speed_mps
        shape = (num_vehicle // num_place, num_place)
        left_s = np.cumsum(self._stay_s.reshape(shape), axis=0).reshape(-1)
        self._enter_s = np.concatenate([np.zeros(num_place), left_s[:-num_place]])
        self._leave_s = left_s
        freeze(self._heading_rad)

    def course(self, first_slot: int, num_slot: int) -> Course:
        """Return the motion during some slots, in closed form; who is away rests where it enters, or has left."""
        time_s = (np.arange(first_slot, first_slot + num_slot) * self._slot_s)[:, np.newaxis]
        present = (self._enter_s <= time_s) & (time_s < self._leave_s)
        elapsed_s = np.clip(time_s - self._enter_s, 0.0, self._stay_s)
        position_m = mobility.straight_position_m(self._begin_m, self.typical_speed_mps, self._heading_rad, elapsed_s)
        speed_mps = np.where(present, self.typical_speed_mps, 0.0)
        return Course(quantize(position_m), speed_mps, np.broadcast_to(self._heading_rad, present.shape), present)


class TraceMotion(Motion):
    """Vehicles of a mobility trace: positions between two samples are interpolated, outside them a vehicle is away.

    How far apart two samples may be follows from those of the vehicle itself, see `traces.exogenous.presence`.

    Parameters
    ----------
    trace : canonical rows
    begin_ns : time of the trace at which the run begins
    slot_ns : ns, length of a slot

    Attributes
    ----------
    names : of the vehicles in the trace, [N], in their natural order: "2" is before "10"
    kinds : [N], "" where the trace does not tell them
    """

    def __init__(self, trace: MobilityTrace, begin_ns: int, slot_ns: int) -> None:
        from traces.exogenous.presence import Whereabouts  # most runs take no trace

        found = Whereabouts.of(trace)
        self._visits = found
        ids = trace.names("entity_id")
        by_name = sorted(range(len(ids)), key=lambda code: natural(ids[code]))
        self.names = [ids[code] for code in by_name]
        self.num_vehicle = len(ids)
        self._code = np.array(by_name, dtype=np.int64)
        time_ns, order = found.time_ns, found.order
        self._begin_ns, self._slot_ns = begin_ns, slot_ns
        # Numbers of times and not times: those of many vehicles, one after the other, are more ns than an integer has.
        self._times_ns = np.unique(time_ns)
        self._key = found.entity * len(self._times_ns) + np.searchsorted(self._times_ns, time_ns)
        self._x_m, self._y_m = trace.column("x_m")[order], trace.column("y_m")[order]
        self._speed_mps = trace.column("speed_mps").astype(np.float64)[order]
        self._heading_rad = np.nan_to_num(trace.column("heading_rad").astype(np.float64))[order]
        counted = np.bincount(found.entity, minlength=self.num_vehicle)
        mean_mps = np.bincount(found.entity, weights=self._speed_mps, minlength=self.num_vehicle) / counted
        self.typical_speed_mps = mean_mps[self._code]
        first = np.searchsorted(found.entity, self._code)
        kinds = trace.rows.column("kind").combine_chunks()
        self.kinds = [kinds[row].as_py() or "" for row in order[first].tolist()]

    def rounded(self, position_m: Floats) -> Floats:
        """Round positions to 61 um, wherever the origin of coordinates lies."""
        return quantize_position(position_m)

    def course(self, first_slot: int, num_slot: int) -> Course:
        """Return the motion during some slots."""
        known_ns, entity, code = self._visits.time_ns, self._visits.entity, self._code
        time_ns = self._begin_ns + np.arange(first_slot, first_slot + num_slot) * self._slot_ns
        reached = np.searchsorted(self._times_ns, time_ns, side="right")[:, np.newaxis] - 1
        before = np.searchsorted(self._key, code * len(self._times_ns) + reached, side="right") - 1
        after = np.minimum(before + 1, len(self._key) - 1)
        mine_before = (before >= 0) & (entity[before] == code)
        mine_after = entity[after] == code
        at = time_ns[:, np.newaxis]
        exact = mine_before & (known_ns[before] == at)
        gap_ns = known_ns[after] - known_ns[before]
        between = mine_before & mine_after & (gap_ns <= self._visits.absent_after_ns[code]) & (gap_ns > 0)
        # Who is away rests at the nearest sample, so that nothing is without a place.
        left = np.where(mine_before, before, after)
        weight = np.where(between & ~exact, (at - known_ns[before]) / np.maximum(gap_ns, 1), 0.0)
        right = np.where(between, after, left)
        x_m = self._x_m[left] + weight * (self._x_m[right] - self._x_m[left])
        y_m = self._y_m[left] + weight * (self._y_m[right] - self._y_m[left])
        present = exact | between
        speed_mps = np.where(present, self._speed_mps[left], 0.0)
        position_m = self.rounded(np.stack([x_m, y_m], axis=-1))
        return Course(position_m, speed_mps, self._heading_rad[left], present)


def natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """Return what names sort by if digits in them count as numbers.

    >>> sorted(["veh10", "veh2", "10", "2", "veh02"], key=natural)
    ['2', '10', 'veh02', 'veh2', 'veh10']
    """
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    found = [(text, len(digits.lstrip("0")), digits.lstrip("0")) for text, digits in parts]
    return (*found, (name, 0, ""))
