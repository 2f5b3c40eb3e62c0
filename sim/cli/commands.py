"""Which commands there are, in the panels of ``twin --help``, and the module of each, imported when it is called."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command.

    target : module and function, or group; the module registers it when it is imported
    about : one line of at most 60 characters
    """

    target: str
    about: str


PANELS = {
    "Run and replay": {
        "run": Entry("sim.cli.run:_run", "Simulate a scenario: write a trace, print a summary."),
        "replay": Entry("sim.cli.replay:_replay", "Simulate a run again, as recorded or with another policy."),
        "branch": Entry("sim.cli.replay:_branch", "Simulate a run again, with another policy from a time on."),
    },
    "Study": {
        "compare": Entry("sim.cli.compare:_compare", "Compare policies on common random numbers."),
        "sweep": Entry("sim.cli.sweep:_sweep", "Compare policies at every point of a grid of settings."),
        "figures": Entry("sim.cli.figures:_figures", "Draw a paper's figures anew, and test what it claims."),
        "bench": Entry("sim.cli.bench:_bench", "Measure speed as ratios; takes minutes."),
    },
    "Learn": {
        "train": Entry("sim.cli.train:_train", "Train the weights of a learned policy."),
        "cases": Entry("sim.cli.cases:case_sets", "Build the case sets that policies decide by, and show them."),
        "models": Entry("sim.cli.models:models", "List, verify and train the language models."),
    },
    "Data": {
        "import": Entry("sim.cli.imports:imports", "Import traffic, requests or link rates from files."),
        "export": Entry("sim.cli.report_export:_export", "Write a run for another tool: Perfetto, or CSV files."),
    },
    "Look": {
        "report": Entry("sim.cli.report_export:_report", "Write one page about runs, a comparison or a sweep."),
        "scenarios": Entry("sim.cli.listing:_scenarios", "List the built-in scenarios."),
        "policies": Entry("sim.cli.listing:_policies", "List the policies, or which of them fit a scenario."),
        "kinds": Entry("sim.cli.kinds:_kinds", "List what can be named in a scenario, ours and of packages."),
        "keys": Entry("sim.cli.keys:_keys", "List what a scenario may say: keys, units, ranges."),
        "check": Entry("sim.cli.listing:_check", "Validate a scenario; verify a trace, case set or import."),
    },
}

COMMANDS = {name: entry for panel in PANELS.values() for name, entry in panel.items()}
