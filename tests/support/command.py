"""The command line under test: in this process, or in one of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from sim.cli import main

TWIN = (sys.executable, "-m", "sim.cli")
# What a process started in the background of a script inherits is to ignore Ctrl-C; tests of Ctrl-C undo that.
_HEARING = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from sim.cli import main; main()"
)
HEARING_TWIN = (sys.executable, "-c", _HEARING)
LONG = ("run", "dtecn", "--slots", "1000000", "--set", "trace.part_seconds=0.05", "--json")
"""A run of a day; somebody has to end it."""


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def complaint(self) -> str:
        """Return the one line on stderr, or fail: a bad input gives exactly that."""
        assert self.code == 2, self
        assert self.out == "", self
        assert self.err.endswith("\n"), self
        assert self.err.count("\n") == 1, self
        assert self.err.startswith("twin: "), self
        assert "Traceback" not in self.err, self
        return self.err.strip()


def twin(*arguments: object) -> Done:
    """Call the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code
    return Done(int(code or 0), out.getvalue(), err.getvalue())


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **variables}


def twin_process(*arguments: object, **variables: str) -> Done:
    """Run the command line in a process of its own."""
    command = [*TWIN, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(**variables), timeout=120
    )
    return Done(done.returncode, done.stdout, done.stderr)


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll for at most a minute."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("nothing happened for a minute")
