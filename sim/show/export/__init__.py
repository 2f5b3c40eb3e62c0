"""Writes a run in the formats of other tools: `perfetto` for trace events, `csv` for CSV files."""
