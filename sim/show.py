"""What the command line shows on a terminal: tables with units, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sim.bench.report import Report

if TYPE_CHECKING:
    from sim.compare import Comparison, Interval

# Key of the summary -> what it is called, and its unit; by groups, in the order of the table.
_GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Objective": {
        "objective_mean": ("objective P2, realised", "per slot"),
        "objective_predicted_mean": ("objective P2, expected by the policy", "per slot"),
        "qos_mean": ("QoS", ""),
        "delay_s_mean": ("delay of a task", "s"),
        "deadline_miss_ratio": ("deadlines missed", "ratio"),
        "backlog_bytes_mean": ("backlog of the server", "B"),
    },
    "Energy": {
        "energy_j_mean": ("energy per slot", "J"),
        "energy_local_j": ("vehicles, total", "J"),
        "energy_edge_j": ("edge server, total", "J"),
    },
    "Tasks": {
        "tasks_generated": ("generated", ""),
        "tasks_completed": ("completed in time", ""),
        "tasks_late": ("late", ""),
        "tasks_dropped": ("dropped", ""),
        "tasks_in_flight": ("in flight at the end", ""),
    },
    "Messages": {
        "messages_sent": ("sent", ""),
        "messages_delivered": ("delivered", ""),
        "messages_lost": ("lost", ""),
        "messages_in_flight": ("in flight at the end", ""),
    },
    "Twin": {
        "twin_age_s_mean": ("age of information", "s"),
        "decisions": ("decisions", ""),
        "decisions_repaired": ("repaired", ""),
        "fallbacks": ("taken by the fallback", ""),
        "decision_ms_p50": ("time to decide, median", "ms"),
        "decision_ms_p99": ("time to decide, 99th percentile", "ms"),
    },
    "Run": {
        "slots": ("slots", ""),
        "wall_s": ("wall time", "s"),
        "vehicle_slots_per_s": ("vehicle-slots per second", "1/s"),
        "digest": ("digest", ""),
    },
}
_WIDTH = 140
_REFRESH_S = 0.1


def console(*, stderr: bool = False) -> Console:
    """Return a console; a file or pipe is as wide as a table may need."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = _WIDTH
    return made


def summary(values: Mapping[str, Any], title: str, directory: Path) -> None:
    """Print the summary of a run in groups, keys that no group knows in the last one."""
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("unit")
    known = {key for group in _GROUPS.values() for key in group}
    others = {key: (key, "") for key in values if key not in known}
    for name, group in {**_GROUPS, "More": others}.items():
        rows = [(*group[key], values[key]) for key in group if key in values]
        if rows:
            table.add_row(f"[bold]{name}[/bold]")
        for label, unit, value in rows:
            table.add_row(f"  {label}", escape(number(value)), unit)
    output = console()
    output.print(table)
    output.print(f"trace: {directory}", markup=False, soft_wrap=True)


def number(value: object) -> str:
    """Spell a number to read: integers in full, others with five digits; nothing where there is none.

    >>> number(1234567), number(0.0236784807), number(None), number("25492930")
    ('1 234 567', '0.023678', 'none', '25492930')
    """
    if value is None:
        return "none"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1e5 else f"{value:.5g}"
    return str(value)


def report(measured: Report) -> None:
    """Print what a bench measured."""
    table = Table(title=measured.title, title_justify="left")
    for index, column in enumerate(measured.columns):
        table.add_column(column, justify="right" if index else "left")
    for row in measured.rows:
        table.add_row(*(value if isinstance(value, str) else number(value) for value in row))
    output = console()
    output.print(table)
    for note in measured.notes:
        output.print(note, markup=False)


# Metric -> heading and the number of its units in one of the heading's.
_COMPARED = {
    "objective_mean": ("objective", 1.0),
    "deadline_miss_ratio": ("missed", 1.0),
    "qos_mean": ("QoS", 1.0),
    "delay_s_mean": ("delay / ms", 1e-3),
    "energy_j_mean": ("energy / J", 1.0),
    "backlog_bytes_mean": ("backlog / MB", 1e6),
}


def comparison(compared: Comparison, title: str, directory: Path) -> None:
    """Print means with their intervals, and below them the differences from the baseline."""
    output = console()
    for heading, statistics in (
        (f"{title}: mean and 95 % interval", compared.means),
        (f"difference from {compared.baseline} with the same seed, and 95 % interval", compared.differences),
    ):
        if not statistics:
            continue
        table = Table(title=escape(heading), title_justify="left")
        table.add_column("policy", no_wrap=True)
        for label, _ in _COMPARED.values():
            table.add_column(label, justify="right", no_wrap=True)
        for policy, row in statistics.items():
            cells = (_with_interval(row[metric], unit) for metric, (_, unit) in _COMPARED.items())
            table.add_row(escape(policy), *cells)
        output.print(table)
    output.print(f"all metrics and runs: {directory}", markup=False, soft_wrap=True)


def _with_interval(value: Interval, unit: float) -> str:
    return f"{value.mean / unit:.4g} ± {value.half_width / unit:.2g}"


@contextmanager
def progress(total: int, *, shown: bool, what: str = "slots") -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the body runs; yields what to call with the number of `what` done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task(what, total=total)
        shown_at = 0.0

        def update(done: int) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at > _REFRESH_S or done == total:  # a slot may take less time than a look at the bar
                shown_at = now
                bar.update(task, completed=done)

        yield update


@contextmanager
def spinner(text: str, *, shown: bool) -> Iterator[None]:
    """Show on stderr what is going on."""
    if not shown:
        yield
        return
    with console(stderr=True).status(text):
        yield
