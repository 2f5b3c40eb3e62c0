"""Writes the results: a CSV file beside every figure, all findings as CSV, and `claims.md`."""

from __future__ import annotations

import csv
import dataclasses
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.show.figures.judging import Finding, Outcome, Verdict, findings_of, verdict
from sim.show.figures.measure import Measured, intervals
from sim.show.figures.plan import PENALTY, Claim, FigurePlan, FigureWorld, Metric, PaperPlan, Series, number
from sim.studies.statistics import Interval, difference

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Judged:
    """A claim in one mode and one group of worlds, with its findings and the verdict on them."""

    claim: Claim
    mode: str
    group: str
    findings: tuple[Finding, ...]
    verdict: Verdict


def judge_all(measured: Measured) -> list[Judged]:
    """Return the verdicts on all claims, per mode and group of worlds."""
    judged = []
    for claim in measured.plan.claims:
        for mode in measured.modes:
            findings = findings_of(claim, measured, mode)
            for group in dict.fromkeys(finding.group for finding in findings) or [""]:
                own = tuple(finding for finding in findings if finding.group == group)
                judged.append(Judged(claim, mode, group, own, verdict([finding.outcome for finding in own])))
    return judged


# ------------------------------------------------------------------------------------------------------------------ CSV


def write_figure_data(figure: FigurePlan, measured: Measured, mode: str, path: Path) -> None:
    """Write the numbers of a figure: means, half-widths, and paired differences from the certified optimum."""
    columns = (
        "metric",
        "unit",
        "world",
        measured.plan.axis.key,
        "policy",
        "mean",
        "half_width_95",
        "difference_from_optimum",
        "difference_half_width_95",
        "num_seed",
        "unstable",
    )
    wanted = dict.fromkeys((panel.metric, one) for panel in figure.panels for one in panel.series)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for metric, one in wanted:
            if metric.unit == "%" or not measured.has(one):
                continue  # a panel of differences, which are written beside the values
            values = measured.values(mode, one, metric)
            optimum = measured.values(mode, Series(measured.plan.optimum.policy, one.world), metric)
            points = measured.plan.world(one.world).points
            differences = intervals(difference(values, optimum))
            for index, (x, own, other) in enumerate(zip(points, intervals(values), differences, strict=True)):
                cells = [_cell(value) for value in (own.mean, own.half_width, other.mean, other.half_width)]
                head = (metric.key, metric.unit, one.world, number(x), one.method)
                writer.writerow((*head, *cells, len(measured.seeds), measured.is_unstable(mode, one, index)))


def write_findings(judged: Sequence[Judged], path: Path) -> None:
    """Write every finding behind the verdicts."""
    columns = (
        "figure",
        "claim",
        "mode",
        "verdict",
        "where",
        "mean",
        "half_width_95",
        "low",
        "high",
        "relative",
        "holds",
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for one in judged:
            for finding in one.findings:
                bounds = (finding.found.mean, finding.found.half_width, finding.low, finding.high)
                cells = [_cell(value) for value in bounds]
                head = (one.claim.figure, one.claim.quote, one.mode, one.verdict, finding.where)
                writer.writerow((*head, *cells, finding.relative, finding.outcome))


def _cell(value: float) -> str:
    """Return a number as a text, empty if it is unknown."""
    return "" if math.isnan(value) else f"{value:.9g}"


# ------------------------------------------------------------------------------------------------------------ claims.md


def write_claims(measured: Measured, judged: Sequence[Judged], command: str, path: Path) -> None:
    """Write the page of claims."""
    plan = measured.plan
    lines = [*_introduction(measured, command)]
    for figure in plan.figures:
        lines += ["", f"## {figure.title}", ""]
        lines += [f"![{figure.title}, {mode}]({figure.name}-{mode}.png)" for mode in measured.modes]
        lines += ["", f"The paper: {figure.shown} Here: {figure.taken}", ""]
        own = [one for one in judged if one.claim.figure == figure.name]
        lines += [*_table(own, plan)] if own else ["No claim of the paper; its claims are tested on these runs above."]
    lines += ["", *_against_optimum(measured), "", *_spread(measured), "", *_commands(measured)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _introduction(measured: Measured, command: str) -> Iterator[str]:
    plan, count = measured.plan, len(measured.seeds)
    yield f"# `{plan.name}`: claimed and measured"
    yield ""
    if plan.quick:
        yield f"**A quick look: {count} seeds, few points, short runs. Not a result.**"
        yield ""
    yield f"{plan.paper}. All numbers on this page are measured by"
    yield ""
    yield f"```console\n$ {command}\n```"
    yield ""
    yield (
        f"{count} seeds, the same random numbers for all policies; mean and 95 % interval of Student's t over seeds. "
        "Differences are paired by seed and relative to the mean of what is compared with; up to 0.1 % counts as none. "
        "A claim is meant at all points: *reproduces* where every point's interval lies where the claim puts it, *in "
        "part* where some do, *does not reproduce* where none does and at least one lies elsewhere, else *cannot be "
        "told*. A claim of a difference is *not testable there* where the model leaves nothing that could differ, and "
        "nothing does. “m of n as claimed” counts points, “k not” those whose interval lies elsewhere. "
        "Intervals hold per point, not for all at once. Every finding is in `claims.csv`. All means are of whole runs, "
        "without a warm-up cut."
    )
    yield ""
    for note in plan.notes:
        yield f"- {note}"
    for policy, reason in plan.missing.items():
        yield f"- **Not run: `{policy}`** ({reason})."
    for mode in measured.modes:
        groups: dict[str, list[str]] = {}
        for world in plan.worlds:
            groups.setdefault(world.group or world.scenario, []).append(world.name)
        gaps = ", ".join(f"{group} {measured.gap_max(mode, names):.1e}" for group, names in groups.items())
        model = measured.gap_model(mode)
        holds = f"; it holds for the model “{model}”" if model else ""
        yield f"- Largest certified gap of `{plan.optimum.policy}`, mode {mode}: {gaps}{holds}."
        for place, policies in measured.unstable(mode).items():
            names = ", ".join(f"`{policy}`" for policy in policies)
            yield f"- **Unstable**, mode {mode}, {place}: {names}. Their means are functions of the run's length."
    for method in plan.methods:
        failed, made = measured.total(method.policy, "fallbacks"), measured.total(method.policy, "decisions")
        repaired = measured.total(method.policy, "decisions_repaired")
        if failed or repaired:
            yield f"- `{method.policy}`: of {made:.0f} decisions {failed:.0f} by the fallback, {repaired:.0f} repaired."


def _table(judged: Sequence[Judged], plan: PaperPlan) -> Iterator[str]:
    groups = any(one.group for one in judged)
    head = ["the paper says", "tested", "mode", *(["where"] if groups else []), "measured", "verdict"]
    yield _row(head)
    yield _row(["---"] * len(head))
    told = None
    for one in judged:
        first = one.claim is not told
        told = one.claim
        quote, reading = (f"“{one.claim.quote}”", one.claim.reading) if first else ("", "")
        where = [one.group] if groups else []
        yield _row([quote, reading, one.mode, *where, _measured(one, plan), f"**{one.verdict}**"])


def _measured(judged: Judged, plan: PaperPlan) -> str:
    """Return a short text about the findings: the extremes, how many hold, and the first that does not."""
    findings = judged.findings
    if not findings:
        return f"not run: {', '.join(plan.missing)}" if plan.missing else "too few points"
    ordered = sorted(findings, key=lambda finding: finding.found.mean)
    extremes = [_number(finding) for finding in (ordered[0], ordered[-1])]
    text = extremes[0] if len(findings) == 1 else " to ".join(dict.fromkeys(extremes))
    outcomes = [finding.outcome for finding in findings]
    text += f"; {outcomes.count('yes')} of {len(findings)} as claimed, {outcomes.count('no')} not"
    if "alike" in outcomes:
        text += f", {outcomes.count('alike')} cannot differ"
    if judged.verdict == "in part":
        words: dict[Outcome, str] = {"no": "against it", "open": "open", "alike": "cannot differ"}
        word = next(word for word in words if word in outcomes)
        other = findings[outcomes.index(word)]
        text += f"; {words[word]}: {other.where} ({_number(other)})"
    return text


def _number(finding: Finding) -> str:
    return percent(finding.found) if finding.relative else plain(finding.found)


def percent(found: Interval) -> str:
    """Spell a relative difference.

    >>> percent(Interval(-0.1234, 0.0012))
    '−12.3 % ± 0.1 %'
    """
    mean, half = 100 * found.mean, 100 * found.half_width
    digits = 1 if abs(mean) >= 1 else 3
    signed = f"{mean:+.{digits}f}" if abs(mean) >= 0.5 * 10**-digits else f"{0:.{digits}f}"
    width = f" ± {half:.{digits}f} %" if math.isfinite(half) else ""  # with one seed there is no interval
    return f"{signed} %{width}".replace("-", _MINUS)


def plain(found: Interval, *, unstable: bool = False) -> str:
    """Spell a mean with its interval, if it has one.

    >>> plain(Interval(-1.5, 0.25)), plain(Interval(2.0, 0.1), unstable=True), plain(Interval(3.0, float("nan")))
    ('−1.5 ± 0.25', '2 unstable', '3')
    """
    if not math.isfinite(found.mean):
        return "none"
    width = " unstable" if unstable else f" ± {found.half_width:.2g}" if math.isfinite(found.half_width) else ""
    return f"{found.mean:.4g}{width}".replace("-", _MINUS)


def _against_optimum(measured: Measured) -> Iterator[str]:
    """Compare every method with the certified optimum: in the penalty, and in the objective that it minimises."""
    plan = measured.plan
    yield "## Penalty, and the certified optimum"
    yield ""
    realised, predicted = plan.objective, dataclasses.replace(plan.objective, key="objective_predicted_mean")
    yield (
        f"Lower is better: `{plan.optimum.policy}` itself, then paired differences from it. The *penalty* is what a "
        "run is judged by: what the simulation brought, waiting and carry-over included, without the drift of the "
        f"queues. {realised.label}, *expected*, is what the method's decisions cost on the twin's belief, which the "
        "certificate is about; *realised*, what the simulation brought, may be below the optimum of single slots. "
        "Where a method, or what it is compared with, is unstable in at least half of the runs, the mean has no "
        "interval."
    )
    yield ""
    yield _row(["mode", "world", plan.axis.symbol, "method", "penalty", "objective, expected", "objective, realised"])
    yield _row(["---"] * 7)
    for mode in measured.modes:
        for world in plan.worlds:
            for index in dict.fromkeys((0, len(world.points) - 1)):
                yield from _methods_at(measured, mode, world, index, (PENALTY, predicted, realised))


def _methods_at(
    measured: Measured, mode: str, world: FigureWorld, index: int, metrics: Sequence[Metric]
) -> Iterator[str]:
    optimum = Series(measured.plan.optimum.policy, world.name)
    for method in measured.plan.methods:
        series = Series(method.policy, world.name)
        is_unstable = any(measured.is_unstable(mode, one, index) for one in (optimum, series))
        cells = []
        for metric in metrics:
            values = measured.values(mode, series, metric)[index : index + 1]
            base = measured.values(mode, optimum, metric)[index : index + 1]
            found = intervals(values if series == optimum else difference(values, base))[0]
            cells.append(plain(found, unstable=is_unstable and metric.key != "objective_predicted_mean"))
        head = [mode, world.label or world.scenario, number(world.points[index]), f"`{method.policy}`"]
        yield _row([*head, *cells])


def _spread(measured: Measured) -> Iterator[str]:
    """Say how wide the intervals are, which shows whether seeds and slots suffice."""
    plan = measured.plan
    yield "## Spread between seeds"
    yield ""
    slots = {world.group or world.scenario: _num_slot(world) for world in plan.worlds}
    lengths = ", ".join(f"{where}: {count}" for where, count in slots.items())
    yield (
        f"Slots per run: {lengths}. Half-width of the 95 % interval, in per cent of the mean, median and largest over "
        "points and methods, per metric:"
    )
    yield ""
    yield _row(["metric", "mode", "median", "largest"])
    yield _row(["---"] * 4)
    metrics = dict.fromkeys(
        (panel.metric, one) for figure in plan.figures for panel in figure.panels for one in panel.series
    )
    for metric in dict.fromkeys(metric for metric, _ in metrics if metric.unit != "%"):
        for mode in measured.modes:
            found = [
                entry
                for other, one in metrics
                if other == metric and measured.has(one)
                for entry in intervals(measured.values(mode, one, metric))
            ]
            parts = [100 * entry.half_width / abs(entry.mean) for entry in found if entry.mean and entry.method]
            shown = [f"{value:.2g} %" for value in (np.median(parts), np.max(parts))] if parts else ["none", "none"]
            yield _row([metric.axis_label, mode, *shown])


def _num_slot(world: FigureWorld) -> str:
    return next(text.partition("=")[2] for text in world.settings if text.startswith("time.num_slot="))


def _commands(measured: Measured) -> Iterator[str]:
    """Return the `twin sweep` commands that make the same runs, one per mode and world."""
    plan = measured.plan
    yield "## The same runs, one by one"
    yield ""
    yield (
        "Each of these gives the summaries of the same runs (edge energy there is the total of a run; resource ratio "
        "and certified gap are in the traces, table `decisions`):"
    )
    yield ""
    policies, seeds = ",".join(method.policy for method in plan.methods), _spelt(measured.seeds)
    yield "```console"
    for mode in measured.modes:
        for world in plan.worlds:
            settings = [part for text in (*world.settings, *plan.modes[mode]) for part in ("--set", text)]
            grid = f"{plan.axis.key}={','.join(map(number, world.points))}"
            words = [
                "twin",
                "sweep",
                world.scenario,
                "--policies",
                policies,
                "--seeds",
                seeds,
                *settings,
                "--grid",
                grid,
            ]
            yield f"$ {shlex.join(words)}"
    yield "```"


def _spelt(seeds: Sequence[int]) -> str:
    """Spell seeds as ``--seeds`` takes them.

    >>> _spelt((0, 1, 2)), _spelt((1, 4))
    ('0..2', '1,4')
    """
    whole = len(seeds) > 1 and tuple(seeds) == tuple(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}..{seeds[-1]}" if whole else ",".join(map(str, seeds))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
