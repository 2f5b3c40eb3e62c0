"""Folders of studies as their files tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sim.studies.evaluation import MEASURED


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """Return the table of a study but for its wall times."""
    rows = pq.read_table(directory / "runs.parquet").to_pylist()
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


def runs_in(directory: Path) -> dict[str, int]:
    """Return the runs that a folder holds, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in (directory / "runs").glob("*.parquet")}


def tables_of(directory: Path) -> tuple[Any, list[dict[str, Any]]]:
    """Return the statistics of the study that ended last in a folder, and the table there."""
    latest = max(directory.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return json.loads(latest.read_text("utf-8")), rows_of(directory)
