"""A paper's statements as tests on paired differences, and the verdict on them.

A statement is made of tests; a test gives a finding per point: a mean over seeds with its 95 % interval, and the range
that the statement needs it in. One rule decides all of them, `judge`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from sim.compare import Interval
from sim.figures.measure import Measured, intervals
from sim.figures.plan import Metric, Series, World, number

Outcome = Literal["yes", "no", "open"]
Verdict = Literal["reproduces", "in part", "does not reproduce", "cannot be told"]

MARGIN = 0.001
"""Relative differences up to this are none: with paired runs even 1e-9 can be significant."""
LESS, MORE = (-math.inf, -MARGIN), (MARGIN, math.inf)
SIMILAR = (-0.05, 0.05)


@dataclass(frozen=True)
class Finding:
    """One measured number and the range that the claim needs it in.

    where : which quantity, at which point
    relative : the number is a relative difference, not in the metric's unit
    """

    where: str
    found: Interval
    low: float
    high: float
    relative: bool

    @property
    def outcome(self) -> Outcome:
        """Whether the mean is in the range."""
        return judge(self.found, self.low, self.high)


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
    """Return the verdict on a claim, which is meant at all points.

    >>> verdict(["yes", "yes"]), verdict(["yes", "no"]), verdict(["no", "open"]), verdict(["open"]), verdict([])
    ('reproduces', 'in part', 'does not reproduce', 'cannot be told', 'cannot be told')
    """
    if outcomes and all(outcome == "yes" for outcome in outcomes):
        return "reproduces"
    if "yes" in outcomes:
        return "in part"
    return "does not reproduce" if "no" in outcomes else "cannot be told"


class Test(Protocol):
    """What is asked of the numbers."""

    @property
    def name(self) -> str:
        """The measured quantity in words."""

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return one finding per point; none if a method was not run."""


@dataclass(frozen=True)
class Versus:
    """The relative difference of two series, paired by seed, lies in [low, high] at all points (or the given ones)."""

    metric: Metric
    series: Series
    other: Series
    low: float
    high: float
    points: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """Who against whom."""
        if self.series.world == self.other.world:
            return f"{self.metric.label}, {self.series.method} against {self.other.method}"
        worlds = f"{self.series.world} against {self.other.world}"
        return f"{self.metric.label} of {self.series.method}, {worlds}"

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return the differences."""
        if not (measured.has(self.series) and measured.has(self.other)):
            return []
        found = intervals(measured.relative(mode, self.series, self.other, self.metric))
        world = measured.plan.world(self.series.world)
        place = f" at {world.label}" if self.series.world == self.other.world and world.label else ""
        return [
            Finding(f"{self.name}{place}, {measured.plan.axis.symbol} = {number(x)}", entry, self.low, self.high, True)
            for x, entry in zip(world.points, found, strict=True)
            if self.points is None or x in self.points
        ]


@dataclass(frozen=True)
class Trend:
    """A metric rises, or falls, from each point to the next."""

    metric: Metric
    series: Series
    rises: bool

    @property
    def name(self) -> str:
        """What changes."""
        return f"{self.metric.label} of {self.series.method}, from each point to the next"

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return the relative changes, paired by seed."""
        if not measured.has(self.series):
            return []
        values = measured.values(mode, self.series, self.metric)
        scale = np.abs(values[:-1].mean(axis=1, keepdims=True))
        found = intervals(np.diff(values, axis=0) / scale)
        world = measured.plan.world(self.series.world)
        low, high = MORE if self.rises else LESS
        return [
            Finding(f"{self.name}{_at(world)}, {measured.plan.axis.symbol} {step}", entry, low, high, True)
            for step, entry in zip(_steps(world), found, strict=True)
        ]


@dataclass(frozen=True)
class Level:
    """A metric itself lies in [low, high], in its unit, at all points or the given ones."""

    metric: Metric
    series: Series
    low: float
    high: float
    points: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """What is looked at."""
        return f"{self.metric.label} of {self.series.method}"

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return the means."""
        if not measured.has(self.series):
            return []
        world = measured.plan.world(self.series.world)
        found = intervals(measured.values(mode, self.series, self.metric))
        return [
            Finding(f"{self.name}{_at(world)}, {measured.plan.axis.symbol} = {number(x)}", entry, *self._range, False)
            for x, entry in zip(world.points, found, strict=True)
            if self.points is None or x in self.points
        ]

    @property
    def _range(self) -> tuple[float, float]:
        return self.low, self.high


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
    tests: tuple[Test, ...]

    def findings(self, measured: Measured, mode: str) -> list[Finding]:
        """Return what all tests found."""
        return [finding for test in self.tests for finding in test.findings(measured, mode)]


def _at(world: World) -> str:
    return f" at {world.label}" if world.label else ""


def _steps(world: World) -> Iterator[str]:
    for first, last in zip(world.points, world.points[1:], strict=False):
        yield f"{number(first)} to {number(last)}"
