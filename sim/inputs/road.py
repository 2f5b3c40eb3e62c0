"""The keys that our kinds of motion have in common."""

from __future__ import annotations

import inspect
from typing import ClassVar, Literal

from pydantic import model_validator

from physical import quantity
from physical.docstrings import entries
from physical.errors import InputError
from sim.scenario.mobility import Mobility


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
