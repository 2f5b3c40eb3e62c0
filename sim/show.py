"""What the command line shows on a terminal: tables with units, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    from sim.sweep import Point

# Key of the summary -> what it is called, and its unit; by groups, in the order of the table.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Objective": {
        "objective_mean": ("objective, realised", "per slot"),
        "objective_predicted_mean": ("objective, expected by the policy", "per slot"),
        "qos_mean": ("QoS", ""),
        "delay_s_mean": ("delay of a task", "s"),
        "deadline_miss_ratio": ("deadlines missed", "ratio"),
        "completion_s_mean": ("completion time of a prompt", "s"),
        "completion_compute_s_mean": ("the same without its upload", "s"),
        "layers_local_mean": ("layers run by the vehicle", ""),
        "backlog_bytes_mean": ("backlog of the server", "B"),
    },
    "Energy": {
        "energy_j_mean": ("energy per slot", "J"),
        "energy_local_j": ("vehicles, total", "J"),
        "energy_transmit_j": ("transmission, total", "J"),
        "energy_edge_j": ("edge servers, total", "J"),
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
        "decisions_guarded": ("decisions of the model that the guard replaced", ""),
    },
    "Run": {
        "slots": ("slots", ""),
        "wall_s": ("wall time", "s"),
        "vehicle_slots_per_s": ("vehicle-slots per second", "1/s"),
        "realtime_slips": ("slots that began late", ""),
        "realtime_slip_s_max": ("the latest by", "s"),
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
    output = console()
    output.print(_summary_table([values], title))
    output.print(f"trace: {directory}", markup=False, soft_wrap=True)


def side_by_side(runs: Mapping[str, Mapping[str, Any]], title: str, directory: Path | None) -> None:
    """Print the summaries of several runs in columns."""
    output = console()
    output.print(_summary_table(list(runs.values()), title, list(runs)))
    if directory is not None:
        output.print(f"trace: {directory}", markup=False, soft_wrap=True)


def _summary_table(runs: Sequence[Mapping[str, Any]], title: str, names: Sequence[str] = ()) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, show_header=bool(names))
    table.add_column("")
    for name in names or [""]:
        table.add_column(escape(name), justify="right")
    table.add_column("")
    known = {key for group in GROUPS.values() for key in group}
    keys = list(dict.fromkeys(key for values in runs for key in values))
    others = {key: (key, "") for key in keys if key not in known}
    for name, group in {**GROUPS, "More": others}.items():
        rows = [key for key in group if key in keys]
        if rows:
            table.add_row(f"[bold]{name}[/bold]")
        for key in rows:
            label, unit = group[key]
            table.add_row(f"  {label}", *(escape(number(values.get(key))) for values in runs), unit)
    return table


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
_COMPARED_OF_LAYERS = {
    "objective_mean": ("objective", 1.0),
    "completion_s_mean": ("completion / s", 1.0),
    "completion_compute_s_mean": ("without upload / s", 1.0),
    "energy_j_mean": ("energy / J", 1.0),
    "layers_local_mean": ("local layers", 1.0),
    "deadline_miss_ratio": ("missed", 1.0),
}


def _columns(compared: Comparison) -> dict[str, tuple[str, float]]:
    """Return what a comparison of this system shows."""
    of_layers = all("completion_s_mean" in row for row in compared.means.values())
    return _COMPARED_OF_LAYERS if of_layers else _COMPARED


def comparison(compared: Comparison, title: str, directory: Path) -> None:
    """Print means with their intervals, and below them the differences from the baseline."""
    output = console()
    columns = _columns(compared)
    for heading, statistics in (
        (f"{title}: mean and 95 % interval", compared.means),
        (f"difference from {compared.baseline} with the same seed, and 95 % interval", compared.differences),
    ):
        if not statistics:
            continue
        table = Table(title=escape(heading), title_justify="left")
        table.add_column("policy", no_wrap=True)
        for label, _ in columns.values():
            table.add_column(label, justify="right", no_wrap=True)
        for policy, row in statistics.items():
            cells = (_with_interval(row[metric], unit) for metric, (_, unit) in columns.items())
            table.add_row(escape(policy), *cells)
        output.print(table)
    output.print(f"all metrics and runs: {directory}", markup=False, soft_wrap=True)


def cases(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print one row per case."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("origin", overflow="fold")
    for label in ("slot", "objective", "realised", "offloaded", "server used", "price"):
        table.add_column(label, justify="right", no_wrap=True)
    for row in rows:
        cells = (number(row[key]) for key in ("slot", "objective", "realised", "num_offloaded"))
        table.add_row(escape(row["origin"]), *cells, f"{row['used_share']:.1%}", number(row["capacity_price"]))
    console().print(table)


def models(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the language models that have names, with their files."""
    output = console()
    for row in rows:
        output.print(f"{row['name']}: {row['summary']}", markup=False, soft_wrap=True)
        if row["file"] is None:
            output.print(f"  not there; {row['missing']}", markup=False, soft_wrap=True)
        else:
            output.print(f"  {row['file']}, {row['bytes'] / 1e6:.1f} MB", markup=False, soft_wrap=True)
            output.print(f"  SHA-256 {row['sha256']}", markup=False, soft_wrap=True)


def sweep(points: Sequence[Point], title: str, directory: Path) -> None:
    """Print means with their intervals at every point of a grid."""
    columns = _columns(points[0].comparison)
    table = Table(title=escape(title), title_justify="left")
    for key in points[0].values:
        table.add_column(escape(key.rpartition(".")[2]), no_wrap=True)
    table.add_column("policy", no_wrap=True)
    for label, _ in columns.values():
        table.add_column(label, justify="right", no_wrap=True)
    for point in points:
        for policy, row in point.comparison.means.items():
            cells = (_with_interval(row[metric], unit) for metric, (_, unit) in columns.items())
            table.add_row(*map(escape, point.values.values()), escape(policy), *cells)
    output = console()
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
