"""A run on disk: Parquet tables in parts, with a manifest and a digest of every table.

Read `schema` first, the tables and their columns, then `writer`, `reader` and `digest`. `exogenous` holds traces from
elsewhere.
"""
