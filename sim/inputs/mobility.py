"""The kinds of motion of ours: ``[mobility] kind = "highway"`` and its keys; see `sim.scenario.mobility`."""

from __future__ import annotations

from typing import Literal

from physical.model import mobility
from physical.system import Crowd
from physical.ticks import to_ns
from sim.inputs.motion import (
    AreaMotion,
    HighwayMotion,
    RenewedMotion,
    StationaryMotion,
    StraightMotion,
    TraceMotion,
)
from sim.inputs.road import Road
from sim.scenario.mobility import Draw, DrawnMobility, Motion, RandomStreams, RunSize, TraceFile


class Highway(Road, DrawnMobility):
    """Lanes along x through the origin, half of them each way, see `ends`."""

    kind: Literal["highway"] = "highway"
    USED = ("length_m", "num_lane", "lane_width_m", "speed_mps", "ends")

    @property
    def everybody_stays(self) -> bool:
        """Whether nobody leaves at the ends of the road."""
        return self.ends == "wrap"

    def crowd(self, run: RunSize) -> Crowd:
        """Return how many vehicles there are; where they leave at the ends, others enter."""
        if self.ends == "wrap":
            return super().crowd(run)
        num_generation = mobility.num_generation(run.num_slot * run.slot_duration_s, self.speed_mps[1], self.length_m)
        return Crowd(run.num_vehicle * num_generation, float(run.num_vehicle), run.num_vehicle)

    def drawn(self, run: RunSize, draw: Draw) -> Motion:
        """Make the motion."""
        if self.ends == "renew":
            return RenewedMotion(self, run, draw)
        return HighwayMotion(self, run, draw)


class Straight(Road, DrawnMobility):
    """The same start as on a highway, then on without an end."""

    kind: Literal["straight"] = "straight"
    USED = ("length_m", "num_lane", "lane_width_m", "speed_mps")

    def drawn(self, run: RunSize, draw: Draw) -> Motion:
        """Make the motion."""
        return StraightMotion(self, run, draw)


class Stationary(Road, DrawnMobility):
    """The same start as on a highway, no motion."""

    kind: Literal["stationary"] = "stationary"
    USED = ("length_m", "num_lane", "lane_width_m")

    def drawn(self, run: RunSize, draw: Draw) -> Motion:
        """Make the motion."""
        return StationaryMotion(self, run, draw)


class Area(Road, DrawnMobility):
    """A uniform start in a square around the origin, then along x or y, wrapping around at the sides.

    **Source** llm6g sec. IV-A
    """

    kind: Literal["area"] = "area"
    USED = ("length_m", "speed_mps")

    def drawn(self, run: RunSize, draw: Draw) -> Motion:
        """Make the motion."""
        return AreaMotion(self, run, draw)


class TrafficTrace(Road):
    """As `file` says, where vehicles enter and leave."""

    kind: Literal["trace"] = "trace"
    USED = ("file", "begin_s")

    @property
    def everybody_stays(self) -> bool:
        """Vehicles enter and leave as the trace says."""
        return False

    @property
    def trace(self) -> TraceFile:
        """The mobility trace."""
        assert self.file is not None
        return TraceFile(self.file, self.begin_s)

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:  # noqa: ARG002 - nothing of a trace is drawn
        """Make the motion."""
        assert run.rows is not None
        return TraceMotion(run.rows, run.begin_ns, to_ns(run.slot_duration_s))
