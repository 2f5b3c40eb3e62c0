"""The kinds of motion of ours: ``[mobility] kind = "highway"`` and its keys; see `sim.scenario.mobility`."""

from __future__ import annotations

import inspect
from typing import ClassVar, Literal

from pydantic import model_validator

from physical import quantity
from physical.docstrings import entries
from physical.errors import InputError
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
from sim.scenario.mobility import Mobility, Motion, RandomStreams, RunSize, TraceFile


class Road(Mobility):
    """What the kinds of ours have in common: each knows all these keys, so that a scenario may change its kind only.

    kind : name of the kind
    file : mobility trace: floating car data of SUMO, or a file of ``twin import``; relative to the scenario's file
    begin_s : time of the mobility trace at which the run begins; by default its earliest
    length_m : length of the road, or side of the square [our choice, llm6g sec. IV-A]
    num_lane : lanes of the road, both ways together [our choice]
    lane_width_m : distance between the middles of two lanes [our choice]
    speed_mps : range of the speeds, uniform; each vehicle keeps its own [dtecn Table I (v_n)]
    ends : what happens at the ends of a highway. "wrap": who reaches an end goes on at the other one; "renew": it
        leaves, and another vehicle enters its lane, with its own number, speed and channel: `vehicles.num_vehicle` are
        there at all times [our choice]
    """

    file: str | None = None
    begin_s: quantity.TraceSeconds | None = None
    length_m: quantity.RoadMetres = 1000.0
    num_lane: quantity.NumLane = 4
    lane_width_m: quantity.Metres = 3.5
    speed_mps: quantity.SpeedRange = (10.0, 15.0)
    ends: Literal["wrap", "renew"] = "wrap"
    USED: ClassVar[tuple[str, ...]] = ()
    """The keys that change something with this kind."""

    @model_validator(mode="after")
    def _check(self) -> Road:
        low, high = self.speed_mps
        if (self.file is None) == (self.kind == "trace"):
            problem = "is missing" if self.file is None else "is read by kind trace only"
            raise InputError(problem, key="file", accepted='a file, with kind = "trace"')
        if not 0 <= low <= high:
            raise ValueError(f"speed_mps {[low, high]} is not a range with 0 <= low <= high")
        if self.ends == "renew" and self.kind != "highway":
            raise InputError("'renew' needs a road with ends", key="ends", accepted='wrap; "renew" with kind highway')
        return self

    @classmethod
    def used(cls) -> tuple[str, ...]:
        """Return the keys that change something with this kind."""
        return cls.USED

    @classmethod
    def meanings(cls) -> str:
        """Return the docstring of the kind with the lines of the keys that it uses."""
        told = entries(inspect.getdoc(Road) or "")
        lines = [f"{name} : {' '.join(words.split())}" for name, words in told if name in cls.USED]
        return "\n\n".join([inspect.getdoc(cls) or "", "\n".join(lines)])


class Highway(Road):
    """Lanes along x through the origin, half of them each way, see `ends`."""

    kind: Literal["highway"] = "highway"
    has_columns: ClassVar[bool] = True
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

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion."""
        if self.ends == "renew":
            return RenewedMotion(self, run, streams, self.crowd(run).num_vehicle)
        return HighwayMotion(self, run, streams)


class Straight(Road):
    """The same start as on a highway, then on without an end."""

    kind: Literal["straight"] = "straight"
    has_columns: ClassVar[bool] = True
    USED = ("length_m", "num_lane", "lane_width_m", "speed_mps")

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion."""
        return StraightMotion(self, run, streams)


class Stationary(Road):
    """The same start as on a highway, no motion."""

    kind: Literal["stationary"] = "stationary"
    has_columns: ClassVar[bool] = True
    USED = ("length_m", "num_lane", "lane_width_m")

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion."""
        return StationaryMotion(self, run, streams)


class Area(Road):
    """A uniform start in a square around the origin, then along x or y, wrapping around at the sides.

    **Source** llm6g sec. IV-A
    """

    kind: Literal["area"] = "area"
    has_columns: ClassVar[bool] = True
    USED = ("length_m", "speed_mps")

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion."""
        return AreaMotion(self, run, streams)


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
