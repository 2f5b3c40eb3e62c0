"""Paths of entities from consecutive rows: distances, speeds, and whether positions are degrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints, Mask

SPEED_MPS_MAX = 150.0
DEGREE_M = 111_195.0
"""A degree of latitude, on average."""

_ALIKE = 10.0
"""Distances in degrees and speeds agree within this factor."""
_METRES_MIN = 0.01
"""Distances in metres are at least this part of speed times time. Degrees read as metres are only 1e-5 of it."""
_MOVES_MPS = 0.5


@dataclass(frozen=True)
class Paths:
    """Rows of each entity in the order of time.

    order : [num_row], rows by entity and time
    joined : [num_row - 1], whether a row and the next in this order are of one entity
    dt_s : [num_row - 1], s, time between them
    """

    order: Ints
    joined: Mask
    dt_s: Floats

    @classmethod
    def of(cls, t_ns: Ints, codes: NDArray[np.int32]) -> Paths:
        """Sort rows; their times must differ within an entity."""
        order = np.lexsort((t_ns, codes))
        return cls(order, np.diff(codes[order]) == 0, np.diff(t_ns[order]) / 1e9)

    def distances(self, x: Floats, y: Floats) -> Floats:
        """Return the distance of each row and the next, [num_row - 1], in the unit of x and y."""
        return np.hypot(np.diff(x[self.order]), np.diff(y[self.order]))

    def speeds(self, x_m: Floats, y_m: Floats, *, backward: bool) -> Floats:
        """Return speeds [m/s] that positions [m] imply, [num_row] in the order of the file.

        Parameters
        ----------
        x_m, y_m : [num_row], m
        backward : whether a row is the end of a step, as in SUMO. Then its speed is that of the way to it, otherwise
            that of the ways to it and from it. If there is only one way, that one counts; a single row has speed 0.

        A way is ignored if it takes longer than 1.5 times the median of its entity or is faster than any car, because
        the entity was away or was moved.
        """
        metres = self.distances(x_m, y_m)
        way = self.joined & (self.dt_s <= 1.5 * self._usual_s()) & (metres <= SPEED_MPS_MAX * self.dt_s)
        metres, dt_s = np.where(way, metres, 0.0), np.where(way, self.dt_s, 0.0)
        ends = np.array([0.0])
        to_m, to_s = np.concatenate((ends, metres)), np.concatenate((ends, dt_s))
        from_m, from_s = np.concatenate((metres, ends)), np.concatenate((dt_s, ends))
        if backward:
            from_m, from_s = (np.where(to_s > 0, 0.0, values) for values in (from_m, from_s))
        total_s = to_s + from_s
        speeds = np.zeros(len(self.order))
        speeds[self.order] = (to_m + from_m) / np.where(total_s > 0, total_s, 1.0)
        return speeds

    def _usual_s(self) -> Floats:
        """Return, for each pair of rows, the median time between rows of its entity, [num_row - 1], s."""
        group = np.cumsum(np.concatenate(([False], ~self.joined[:-1]))) if len(self.joined) else np.zeros(0, np.int64)
        inside = np.flatnonzero(self.joined)
        if not len(inside):
            return np.zeros(len(self.joined))
        by_time = inside[np.lexsort((self.dt_s[inside], group[inside]))]
        _, begin, count = np.unique(group[by_time], return_index=True, return_counts=True)
        median = self.dt_s[by_time[begin + (count - 1) // 2]]
        usual = np.zeros(len(self.joined))
        usual[by_time] = np.repeat(median, count)
        return usual


def in_degrees(paths: Paths, x: Floats, y: Floats, speed_mps: Floats | None) -> bool | None:
    """Return whether x and y are longitudes and latitudes, judged by the distances and speeds of entities.

    Parameters
    ----------
    paths : of the rows
    x, y : [num_row], degrees or metres
    speed_mps : [num_row], m/s, from the file; None if it has no speeds

    Returns
    -------
    is_geo : None if no entity moves

    Raises
    ------
    ValueError : they move, but their speeds suit neither metres nor degrees
    """
    if np.abs(x).max() > 180 or np.abs(y).max() > 90:
        return False
    way_m = paths.distances(x, y)
    way_geo_m = DEGREE_M * paths.distances(x * np.cos(np.deg2rad(y)), y)
    told_m = np.zeros(len(way_m))
    if speed_mps is not None:
        v = speed_mps[paths.order]
        told_m = (v[1:] + v[:-1]) / 2 * paths.dt_s
    moving = paths.joined & (
        told_m > paths.dt_s * _MOVES_MPS
    )  # for an entity that stands still, only position errors are left
    if not moving.any():
        total_m, total_geo_m = (float(way[paths.joined].sum()) for way in (way_m, way_geo_m))
        total_s = float(paths.dt_s[paths.joined].sum())
        return None if not total_m else total_m < 1e-3 * total_s and total_geo_m < SPEED_MPS_MAX * total_s
    total_m, total_geo_m, total_told_m = (float(way[moving].sum()) for way in (way_m, way_geo_m, told_m))
    if not total_m:
        return None
    if total_m >= _METRES_MIN * total_told_m:
        return False
    if total_told_m / _ALIKE <= total_geo_m <= total_told_m * _ALIKE:
        return True
    said = f"{total_m:.3g} m or {total_geo_m:.3g} m in all, where the speeds say {total_told_m:.3g} m"
    raise ValueError(f"as metres or as degrees they move {said}")
