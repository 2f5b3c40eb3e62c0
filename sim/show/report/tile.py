"""A tile: one number of a page, with information on whether it is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = 8
"""Colours of the palette; if there are more things than colours, some share a colour."""
_ROUND_OFF = 1e-9


@dataclass(frozen=True)
class TileRow:
    """One line of a tile, with a bar.

    value : as a text
    parts : (length, colour) of the pieces of the bar; 1 is the full length, and a longer bar has a broken end
    note : text beside the value, such as a difference or a limit
    tone : "good" or "bad", which is the colour of the note
    dot : colour of the run, if the row is a run
    mark : place of a limit on the bar; 1 is the full length
    """

    label: str
    value: str
    parts: Sequence[tuple[float, int]] = ()
    note: str = ""
    tone: str = ""
    dot: int | None = None
    mark: float | None = None


@dataclass(frozen=True)
class Tile:
    """One number.

    value : large text for a single run; empty if every run has a row
    about : text on how good it is
    legend : (colour, name) of the pieces of the bars
    """

    key: str
    title: str
    unit: str
    value: str
    about: str
    rows: Sequence[TileRow] = field(default_factory=tuple)
    legend: Sequence[tuple[int, str]] = ()
    warning: str = ""


def html(tiles: Sequence[Tile]) -> str:
    """Return the tiles as HTML."""
    return f'<div class="tiles" id="tiles">{"".join(_html(tile) for tile in tiles)}</div>'


def _html(tile: Tile) -> str:
    big = f'<p class="big">{escape(tile.value)}</p>' if tile.value else ""
    warning = f'<p class="warning">{escape(tile.warning)}</p>' if tile.warning else ""
    rows = f'<ul class="rows">{"".join(map(_row, tile.rows))}</ul>' if tile.rows else ""
    legend = "".join(f'<span><i class="c{colour}"></i>{escape(name)}</span>' for colour, name in tile.legend)
    legend = f'<p class="keys">{legend}</p>' if legend else ""
    return (
        f'<article class="tile" id="tile-{tile.key}"><h2>{escape(tile.title)} '
        f'<span class="unit">{escape(tile.unit)}</span></h2>{big}{warning}'
        f'<p class="about">{escape(tile.about)}</p>{rows}{legend}</article>'
    )


def _row(row: TileRow) -> str:
    dot = "" if row.dot is None else f'<i class="dot c{row.dot % 8}"></i>'
    note = f' <span class="note {row.tone}">{escape(row.note)}</span>' if row.note else ""
    parts = [(max(length, 0.0), colour % 8) for length, colour in row.parts]
    total = sum(length for length, _ in parts)
    room = max(total, 1.0)
    pieces = "".join(f'<i class="c{colour}" style="width:{100 * length / room:.2f}%"></i>' for length, colour in parts)
    is_cut = total > 1 + _ROUND_OFF
    kind = f'bar cut" title="cut off: {total:.2g} times as long as its room' if is_cut else "bar"
    mark = "" if row.mark is None else f'<b style="left:{100 * min(row.mark, 1.0):.2f}%"></b>'
    bar = f'<span class="{kind}">{pieces}{mark}</span>' if row.parts else ""
    return (
        f'<li><span class="label">{dot}{escape(row.label)}</span>'
        f'<span class="value">{escape(row.value)}{note}</span>{bar}</li>'
    )
