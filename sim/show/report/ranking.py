"""The main table of a comparison: policies by penalty, with intervals and paired differences, drawn to scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from sim.show.report.digits import NONE, measured
from sim.show.report.study import ranked
from sim.show.report.tile import COLOURS
from sim.show.terminal import GROUPS
from sim.studies.comparison import HEADLINE, Comparison
from sim.studies.statistics import Interval

_ROOM = 2.5
"""Length of a scale, as a multiple of the range of the better half; a policy outside is drawn at the end."""
_BEYOND = "goes on beyond the scale"
_LEAST_P = 0.001


class Reach:
    """A scale for intervals, from 0 to 1."""

    def __init__(self, better: Sequence[Interval], others: Sequence[Interval], at: float | None = None) -> None:
        """Fit a scale.

        better : intervals that must lie inside
        others : intervals that may lie outside
        at : a value that must lie inside
        """
        ends = [end for one in better for end in (one.low, one.high, one.mean) if math.isfinite(end)]
        ends += [] if at is None else [at]
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        room = (high - low) or abs(high) or 1.0
        further = [end for one in others for end in (one.low, one.high, one.mean) if math.isfinite(end)]
        self.low = max(min([low, *further]), high - _ROOM * room)
        self.high = min(max([high, *further]), low + _ROOM * room)
        air = 0.04 * ((self.high - self.low) or 1.0)
        self.low, self.high = self.low - air, self.high + air

    def at(self, value: float) -> float:
        """Return the place of a value; a value outside is at the end."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def html(self, found: Interval, colour: int, zero: float | None = None, *, bare: bool = False) -> str:
        """Draw an interval and its mean; `zero` adds a line at 0, `bare` leaves the interval out."""
        parts = []
        if zero is not None:
            parts.append(f'<u style="left:{100 * self.at(zero):.2f}%"></u>')
        if not math.isfinite(found.mean):
            return f'<span class="range">{"".join(parts)}</span>'
        if math.isfinite(found.half_width) and not bare:
            left, right = self.at(found.low), self.at(found.high)
            cut = f"{' cut-left' if found.low < self.low else ''}{' cut-right' if found.high > self.high else ''}"
            title = f' title="{_BEYOND}"' if cut else ""
            place = f"left:{100 * left:.2f}%;width:{100 * (right - left):.2f}%"
            parts.append(f'<i class="c{colour}{cut}"{title} style="{place}"></i>')
        beyond = found.mean > self.high or found.mean < self.low
        sign = ("\N{RIGHTWARDS ARROW}" if found.mean > self.high else "\N{LEFTWARDS ARROW}") if beyond else ""
        kind = " beyond" if beyond else " hollow" if bare else ""
        title = f' title="{_BEYOND}"' if beyond else ""
        parts.append(f'<b class="c{colour}{kind}"{title} style="left:{100 * self.at(found.mean):.2f}%">{sign}</b>')
        return f'<span class="range" aria-hidden="true">{"".join(parts)}</span>'


def verdict(comparison: Comparison) -> str:
    """Say in a sentence which policy is best, and by how much."""
    order = ranked(comparison)
    best, baseline = order[0], comparison.baseline
    if len(order) == 1:
        return f"{best} alone was run."
    if comparison.is_unstable(best):
        return "No policy is stable here: what waits keeps growing, and a longer run would give other means."
    mean = measured(comparison.means[best][HEADLINE])
    other = order[1] if best == baseline else best
    text = f"{best} has the lowest penalty, {mean} per slot"
    if best == baseline:
        text += ". It is the baseline"
    if comparison.is_unstable(other, with_baseline=True):
        return f"{text}; {other if best == baseline else baseline} is unstable."
    found = comparison.differences[other][HEADLINE]
    size = measured(_positive(found))
    who = f"; {other} is {size} above it" if best == baseline else f": {size} below that of {baseline}"
    if not math.isfinite(found.half_width):
        return f"{text}{who}; one seed does not tell whether that is chance."
    if found.low <= 0 <= found.high:
        near = other if best == baseline else baseline
        return f"{text}, but {len(comparison.seeds)} seeds do not tell it from {near}."
    p = comparison.p_values.get(other, math.nan)
    return f"{text}{who}{'' if math.isnan(p) else f' (p {spell_p(p, equals=True)})'}."


def notes_html(notes: Sequence[str]) -> str:
    """Return what a reader should know before trusting the numbers."""
    lines = "".join(f"<li>{escape(note[0].upper() + note[1:])}</li>" for note in notes)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def _positive(found: Interval) -> Interval:
    if found.mean >= 0:
        return found
    bounds = None if found.bounds is None else (-found.bounds[1], -found.bounds[0])
    return Interval(-found.mean, found.half_width, bounds)


def spell_p(p: float, *, equals: bool = False) -> str:
    """Spell a p-value."""
    if math.isnan(p):
        return ""
    if p < _LEAST_P:
        return f"< {_LEAST_P:g}"
    return f"{'= ' if equals else ''}{p:.3f}"


def ranking(comparison: Comparison) -> str:
    """Return the table as HTML."""
    order = ranked(comparison)
    means = {policy: comparison.means[policy][HEADLINE] for policy in order}
    steady = [policy for policy in order if not comparison.is_unstable(policy)] or order
    better = dict.fromkeys([*steady[: (len(steady) + 1) // 2], *steady[:2]])
    of_means = Reach([means[one] for one in better], list(means.values()))
    differences = {policy: row[HEADLINE] for policy, row in comparison.differences.items()}
    near = [differences[one] for one in better if one in differences] or list(differences.values())[:1]
    of_differences = Reach(near, list(differences.values()), at=0.0)
    heads = [("", "place"), ("policy", ""), ("penalty per slot", "number"), ("", "drawn")]
    if differences:
        heads += [(f"difference from {comparison.baseline}", "number"), ("", "drawn"), ("p (Holm)", "p")]
    head = "".join(f'<th scope="col" class="{kind}">{escape(text)}</th>' for text, kind in heads)
    rows = "".join(
        _row(comparison, place, policy, of_means, of_differences if differences else None)
        for place, policy in enumerate(order)
    )
    caption = f"Policies by penalty, {_about(comparison)}"
    return (
        f'<div class="scroll" tabindex="0"><table class="ranks" id="ranking"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _about(comparison: Comparison) -> str:
    rule = "MSER-5" if comparison.warmup_rule == "auto" else "as given"
    cut = f"after a warm-up of {comparison.warmup} slots ({rule})" if comparison.warmup else f"no warm-up cut ({rule})"
    num = len(comparison.seeds)
    return f"{cut}; {num} seeds, 95 % intervals" if num > 1 else f"{cut}; 1 seed"


def _row(comparison: Comparison, place: int, policy: str, of_means: Reach, of_differences: Reach | None) -> str:
    colour = place % COLOURS
    unstable = comparison.is_unstable(policy)
    mean = comparison.means[policy][HEADLINE]
    text = measured(Interval(mean.mean, math.nan)) if unstable else measured(mean)
    badge = ' <span class="badge bad">unstable</span>' if unstable else ""
    if policy == comparison.baseline and len(comparison.policies) > 1:
        badge += ' <span class="badge">baseline</span>'
    cells = [
        f'<td class="place">{place + 1}</td>',
        f'<th scope="row"><i class="dot c{colour}"></i>{escape(policy)}{badge}</th>',
        f'<td class="number">{escape(text)}</td>',
        f'<td class="drawn">{of_means.html(mean, colour, bare=unstable)}</td>',
    ]
    if of_differences is not None:
        cells += _difference_cells(comparison, policy, colour, of_differences)
    return f"<tr>{''.join(cells)}</tr>"


def _difference_cells(comparison: Comparison, policy: str, colour: int, reach: Reach) -> list[str]:
    if policy == comparison.baseline:
        nothing = Interval(math.nan, math.nan)
        return ['<td class="number"></td>', f'<td class="drawn">{reach.html(nothing, colour, 0.0)}</td>', "<td></td>"]
    found = comparison.differences[policy][HEADLINE]
    bare = comparison.is_unstable(policy, with_baseline=True)
    text = measured(Interval(found.mean, math.nan) if bare else found, signed=True)
    tone = "" if bare or not math.isfinite(found.half_width) or found.low <= 0 <= found.high else _tone(found.mean)
    return [
        f'<td class="number {tone}">{escape(text)}</td>',
        f'<td class="drawn">{reach.html(found, colour, 0.0, bare=bare)}</td>',
        f'<td class="p">{escape(spell_p(comparison.p_values.get(policy, math.nan)))}</td>',
    ]


def _tone(difference: float) -> str:
    return "good" if difference < 0 else "bad"


def metrics_table(rows: Mapping[str, Mapping[str, Interval]], comparison: Comparison, *, differences: bool) -> str:
    """Return all metrics of all policies, one row per metric; metrics that are 0 for all policies are left out."""
    policies = [policy for policy in ranked(comparison) if policy in rows]
    metrics = dict.fromkeys(metric for policy in policies for metric in rows[policy] if _says(rows[policy][metric]))
    unstable = {one for one in policies if comparison.is_unstable(one, with_baseline=differences)}
    heads = (f"{policy} (unstable)" if policy in unstable else policy for policy in policies)
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    names = {key: name for group in GROUPS.values() for key, name in group.items()}
    body = "".join(
        f'<tr><th scope="row">{_metric(metric, names)}</th>'
        + "".join(f"<td>{escape(_cell(rows[one].get(metric), one in unstable, differences))}</td>" for one in policies)
        + "</tr>"
        for metric in metrics
    )
    return (
        '<div class="scroll" tabindex="0"><table><thead><tr><th scope="col"><span class="hidden">metric</span></th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _says(found: Interval) -> bool:
    return math.isfinite(found.mean) and (found.mean != 0 or found.half_width > 0)


def _metric(key: str, names: Mapping[str, tuple[str, str]]) -> str:
    label, unit = names.get(key, (key, ""))
    return escape(label) + (f' <span class="unit">{escape(unit)}</span>' if unit else "")


def _cell(found: Interval | None, unstable: bool, signed: bool) -> str:
    if found is None:
        return NONE
    return measured(Interval(found.mean, math.nan) if unstable else found, signed=signed)
