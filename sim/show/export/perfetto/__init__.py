"""Trace events for Perfetto.

Read `file` first: it puts together the events of `messages` and `stages` on the threads of `tracks` and `lanes`.
"""
