"""What a mutant has to pass: commands in a copy of the tree, those first that find most in the least time."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.mutants.draw import Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("physical", "twin", "policies", "traces", "sim", "vectwin", "tests")
MEMORY_BYTES = 8 << 30
"""Of a command: a mutant may ask for more without end."""


@dataclass(frozen=True)
class Stage:
    """A command that ends with 0 if it finds nothing.

    name : what the report calls it
    words : of the command, after Python's name; "{file}" is the mutated file
    of : what the paths of the files begin with of which it sees anything
    """

    name: str
    words: tuple[str, ...]
    of: str = ""


def _pytest(*words: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *words)


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{folder}/test_{name}.py" for name in names)


QUEUEING = _files("property", "theory_queues", "theory_sharing")
"""Each test of these is about one of the engines, by name."""

STAGES = (
    Stage("comparison", ("-m", "tests.mutants.first")),
    Stage("doctests", _pytest("{file}")),
    Stage(
        "unit tests",
        _pytest(
            *_files("unit", "small_print", "looking", "fleet", "queues", "resource", "uplink", "waiting", "clock_range")
        ),
        of="physical/columns",
    ),
    Stage(
        "unit tests",
        _pytest(
            *_files("unit", "small_print", "clock", "cloud", "ledger", "messages", "record", "timeline", "learning"),
            *_files("fault", "realtime", "undecided"),
        ),
        of="sim",
    ),
    Stage("theory", _pytest(*_files("property", "theory_age"))),
    Stage("theory", _pytest("-k", "columns", *QUEUEING), of="physical/columns"),
    Stage("theory", _pytest("-k", "events", *QUEUEING), of="physical/entities"),
)
"""In order. Those of `sim` are for what both engines share: there they agree, whatever it does."""


class Ended(NamedTuple):
    """How a command ended: what it found, "" for nothing, and how long it took, s."""

    found: str
    duration_s: float


class Copy:
    """A copy of the tree below a folder, in which one file at a time is another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skipped = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=skipped)
        shutil.copy(ROOT / "pyproject.toml", folder)
        # Python takes a compiled module for current if its source has the time and size that it had: each has its own.
        self._times_s = count(int(time.time()), 2)

    @contextmanager
    def holding(self, mutant: Mutant) -> Iterator[None]:
        """Let a file be mutated until the body ends."""
        path = self.folder / mutant.file
        text = path.read_text("utf-8")
        try:
            self._write(path, mutant.applied(text))
            yield
        finally:
            self._write(path, text)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, "utf-8")
        time_s = next(self._times_s)
        os.utime(path, (time_s, time_s))

    def run(self, stage: Stage, file: str, limit_s: float) -> Ended:
        """Run the command of a stage."""
        begin_s = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *(word.replace("{file}", file) for word in stage.words)],
            cwd=self.folder,
            env=_variables(self.folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        _limit_memory(process.pid)
        try:
            told, _ = process.communicate(timeout=limit_s)
            nothing = process.returncode == 0 or (process.returncode == _NO_TESTS and "{file}" in stage.words)
            found = "" if nothing else _told(told) or f"exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            found = f"no end after {limit_s:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        return Ended(found, time.monotonic() - begin_s)


_NO_TESTS = 5
"""How pytest ends where there are none."""


def _variables(folder: Path) -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | threads | {"PYTHONPATH": str(folder)}


def _limit_memory(pid: int) -> None:
    """Limit what a process and its children may take, where the system can do that from outside."""
    if sys.platform == "linux":
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _told(output: str) -> str:
    """Return the line of an output that says what was found."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    failed = [line for line in lines if re.match(r"(FAILED|ERROR) ", line)]
    return (failed or lines[-1:] or [""])[0][:300]
