"""What the command line shows of comparisons: the penalty first, other metrics next, in tables that fit a terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from physical import digits
from physical.printable import printable
from sim.show import terminal
from sim.show.table import Column, say, table
from sim.studies.evaluation import HEADLINE

if TYPE_CHECKING:
    from sim.studies.evaluation import Comparison
    from sim.studies.statistics import Interval
    from sim.studies.sweep import Point

# Metric -> heading and the number of its units in one of the heading's; what matters most stands first.
_COMPARED = {
    "deadline_miss_ratio": ("missed", 1.0),
    "delay_s_mean": ("delay / ms", 1e-3),
    "energy_j_mean": ("energy / J", 1.0),
    "qos_mean": ("QoS", 1.0),
    "objective_mean": ("objective", 1.0),
    "backlog_bytes_mean": ("backlog / MB", 1e6),
}
_COMPARED_OF_LAYERS = {
    "completion_s_mean": ("completion / s", 1.0),
    "energy_j_mean": ("energy / J", 1.0),
    "deadline_miss_ratio": ("missed", 1.0),
    "layers_local_mean": ("local layers", 1.0),
    "completion_compute_s_mean": ("without upload / s", 1.0),
}
_STABLE = {True: "yes", False: "no", None: "unknown"}
_LEAST_P = 0.001
_TEXT_WIDTH = 120


def comparison(compared: Comparison, title: str, directory: Path) -> None:
    """Print the penalty with its differences from the baseline, then the other metrics and their differences."""
    output = terminal.console()
    _tables(compared, title, output)
    _end(output, compared.notes(), directory, [compared])


def comparison_text(compared: Comparison) -> str:
    """Return the same tables as a text."""
    output = Console(file=io.StringIO(), width=_TEXT_WIDTH, color_system=None, force_jupyter=False)
    _tables(compared, "", output)
    for note in compared.notes():
        say(output, f"note: {note}")
    if told := _reused([compared]):
        say(output, f"{told} (fresh=True runs them again)")
    text: str = output.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above
    return text.rstrip("\n")


def _tables(compared: Comparison, title: str, output: Console) -> None:
    say(output, f"{title}. {_about(compared)}" if title else _about(compared))
    names = Column("policy", list(compared.means), is_text=True)
    table(output, [names], [*_headline(compared)])
    if compared.means:
        output.print()
        say(output, f"Other metrics, of whole runs{_with(compared, ': mean')}")
        table(output, [names], [*_metrics(compared)])
    if compared.differences:
        output.print()
        say(output, f"Differences from {compared.baseline} with the same seed{_with(compared)}")
        others = Column("policy", list(compared.differences), is_text=True)
        table(output, [others], [*_metrics(compared, differences=True)])
    output.print()


def sweep(points: Sequence[Point], title: str, directory: Path) -> None:
    """Print penalty and other metrics at every point of a grid."""
    output = terminal.console()
    about = _with(points[0].comparison, " Mean")
    say(output, f"{title}. Penalty per slot after a warm-up, other metrics of whole runs.{about}")
    labels = _short(list(points[0].values))
    keys: dict[str, list[str]] = {label: [] for label in labels.values()}
    names: list[str] = []
    columns: dict[str, list[str]] = {}
    for point in points:
        compared = point.comparison
        for key, value in point.values.items():
            keys[labels[key]] += [value] * len(compared.means)
        cut = Column("cut", [str(compared.warmup)] * len(compared.means))
        for column in (*_headline(compared), *_metrics(compared), cut):
            columns.setdefault(column.label, [""] * len(names)).extend(column.cells)  # a point may lack a metric
        names += compared.means
        for cells in columns.values():
            cells.extend([""] * (len(names) - len(cells)))
    named = [Column(label, cells, is_text=True) for label, cells in (*keys.items(), ("policy", names))]
    table(output, named, [Column(label, cells) for label, cells in columns.items()])
    notes = dict.fromkeys(note for point in points for note in point.comparison.notes())
    output.print()
    _end(output, list(notes), directory, [point.comparison for point in points])


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each key of a scenario, or the whole key where several end alike."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: key if list(last.values()).count(short) > 1 else short for key, short in last.items()}


def _about(compared: Comparison) -> str:
    rule = "MSER-5" if compared.warmup_rule == "auto" else "as given"
    cut = f"after a warm-up of {compared.warmup} slots ({rule})" if compared.warmup else f"no warm-up cut ({rule})"
    return f"Penalty per slot, {cut}{_with(compared, ': mean')}"


def _with(compared: Comparison, before: str = ",") -> str:
    """Say that there are intervals, if there are."""
    return f"{before} and 95 % interval" if len(compared.seeds) > 1 else ""


def _headline(compared: Comparison) -> Iterator[Column]:
    """Yield penalty, difference from the baseline, its p-value, and whether the policy is stable."""
    names = list(compared.means)
    unstable = compared.is_unstable
    yield Column("penalty", [_spell(compared.means[one][HEADLINE], word=unstable(one)) for one in names])
    if compared.differences:
        cells = [
            _spell(compared.differences[one][HEADLINE], word=unstable(one, with_baseline=True))
            if one in compared.differences
            else "baseline"
            for one in names
        ]
        yield Column("difference", cells)
        spelled = [_spell_p(compared.p_values.get(one, math.nan)) for one in names]
        if any(spelled):  # with one seed nothing is known
            yield Column("p (Holm)", spelled)
    yield Column("stable", [_STABLE[compared.stable[one]] for one in names])


def _metrics(compared: Comparison, *, differences: bool = False) -> Iterator[Column]:
    """Yield the metrics that are shown beside the penalty, without intervals for unstable policies."""
    of_layers = all("completion_s_mean" in row for row in compared.means.values())
    rows = compared.differences if differences else compared.means
    for metric, (label, unit) in (_COMPARED_OF_LAYERS if of_layers else _COMPARED).items():
        known = compared.means[compared.baseline].get(metric)
        scale = abs(known.mean) if differences and known is not None else 0.0
        cells = [
            _spell(row[metric], unit, scale=scale, bare=compared.is_unstable(policy, with_baseline=differences))
            for policy, row in rows.items()
            if metric in row
        ]
        if cells:
            yield Column(label, cells)


def _spell(found: Interval, unit: float = 1.0, *, scale: float = 0.0, word: bool = False, bare: bool = False) -> str:
    """Spell a mean with its interval, if it has one.

    scale : of the numbers that the mean is a difference of
    word : the mean is that of an unstable policy, and said to be
    bare : the same, and it stands elsewhere in the row
    """
    if not math.isfinite(found.mean):
        return "none"
    if word or bare or found.method is None:
        text = digits.alone(found.mean, found.half_width, unit=unit, scale=scale)
        return f"{text} unstable" if word else text
    return digits.with_interval(found.mean, found.half_width, found.bounds, unit=unit, scale=scale)


def _spell_p(p: float) -> str:
    if math.isnan(p):
        return ""
    return f"< {_LEAST_P:g}" if p < _LEAST_P else f"{p:.3f}"


def _end(output: Console, notes: Sequence[str], directory: Path, compared: Sequence[Comparison]) -> None:
    for note in notes:
        say(output, f"note: {note}")
    if told := _reused(compared):
        say(output, f"{told} (--fresh runs them again)")
    output.print(printable(f"all metrics and runs: {directory}"), markup=False, soft_wrap=True)


def _reused(compared: Sequence[Comparison]) -> str:
    """Say how many runs an earlier command had made, if any."""
    reused = sum(one.num_reused for one in compared)
    total = sum(len(row) for one in compared for row in one.runs.values())
    return f"{reused} of {total} runs reused: nothing that they depend on has changed" if reused else ""
