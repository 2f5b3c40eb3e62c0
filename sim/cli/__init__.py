"""The command line: one module per group of commands, which is imported when one of its commands is called.

Read `commands` first, the list of all commands, then `app`, which calls them and turns errors into one line.
"""

from sim.cli.app import app, main

__all__ = ["app", "main"]
