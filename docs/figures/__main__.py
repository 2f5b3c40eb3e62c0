"""Makes the pictures: `python -m docs.figures` draws the system, `python -m docs.figures --all` the results, too."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from docs.figures.system import svg

FOLDER = Path(__file__).parent
RIVALS = "p2-exact,greedy-cost,greedy-latency,random,edge-equal,local-only"
STUDY = ("rush-hour", "--policies", RIVALS, "--seeds", "0..9", "--slots", "400")
"""The comparison of `make run`, whose figure README shows; finished runs are kept in runs/, so this resumes."""


def main(arguments: list[str] | None = None) -> int:
    """Make what is asked for; return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.figures", description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="run the comparison of README, too: 80 CPU seconds")
    asked = parser.parse_args(arguments)
    (FOLDER / "system.svg").write_text(svg(), "utf-8")
    if not asked.all:
        return 0
    command = [sys.executable, "-m", "sim.cli", "compare", *STUDY, "--workers", "2", "--out", "runs/rush-hour"]
    return subprocess.run([*command, "--plot", str(FOLDER / "penalty.svg")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
