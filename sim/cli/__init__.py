"""The command line: one module per group of commands, which register themselves with `app` in this order."""

from sim.cli import run, replay, compare, importing, look, measure, train, cases, models, share, figures  # isort: skip
from sim.cli.app import app, main

__all__ = [
    "app",
    "cases",
    "compare",
    "figures",
    "importing",
    "look",
    "main",
    "measure",
    "models",
    "replay",
    "run",
    "share",
    "train",
]
