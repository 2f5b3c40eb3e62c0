"""The result of a bench."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """A table for people, and the same numbers for programs.

    Parameters
    ----------
    title : what was measured
    columns : headings
    rows : one value per heading
    notes : lines below the table
    values : for ``--json``
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...]
    values: dict[str, Any]
