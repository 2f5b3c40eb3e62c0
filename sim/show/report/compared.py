"""The page about a comparison: which policy is best and by how much, how policies differ, and maps of their runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from physical.arrays import Floats
from sim.record.delays import shares
from sim.show.report.beside import ENERGIES, Shown, beside
from sim.show.report.digits import duration, measured
from sim.show.report.page import Parts, assemble
from sim.show.report.ranking import metrics_table, notes_html, ranking, verdict
from sim.show.report.runs import ReportedRun
from sim.show.report.series import Chart, Curve
from sim.show.report.study import StudiedPoint, ranked
from sim.show.report.tile import COLOURS
from sim.show.report.tile import html as tiles_html
from sim.studies.comparison import Comparison
from sim.studies.statistics import Interval

_DELAYS_MAX = 4.0


def page_of(point: StudiedPoint, runs: Sequence[ReportedRun], about_maps: Sequence[str]) -> str:
    """Return the page about a comparison.

    runs : runs that have a map
    about_maps : lines about the maps, and about maps that are missing
    """
    comparison = point.comparison
    lead = (
        f'<section class="ranking" aria-label="Ranking"><p class="verdict">{escape(verdict(comparison))}</p>'
        f"{ranking(comparison)}{notes_html(comparison.notes())}</section>"
    )
    scenario, num = point.scenario, len(comparison.policies)
    seeds = "1 seed" if len(comparison.seeds) == 1 else f"{len(comparison.seeds)} seeds"
    told = f"{num} policies compared" if num > 1 else comparison.baseline
    to_baseline = f"; differences are to {comparison.baseline}, with the same seeds" if num > 1 else ""
    return assemble(
        Parts(
            title=f"{', '.join(comparison.policies)} - vectwin report",
            heading=scenario.title or "vectwin report",
            subtitle=f"{told}, {seeds}, {scenario.time.num_slot} slots of "
            f"{duration(scenario.time.slot_duration_s)}{to_baseline}",
            lead=lead,
            after_map=tiles_html(beside(_shown(comparison), without=["penalty"])),
            runs=runs,
            charts=charts_of(point),
            details=details(point),
            end_s=scenario.time.num_slot * scenario.time.slot_duration_s,
            cards=energy_card(comparison),
            map_notes=about_maps,
        )
    )


def _shown(comparison: Comparison) -> list[Shown]:
    found = []
    for colour, policy in enumerate(ranked(comparison)):
        means = dict(comparison.means[policy])
        times = [run.summary.get("decision_ms_p50") for run in comparison.runs[policy]]
        known = [float(time) for time in times if time is not None]
        if known:  # a wall time is no result, so it has no interval
            means["decision_ms_p50"] = Interval(float(np.mean(known)), math.nan)
        is_baseline = policy == comparison.baseline and len(comparison.policies) > 1
        differences = comparison.differences.get(policy)
        found.append(Shown(policy, colour, means, differences, comparison.is_unstable(policy), is_baseline))
    return found


def charts_of(point: StudiedPoint) -> list[Chart]:
    """Return the charts of a comparison: delays against deadlines, penalty by seed and over time."""
    return [*_delays(point), *_by_seed(point.comparison), _over_time(point)]


def _delays(point: StudiedPoint) -> list[Chart]:
    """Return one chart of delays per class; none if an older comparison did not keep the delays."""
    comparison, charts = point.comparison, []
    kept = {policy: [run.delays for run in runs] for policy, runs in comparison.runs.items()}
    if not all(one.get("counts") for rows in kept.values() for one in rows):
        return []
    for index, task in enumerate(point.scenario.tasks):
        curves = [
            Curve(policy, *shares(kept[policy], index), colour) for colour, policy in enumerate(ranked(comparison))
        ]
        note = (
            "Share of the tasks of all seeds that were done within a time, of all that ended, in parts of the deadline "
            f"({duration(float(task.deadline_s))}); a dropped task never is."
        )
        x_lines, x_title = [(1.0, -1, "deadline")], "delay / deadline"
        title = f"Delay of {task.name}"
        end = _usual_end(curves)
        charts.append(
            Chart(
                f"delay-{index}",
                title,
                note,
                "",
                curves,
                "delay",
                x_lines=x_lines,
                x_end=end,
                x_title=x_title,
                smooth=True,
            )
        )
    return charts


def _usual_end(curves: Sequence[Curve]) -> float:
    """Return the end of the axis when the page opens: where 99 % of the tasks are done, and at least 1.5 deadlines.

    Policies that finish fewer tasks do not count.
    """
    ends = [float(curve.x[np.searchsorted(curve.y, 0.99)]) for curve in curves if curve.y[-1] >= 0.99]
    return min(max([1.5, *ends]), _DELAYS_MAX)


def _by_seed(comparison: Comparison) -> list[Chart]:
    if len(comparison.seeds) < 2 or not comparison.differences:
        return []
    base = comparison.penalties(comparison.baseline)
    seeds = np.array(comparison.seeds, dtype=np.float64)
    order = ranked(comparison)
    curves = [
        Curve(
            policy,
            seeds,
            comparison.penalties(policy) - base,
            order.index(policy),
            off=comparison.is_unstable(policy, with_baseline=True),
        )
        for policy in order
        if policy != comparison.baseline
    ]
    note = (
        f"Penalty of each run less that of {comparison.baseline} with the same seed: below 0 is better. Unstable "
        "policies are hidden; touch a name to show it."
    )
    title = f"Difference from {comparison.baseline}, seed by seed"
    instead = ""
    if comparison.is_unstable(comparison.baseline):
        who = f"the baseline {comparison.baseline} is unstable"
        instead = f"not drawn, since {who}: every difference from it is a function of the run's length"
    return [Chart("seeds", title, note, "per slot", curves, "grid", x_title="seed", instead=instead)]


def _over_time(point: StudiedPoint) -> Chart:
    comparison, curves = point.comparison, []
    nobody_is_steady = all(map(comparison.is_unstable, comparison.policies))  # an empty chart would say nothing
    for colour, policy in enumerate(ranked(comparison)):
        runs = [run.slot_penalty for run in comparison.runs[policy]]
        length = min(map(len, runs))
        stacked = np.stack([one[:length] for one in runs])
        known = np.isfinite(stacked)
        total = np.where(known, stacked, 0.0).sum(axis=0)
        mean: Floats = np.divide(total, known.sum(axis=0), out=np.full(length, np.nan), where=known.any(axis=0))
        x = np.arange(length, dtype=np.float64) * point.scenario.time.slot_duration_s
        curves.append(Curve(policy, x, mean, colour, off=comparison.is_unstable(policy) and not nobody_is_steady))
    cut_s = comparison.warmup * point.scenario.time.slot_duration_s
    x_lines = [(cut_s, -1, "end of the warm-up")] if comparison.warmup else []
    note = "Mean over all seeds of what each slot cost. Unstable policies are hidden; touch a name to show it."
    return Chart("penalty", "Penalty over time", note, "per slot", curves, x_lines=x_lines)


def energy_card(comparison: Comparison) -> str:
    """Return the energy by those who spend it, one bar per policy."""
    rows, longest = (
        [],
        max((row["energy_j_mean"].mean for row in comparison.means.values() if "energy_j_mean" in row), default=0.0),
    )
    if not longest > 0 or any(key not in row for row in comparison.means.values() for key in ENERGIES):
        return ""
    for policy in ranked(comparison):
        row = comparison.means[policy]
        total = sum(row[key].mean for key in ENERGIES) or 1.0
        per_slot = [row["energy_j_mean"].mean * row[key].mean / total for key in ENERGIES]
        pieces = "".join(
            f'<i class="c{index}" style="width:{100 * joule / longest:.2f}%" title="{escape(name)}"></i>'
            for index, (joule, name) in enumerate(zip(per_slot, ENERGIES.values(), strict=True))
            if joule > 0
        )
        told = " + ".join(
            f"{measured(Interval(joule, math.nan))} {name}"
            for joule, name in zip(per_slot, ENERGIES.values(), strict=True)
            if joule > 0
        )
        dot = f'<i class="dot c{ranked(comparison).index(policy) % COLOURS}"></i>'
        rows.append(
            f'<li><span class="label">{dot}{escape(policy)}</span><span class="value">{escape(told)}</span>'
            f'<span class="bar">{pieces}</span></li>'
        )
    used = [key for key in ENERGIES if any(row[key].mean > 0 for row in comparison.means.values())]
    legend = "".join(
        f'<span><i class="c{index}"></i>{escape(name)}</span>'
        for index, (key, name) in enumerate(ENERGIES.items())
        if key in used
    )
    return (
        f'<figure class="card" id="figure-energy"><h3>Energy per slot <span class="unit">J</span></h3>'
        f'<p class="keys">{legend}</p><ul class="rows tall">{"".join(rows)}</ul>'
        "<figcaption>Mean over slots and seeds, by who spends it.</figcaption></figure>"
    )


def details(point: StudiedPoint) -> list[tuple[str, str]]:
    """Return the folded parts of the page: all numbers, and what was compared."""
    comparison, scenario = point.comparison, point.scenario
    facts = {
        "scenario": scenario.title,
        "policies": ", ".join(comparison.policies),
        "baseline": comparison.baseline,
        "seeds": ", ".join(map(str, comparison.seeds)),
        "length": f"{scenario.time.num_slot} slots of {scenario.time.slot_duration_s:g} s",
        "warm-up": f"{comparison.warmup} slots ({comparison.warmup_rule})",
        "vehicles": str(scenario.num_vehicle),
        "task classes": "; ".join(
            f"{task.name}: deadline {duration(float(task.deadline_s))}" for task in scenario.tasks
        ),
        "serving nodes": ", ".join(node.name for node in scenario.nodes),
        "as the paper reads": "; ".join(scenario.readings()) or "nothing: no more hardware than there is",
    }
    rows = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(text)}</td></tr>' for key, text in facts.items())
    found = [("All numbers: means", metrics_table(comparison.means, comparison, differences=False))]
    if comparison.differences:
        title = f"All numbers: differences from {comparison.baseline} with the same seed"
        found.append((title, metrics_table(comparison.differences, comparison, differences=True)))
    found.append(("What was compared", f'<div class="scroll" tabindex="0"><table><tbody>{rows}</tbody></table></div>'))
    return found
