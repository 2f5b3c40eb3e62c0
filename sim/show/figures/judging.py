"""Tests a paper's claims on paired differences, and gives a verdict on each.

A claim is made of statements. A statement gives one finding per point: a mean over seeds with its 95 % interval, and
the range in which the statement needs it. One rule, `judge`, decides all findings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sim.show.figures.measure import Measured, intervals, relative_difference
from sim.show.figures.plan import LESS, MARGIN, MORE, Claim, FigureWorld, Level, Statement, Trend, Versus, number
from sim.studies.statistics import Interval

Outcome = Literal["yes", "no", "open", "alike"]
Verdict = Literal["reproduces", "in part", "does not reproduce", "cannot be told", "not testable there"]


@dataclass(frozen=True)
class Finding:
    """One measured number, and the range in which it must be for the claim.

    where : which quantity, at which point
    relative : whether the number is a relative difference, not a value in the metric's unit
    group : of the world, see `FigureWorld`
    bound_alike : whether the model makes both sides equal there, see `FigureWorld.alike` and `Versus.alike_in`
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
        """Whether the mean is in the range; "alike" if the model allows no difference and none is measured."""
        told = judge(self.found, self.low, self.high)
        is_equal = judge(self.found, -MARGIN, MARGIN) == "yes"
        return "alike" if told == "no" and self.relative and self.bound_alike and is_equal else told


def judge(found: Interval, low: float, high: float) -> Outcome:
    """Tell whether a mean lies in [low, high]: "yes" if its whole interval does, "no" if none of it does, else "open".

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
    """Return the verdict on a claim, which is meant at all points; points where nothing can differ test nothing.

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


def findings_of(claim: Claim, measured: Measured, mode: str) -> list[Finding]:
    """Return the findings of all statements of a claim; a statement about a method that was not run has none."""
    return [finding for statement in claim.statements for finding in findings(statement, measured, mode)]


def findings(statement: Statement, measured: Measured, mode: str) -> list[Finding]:
    """Return one finding per point that a statement is about; none if a method was not run."""
    match statement:
        case Versus():
            return _differences(statement, measured, mode)
        case Trend():
            return _changes(statement, measured, mode)
        case Level():
            return _means(statement, measured, mode)


def _differences(versus: Versus, measured: Measured, mode: str) -> list[Finding]:
    """Return the relative differences of two series, paired by seed."""
    if not (measured.has(versus.series) and measured.has(versus.other)):
        return []
    found = intervals(measured.relative(mode, versus.series, versus.other, versus.metric))
    world, other = measured.plan.world(versus.series.world), measured.plan.world(versus.other.world)
    if world == other:
        what = f"{versus.metric.label}, {versus.series.method} against {versus.other.method}{_at(world)}"
    else:
        what = f"{versus.metric.label} of {versus.series.method}, {world.label} against {other.label}"
    alike = bool(world.alike) or mode in versus.alike_in
    return _at_points(versus, what, measured, world, found, relative=True, alike=alike)


def _changes(trend: Trend, measured: Measured, mode: str) -> list[Finding]:
    """Return the relative changes from point to point, paired by seed."""
    world = measured.plan.world(trend.series.world)
    if not measured.has(trend.series) or len(world.points) < 2:
        return []
    values = measured.values(mode, trend.series, trend.metric)
    pairs = [*itertools.pairwise(range(len(world.points)))]
    if len(pairs) > 1:
        pairs.append((0, len(world.points) - 1))
    before, after = (list(indices) for indices in zip(*pairs, strict=True))
    found = intervals(relative_difference(values[after], values[before]))
    steps = [f"{number(world.points[first])} to {number(world.points[last])}" for first, last in pairs]
    what = f"{trend.metric.label} of {trend.series.method}{_at(world)}, {measured.plan.axis.symbol} from"
    low, high = MORE if trend.rises else LESS
    return [
        Finding(f"{what} {step}", entry, low, high, True, world.group, bool(world.alike))
        for step, entry in zip(steps, found, strict=True)
    ]


def _means(level: Level, measured: Measured, mode: str) -> list[Finding]:
    """Return the means of a metric."""
    if not measured.has(level.series):
        return []
    world = measured.plan.world(level.series.world)
    found = intervals(measured.values(mode, level.series, level.metric))
    what = f"{level.metric.label} of {level.series.method}{_at(world)}"
    return _at_points(level, what, measured, world, found, relative=False)


def _at(world: FigureWorld) -> str:
    return f" at {world.label}" if world.label else ""


def _at_points(
    statement: Versus | Level,
    what: str,
    measured: Measured,
    world: FigureWorld,
    found: Sequence[Interval],
    *,
    relative: bool,
    alike: bool = False,
) -> list[Finding]:
    """Return a finding for each point of the statement; `what` describes the quantity."""
    symbol = measured.plan.axis.symbol
    return [
        Finding(f"{what}, {symbol} = {number(x)}", entry, statement.low, statement.high, relative, world.group, alike)
        for x, entry in zip(world.points, found, strict=True)
        if statement.points is None or x in statement.points
    ]
