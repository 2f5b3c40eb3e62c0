"""What a run needs of whoever takes its rows: a writer of traces, a sum, or nobody at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Sink(Protocol):
    """Takes rows, table by table (see `traces.schema`); `TraceWriter` is the one that writes them to disk."""

    def add(self, name: str, columns: Mapping[str, Any]) -> None:
        """Take rows of the table `name`, given as arrays by column; whoever takes them changes none of them."""

    def close_part_if_due(self) -> None:
        """Take note that all rows so far belong together: the run could be replayed from them."""

    @property
    def overdue(self) -> bool:
        """Whether rows should come now, however few they are."""
