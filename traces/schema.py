"""The tables of a trace by name."""

from __future__ import annotations

from traces.schema_twin import DECISIONS, ENTITIES, EVENTS, MESSAGES, PROMPTS, TWIN
from traces.schema_world import JOBS, OUTCOME, SLOTS, TASKS, VEHICLES
from traces.table import READABLE_VERSIONS, SCHEMA_VERSION, Column, Table

__all__ = ("OUTCOME", "READABLE_VERSIONS", "SCHEMA_VERSION", "TABLES", "Column", "Table")

TABLES = {
    table.name: table for table in (TASKS, JOBS, SLOTS, VEHICLES, TWIN, DECISIONS, PROMPTS, EVENTS, MESSAGES, ENTITIES)
}
