"""What a paper's evaluation consists of: methods, worlds, the axis that is varied, figures, and claims to test."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MARGIN = 0.001
"""Relative differences up to this value count as equal, because with paired runs even 1e-9 can be significant."""
LESS, MORE = (-math.inf, -MARGIN), (MARGIN, math.inf)
SIMILAR = (-0.05, 0.05)


@dataclass(frozen=True)
class Metric:
    """A number of a run's summary, and how figures show it.

    key : of the summary, or of `sim.show.figures.measure.more`
    label, unit : of the axis; no unit for a ratio
    scale : shown value per value of the summary
    """

    key: str
    label: str
    unit: str = ""
    scale: float = 1.0

    @property
    def axis_label(self) -> str:
        """Return the label with its unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


PENALTY = Metric("penalty_mean", "penalty")
"""The headline: every run is judged by it, whatever its policy minimises."""


@dataclass(frozen=True)
class Axis:
    """The scenario key that is varied along x.

    symbol : its symbol in texts
    dodge : distance between methods along x, so that equal values do not hide each other
    """

    key: str
    label: str
    symbol: str
    dodge: float = 0.0


@dataclass(frozen=True)
class FigureWorld:
    """A scenario with settings, and the values of the axis that are run there.

    name : in CSV files; label : in legends
    group : worlds of one group are judged together
    alike : reason why methods cannot differ there, if the scenario leaves them no choice; where no difference is
        measured, a claim of a difference is then "not testable there"
    """

    name: str
    label: str
    scenario: str
    settings: tuple[str, ...]
    points: tuple[float, ...]
    group: str = ""
    alike: str = ""


@dataclass(frozen=True)
class Method:
    """A policy, and its name in the paper.

    style : index of its colour, marker and line; the certified optimum has none
    """

    policy: str
    label: str
    style: int | None


@dataclass(frozen=True)
class Series:
    """One method in one world, by their names."""

    method: str
    world: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    against : policy; if given, the panel shows the paired difference from it, in per cent of its mean
    by_method : whether methods stand side by side instead of being curves over the axis; for worlds with one point
    """

    title: str
    metric: Metric
    series: tuple[Series, ...]
    against: str | None = None
    by_method: bool = False

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the worlds in the panel, in order."""
        return tuple(dict.fromkeys(series.world for series in self.series))


@dataclass(frozen=True)
class FigurePlan:
    """A figure of the paper, or an additional one.

    name : of the files
    shown : what the paper's figure shows, as far as its text says so
    taken : what we chose where the text does not say it
    """

    name: str
    title: str
    shown: str
    taken: str
    panels: tuple[Panel, ...]
    num_column: int = 1

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the worlds in the figure, in order."""
        return tuple(dict.fromkeys(world for panel in self.panels for world in panel.worlds))


@dataclass(frozen=True)
class Versus:
    """States that the relative difference of two series, paired by seed, lies in [low, high].

    points : at which it does; None: at all of them
    alike_in : modes in which both series solve the same problem, so that nothing can differ
    """

    metric: Metric
    series: Series
    other: Series
    low: float
    high: float
    points: tuple[float, ...] | None = None
    alike_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """States that a metric rises (or falls) from each point to the next, and from the first to the last."""

    metric: Metric
    series: Series
    rises: bool


@dataclass(frozen=True)
class Level:
    """States that a metric itself lies in [low, high], in its unit.

    points : at which it does; None: at all of them
    """

    metric: Metric
    series: Series
    low: float
    high: float
    points: tuple[float, ...] | None = None


Statement = Versus | Trend | Level


@dataclass(frozen=True)
class Claim:
    """Something that the paper claims about its figures.

    figure : name of the figure that it belongs to
    quote : the paper's words
    reading : what is tested
    statements : tests that all have to hold
    """

    figure: str
    quote: str
    reading: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class PaperPlan:
    """Everything that `twin figures` does for one paper.

    modes : name -> scenario settings
    methods : the policies, with the certified optimum first
    objective : the metric that the optimum minimises
    missing : policy -> reason why it is not run
    """

    name: str
    paper: str
    axis: Axis
    modes: Mapping[str, tuple[str, ...]]
    worlds: tuple[FigureWorld, ...]
    methods: tuple[Method, ...]
    objective: Metric
    figures: tuple[FigurePlan, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    quick: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def optimum(self) -> Method:
        """The method with a certified gap."""
        return self.methods[0]

    def world(self, name: str) -> FigureWorld:
        """Return a world by its name."""
        return next(world for world in self.worlds if world.name == name)

    def method(self, policy: str) -> Method | None:
        """Return a method that is run, or None."""
        return next((method for method in self.methods if method.policy == policy), None)

    def points(self) -> Iterator[tuple[FigureWorld, int, float]]:
        """Yield world, index and value of every point of the axis."""
        for world in self.worlds:
            for index, value in enumerate(world.points):
                yield world, index, value

    def num_run(self, num_mode: int, num_seed: int) -> int:
        """Return how many runs the plan takes."""
        return len(list(self.points())) * len(self.methods) * num_mode * num_seed

    def without(self, missing: Mapping[str, str]) -> PaperPlan:
        """Return the plan without the policies that cannot be run."""
        methods = tuple(method for method in self.methods if method.policy not in missing)
        return dataclasses.replace(self, methods=methods, missing=dict(missing))


def number(value: float) -> str:
    """Return a value of an axis as a setting takes it.

    >>> number(4.0), number(0.1)
    ('4', '0.1')
    """
    return f"{value:g}"
