"""Where vehicles are: positions in closed form from a start, never accumulated from slot to slot."""

from __future__ import annotations

import math

from physical.model.arrays import Array, namespace


def straight_position_m(origin_m: Array, speed_mps: Array, heading_rad: Array, elapsed_s: Array) -> Array:
    """Return positions after constant-velocity motion: ``origin + v t [cos heading, sin heading]``.

    Parameters
    ----------
    origin_m : [..., N, 2], m, position at time 0
    speed_mps : [..., N], m/s
    heading_rad : [..., N], rad, counter-clockwise from the x axis
    elapsed_s : s, a number, or an array that broadcasts against [..., N], for example [B, 1]

    Returns
    -------
    [..., N, 2], m

    **Source** paper 'dtecn', section III-A gives velocity and position without an equation of motion; this one is ours.

    >>> import numpy as np
    >>> straight_position_m(np.zeros((1, 2)), np.array([12.0]), np.array([0.0]), 2.0).tolist()
    [[24.0, 0.0]]
    """
    xp = namespace(origin_m, speed_mps, heading_rad, elapsed_s)
    travelled_m = speed_mps * elapsed_s
    x_m = origin_m[..., 0] + travelled_m * xp.cos(heading_rad)
    y_m = origin_m[..., 1] + travelled_m * xp.sin(heading_rad)
    return xp.stack((x_m, y_m), axis=-1)


def wrap_m(position_m: Array, length_m: float) -> Array:
    """Wrap a coordinate around a ring of length L: ``p - L floor(p / L + 1/2)``, in [-L/2, L/2).

    A coordinate that is already inside keeps its exact value; rounding never leaves the half-open interval.

    Parameters
    ----------
    position_m : [...], m
    length_m : m, > 0

    Returns
    -------
    [...], m, at least -L/2 and less than L/2

    **Source** paper 'dtecn', section III: "the vehicle always travels within the BS coverage area"; wrapping is ours.

    >>> import numpy as np
    >>> wrap_m(np.array([499.0, 500.0, -501.0]), 1000.0).tolist()
    [499.0, -500.0, 499.0]
    """
    xp = namespace(position_m)
    half_m = 0.5 * length_m
    wrapped_m = position_m - length_m * xp.floor(position_m / length_m + 0.5)
    wrapped_m = xp.where(wrapped_m < -half_m, wrapped_m + length_m, wrapped_m)
    return xp.where(wrapped_m >= half_m, wrapped_m - length_m, wrapped_m)


def highway_position_m(
    start_m: Array, speed_mps: Array, direction: Array, lane_offset_m: Array, length_m: float, elapsed_s: Array
) -> Array:
    """Return positions on a straight road along x that wraps around: ``[wrap(start + direction v t), lane offset]``.

    Parameters
    ----------
    start_m : [..., N], m, coordinate along the road at time 0
    speed_mps : [..., N], m/s
    direction : [..., N], +1 or -1, no unit
    lane_offset_m : [..., N], m, y coordinate of the lane
    length_m : m, length of the covered road
    elapsed_s : s, a number, or an array that broadcasts against [..., N], for example [B, 1]

    Returns
    -------
    [..., N, 2], m

    **Source** paper 'dtecn', section III and Fig. 1 (road inside the BS coverage); closed form and wrap are ours.

    >>> import numpy as np
    >>> highway_position_m(np.array([495.0]), np.array([10.0]), np.array([1.0]), np.array([1.75]), 1000.0, 1.0).tolist()
    [[-495.0, 1.75]]
    """
    x_m = wrap_m(start_m + direction * speed_mps * elapsed_s, length_m)
    y_m = lane_offset_m + 0.0 * x_m  # broadcast without asking for a shape
    return namespace(x_m).stack((x_m, y_m), axis=-1)


def num_generation(duration_s: float, speed_mps_max: float, length_m: float) -> int:
    """Return how many vehicles may use a place on a road one after the other: ``1 + ceil(T v_max / L)``.

    Parameters
    ----------
    duration_s : s, T
    speed_mps_max : m/s, v_max
    length_m : m, L, > 0

    Returns
    -------
    at least 1

    **Source** ours. The first one may be at the end of its lane at time 0; each other one takes at least ``L / v_max``.

    >>> num_generation(30.0, 30.0, 1600.0), num_generation(60.0, 30.0, 1600.0)
    (2, 3)
    """
    return 1 + math.ceil(duration_s * speed_mps_max / length_m)


def distance_m(position_m: Array, station_m: Array, distance_m_min: float) -> Array:
    """Return distances to a station, no shorter than a minimum: ``max(|position - station|, minimum)``.

    Parameters
    ----------
    position_m : [..., N, 2], m
    station_m : [2], m
    distance_m_min : m, > 0; the path loss formula is not valid at the antenna

    Returns
    -------
    [..., N], m

    **Source** paper 'dtecn', Dis(V_n, BS) below eq. 3; the paper has no minimum.

    >>> import numpy as np
    >>> distance_m(np.array([[3.0, 4.0], [30.0, 40.0]]), (0.0, 0.0), 10.0).tolist()
    [10.0, 50.0]
    """
    x_m = position_m[..., 0] - station_m[0]
    y_m = position_m[..., 1] - station_m[1]
    xp = namespace(x_m)
    return xp.sqrt(xp.maximum(x_m * x_m + y_m * y_m, distance_m_min * distance_m_min))
