"""Which cases of a set are shown: what matters most stands last, next to the question, as in-context learners want."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.random import Generator

from policies.cases.case import Case, CaseSet
from twin.snapshot import TwinSnapshot

Selection = Literal["nearest", "diverse", "best", "recent", "random"]


def nearest(cases: CaseSet, count: int, snapshot: TwinSnapshot) -> tuple[Case, ...]:
    """Return the `count` cases most like a snapshot, the nearest last; of equally near ones the older counts as nearer.

    See `CaseSet.distances`.
    """
    order = np.argsort(cases.distances(snapshot), kind="stable")[:count]
    return tuple(cases[index] for index in order[::-1].tolist())


def select(cases: CaseSet, kind: Selection, count: int, generator: Generator) -> tuple[Case, ...]:
    """Return `count` cases whatever the question is, or all if there are fewer.

    Parameters
    ----------
    cases : where from
    kind : "diverse": the most typical case, then always the one farthest from those chosen; "best": the lowest
        objectives (realised where known), the lowest last; "recent": the newest last; "random"
    count : how many
    generator : for "random"

    Raises
    ------
    ValueError : "nearest", which needs a snapshot, or an unknown kind
    """
    count = min(count, len(cases))
    if kind == "recent":
        chosen = list(range(len(cases) - count, len(cases)))
    elif kind == "best":
        score = np.array([case.score for case in cases])
        chosen = np.argsort(score, kind="stable")[:count][::-1].tolist()  # NaN sorts last, as the worst
    elif kind == "random":
        chosen = generator.permutation(len(cases))[:count].tolist()
    elif kind == "diverse":
        chosen = _farthest_points(cases, count)
    else:
        raise ValueError(f"{kind!r} is no selection without a snapshot")
    return tuple(cases[index] for index in chosen)


def _farthest_points(cases: CaseSet, count: int) -> list[int]:
    """Return indices: the case nearest to the mean, then again and again the one farthest from all chosen."""
    if not count:
        return []
    points = cases.points()
    chosen = [int(np.mean(points * points, axis=1).argmin())]
    away = np.full(len(points), np.inf)
    while len(chosen) < count:
        gap = points - points[chosen[-1]]
        away = np.minimum(away, np.mean(gap * gap, axis=1))
        away[chosen[-1]] = -1.0  # a copy of a chosen case is at distance 0, and still comes before that case again
        chosen.append(int(away.argmax()))
    return chosen
