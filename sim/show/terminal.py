"""Prints on a terminal: summaries and tables with units, and progress."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from physical import digits, text_table
from physical.printable import printable
from physical.registry import USUAL_ENGINE
from physical.text_table import TableColumn
from sim.show.groups import SummaryRow, print_groups

if TYPE_CHECKING:
    from sim.bench.report import Report

# Group -> key of the summary -> label and unit, in the order of the table.
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
        "engine": ("engine", ""),
        "engine_reason": ("the reason", ""),
        "realtime_slips": ("slots that began late", ""),
        "realtime_slip_s_max": ("the latest by", "s"),
        "digest": ("digest", ""),
    },
}
_OF_ENGINE = {"engine", "engine_reason"}
_WIDTH_OF_PIPE = 10_000
_REFRESH_S = 0.1
_GAP = "  "

number = digits.number


def console(*, stderr: bool = False) -> Console:
    """Return a console; one that writes to a file or pipe is so wide that every table fits."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = _WIDTH_OF_PIPE
    return made


def say(text: str) -> None:
    """Print words, in as many lines as the terminal needs."""
    text_table.say(console(), text)


def listing(rows: Sequence[tuple[str, str]]) -> None:
    """Print names with words beside them."""
    text_table.listing(console(), rows)


def summary(values: Mapping[str, Any], title: str, directory: Path, readings: Sequence[str] = ()) -> None:
    """Print the summary of a run in groups; keys that belong to no group are in the last one.

    readings : sentences about readings of the paper in which a run uses more hardware than there is
    """
    output = console()
    text_table.say(output, title)
    _print_summaries(output, {"": values})
    for reading in readings:
        text_table.say(output, reading)
    output.print(printable(f"trace: {directory}"), markup=False, soft_wrap=True)


def side_by_side(runs: Mapping[str, Mapping[str, Any]], title: str, directory: Path | None) -> None:
    """Print the summaries of several runs in columns."""
    output = console()
    text_table.say(output, title)
    _print_summaries(output, runs)
    if directory is not None:
        output.print(printable(f"trace: {directory}"), markup=False, soft_wrap=True)


def _print_summaries(output: Console, runs: Mapping[str, Mapping[str, Any]]) -> None:
    known, keys = {key for group in GROUPS.values() for key in group}, _shown_keys(runs.values())
    others = {key: (key, "") for key in keys if key not in known}
    groups = []
    for name, group in {**GROUPS, "More": others}.items():
        rows = []
        for key in (key for key in group if key in keys):
            label, unit = group[key]
            values = [run.get(key) for run in runs.values()]
            is_text = key == "stable" or any(isinstance(value, str) for value in values)
            rows.append(SummaryRow(label, [spell(key, value) for value in values], unit, is_text))
        if rows:
            groups.append((name, rows))
    print_groups(output, groups, list(runs))


def _shown_keys(summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys of summaries that people are shown; which engine ran, only if it is not always the usual one.

    >>> _shown_keys([{"slots": 3, "engine": "columns"}]), _shown_keys([{"slots": 3}, {"slots": 3, "engine": "events"}])
    (['slots'], ['slots', 'engine'])
    """
    told = list(summaries)
    is_usual = all(values.get("engine", USUAL_ENGINE) == USUAL_ENGINE for values in told)
    left_out = _OF_ENGINE if is_usual else set()
    return [key for key in dict.fromkeys(key for values in told for key in values) if key not in left_out]


def spell(key: str, value: object) -> str:
    """Return the value of a key of the summary as a text; round-off in a value with a unit becomes 0.

    >>> spell("stable", None), spell("stable", True), spell("slots", 10_000), spell("energy_j_mean", 1e-18)
    ('unknown, the run is too short', 'yes', '10 000', '0')
    """
    if key == "stable" and value is None:
        return "unknown, the run is too short"
    unit = next((group[key][1] for group in GROUPS.values() if key in group), "")
    return "0" if unit and isinstance(value, float) and abs(value) <= digits.ROUND_OFF else number(value)


def report(measured: Report) -> None:
    """Print what a bench measured."""
    columns = []
    for index, label in enumerate(measured.columns):
        cells = [row[index] if isinstance(row[index], str) else number(row[index]) for row in measured.rows]
        columns.append(TableColumn(label, cells, is_text=index == 0))
    output = console()
    text_table.say(output, measured.title)
    text_table.table(output, columns[:1], columns[1:])
    for note in measured.notes:
        text_table.say(output, note)


def cases(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print one row per case."""
    origins = TableColumn("origin", [row["origin"] for row in rows], is_text=True)
    shown = {"slot": "slot", "objective": "objective", "realised": "realised", "offloaded": "num_offloaded"}
    columns = [TableColumn(label, [number(row[key]) for row in rows]) for label, key in shown.items()]
    columns.append(TableColumn("server used", [f"{row['used_share']:.1%}" for row in rows]))
    columns.append(TableColumn("price", [number(row["capacity_price"]) for row in rows]))
    output = console()
    text_table.say(output, title)
    text_table.table(output, [origins], columns)


def jobs(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the runs of a study: number, policy, seed, the values of the point, and whether the run is kept already."""
    hidden = {"index", "key", "kept"}
    shown = [key for key in (rows[0] if rows else ()) if key not in hidden]
    cells = {"run": [str(row["index"]) for row in rows]} | {key: [str(row[key]) for row in rows] for key in shown}
    cells["kept"] = ["yes" if row["kept"] else "" for row in rows]
    output = console()
    text_table.table(output, [TableColumn(label, column, is_text=True) for label, column in cells.items()], [])
    text_table.say(
        output, f"{digits.counted(len(rows), 'run')}, {sum(row['kept'] for row in rows)} of them kept already"
    )


def models(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the language models that have names, with their files."""
    output = console()
    for row in rows:
        text_table.say(output, f"{row['name']}: {row['summary']}")
        if row["file"] is None:
            text_table.say(output, f"  not there; {row['missing']}")
        else:
            output.print(printable(f"  {row['file']}, {row['bytes'] / 1e6:.1f} MB"), markup=False, soft_wrap=True)
            output.print(f"  SHA-256 {row['sha256']}", markup=False, soft_wrap=True)


class Telling(Protocol):
    """A function that updates a progress bar: it takes the number done and, if it has changed, the total."""

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
