"""Trace events for Perfetto."""
