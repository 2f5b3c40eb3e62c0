"""Puts a report together: one HTML file with everything in it, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from physical.errors import InputError
from sim.export.output import whole_file
from sim.report.charts import charts_of, event_points, marks
from sim.report.motion import PLAYER_BYTES, Blobs, motion_of
from sim.report.runs import ReportedRun, open_runs
from sim.report.series import POINTS_MAX, Chart
from sim.report.summary import facts, summary

_ASSETS = files("sim.report") / "assets"
_SCRIPTS = ("common.js", "charts.js", "map.js", "player.js")


def write_report(directories: Sequence[Path], out: Path) -> int:
    """Write the report of some runs; return its size in bytes.

    Raises
    ------
    InputError : no run, one that cannot be read or holds no slot, a name that is not HTML, the extra is missing
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out.name!r} is no name for a page", where="--out", accepted="FILE.html")
    text = page(open_runs(directories)).encode("utf-8")
    with whole_file(out) as file:
        file.write(text)
    return len(text)


def page(runs: Sequence[ReportedRun]) -> str:
    """Return the page about some runs; equal runs give equal pages."""
    charts = charts_of(runs)
    blobs = Blobs()
    players = [motion_of(run, blobs, PLAYER_BYTES // len(runs)) for run in runs]
    data: dict[str, Any] = {
        "runs": [{"name": run.name, "index": run.index} for run in runs],
        "endS": max(run.num_slot * run.slot_s for run in runs),
        "charts": [chart.data() for chart in charts],
        "marks": marks(runs),
        "events": event_points(runs),
        "players": players,
    }
    title = " | ".join(dict.fromkeys(run.name for run in runs))
    template = Template((_ASSETS / "page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(f"{title} - vectwin report"),
        heading=escape(runs[0].scenario.title or "vectwin report"),
        subtitle=escape(title if len(runs) == 1 else f"{len(runs)} runs side by side: {title}"),
        style=(_ASSETS / "style.css").read_text("utf-8"),
        facts=facts(runs),
        summary=summary(runs),
        runs=_options([run.name for run in runs]),
        several="" if len(runs) > 1 else " hidden",
        map_note=escape(_map_note(runs, players)),
        charts="\n".join(_figure(chart) for chart in charts),
        chart_note=escape(_chart_note(charts)),
        data=_json({**data, "blobs": blobs.texts}),
        library=_library(),
        scripts="\n".join((_ASSETS / name).read_text("utf-8") for name in _SCRIPTS),
    )


@cache
def _library() -> str:
    """Return plotly.js."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise InputError(f'needs the extra report ({error}): pip install "vectwin[report]"', where="report") from None
    text: str = get_plotlyjs()
    assert "</script" not in text.lower()
    return text


def _json(value: object) -> str:
    """Spell data so that nothing in it can end the script element that holds it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _options(names: Sequence[str]) -> str:
    return "".join(f'<option value="{index}">{escape(name)}</option>' for index, name in enumerate(names))


def _figure(chart: Chart) -> str:
    key, title = escape(chart.key), escape(chart.title)
    return (
        f'<figure id="figure-{key}"><h3>{title}</h3><div class="chart" id="chart-{key}" role="img" '
        f'aria-label="{title}: {escape(chart.note)}"></div><figcaption>{escape(chart.note)}</figcaption></figure>'
    )


def _chart_note(charts: Sequence[Chart]) -> str:
    size = max((chart.bin_size for chart in charts), default=1)
    note = (
        "All charts over time share one axis: zoom in one, and the others follow; double-click to zoom out; a click "
        "shows that time on the map."
    )
    if size > 1:
        note += (
            f" Curves with more than {POINTS_MAX} points are shown in bins of up to {size}: the line is the mean of a "
            "bin, the band goes from its least to its largest value."
        )
    return note


def _map_note(runs: Sequence[ReportedRun], players: Sequence[dict[str, Any] | None]) -> str:
    notes = []
    for run, player in zip(runs, players, strict=True):
        name = f"{run.name}: " if len(runs) > 1 else ""
        if player is None:
            notes.append(f"{name}nobody was on the road.")
            continue
        if player["step"] > 1:
            notes.append(f"{name}to keep the page small, one of {player['step']} slots is shown.")
        if "belief" not in player:
            notes.append(f"{name}where the twin believed the vehicles is left out for the same reason.")
    return " ".join(["Between slots vehicles are drawn on a straight line.", *notes])
