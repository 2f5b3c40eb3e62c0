"""A paper's statements as tests on paired differences, and the verdict on them.

A statement is made of questions; a question gives a finding per point: a mean over seeds with its 95 % interval, and
the range that the statement needs it in. One rule decides all of them, `judge`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sim.show.figures.measure import Measured, intervals, relative_difference
from sim.show.figures.plan import Metric, Series, World, number
from sim.studies.statistics import Interval

Outcome = Literal["yes", "no", "open", "alike"]
Verdict = Literal["reproduces", "in part", "does not reproduce", "cannot be told", "not testable there"]

MARGIN = 0.001
"""Relative differences up to this are none: with paired runs even 1e-9 can be significant."""
LESS, MORE = (-math.inf, -MARGIN), (MARGIN, math.inf)
SIMILAR = (-0.05, 0.05)


@dataclass(frozen=True)
class Finding:
    """One measured number and the range that the claim needs it in.

    where : which quantity, at which point
    relative : the number is a relative difference, not in the metric's unit
    group : of the world, see `World`
    bound_alike : the model itself makes both sides equal there, see `World.alike` and `Versus.alike_in`
    """

    where: str
    found: Interval
    low: float
    high: float
    relative: bool
    group: str = ""
    bound_alike: bool = False

    @property
    def outcome(self) -> Outcome:
        """Whether the mean is in the range; "alike" where a difference is claimed that there cannot be, and is not."""
        told = judge(self.found, self.low, self.high)
        is_equal = judge(self.found, -MARGIN, MARGIN) == "yes"
        return "alike" if told == "no" and self.relative and self.bound_alike and is_equal else told


def judge(found: Interval, low: float, high: float) -> Outcome:
    """Return whether a mean lies in [low, high]: its whole interval does, none of it does, or it cannot be told.

    >>> judge(Interval(-0.3, 0.1), *LESS), judge(Interval(0.0, 0.0), *LESS), judge(Interval(-0.3, 0.4), *LESS)
    ('yes', 'no', 'open')
    """
    if not (math.isfinite(found.mean) and math.isfinite(found.half_width)):
        return "open"
    bottom, top = found.mean - found.half_width, found.mean + found.half_width
    if low <= bottom and top <= high:
        return "yes"
    return "no" if top < low or bottom > high else "open"


def verdict(outcomes: Sequence[Outcome]) -> Verdict:
    """Return the verdict on a claim, which is meant at all points; it is not tested where nothing can differ.

    >>> verdict(["yes", "yes"]), verdict(["yes", "no"]), verdict(["no", "open"]), verdict(["open"]), verdict([])
    ('reproduces', 'in part', 'does not reproduce', 'cannot be told', 'cannot be told')
    >>> verdict(["alike", "alike"]), verdict(["alike", "no"]), verdict(["alike", "yes"])
    ('not testable there', 'does not reproduce', 'in part')
    """
    if outcomes and all(outcome == "alike" for outcome in outcomes):
        return "not testable there"
    if outcomes and all(outcome == "yes" for outcome in outcomes):
        return "reproduces"
    if "yes" in outcomes:
        return "in part"
    return "does not reproduce" if "no" in outcomes else "cannot be told"


class Question(Protocol):
    """What is asked of the numbers."""

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return one finding per point; none if a method was not run."""


@dataclass(frozen=True)
class Versus:
    """The relative difference of two series, paired by seed, lies in [low, high] at all points (or the given ones).

    alike_in : modes in which both series solve the same problem, so that nothing can differ
    """

    metric: Metric
    series: Series
    other: Series
    low: float
    high: float
    points: tuple[float, ...] | None = None
    alike_in: tuple[str, ...] = ()

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return the differences."""
        if not (measured.has(self.series) and measured.has(self.other)):
            return []
        found = intervals(measured.relative(mode, self.series, self.other, self.metric))
        world, other = measured.plan.world(self.series.world), measured.plan.world(self.other.world)
        if world == other:
            what = f"{self.metric.label}, {self.series.method} against {self.other.method}{_at(world)}"
        else:
            what = f"{self.metric.label} of {self.series.method}, {world.label} against {other.label}"
        alike = bool(world.alike) or mode in self.alike_in
        return _at_points(self, what, measured, world, found, relative=True, alike=alike)


@dataclass(frozen=True)
class Trend:
    """A metric rises, or falls, from each point to the next, and from the first to the last."""

    metric: Metric
    series: Series
    rises: bool

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return the relative changes, paired by seed."""
        world = measured.plan.world(self.series.world)
        if not measured.has(self.series) or len(world.points) < 2:
            return []
        values = measured.values(mode, self.series, self.metric)
        pairs = [*itertools.pairwise(range(len(world.points)))]
        if len(pairs) > 1:
            pairs.append((0, len(world.points) - 1))
        before, after = (list(indices) for indices in zip(*pairs, strict=True))
        found = intervals(relative_difference(values[after], values[before]))
        steps = [f"{number(world.points[first])} to {number(world.points[last])}" for first, last in pairs]
        what = f"{self.metric.label} of {self.series.method}{_at(world)}, {measured.plan.axis.symbol} from"
        low, high = MORE if self.rises else LESS
        return [
            Finding(f"{what} {step}", entry, low, high, True, world.group, bool(world.alike))
            for step, entry in zip(steps, found, strict=True)
        ]


@dataclass(frozen=True)
class Level:
    """A metric itself lies in [low, high], in its unit, at all points or the given ones."""

    metric: Metric
    series: Series
    low: float
    high: float
    points: tuple[float, ...] | None = None

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return the means."""
        if not measured.has(self.series):
            return []
        world = measured.plan.world(self.series.world)
        found = intervals(measured.values(mode, self.series, self.metric))
        what = f"{self.metric.label} of {self.series.method}{_at(world)}"
        return _at_points(self, what, measured, world, found, relative=False)


@dataclass(frozen=True)
class Claim:
    """A statement of the paper.

    figure : name of the figure that it belongs to
    quote : the paper's words
    reading : what is tested
    """

    figure: str
    quote: str
    reading: str
    questions: tuple[Question, ...]

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return what all questions found."""
        return [finding for question in self.questions for finding in question.findings(measured, mode)]


def _at(world: World) -> str:
    return f" at {world.label}" if world.label else ""


def _at_points(
    question: Versus | Level,
    what: str,
    measured: Measured,
    world: World,
    found: Sequence[Interval],
    *,
    relative: bool,
    alike: bool = False,
) -> list[Finding]:
    """Return a finding for each point that is asked for; `what` describes their quantity."""
    symbol = measured.plan.axis.symbol
    return [
        Finding(f"{what}, {symbol} = {number(x)}", entry, question.low, question.high, relative, world.group, alike)
        for x, entry in zip(world.points, found, strict=True)
        if question.points is None or x in question.points
    ]
