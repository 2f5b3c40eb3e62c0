"""Geodesics on WGS 84, by Vincenty's series: where a traveller arrives; right to less than 1 mm."""

from __future__ import annotations

from math import atan, atan2, cos, degrees, pi, radians, sin, sqrt, tan

A_M, FLATTENING = 6_378_137.0, 1 / 298.257223563
B_M = A_M * (1 - FLATTENING)


def arrival(lat_deg: float, lon_deg: float, azimuth: float, distance_m: float) -> tuple[float, float]:
    """Return latitude and longitude [degrees] after a way [m] that begins at an azimuth [rad, from north to east].

    T. Vincenty, "Direct and inverse solutions of geodesics on the ellipsoid", Survey Review 23 (1975), eq. 1 to 11.
    """
    f = FLATTENING
    reduced = atan((1 - f) * tan(radians(lat_deg)))
    sigma_1 = atan2(tan(reduced), cos(azimuth))
    sin_alpha = cos(reduced) * sin(azimuth)
    cos2_alpha = 1 - sin_alpha**2
    u2 = cos2_alpha * (A_M**2 - B_M**2) / B_M**2
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    sigma = distance_m / (B_M * a)
    middle = 0.0
    for _ in range(20):
        middle = cos(2 * sigma_1 + sigma)
        inner = cos(sigma) * (-1 + 2 * middle**2)
        inner -= b / 6 * middle * (-3 + 4 * sin(sigma) ** 2) * (-3 + 4 * middle**2)
        sigma = distance_m / (B_M * a) + b * sin(sigma) * (middle + b / 4 * inner)
    middle = cos(2 * sigma_1 + sigma)
    north = sin(reduced) * cos(sigma) + cos(reduced) * sin(sigma) * cos(azimuth)
    rest = sin(reduced) * sin(sigma) - cos(reduced) * cos(sigma) * cos(azimuth)
    lat = atan2(north, (1 - f) * sqrt(sin_alpha**2 + rest**2))
    span = atan2(sin(sigma) * sin(azimuth), cos(reduced) * cos(sigma) - sin(reduced) * sin(sigma) * cos(azimuth))
    c = f / 16 * cos2_alpha * (4 + f * (4 - 3 * cos2_alpha))
    span -= (1 - c) * f * sin_alpha * (sigma + c * sin(sigma) * (middle + c * cos(sigma) * (-1 + 2 * middle**2)))
    lon = (radians(lon_deg) + span + pi) % (2 * pi) - pi
    return degrees(lat), degrees(lon)
