"""Draws the picture of the system as SVG text: the same bytes everywhere, readable on a light and on a dark page.

The picture has a light background of its own, because an image does not know whether the page around it is dark.
"""

from __future__ import annotations

from html import escape

WIDTH, HEIGHT = 760, 560
_INK, _MUTED, _PAPER, _LINE = "#1c2430", "#4a5565", "#ffffff", "#c3cad4"
_WORLD, _CLOUD, _TRACE, _FLOW = "#e8f3ec", "#e8eefa", "#f4f1e6", "#0b5cad"
_FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"

_ABOUT = (
    "Vehicles send state reports over a network with latency and loss to a twin in the cloud. The twin turns what it "
    "believes into a snapshot, a policy turns the snapshot into a decision, and commands go back to vehicles and edge "
    "servers, which do the tasks. A trace keeps what happened, what was believed and what was decided."
)


def svg() -> str:
    """Return the picture of the system."""
    parts = [
        _head(),
        _panel(10, 10, 740, 152, _CLOUD, "Cloud: the digital twin"),
        _box(30, 46, 290, 100, "Twin", ["what it believes:", "last reports, their age,", "estimates, known bias"]),
        _box(440, 46, 290, 100, "Policy", ["yours, or one by name;", "sees the snapshot only"]),
        _arrow([(320, 96), (440, 96)], "snapshot", 380, 86),
        _panel(10, 206, 740, 40, _PAPER, ""),
        _text(450, 232, "network: latency, jitter, loss", 16, _MUTED, "middle"),
        _panel(10, 290, 740, 164, _WORLD, "Physical world: what really happens", title_y=154),
        _box(30, 306, 270, 112, "Vehicles", ["move, make tasks;", "local work on their CPU,", "then the uplink"]),
        _box(460, 306, 270, 112, "Base station, RSUs", ["radio; edge servers", "with queues"]),
        _arrow([(300, 346), (460, 346)], "uploads", 380, 336),
        _arrow([(460, 392), (300, 392)], "results", 380, 382),
        _arrow([(80, 306), (80, 146)], "", 0, 0),
        _text(92, 276, "state reports", 16, _FLOW),
        _arrow([(650, 146), (650, 306)], "", 0, 0),
        _arrow([(650, 186), (250, 186), (250, 306)], "", 0, 0),
        _text(450, 178, "decision, once per slot", 16, _FLOW, "middle"),
        _text(450, 276, "commands", 16, _FLOW, "middle"),
        _panel(10, 466, 740, 84, _TRACE, "Trace", title_y=34),
        _text(30, 528, "(Parquet)", 16, _MUTED),
        *_columns(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _columns() -> list[str]:
    tables = (
        (240, "what happened", "tasks, slots, vehicles"),
        (455, "what was believed", "twin"),
        (640, "what was decided", "decisions"),
    )
    return [_text(x, 500, what, 16, _INK, "middle") for x, what, _ in tables] + [
        _text(x, 528, names, 16, _MUTED, "middle", style="font-family:ui-monospace,Menlo,Consolas,monospace")
        for x, _, names in tables
    ]


def _head() -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="{_FONT}" role="img" aria-labelledby="title about">\n'
        f'<title id="title">The system that vectwin simulates</title>\n<desc id="about">{escape(_ABOUT)}</desc>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{_FLOW}"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="{_PAPER}"/>'
    )


def _panel(x: int, y: int, width: int, height: int, colour: str, title: str, title_y: int = 25) -> str:
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colour}" stroke="{_LINE}"/>'
    return f"{frame}\n{_text(x + 20, y + title_y, title, 17, _INK, weight=600)}" if title else frame


def _box(x: int, y: int, width: int, height: int, title: str, lines: list[str]) -> str:
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{_PAPER}" stroke="{_INK}"/>'
    words = [_text(x + 14, y + 25, title, 17, _INK, weight=600)]
    words += [_text(x + 14, y + 48 + 21 * row, line, 16, _MUTED) for row, line in enumerate(lines)]
    return "\n".join([frame, *words])


def _arrow(points: list[tuple[int, int]], label: str, x: int, y: int) -> str:
    path = " ".join(f"{at_x},{at_y}" for at_x, at_y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{_FLOW}" stroke-width="2" marker-end="url(#tip)"/>'
    return f"{line}\n{_text(x, y, label, 16, _FLOW, 'middle')}" if label else line


def _text(x: int, y: int, words: str, size: int, colour: str, anchor: str = "start", **more: object) -> str:
    """Return a line of text; `weight` and `style` as SVG has them."""
    extra = f' font-weight="{more["weight"]}"' if "weight" in more else ""
    extra += f' style="{more["style"]}"' if "style" in more else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{place}{extra}>{escape(words)}</text>'
