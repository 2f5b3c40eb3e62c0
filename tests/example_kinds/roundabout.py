"""A kind of motion in a package of its own: vehicles go round a circle."""

import numpy as np

from physical.quantity import Metres, SpeedRange
from sim.scenario.mobility import Course, Mobility, Motion, RandomStreams, RunSize


class Roundabout(Mobility):
    """A circle around the origin, which vehicles go round counter-clockwise, each at a speed of its own.

    radius_m : radius of the circle
    speed_mps : range of the speeds, uniform
    """

    radius_m: Metres = 50.0
    speed_mps: SpeedRange = (5.0, 10.0)

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion."""
        return _Circling(self, run, streams)


class _Circling(Motion):
    def __init__(self, kind: Roundabout, run: RunSize, streams: RandomStreams) -> None:
        drawn = np.array([stream.random(2) for stream in streams.of_vehicles("mobility", run.num_vehicle)])
        low, high = kind.speed_mps
        self.typical_speed_mps = low + (high - low) * drawn[:, 1]
        self._start_rad = 2.0 * np.pi * drawn[:, 0]
        self._radius_m, self._slot_s = kind.radius_m, run.slot_duration_s

    def course(self, first_slot: int, num_slot: int) -> Course:
        """Return positions [B, N, 2], speeds and headings [B, N] at the starts of some slots."""
        time_s = self._slot_s * np.arange(first_slot, first_slot + num_slot)[:, np.newaxis]
        angle_rad = self._start_rad + self.typical_speed_mps / self._radius_m * time_s
        position_m = self._radius_m * np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=-1)
        speed_mps = np.broadcast_to(self.typical_speed_mps, angle_rad.shape)
        return Course(position_m, speed_mps, np.mod(angle_rad + 0.5 * np.pi, 2.0 * np.pi))
