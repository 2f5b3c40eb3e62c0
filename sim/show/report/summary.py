"""The tables of a report, which need no script: what was run, and its summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sim.show.report.digits import duration
from sim.show.report.runs import ReportedRun
from sim.show.terminal import GROUPS, spell
from sim.studies.statistics import difference

_STATUS = {
    "complete": "complete",
    "interrupted": "interrupted: ended early, everything up to then is recorded",
    "running": "incomplete: the run was killed or still runs, its last part is missing; summary of what there is",
}

_SIGNED = {"penalty_mean", "drift_mean", "objective_mean", "objective_predicted_mean", "qos_mean"}
"""Numbers that may be negative, so that a difference in per cent says nothing."""


def facts(runs: Sequence[ReportedRun]) -> str:
    """Return a table of what was run, one column per run."""
    rows: list[tuple[str, list[str]]] = [
        ("scenario", [run.scenario.title for run in runs]),
        ("policy", [run.recorded.policy for run in runs]),
        ("seed", [str(run.recorded.seed) for run in runs]),
        ("status", [_STATUS.get(run.recorded.status, run.recorded.status) for run in runs]),
        ("length", [length(run) for run in runs]),
        ("vehicles", [_vehicles(run) for run in runs]),
        ("task classes", [_classes(run) for run in runs]),
        ("as the paper reads", [_readings(run) for run in runs]),
        ("serving nodes", [", ".join(node.name for node in run.scenario.nodes) for run in runs]),
        ("versions", [_versions(run.recorded.trace.manifest) for run in runs]),
        ("digest", [str(run.recorded.trace.manifest.get("digest", "none: the run did not end")) for run in runs]),
        ("directory", [run.recorded.trace.directory.name for run in runs]),
    ]
    heads = [run.name for run in runs] if len(runs) > 1 else []
    return _table("What was run", heads, (_row(name, cells) for name, cells in rows))


def summary(runs: Sequence[ReportedRun]) -> str:
    """Return a table of the summaries; several runs are columns, with differences from the first run."""
    values = [run.summary() for run in runs]
    known = {key for group in GROUPS.values() for key in group}
    keys = list(dict.fromkeys(key for one in values for key in one))
    others = {key: (key, "") for key in keys if key not in known}
    lines: list[str] = []
    for title, group in {**GROUPS, "More": others}.items():
        chosen = [key for key in group if key in keys]
        if chosen:
            span = len(runs) + 2
            lines.append(f'<tr class="group"><th colspan="{span}" scope="colgroup">{escape(title)}</th></tr>')
        for key in chosen:
            label, unit = group[key]
            cells = [
                _with_difference(key, one.get(key), values[0].get(key), first=not i) for i, one in enumerate(values)
            ]
            lines.append(_row(label, cells, f'<td class="unit">{escape(unit)}</td>', raw=True))
    heads = [*(run.name for run in runs), "unit"] if len(runs) > 1 else ["value", "unit"]
    caption = "Summary" if len(runs) == 1 else "Summaries, with the differences to the first run"
    return _table(caption, heads, iter(lines))


def _with_difference(key: str, value: object, first_value: object, *, first: bool) -> str:
    text = f'<span class="value">{escape(spell(key, value))}</span>'
    if first or not (_is_number(value) and _is_number(first_value)):
        return text
    assert isinstance(value, int | float)
    assert isinstance(first_value, int | float)
    above = value - first_value if difference(value, first_value) else 0  # round-off is no difference
    part = f", {100 * above / abs(first_value):+.1f} %" if first_value and above and key not in _SIGNED else ""
    sign = "+" if above > 0 else "±" if above == 0 else ""
    told = f"({sign}{spell('', above)}{part})"
    return f'{text} <span class="difference">{escape(told)}</span>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _table(caption: str, heads: Sequence[str], lines: Iterator[str]) -> str:
    head = ""
    if heads:
        cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
        head = f'<thead><tr><th scope="col"><span class="hidden">quantity</span></th>{cells}</tr></thead>'
    body = "\n".join(lines)
    inside = f"<caption>{escape(caption)}</caption>{head}<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll" tabindex="0"><table>{inside}</table></div>'


def _row(name: str, cells: Sequence[str], more: str = "", *, raw: bool = False) -> str:
    texts = "".join(f"<td>{cell if raw else escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{texts}{more}</tr>'


def length(run: ReportedRun) -> str:
    """Say how long a run is."""
    planned = run.scenario.time.num_slot
    of = "" if run.num_slot == planned else f" (of {planned})"
    return f"{run.num_slot}{of} slots of {run.slot_s:g} s: {run.num_slot * run.slot_s:g} s"


def _vehicles(run: ReportedRun) -> str:
    rows = run.table("vehicles")
    seen = len(rows.column("vehicle").unique())
    return f"{seen} on the road, {rows.num_rows / run.num_slot:.5g} on average"


def _classes(run: ReportedRun) -> str:
    return "; ".join(f"{task.name}: deadline {duration(float(task.deadline_s))}" for task in run.scenario.tasks)


def _readings(run: ReportedRun) -> str:
    """Say in which readings of the paper the scenario uses more hardware than there is."""
    return "; ".join(run.scenario.readings()) or "nothing: no more hardware than there is"


def _versions(manifest: Mapping[str, Any]) -> str:
    versions = manifest.get("versions")
    return ", ".join(f"{name} {found}" for name, found in versions.items()) if isinstance(versions, dict) else "unknown"
