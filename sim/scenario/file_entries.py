"""Where a scenario names files."""

from __future__ import annotations

from typing import Any


def file_entries(data: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Return the places in a scenario's plain data that name a file: table and key.

    >>> file_entries({"mobility": {"file": "town.parquet"}, "radio": {"rate_file": None}})
    [({'file': 'town.parquet'}, 'file')]
    """
    tasks = data.get("tasks")
    requests = [task.get("requests") for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []
    places = [
        (data.get("mobility"), "file"),
        (data.get("radio"), "rate_file"),
        *((table, "file") for table in requests),
    ]
    return [(table, key) for table, key in places if isinstance(table, dict) and isinstance(table.get(key), str)]
