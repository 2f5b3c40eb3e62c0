"""The engine of a run: the clock, and the processes that act on it.

Read `columns` first, which makes the processes of a run and begins its slots. `sending` carries their messages.
"""
