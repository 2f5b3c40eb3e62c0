"""Which commands there are, in the panels of ``twin --help``, and the module of each, imported when it is called."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command.

    module : of `sim.cli`, which registers it when it is imported
    about : one line of at most 60 characters
    """

    module: str
    about: str


PANELS = {
    "Run and replay": {
        "run": Entry("run", "Simulate a scenario: write a trace, print a summary."),
        "replay": Entry("replay", "Simulate a run again, as recorded or with another policy."),
        "branch": Entry("replay", "Simulate a run again, with another policy from a time on."),
    },
    "Study": {
        "compare": Entry("compare", "Compare policies on common random numbers."),
        "sweep": Entry("compare", "Compare policies at every point of a grid of settings."),
        "figures": Entry("figures", "Draw a paper's figures anew, and test what it claims."),
        "bench": Entry("measure", "Measure speed as ratios; takes minutes."),
    },
    "Learn": {
        "train": Entry("train", "Train the weights of a learned policy."),
        "cases": Entry("cases", "Build the case sets that policies decide by, and show them."),
        "models": Entry("models", "List, verify and train the language models."),
    },
    "Data": {
        "import": Entry("importing", "Import traffic, requests or link rates from files."),
        "export": Entry("share", "Write a run for another tool: Perfetto, or CSV files."),
    },
    "Look": {
        "report": Entry("share", "Write one page about a run, or about several."),
        "scenarios": Entry("look", "List the built-in scenarios."),
        "policies": Entry("look", "List the policies, and which extra they need."),
        "check": Entry("look", "Validate a scenario, or verify a trace or a case set."),
    },
}

COMMANDS = {name: entry for panel in PANELS.values() for name, entry in panel.items()}
