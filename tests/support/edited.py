"""Copies of a run to edit: its manifest, and parts of its tables."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.command import Done, twin

Change = Callable[[dict[str, Any]], object]

READERS: dict[str, tuple[str, ...]] = {
    "replay": ("replay", "RUN"),
    "what-if": ("replay", "RUN", "--policy", "edge-equal"),
    "branch": ("branch", "RUN", "--at", "0.2", "--policy", "edge-equal"),
    "report": ("report", "RUN", "--out", "OUT.html"),
    "beside": ("report", "OTHER", "RUN", "--out", "OUT.html"),
    "perfetto": ("export", "RUN", "--to", "perfetto", "--out", "OUT.json"),
}
"""Commands that rely on the rows of a run; the check and the CSV files take them as they are."""
COMMANDS: dict[str, tuple[str, ...]] = {
    **READERS,
    "csv": ("export", "RUN", "--to", "csv", "--out", "OUT.zip"),
    "check": ("check", "RUN"),
}


def call(command: str, run: Path, other: Path) -> Done:
    """Call a command that reads a run; a warning fails.

    other : a run that nobody edited
    """
    out = str(run.parent / "out")
    places = {"RUN": str(run), "OTHER": str(other)}
    words = [places.get(word, word.replace("OUT", out)) for word in COMMANDS[command]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return twin(*words)


def manifest_of(run: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((run / "manifest.json").read_text("utf-8"))
    return told


def edit_manifest(run: Path, change: Change) -> None:
    told = manifest_of(run)
    change(told)
    (run / "manifest.json").write_text(json.dumps(told), "utf-8")


def part_of(run: Path, table: str) -> Path:
    return sorted((run / table).glob("*.parquet"))[0]


def edit_column(run: Path, table: str, name: str, change: Callable[[list[Any]], object], kind: Any = None) -> Path:
    """Change the values of a column in a part, or replace them by what is returned; return the part.

    kind : the type that it has from then on; by default what it had
    """
    path = part_of(run, table)
    rows = pq.read_table(path)
    index, field = rows.schema.get_field_index(name), rows.schema.field(name)
    values = rows.column(name).to_pylist()
    changed = change(values)
    values = changed if isinstance(changed, list) else values
    kind = kind or field.type
    made = pa.array(values, pa.string()).dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else None
    pq.write_table(rows.set_column(index, name, pa.array(values, kind) if made is None else made), path)
    return path


def set_value(place: int, value: Any) -> Callable[[list[Any]], None]:
    def change(values: list[Any]) -> None:
        values[place] = value

    return change
