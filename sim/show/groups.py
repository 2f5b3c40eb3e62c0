"""Prints summaries of runs: one row for each number, in groups, and one column for each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from physical.printable import printable
from physical.text_table import IN_WORDS, fold, pieces

_GAP = "  "


@dataclass(frozen=True)
class SummaryRow:
    """One row of the table of summaries.

    Parameters
    ----------
    label : what it is
    cells : one per run
    unit : of the cells
    is_text : the cells are words, which may take several lines
    """

    label: str
    cells: Sequence[str]
    unit: str
    is_text: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", printable(self.label))
        object.__setattr__(self, "cells", [printable(cell) for cell in self.cells])


@dataclass(frozen=True)
class _Layout:
    """Widths of label and cells, and the labels of the rows whose cells stand below their label."""

    label: int
    cells: tuple[int, ...]
    below: frozenset[str]


def print_groups(output: Console, found: Sequence[tuple[str, Sequence[SummaryRow]]], names: Sequence[str]) -> None:
    """Print named groups of rows; cells that have no room beside their label stand below it.

    names : headings of the cells; no heading if all are empty
    """
    names = [printable(name) for name in names]
    layout = _layout([row for _, rows in found for row in rows], names, output.width)
    if any(names) and not _all_below(layout, found):
        heads = [fold(name, width) for name, width in zip(names, layout.cells, strict=True)]
        for index in range(max(map(len, heads))):
            texts = [head[index] if index < len(head) else "" for head in heads]
            output.print(Text(_line("", texts, "", layout), style="bold"), soft_wrap=True)
    for name, rows in found:
        output.print(Text(name, style="bold"), soft_wrap=True)
        for row in rows:
            for line in _lines(row, names, layout, output.width):
                output.print(Text(line), soft_wrap=True)


def _all_below(layout: _Layout, found: Sequence[tuple[str, Sequence[SummaryRow]]]) -> bool:
    return all(row.label in layout.below for _, rows in found for row in rows)


def _layout(rows: Sequence[SummaryRow], names: Sequence[str], width: int) -> _Layout:
    """Move words below their label, longest first, then fold labels, until a line fits the terminal."""
    unit = max(cell_len(row.unit) for row in rows) + len(_GAP)
    words = sorted((row for row in rows if row.is_text), key=lambda row: max(map(cell_len, row.cells)))
    beside = [row for row in rows if not row.is_text]
    heads = [max(cell_len(piece.rstrip()) for piece in pieces(name)) for name in names]
    while True:
        shown = [*beside, *words]
        cells = tuple(max([head, *(cell_len(row.cells[index]) for row in shown)]) for index, head in enumerate(heads))
        room = width - unit - sum(cells) - len(_GAP) * len(cells)
        label = max((cell_len(row.label) for row in shown), default=0) + len(_GAP)
        if label <= room or not words:
            break
        words.pop()
    below = frozenset(row.label for row in rows if row not in shown)
    least = max(cell_len(piece.rstrip()) for row in rows for piece in pieces(row.label, IN_WORDS)) + 2 * len(_GAP)
    if room < min(label, least):
        return _Layout(0, (0,) * len(cells), frozenset(row.label for row in rows))
    return _Layout(min(label, room), cells, below)


def _lines(row: SummaryRow, names: Sequence[str], layout: _Layout, width: int) -> Iterator[str]:
    """Yield the lines of a row."""
    if row.label not in layout.below:
        first, *others = _label(row, layout.label)
        yield _line(first, row.cells, row.unit, layout)
        yield from others
        return
    label, cell = _GAP + row.label, _GAP + row.cells[0]
    room = layout.label + len(_GAP) + layout.cells[0] - cell_len(label) - cell_len(cell)
    if len(row.cells) == 1 and room >= 0 and not row.unit:  # a short label leaves room to long words
        yield label + " " * room + cell
        return
    yield from _label(row, width)
    for name, cell in zip(names, row.cells, strict=True):
        words = f"{name}: {cell}" if name else cell
        text = f"{words} {row.unit}" if row.unit else words
        yield from (2 * _GAP + line for line in fold(text, width - 2 * len(_GAP), IN_WORDS))


def _label(row: SummaryRow, width: int) -> list[str]:
    """Return a label in lines; those after the first are indented."""
    if cell_len(row.label) + len(_GAP) <= width:
        return [_GAP + row.label]
    first, *others = fold(row.label, width - 2 * len(_GAP), IN_WORDS)
    return [_GAP + first, *(2 * _GAP + line for line in others)]


def _line(label: str, cells: Sequence[str], unit: str, layout: _Layout) -> str:
    padded = [" " * (width - cell_len(cell)) + cell for cell, width in zip(cells, layout.cells, strict=True)]
    return _GAP.join([label + " " * (layout.label - cell_len(label)), *padded, unit]).rstrip()
