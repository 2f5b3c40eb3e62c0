"""How vehicles move: what a kind of motion is, and which there are.

A kind is one class. Its fields are its keys in the table ``[mobility]``, with units and ranges; `Mobility.motion` makes
the motion of a run. The kinds of ours are in `sim.inputs.mobility`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol

import numpy as np
from numpy.random import Generator

from physical.arrays import Floats, Mask
from physical.kind_field import KindParams, OfKind
from physical.quantize import quantize
from physical.registry import KindSpec, Registry
from physical.system import Crowd

if TYPE_CHECKING:
    from traces.exogenous import MobilityTrace


@dataclass(frozen=True)
class Course:
    """Motion during some slots.

    position_m : [B, N, 2], at slot starts
    speed_mps, heading_rad : [B, N]
    present : [B, N], or None if everybody is there
    """

    position_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    present: Mask | None = None


class Motion(Protocol):
    """A source of motion; a class that derives from it need only have `typical_speed_mps` and `course`.

    typical_speed_mps : m/s, [N], of a vehicle over the run: with it the twin predicts its fading
    wraps_at_m : m, lengths at which x and y wrap around, None where they do not
    """

    typical_speed_mps: Floats
    wraps_at_m: tuple[float | None, float | None] = (None, None)

    def course(self, first_slot: int, num_slot: int) -> Course:
        """Return the motion during some slots; they need not be asked for in order, and may be asked for again."""

    def rounded(self, position_m: Floats) -> Floats:
        """Round positions as those of this motion are rounded: to single precision."""
        return quantize(position_m)


class RandomStreams(Protocol):
    """Random numbers by name: a stream follows from the seed of the run and its name alone."""

    def generator(self, purpose: str, entity: str) -> Generator:
        """Return a generator at the start of the stream."""

    def of_vehicles(self, purpose: str, num_vehicle: int) -> list[Generator]:
        """Return the stream of every vehicle."""


class TraceFile(NamedTuple):
    """A mobility trace that a kind takes its vehicles from.

    file : its path
    begin_s : s, time of the trace at which the run begins; None for its earliest
    """

    file: str
    begin_s: float | None


@dataclass(frozen=True)
class RunSize:
    """What a motion is made for.

    num_vehicle : vehicles that are there at once, as ``vehicles.num_vehicle`` says; 0 where it says nothing
    num_slot : slots of the run
    slot_duration_s : s, length of a slot
    rows : of the mobility trace during the run; None without one
    begin_ns : ns, time of the mobility trace at which the run begins
    """

    num_vehicle: int
    num_slot: int
    slot_duration_s: float
    rows: MobilityTrace | None = None
    begin_ns: int = 0


class Mobility(KindParams):
    """The base of all kinds of motion: a subclass has its keys as fields, and makes the motion."""

    @property
    def trace(self) -> TraceFile | None:
        """The file that says which vehicles there are, and where; None if ``vehicles.num_vehicle`` says how many."""
        return None

    @property
    def everybody_stays(self) -> bool:
        """Whether all vehicles are there all the time: the motion says of nobody that it is away."""
        return True

    def crowd(self, run: RunSize) -> Crowd:
        """Return how many vehicles there are, in the run and at once."""
        return Crowd.steady(run.num_vehicle)

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion of a run.

        Parameters
        ----------
        run : how many vehicles are there at once, and how long the run is
        streams : random numbers by name, such as ``streams.of_vehicles("mobility", run.num_vehicle)``: equal seeds
            give equal motion
        """
        raise NotImplementedError


Draw = Callable[[int], Floats]
"""``draw(count)`` returns the next `count` uniform numbers of every vehicle, in [0, 1), [N, count]."""


class DrawnMobility(Mobility):
    """The base of kinds whose motion follows from some uniform numbers of each vehicle.

    The batch engine knows these kinds, too: it draws the numbers of many environments at once.
    """

    def drawn(self, run: RunSize, draw: Draw) -> Motion:
        """Make the motion of a run.

        Parameters
        ----------
        run : how many vehicles are there at once, and how long the run is
        draw : gives uniform numbers of all vehicles of `crowd`
        """
        raise NotImplementedError

    def motion(self, run: RunSize, streams: RandomStreams) -> Motion:
        """Make the motion of a run from the streams "mobility" of its vehicles."""
        generators = streams.of_vehicles("mobility", self.crowd(run).num_vehicle)
        return self.drawn(run, lambda count: np.stack([generator.random(count) for generator in generators]))


MOBILITY = Registry(
    "mobility",
    "kind of mobility",
    (
        KindSpec("highway", "sim.inputs.mobility:Highway", "lanes along x, half of them each way, closed or open"),
        KindSpec("straight", "sim.inputs.mobility:Straight", "the start of a highway, then on without an end"),
        KindSpec("stationary", "sim.inputs.mobility:Stationary", "the start of a highway, no motion"),
        KindSpec("area", "sim.inputs.mobility:Area", "a square, along x or y, wrapping around at its sides"),
        KindSpec("trace", "sim.inputs.mobility:TrafficTrace", "a file, where vehicles enter and leave"),
    ),
)
"""Every kind of motion; packages bring more with the entry-point group ``vectwin.mobility``."""

AnyMobility = Annotated[Mobility, OfKind(MOBILITY, Mobility, default="highway")]
