"""Tables where there is next to no room, and words of other widths than their length."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from physical.text_table import TableColumn, table

NAMES = TableColumn("policy", ["greedy-cost", "local-only"], is_text=True)


def printed(width: int, *columns: TableColumn) -> list[str]:
    out = io.StringIO()
    table(Console(file=out, width=width, highlight=False), [NAMES], columns)
    return out.getvalue().splitlines()


def test_blocks_where_not_even_a_column_fits() -> None:
    """A name and its numbers, one below the other."""
    columns = (
        TableColumn("penalty", ["-0.573 ± 0.035", "0.72 ± 0.06"]),
        TableColumn("missed", ["0.007 ± 0.007", "0.5 ± 0.1"]),
    )
    blocks = ["greedy-cost", "  penalty  -0.573 ± 0.035", "  missed   0.007 ± 0.007"]
    assert printed(25, *columns)[:3] == blocks
    below = ["greedy-cost", "  penalty", "    -0.573 ± 0.035", "  missed", "    0.007 ± 0.007"]
    assert printed(20, *columns)[:5] == below


def test_a_number_that_is_longer_than_the_terminal_is_whole() -> None:
    assert "    123 456 789 ± 1 234 567" in printed(12, TableColumn("x", ["123 456 789 ± 1 234 567", "0"]))


@pytest.mark.parametrize("width", [40, 24])
def test_wide_characters_keep_columns_straight(width: int) -> None:
    """Chinese characters take two places each."""
    out = io.StringIO()
    names = TableColumn("路線", ["東京 ring", "x"], is_text=True)
    table(Console(file=out, width=width, highlight=False), [names], [TableColumn("missed", ["0.5", "0.25"])])
    lines = out.getvalue().splitlines()
    assert len({cell_len(line) for line in lines}) == 1


def test_left_out_columns_are_the_last_ones() -> None:
    """Where the table cannot stand upright either."""
    out = io.StringIO()
    names = TableColumn("policy", ["greedy-cost", "local-only", "random", "edge-equal"], is_text=True)
    columns = [TableColumn(label, ["1234.5 ± 0.5"] * 4) for label in ("first", "second", "third")]
    table(Console(file=out, width=38, highlight=False), [names], columns)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["policy", "first"]
    words = "left out: second, third (a terminal of 53 columns shows all, and so does --json)"
    assert " ".join(lines[6:]) == words
