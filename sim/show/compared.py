"""Prints comparisons and sweeps: first the penalty, then the other metrics, in tables that fit the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from physical.printable import printable
from physical.text_table import TableColumn, say, table
from sim.show import terminal
from sim.studies.comparison import (
    headline_columns,
    interval_text,
    metric_columns,
    print_tables,
    reused_text,
)

if TYPE_CHECKING:
    from sim.studies.comparison import Comparison
    from sim.studies.sweep import Point


def comparison(compared: Comparison, title: str, directory: Path) -> None:
    """Print the penalty with its differences from the baseline, then the other metrics and their differences."""
    output = terminal.console()
    print_tables(compared, title, output)
    _end(output, compared.notes(), directory, [compared])


def sweep(points: Sequence[Point], title: str, directory: Path) -> None:
    """Print penalty and other metrics at every point of a grid."""
    output = terminal.console()
    about = interval_text(points[0].comparison, " Mean")
    say(output, f"{title}. Penalty per slot after a warm-up, other metrics of whole runs.{about}")
    labels = _short(list(points[0].values))
    keys: dict[str, list[str]] = {label: [] for label in labels.values()}
    names: list[str] = []
    columns: dict[str, list[str]] = {}
    for point in points:
        compared = point.comparison
        for key, value in point.values.items():
            keys[labels[key]] += [value] * len(compared.means)
        cut = TableColumn("cut", [str(compared.warmup)] * len(compared.means))
        for column in (*headline_columns(compared), *metric_columns(compared), cut):
            columns.setdefault(column.label, [""] * len(names)).extend(column.cells)  # a point may lack a metric
        names += compared.means
        for cells in columns.values():
            cells.extend([""] * (len(names) - len(cells)))
    named = [TableColumn(label, cells, is_text=True) for label, cells in (*keys.items(), ("policy", names))]
    table(output, named, [TableColumn(label, cells) for label, cells in columns.items()])
    notes = dict.fromkeys(note for point in points for note in point.comparison.notes())
    output.print()
    _end(output, list(notes), directory, [point.comparison for point in points])


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each key of a scenario, or the whole key where several end alike."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: key if list(last.values()).count(short) > 1 else short for key, short in last.items()}


def _end(output: Console, notes: Sequence[str], directory: Path, compared: Sequence[Comparison]) -> None:
    for note in notes:
        say(output, f"note: {note}")
    if told := reused_text(compared):
        say(output, f"{told} (--fresh runs them again)")
    output.print(printable(f"all metrics and runs: {directory}"), markup=False, soft_wrap=True)
