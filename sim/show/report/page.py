"""Puts a report together: one HTML file that holds everything and loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

from sim.show.report.charts import charts_of, event_points, marks
from sim.show.report.live import live_of, strip
from sim.show.report.motion import PLAYER_BYTES, Blobs, motion_of
from sim.show.report.runs import ReportedRun
from sim.show.report.series import POINTS_MAX, Chart
from sim.show.report.summary import facts, length, summary
from sim.show.report.tile import COLOURS
from sim.show.report.tile import html as tiles_html
from sim.show.report.tiles import tiles_of

_ASSETS = files("sim.show.report") / "assets"
_SCRIPTS = ("common.js", "plot.js", "charts.js", "motion.js", "map.js", "player.js")


class Parts(NamedTuple):
    """The parts in which kinds of pages differ.

    title : of the window
    lead : HTML of the first part of the page
    runs : runs that have a map
    details : (title, HTML) of the folded parts
    end_s : of the charts over time
    player_bytes : how much the maps of all runs may take
    after_map : HTML of the part below the map
    cards : HTML of cards among the charts that need no script
    map_notes : lines about the maps
    """

    title: str
    heading: str
    subtitle: str
    lead: str
    runs: Sequence[ReportedRun]
    charts: Sequence[Chart]
    details: Sequence[tuple[str, str]]
    end_s: float
    player_bytes: int = PLAYER_BYTES
    after_map: str = ""
    cards: str = ""
    map_notes: Sequence[str] = ()


def page(runs: Sequence[ReportedRun], player_bytes: int = PLAYER_BYTES) -> str:
    """Return the page about some runs; equal runs give equal bytes.

    player_bytes : how much the maps of all runs may take; longer runs show fewer slots
    """
    name = " | ".join(dict.fromkeys(run.name for run in runs))
    return assemble(
        Parts(
            title=f"{name} - vectwin report",
            heading=runs[0].scenario.title or "vectwin report",
            subtitle=_subtitle(runs),
            lead=tiles_html(tiles_of(runs)),
            runs=runs,
            charts=charts_of(runs),
            details=[
                (
                    "All numbers" if len(runs) == 1 else "All numbers, with the differences to the first run",
                    summary(runs),
                ),
                ("What was run", facts(runs)),
            ],
            end_s=max(run.num_slot * run.slot_s for run in runs),
            player_bytes=player_bytes,
        )
    )


def _subtitle(runs: Sequence[ReportedRun]) -> str:
    if len(runs) > 1:
        seeds = {run.recorded.seed for run in runs}
        told = f", all with seed {min(seeds)}" if len(seeds) == 1 else ""
        return f"{len(runs)} runs on one clock{told}; differences are to {runs[0].name}"
    (run,) = runs
    stable = {True: "stable", False: "unstable", None: "too short to tell whether it is stable"}[
        run.summary().get("stable")
    ]
    return f"{run.name}; {length(run)}; {run.recorded.status}, {stable}"


def assemble(parts: Parts) -> str:
    """Return the page that consists of the given parts."""
    runs, blobs = parts.runs, Blobs()
    players = [motion_of(run, blobs, parts.player_bytes // max(len(runs), 1)) for run in runs]
    drawn = [chart for chart in parts.charts if not chart.constant]
    data: dict[str, Any] = {
        "runs": [{"name": run.name, "index": run.index, "colour": run.colour} for run in runs],
        "endS": parts.end_s,
        "charts": [chart.data() for chart in drawn],
        "marks": marks(runs),
        "events": event_points(runs),
        "players": players,
        "live": [live_of(run) for run in runs],
        "strip": strip(runs) if runs else None,
        "blobs": blobs.texts,
    }
    nav = [*(["map"] if runs else []), "charts", "details"]
    return _template("page.html").substitute(
        title=escape(parts.title),
        heading=escape(parts.heading),
        subtitle=escape(parts.subtitle),
        nav="".join(f'<a href="#{name}">{name.capitalize()}</a>' for name in nav),
        style=(_ASSETS / "style.css").read_text("utf-8"),
        lead=parts.lead,
        after_map=parts.after_map,
        map=_map(parts, players) if runs else _lines(parts.map_notes),
        charts="\n".join([parts.cards, *(_figure(chart) for chart in drawn)]),
        flat=_flat([chart for chart in parts.charts if chart.constant]),
        chart_note=escape(_chart_note(drawn, with_map=bool(runs))),
        scripted="map and the charts" if runs else "charts",
        details="\n".join(
            f"<details><summary>{escape(title)}</summary>{inside}</details>" for title, inside in parts.details
        ),
        data=_json(data),
        scripts="\n".join((_ASSETS / name).read_text("utf-8") for name in _SCRIPTS),
    )


def _template(name: str) -> Template:
    return Template((_ASSETS / name).read_text("utf-8"))


def _json(value: object) -> str:
    """Return data as JSON that cannot end the script element that holds it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _map(parts: Parts, players: Sequence[dict[str, Any] | None]) -> str:
    runs = parts.runs
    several = len(runs) > 1
    cards = "\n".join(
        f'<figure class="road"><figcaption>{_head(run) if several else ""}<span class="live" id="live-{run.index}">'
        f'</span></figcaption><canvas id="road-{run.index}" tabindex="0" role="img" aria-label="Map of '
        f"{escape(run.name)}: vehicles, serving nodes and the links between them. Space plays or pauses, arrow keys "
        'step, Home and End jump."></canvas></figure>'
        for run in runs
    )
    return _template("map.html").substitute(
        maps=cards,
        count=len(runs),
        map_note=escape(" ".join([*parts.map_notes[:1], _map_note(runs, players)])),
        more_notes=_lines(parts.map_notes[1:]),
    )


def _lines(notes: Sequence[str]) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def _head(run: ReportedRun) -> str:
    return f'<strong><i class="dot c{run.colour % COLOURS}"></i>{escape(run.name)}</strong>'


def _figure(chart: Chart) -> str:
    key, title = escape(chart.key), escape(chart.title)
    return (
        f'<figure class="card" id="figure-{key}"><h3>{title} <span class="unit"></span></h3><div class="legend"></div>'
        f'<div class="chart" id="chart-{key}" role="img" aria-label="{title}: {escape(chart.note)}"></div>'
        f"<figcaption>{escape(chart.note)}</figcaption></figure>"
    )


def _flat(charts: Sequence[Chart]) -> str:
    """Return a line for each chart that would be a flat line."""
    lines = "".join(
        f'<li id="figure-{escape(chart.key)}"><strong>{escape(chart.title)}</strong>: {escape(chart.constant)}.</li>'
        for chart in charts
    )
    return f'<ul class="flat">{lines}</ul>' if lines else ""


def _chart_note(charts: Sequence[Chart], *, with_map: bool) -> str:
    size = max((chart.bin_size for chart in charts), default=1)
    if not any(chart.kind == "time" for chart in charts):
        return ""
    note = (
        "All charts over time share one axis: drag to zoom in one, and the others follow; double-click to zoom out"
        f"{'; a click shows that time on the map' if with_map else ''}."
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
