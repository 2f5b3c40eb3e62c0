"""Traces: a run on disk as Parquet tables in parts, with a manifest and a digest of every table."""
