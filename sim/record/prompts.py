"""The table `prompts`: from diagnostics to rows, and back for a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from twin.decision import Diagnostics, Prompt

_COLUMNS = {
    "digest": "digest",
    "num_case": "num_case",
    "num_token": "num_token",
    "num_reused_token": "num_reused_token",
    "num_answer_token": "num_answer_token",
    "guarded": "guarded",
    "prefill_wall_s": "prefill_s",
    "decode_wall_s": "decode_s",
}
"""Column -> field of `Prompt`."""


def rows_of(slots: Sequence[int], diagnostics: Sequence[Diagnostics]) -> dict[str, list[Any]] | None:
    """Return the rows of the decisions that a language model took part in, or None if there are none."""
    asked = [(slot, item.prompt) for slot, item in zip(slots, diagnostics, strict=True) if item.prompt is not None]
    if not asked:
        return None
    rows: dict[str, list[Any]] = {"slot": [slot for slot, _ in asked]}
    return rows | {column: [getattr(prompt, name) for _, prompt in asked] for column, name in _COLUMNS.items()}


def prompts_of(rows: pa.Table) -> dict[int, Prompt]:
    """Return the prompts of a trace by slot."""
    columns = {name: rows.column(column).to_pylist() for column, name in _COLUMNS.items()}
    return {
        slot: Prompt(**{name: values[row] for name, values in columns.items()})
        for row, slot in enumerate(rows.column("slot").to_pylist())
    }
