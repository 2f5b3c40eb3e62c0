"""Writes a run in the formats of other tools: trace events for Perfetto, CSV files."""
