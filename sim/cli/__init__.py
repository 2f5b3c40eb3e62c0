"""The command line: one module per group of commands, which register themselves with `app` in this order."""

from sim.cli import run, replay, compare, look, measure  # isort: skip
from sim.cli.app import app, main

__all__ = ["app", "compare", "look", "main", "measure", "replay", "run"]
