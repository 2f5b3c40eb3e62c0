"""The page about a sweep: numbers over the values that were varied, and the best policy at each point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape

import numpy as np

from sim.show.report.digits import measured
from sim.show.report.page import Parts, assemble
from sim.show.report.ranking import notes_html, ranking, spell_p
from sim.show.report.series import Chart, Curve
from sim.show.report.study import StudiedPoint, Study, ranked
from sim.show.report.tile import COLOURS
from sim.studies.comparison import HEADLINE
from sim.studies.statistics import Interval

_CHARTS_MAX = 12
_METRICS = (
    (HEADLINE, "Penalty", "per slot", 1.0),
    ("deadline_miss_ratio", "Deadlines missed", "%", 100.0),
    ("delay_s_mean", "Delay of a task", "s", 1.0),
    ("energy_j_mean", "Energy per slot", "J", 1.0),
)


def page_of(study: Study) -> str:
    """Return the page about a sweep."""
    first = study.points[0]
    comparison = first.comparison
    keys = list(first.values)
    seeds = "1 seed" if len(comparison.seeds) == 1 else f"{len(comparison.seeds)} seeds"
    folded = [
        (", ".join(f"{key} = {value}" for key, value in point.values.items()), ranking(point.comparison))
        for point in study.points
    ]
    extent = f"{len(study.points)} points, {len(comparison.policies)} policies, {seeds}"
    return assemble(
        Parts(
            title=f"{', '.join(comparison.policies)} - vectwin report",
            heading=first.scenario.title or "vectwin report",
            subtitle=f"sweep of {', '.join(keys)}: {extent}; differences are to {comparison.baseline}, same seeds",
            lead=f'<section class="ranking" aria-label="Best">{best(study)}{notes_html(_notes(study))}</section>',
            runs=[],
            charts=charts_of(study),
            details=folded,
            end_s=1.0,
        )
    )


def _notes(study: Study) -> list[str]:
    """Return notes for the reader; a note that does not hold for all points names its points."""
    of_note: dict[str, list[str]] = {}
    varied = _varied(study)
    for point in study.points:
        for note in point.comparison.notes():
            of_note.setdefault(note, []).append(" and ".join(point.values[key] for key in varied))
    return [
        note if len(where) == len(study.points) else f"at {', '.join(where)}: {note}" for note, where in of_note.items()
    ]


def _varied(study: Study) -> list[str]:
    """Return the keys that have more than one value; the first key if none has."""
    keys = list(study.points[0].values)
    found = [key for key in keys if len({point.values[key] for point in study.points}) > 1]
    return found or keys[:1]


def best(study: Study) -> str:
    """Return the best policy at each point, with its difference from the baseline."""
    keys = list(study.points[0].values)
    baseline = study.points[0].comparison.baseline
    heads = [*keys, "lowest penalty", "per slot", f"difference from {baseline}", "p (Holm)"]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    rows = []
    for point in study.points:
        comparison = point.comparison
        best = ranked(comparison)[0]
        bare = comparison.is_unstable(best)
        mean = comparison.means[best][HEADLINE]
        difference = "baseline"
        if best != baseline:
            found = comparison.differences[best][HEADLINE]
            unstable = comparison.is_unstable(best, with_baseline=True)
            difference = f"{baseline} is unstable" if unstable else measured(found, signed=True)
        colour = list(comparison.policies).index(best) % COLOURS
        name = f'<i class="dot c{colour}"></i>{escape(best)}' + (
            ' <span class="badge bad">unstable</span>' if bare else ""
        )
        p = spell_p(comparison.p_values.get(best, float("nan")))
        cells = [escape(point.values[key]) for key in keys]
        cells += [
            name,
            escape(measured(Interval(mean.mean, float("nan")) if bare else mean)),
            escape(difference),
            escape(p),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        '<div class="scroll" tabindex="0"><table class="ranks" id="best"><caption>Who is best at each point, by the '
        f"penalty after a warm-up</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def charts_of(study: Study) -> list[Chart]:
    """Return charts over the key with the most values, one for each combination of the other keys' values."""
    keys = _varied(study)
    of_key = {key: list(dict.fromkeys(point.values[key] for point in study.points)) for key in keys}
    axis = max(keys, key=lambda key: (len(of_key[key]), -keys.index(key)))
    others = [key for key in keys if key != axis]
    charts: list[Chart] = []
    for metric, label, unit, factor in _METRICS:
        for values in itertools.product(*(of_key[key] for key in others)):
            chosen = dict(zip(others, values, strict=True))
            points = [point for point in study.points if all(point.values[key] == chosen[key] for key in others)]
            title = label + "".join(f", {key} = {value}" for key, value in chosen.items())
            charts += _chart(f"{metric}-{len(charts)}", points, axis, (metric, title, unit, factor))
    return charts[: _CHARTS_MAX * len(_METRICS)]


def _chart(key: str, points: Sequence[StudiedPoint], axis: str, shown: tuple[str, str, str, float]) -> list[Chart]:
    metric, title, unit, factor = shown
    texts = [point.values[axis] for point in points]
    numbers, axis_unit = numbers_of(texts)
    x = np.array(numbers) if numbers else np.arange(len(texts), dtype=np.float64)
    ticks = [] if numbers else [(float(index), text) for index, text in enumerate(texts)]
    curves = []
    for colour, policy in enumerate(points[0].comparison.policies):
        found = [point.comparison.means[policy].get(metric) for point in points]
        if any(one is None for one in found):
            continue
        rows = [one for one in found if one is not None]
        bare = [point.comparison.is_unstable(policy) for point in points]
        ends = [
            [np.nan if none else factor * end for none, end in zip(bare, values, strict=True)]
            for values in ([one.low for one in rows], [one.high for one in rows])
        ]
        y = np.array([factor * one.mean for one in rows])
        curves.append(Curve(policy, x, y, colour, low=np.array(ends[0]), high=np.array(ends[1]), off=all(bare)))
    if not curves:
        return []
    note = "Mean over seeds with its 95 % interval; an unstable point has none. Who is unstable everywhere is hidden."
    return [
        Chart(
            key,
            title,
            note,
            unit,
            curves,
            "grid",
            x_title=axis + (f" / {axis_unit}" if axis_unit else ""),
            x_ticks=ticks,
        )
    ]


def numbers_of(texts: Sequence[str]) -> tuple[list[float], str]:
    """Return values as numbers with their common unit; no numbers if a value is no number, or units differ.

    >>> numbers_of(["5", "10"]), numbers_of(["1 GHz", "2 GHz"]), numbers_of(["hold", "predict"])
    (([5.0, 10.0], ''), ([1.0, 2.0], 'GHz'), ([], ''))
    """
    parts = [text.strip(" \"'").split(maxsplit=1) for text in texts]
    units = {part[1] if len(part) > 1 else "" for part in parts}
    try:
        return ([float(part[0]) for part in parts], min(units)) if len(units) == 1 else ([], "")
    except (ValueError, IndexError):
        return [], ""
