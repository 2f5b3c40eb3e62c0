"""The command line: one module per group of commands, imported when one of them is called."""

from sim.cli.app import app, main

__all__ = ["app", "main"]
