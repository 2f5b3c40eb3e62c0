"""Tables of text, whose numbers are never cut, wrapped or elided.

If a table is too wide, these forms are tried one after the other: headings and names take several lines; rows and
columns are exchanged; the last columns are left out, and a line says which they are and where they are shown; each row
becomes a block of lines. So the caller puts the most important columns first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from physical.printable import printable

_GAP = "  "
_RULE = "─"
_KEPT = "\N{NO-BREAK SPACE}"
_NAME_MIN = 12
# A name may continue in the next line after a sign that separates options, and after a hyphen between words.
IN_NAME = re.compile(r"(?<=[:,])|(?<=[^ ]/)|(?<= )|(?<=[A-Za-z]-)(?=[A-Za-z])")
_IN_OPTION = re.compile(r"(?<==)")  # used only if an option is longer than a line
IN_WORDS = re.compile(r"(?<= )")
# No line ends at these spaces: within 1 234 567 and 0.5 ± 0.1, and before a unit.
_WITHIN_NUMBER = re.compile(r"(?<=\d) (?=\d{3}\b)| (?=±)|(?<=±) |(?<=\d) (?=%|[^\W\d]{1,3}\b)|(?<= /) (?=\w+$)")


@dataclass(frozen=True)
class TableColumn:
    """A column of cells, one per row of the table.

    Parameters
    ----------
    label : heading; it may take several lines
    cells : of one line each
    is_text : names and words, on the left, which may take several lines; numbers stand on the right
    """

    label: str
    cells: Sequence[str]
    is_text: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", printable(self.label))
        object.__setattr__(self, "cells", [printable(cell) for cell in self.cells])

    @property
    def natural(self) -> int:
        """Width in characters if no heading and no cell takes several lines."""
        return max(map(cell_len, (self.label, *self.cells)))

    @property
    def least(self) -> int:
        """Least width in characters; a column of names gets a bit more than this, so that names take few lines."""
        cells = (
            [piece.rstrip() for cell in self.cells for part in pieces(cell) for piece in _IN_OPTION.split(part)]
            if self.is_text
            else self.cells
        )
        needed = max(map(cell_len, (*(piece.rstrip() for piece in pieces(self.label)), *cells)))
        return max(needed, min(self.natural, _NAME_MIN)) if self.is_text else needed


def table(output: Console, keys: Sequence[TableColumn], columns: Sequence[TableColumn]) -> None:
    """Print columns beside the keys, which name the rows; the module says what happens if they do not fit."""
    chosen = [*keys, *columns]
    widths = _widths(chosen, output.width)
    if widths is None:
        chosen = _upright(keys, columns)
        widths = _widths(chosen, output.width)
    num = len(columns)
    while widths is None and num > 1:
        num -= 1
        chosen = [*keys, *columns[:num]]
        widths = _widths(chosen, output.width)
    if widths is None:
        _blocks(output, keys, columns)
        return
    for line in _lines(chosen, widths):
        output.print(line, soft_wrap=True)
    if num < len(columns):
        left_out = ", ".join(column.label for column in columns[num:])
        needed = _total([column.least for column in (*keys, *columns)])
        say(output, f"left out: {left_out} (a terminal of {needed} columns shows all, and so does --json)")


def say(output: Console, text: str) -> None:
    """Print words in as many lines as they need."""
    for line in fold(text, output.width, IN_WORDS):
        output.print(Text(line), soft_wrap=True)


def listing(output: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Print names with words beside them, or below them if there is little room beside them."""
    rows = [(printable(name), words) for name, words in rows]
    indent = max((cell_len(name) for name, _ in rows), default=0) + len(_GAP)
    beside = output.width - indent >= min(indent, output.width // 2)
    for name, words in rows:
        if beside:
            first, *others = fold(words, output.width - indent, IN_WORDS)
            shown = [f"{name:{indent}}{first}", *(" " * indent + line for line in others)]
        else:
            shown = [name, *(_GAP + line for line in fold(words, output.width - len(_GAP), IN_WORDS))]
        for line in shown:
            output.print(Text(line.rstrip()), soft_wrap=True)


def pieces(text: str, within: re.Pattern[str] = IN_NAME) -> list[str]:
    """Return the parts of a text that stay in a line.

    >>> pieces("p2-exact:margin=0.1,max_node=9"), pieces("delay / ms"), pieces("took 1 234 ms")
    (['p2-exact:', 'margin=0.1,', 'max_node=9'], ['delay ', '/ ms'], ['took ', '1 234 ms'])
    """
    kept = _WITHIN_NUMBER.sub(lambda found: found.group().replace(" ", _KEPT), text)
    return [piece.replace(_KEPT, " ") for piece in within.split(kept)]


def fold(text: str, width: int, within: re.Pattern[str] = IN_NAME) -> list[str]:
    """Return a text in lines; only a part that must stay whole may be longer than `width`.

    >>> fold("p2-exact:margin=0.1,max_node=9", 12)
    ['p2-exact:', 'margin=0.1,', 'max_node=9']
    """
    lines = [""]
    parts = pieces(printable(text), within)
    if within is IN_NAME:
        parts = [one for part in parts for one in ([part] if cell_len(part) <= width else _IN_OPTION.split(part))]
    for piece in parts:
        if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _widths(columns: Sequence[TableColumn], width: int) -> list[int] | None:
    """Return the width of each column; None if the table does not fit even with several lines per cell."""
    widths = [column.least for column in columns]
    left = width - _total(widths)
    if left < 0:
        return None
    wanted = {index: column.natural - widths[index] for index, column in enumerate(columns)}
    for index in sorted(wanted, key=lambda index: wanted[index]):  # many short headings before one long one
        more = min(left, wanted[index])
        widths[index] += more
        left -= more
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _upright(keys: Sequence[TableColumn], columns: Sequence[TableColumn]) -> list[TableColumn]:
    """Return the table with rows and columns exchanged."""
    names = [", ".join(cells) for cells in zip(*(key.cells for key in keys), strict=True)]
    rows = zip(*(column.cells for column in columns), strict=True)
    labels = TableColumn(", ".join(key.label for key in keys), [column.label for column in columns], is_text=True)
    return [labels, *(TableColumn(name, row) for name, row in zip(names, rows, strict=True))]


def _lines(columns: Sequence[TableColumn], widths: Sequence[int]) -> list[Text]:
    """Return heading, rule and rows."""
    heads = [fold(column.label, width) for column, width in zip(columns, widths, strict=True)]
    height = max(map(len, heads))
    lines = _row([[""] * (height - len(head)) + head for head in heads], columns, widths)
    found = [Text(line, style="bold") for line in lines]
    found.append(Text(_GAP.join(_RULE * width for width in widths)))
    for cells in zip(*(column.cells for column in columns), strict=True):
        row = [
            fold(cell, width) if column.is_text else [cell]
            for cell, column, width in zip(cells, columns, widths, strict=True)
        ]
        found += [Text(line) for line in _row(row, columns, widths)]
    return found


def _row(cells: Sequence[Sequence[str]], columns: Sequence[TableColumn], widths: Sequence[int]) -> list[str]:
    """Return the lines of cells that stand side by side."""
    lines = []
    for index in range(max(map(len, cells))):
        texts = [cell[index] if index < len(cell) else "" for cell in cells]
        parts = [_padded(*one) for one in zip(texts, columns, widths, strict=True)]
        lines.append(_GAP.join(parts).rstrip())
    return lines


def _padded(text: str, column: TableColumn, width: int) -> str:
    space = " " * (width - cell_len(text))
    return text + space if column.is_text else space + text


def _blocks(output: Console, keys: Sequence[TableColumn], columns: Sequence[TableColumn]) -> None:
    """Print each row as lines, the first of which is its name."""
    room = max(column.natural for column in columns)
    labels = max(cell_len(column.label) for column in columns)
    below = 2 * len(_GAP) + labels + room > output.width
    for index in range(len(columns[0].cells)):
        for line in fold(", ".join(key.cells[index] for key in keys), output.width):
            output.print(Text(line, style="bold"), soft_wrap=True)
        for column in columns:
            label, cell = _GAP + column.label, column.cells[index]
            shown = [label, 2 * _GAP + cell] if below else [f"{label:{labels + len(_GAP)}}{_GAP}{cell}"]
            for line in shown:
                output.print(Text(line.rstrip()), soft_wrap=True)
