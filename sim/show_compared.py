"""What the command line shows of comparisons: the penalty first, other metrics next, in tables that fit a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sim import show
from sim.evaluation import HEADLINE

if TYPE_CHECKING:
    from sim.evaluation import Comparison
    from sim.statistics import Interval
    from sim.sweep import Point

# Metric -> heading and the number of its units in one of the heading's.
_COMPARED = {
    "objective_mean": ("objective", 1.0),
    "deadline_miss_ratio": ("missed", 1.0),
    "qos_mean": ("QoS", 1.0),
    "delay_s_mean": ("delay / ms", 1e-3),
    "energy_j_mean": ("energy / J", 1.0),
    "backlog_bytes_mean": ("backlog / MB", 1e6),
}
_COMPARED_OF_LAYERS = {
    "completion_s_mean": ("completion / s", 1.0),
    "completion_compute_s_mean": ("without upload / s", 1.0),
    "energy_j_mean": ("energy / J", 1.0),
    "layers_local_mean": ("local layers", 1.0),
    "deadline_miss_ratio": ("missed", 1.0),
}
_KEY_WIDTH_MIN = 10
_STABLE = {True: "yes", False: "no", None: "unknown"}
_LEAST_P = 0.001


@dataclass(frozen=True)
class _Column:
    """A column of cells, one per row of the table."""

    label: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        """Characters with the frame."""
        return max(map(len, (self.label, *self.cells))) + 3


def comparison(compared: Comparison, title: str, directory: Path) -> None:
    """Print the penalty with its differences from the baseline, then the other metrics and their differences."""
    output = show.console()
    output.print(f"{title}. {_about(compared)}", markup=False)
    names = _Column("policy", list(compared.means))
    _print(output, [names], [*_headline(compared)])
    if compared.means:
        output.print(f"Other metrics, of whole runs{_with(compared, ': mean')}", markup=False)
        _print(output, [names], [*_metrics(compared)])
    if compared.differences:
        output.print(f"Differences from {compared.baseline} with the same seed{_with(compared)}", markup=False)
        _print(output, [_Column("policy", list(compared.differences))], [*_metrics(compared, differences=True)])
    _end(output, compared.notes(), directory)


def sweep(points: Sequence[Point], title: str, directory: Path) -> None:
    """Print penalty and other metrics at every point of a grid."""
    output = show.console()
    about = _with(points[0].comparison, " Mean")
    output.print(f"{title}. Penalty per slot after a warm-up, other metrics of whole runs.{about}", markup=False)
    rows = [(point, policy) for point in points for policy in point.comparison.means]
    keys = [_Column(key.rpartition(".")[2], [point.values[key] for point, _ in rows]) for key in points[0].values]
    names = _Column("policy", [policy for _, policy in rows])
    parts = [
        [
            *_headline(point.comparison),
            *_metrics(point.comparison),
            _Column("cut", [str(point.comparison.warmup)] * len(point.comparison.means)),
        ]
        for point in points
    ]
    columns = [
        _Column(same[0].label, [cell for part in same for cell in part.cells]) for same in zip(*parts, strict=True)
    ]
    _print(output, [*keys, names], columns)
    notes = dict.fromkeys(note for point in points for note in point.comparison.notes())
    _end(output, list(notes), directory)


def _about(compared: Comparison) -> str:
    rule = "MSER-5" if compared.warmup_rule == "auto" else "as given"
    cut = f"after a warm-up of {compared.warmup} slots ({rule})" if compared.warmup else f"no warm-up cut ({rule})"
    return f"Penalty per slot, {cut}{_with(compared, ': mean')}"


def _with(compared: Comparison, before: str = ",") -> str:
    """Say that there are intervals, if there are."""
    return f"{before} and 95 % interval" if len(compared.seeds) > 1 else ""


def _headline(compared: Comparison) -> Iterator[_Column]:
    """Yield penalty, difference from the baseline, its p-value, and whether the policy is stable."""
    names = list(compared.means)
    unstable = compared.is_unstable
    yield _Column("penalty", [_spell(compared.means[one][HEADLINE], word=unstable(one)) for one in names])
    if compared.differences:
        cells = [
            _spell(compared.differences[one][HEADLINE], word=unstable(one, with_baseline=True))
            if one in compared.differences
            else "baseline"
            for one in names
        ]
        yield _Column("difference", cells)
        yield _Column("p (Holm)", [_spell_p(compared.p_values.get(one, math.nan)) for one in names])
    yield _Column("stable", [_STABLE[compared.stable[one]] for one in names])


def _metrics(compared: Comparison, *, differences: bool = False) -> Iterator[_Column]:
    """Yield the metrics that are shown beside the penalty, without intervals for unstable policies."""
    of_layers = all("completion_s_mean" in row for row in compared.means.values())
    rows = compared.differences if differences else compared.means
    for metric, (label, unit) in (_COMPARED_OF_LAYERS if of_layers else _COMPARED).items():
        cells = [
            _spell(row[metric], unit, bare=compared.is_unstable(policy, with_baseline=differences))
            for policy, row in rows.items()
            if metric in row
        ]
        if cells:
            yield _Column(label, cells)


def _spell(found: Interval, unit: float = 1.0, *, word: bool = False, bare: bool = False) -> str:
    """Spell a mean with its interval, if it has one.

    word : the mean is that of an unstable policy, and said to be
    bare : the same, and it stands elsewhere in the row
    """
    if not math.isfinite(found.mean):
        return "none"
    mean = _digits(found.mean / unit, 4)
    if word:
        return f"{mean} unstable"
    if bare or found.method is None:
        return mean
    if found.method == "bca":
        return f"{mean} [{_digits(found.low / unit, 3)}, {_digits(found.high / unit, 3)}]"
    return f"{mean} ± {_digits(found.half_width / unit, 2)}"


def _digits(value: float, num: int) -> str:
    """Spell a number with some digits; a large one in full, which is shorter than with an exponent.

    >>> _digits(0.012345, 3), _digits(1234.5, 3)
    ('0.0123', '1234')
    """
    text = f"{value:.{num}g}"
    return f"{value:.0f}" if "e+" in text else text


def _spell_p(p: float) -> str:
    if math.isnan(p):
        return ""
    return f"< {_LEAST_P:g}" if p < _LEAST_P else f"{p:.3f}"


def _print(output: Console, keys: Sequence[_Column], columns: Sequence[_Column]) -> None:
    """Print columns in as many tables as it takes not to cut a number; the key columns stand in each of them."""
    space = output.width - 1 - sum(min(key.width, _KEY_WIDTH_MIN + 3) for key in keys)
    tables: list[list[_Column]] = [[]]
    for column in columns:
        if tables[-1] and sum(one.width for one in tables[-1]) + column.width > space:
            tables.append([])
        tables[-1].append(column)
    for chosen in tables:
        table = Table()
        for key in keys:
            table.add_column(escape(key.label), overflow="fold")
        for column in chosen:
            table.add_column(escape(column.label), justify="right", no_wrap=True)
        for cells in zip(*(one.cells for one in (*keys, *chosen)), strict=True):
            table.add_row(*map(escape, cells))
        output.print(table)


def _end(output: Console, notes: Sequence[str], directory: Path) -> None:
    for note in notes:
        output.print(f"note: {note}", markup=False)
    output.print(f"all metrics and runs: {directory}", markup=False, soft_wrap=True)
