"""The comparison that finds most mutants: drawn scenarios on both engines, in one process, without pytest.

``python -m tests.mutants.first`` ends with 0 if the engines agree in all, else with 1 and a line that says where not.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from tests.engines.drawn import problems

ROOT = Path(__file__).resolve().parents[2]
NUM_SEED = 100


def place(error: BaseException) -> str:
    """Return where an error was raised: the last line of ours; SimPy raises what a process raised once more."""
    while error.__cause__ is not None:
        error = error.__cause__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(ROOT))]
    return f"{Path(frames[-1].filename).relative_to(ROOT).as_posix()}:{frames[-1].lineno}" if frames else "?"


def main() -> int:
    """Return 1 if the engines differ in a scenario, or one of them fails."""
    for seed in range(NUM_SEED):
        try:
            found = problems(range(seed, seed + 1))
        except Exception as error:  # whatever a mutant does
            found = [f"seed {seed}: {type(error).__name__} at {place(error)}: {' '.join(str(error).split()):.200}"]
        if found:
            print(*found, sep="\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
