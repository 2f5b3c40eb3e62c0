"""Converts longitudes and latitudes to metres in a plane that touches the Earth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physical.arrays import Floats
from traces.exogenous.source import Rows

WGS84_A_M = 6_378_137.0
WGS84_E2 = 6.69437999014e-3
"""Equatorial radius [m] and squared eccentricity of the WGS 84 ellipsoid."""
RANGE_M = 200_000.0
"""Largest distance of positions from the origin, at which lengths are up to 0.05 % too short."""
_ROUND_DEG = 2


class Origin(NamedTuple):
    """The point at which the plane touches the Earth.

    lat_deg, lon_deg : geodetic latitude and longitude on WGS 84
    """

    lat_deg: float
    lon_deg: float

    def __str__(self) -> str:
        """Return both, as a map takes them."""
        return f"{self.lat_deg:g}, {self.lon_deg:g}"


def origin_of(lon_deg: Floats, lat_deg: Floats) -> Origin:
    """Return the median position, to 0.01 degrees; a few stray positions do not move it.

    >>> print(origin_of(np.array([11.341, 11.352, 0.0]), np.array([44.493, 44.496, 0.0])))
    44.49, 11.34
    """
    lon, lat = np.deg2rad(lon_deg), np.deg2rad(lat_deg)
    # The median of directions, so that 180 degrees east and west are the same.
    east = np.arctan2(np.median(np.sin(lon)), np.median(np.cos(lon)))
    found = (float(np.rad2deg(np.median(lat))), float(np.rad2deg(east)))
    # Zero is added because -0.0 is written otherwise.
    return Origin(*(round(value, _ROUND_DEG) + 0.0 for value in found))


def to_plane(lon_deg: Floats, lat_deg: Floats, origin: Origin) -> tuple[Floats, Floats]:
    """Project positions on the WGS 84 ellipsoid to the plane that touches it at the origin.

    With n = (cos lat cos lon, cos lat sin lon, sin lat) and N = a / sqrt(1 - e^2 sin^2 lat), a position is
    N (n - e^2 sin lat e_z); east and north are its components along the axes of the origin, its height is dropped.
    At the distance d, positions are d^3 / (6 R^2) too close to the origin, R = 6 371 km, and lengths along the ray
    d^2 / (2 R^2) too short: 0.004 m and 1.2e-6 at 10 km, 4 m and 1.2e-4 at 100 km.

    Parameters
    ----------
    lon_deg, lat_deg : [num_row], degrees
    origin : where the plane touches

    Returns
    -------
    x_m, y_m : [num_row], metres east and north

    >>> x_m, y_m = to_plane(np.array([11.35]), np.array([44.5]), Origin(44.49, 11.34))
    >>> float(x_m[0]).__round__(2), float(y_m[0]).__round__(2)
    (795.3, 1111.27)

    **Source**: geodetic to geocentric and local coordinates, B. Hofmann-Wellenhof et al., GNSS (2008), section 8.2.
    """
    x, y, z = _geocentric(np.deg2rad(lon_deg), np.deg2rad(lat_deg))
    lon, lat = np.deg2rad(origin.lon_deg), np.deg2rad(origin.lat_deg)
    x0, y0, z0 = _geocentric(lon, lat)
    dx, dy, dz = x - x0, y - y0, z - z0
    east = -np.sin(lon) * dx + np.cos(lon) * dy
    north = -np.sin(lat) * (np.cos(lon) * dx + np.sin(lon) * dy) + np.cos(lat) * dz
    return east, north


def _geocentric(lon: Floats, lat: Floats) -> tuple[Floats, Floats, Floats]:
    """Return Earth-centred coordinates [m] of positions [rad] on the ellipsoid."""
    radius = WGS84_A_M / np.sqrt(1.0 - WGS84_E2 * np.sin(lat) ** 2)
    across = radius * np.cos(lat)
    return across * np.cos(lon), across * np.sin(lon), radius * (1.0 - WGS84_E2) * np.sin(lat)


def projected(
    lon_deg: Floats, lat_deg: Floats, names: tuple[str, str], rows: Rows, origin: Origin | None
) -> tuple[Floats, Floats, Origin]:
    """Check positions and project them.

    Parameters
    ----------
    lon_deg, lat_deg : [num_row], degrees
    names : of their columns
    rows : to complain about a row
    origin : where the plane touches; None: the median position

    Raises
    ------
    InputError : no such longitude or latitude, or too far from the origin
    """
    for values, name, most in zip((lon_deg, lat_deg), names, (180, 90), strict=True):
        rows.refuse(np.abs(values) > most, name, values, "is out of range", f"degrees from {-most} to {most}")
    origin = origin or origin_of(lon_deg, lat_deg)
    x_m, y_m = to_plane(lon_deg, lat_deg, origin)
    # The plane also contains the far side of the Earth, which the straight distance through the Earth reveals.
    lon, lat = (
        np.deg2rad(np.append(values, at)) for values, at in ((lon_deg, origin.lon_deg), (lat_deg, origin.lat_deg))
    )
    places = np.stack(_geocentric(lon, lat))
    straight_m = np.sqrt(((places[:, :-1] - places[:, -1:]) ** 2).sum(axis=0))
    away_m = 2 * WGS84_A_M * np.arcsin(np.minimum(straight_m / (2 * WGS84_A_M), 1.0))
    if (away_m > RANGE_M).any():
        index = int((away_m > RANGE_M).argmax())
        problem = (
            f"{Origin(float(lat_deg[index]), float(lon_deg[index]))} is {away_m[index] / 1000:.0f} km from {origin}"
        )
        raise rows.error(index, f"{names[1]}, {names[0]}", problem, f"at most {RANGE_M / 1000:g} km")
    return x_m, y_m, origin
