"""What the command line shows on a terminal: tables with units, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from sim.bench.report import Report

# Key of the summary -> what it is called, and its unit; by groups, in the order of the table.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Penalty and objective": {
        "penalty_mean": ("penalty, realised", "per slot"),
        "stable": ("stable: what waits stops growing", ""),
        "drift_mean": ("drift of the backlog, realised", "per slot"),
        "objective_mean": ("objective, realised", "per slot"),
        "objective_predicted_mean": ("objective, expected by the policy", "per slot"),
        "gap_max": ("largest certified gap of a decision", ""),
        "gap_model": ("the gap holds for", ""),
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


def summary(values: Mapping[str, Any], title: str, directory: Path, readings: Sequence[str] = ()) -> None:
    """Print the summary of a run in groups, keys that no group knows in the last one.

    readings : how the scenario reads its paper, where it takes more hardware for granted than there is
    """
    output = console()
    output.print(_summary_table([values], title))
    for reading in readings:
        output.print(reading, markup=False, soft_wrap=True)
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
            table.add_row(f"  {label}", *(escape(spell(key, values.get(key))) for values in runs), unit)
    return table


def spell(key: str, value: object) -> str:
    """Spell the value of a key of the summary.

    >>> spell("stable", None), spell("stable", True), spell("slots", 10_000)
    ('unknown, the run is too short', 'yes', '10 000')
    """
    return "unknown, the run is too short" if key == "stable" and value is None else number(value)


def number(value: object) -> str:
    """Spell a number to read: integers in full, others with five digits; nothing where there is none.

    >>> number(1234567), number(0.0236784807), number(None), number(float("nan")), number("25492930"), number(True)
    ('1 234 567', '0.023678', 'none', 'none', '25492930', 'yes')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
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


class Telling(Protocol):
    """What a bar is told: how many are done, and of how many if that has changed."""

    def __call__(self, done: int, total: int | None = None, /) -> None:
        """Take note."""


@contextmanager
def progress(total: int, *, shown: bool, what: str = "slots") -> Iterator[Telling]:
    """Show a bar on stderr while the body runs; yields what to call with the number of `what` done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task(what, total=total)
        shown_at = 0.0

        def update(done: int, of: int | None = None, /) -> None:
            nonlocal shown_at, total
            now = time.monotonic()
            total = total if of is None else of
            if now - shown_at > _REFRESH_S or done == total:  # a slot may take less time than a look at the bar
                shown_at = now
                bar.update(task, completed=done, total=total)

        yield update


@contextmanager
def spinner(text: str, *, shown: bool) -> Iterator[None]:
    """Show on stderr what is going on."""
    if not shown:
        yield
        return
    with console(stderr=True).status(text):
        yield
