"""Children that do what no command may do, and some that do what it may: so that the verdict is known to see it.

``python -m tests.fuzz.culprits FOLDER`` calls them one after another and prints what the verdict says, as JSON. It is a
process of its own because pytest has threads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.forked import adopt_orphans, call
from tests.fuzz.verdict import problems

TIME_S = 1.0
MEMORY_BYTES = 200_000_000
ADDED_BYTES = 250_000_000
"""What the greedy one asks for: more than it may, less than what it can get."""


def _say(text: str, code: int) -> int:
    sys.stderr.write(text)
    return code


def _raise() -> None:
    raise KeyError("nobody catches it")


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _warn() -> None:
    warnings.warn("overflow encountered in cast", RuntimeWarning, stacklevel=1)


def _allocate() -> None:
    assert len(bytearray(b"x") * ADDED_BYTES) == ADDED_BYTES


def _leave_a_process() -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)


def _hang_with_a_process() -> None:
    _leave_a_process()
    time.sleep(1000)


def _write_beside() -> None:
    Path("../beside.txt").write_text("not mine", "utf-8")


def _write_here() -> int:
    return _print(json.dumps(Path("here.txt").write_text("mine", "utf-8")))


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


CULPRITS: dict[str, tuple[Callable[[], object], str]] = {
    "a traceback": (_raise, "a traceback"),
    "a warning of a library's": (
        lambda: _say("twin: warning: RuntimeWarning: overflow encountered at ledger.py:144\n", 0),
        "a warning of Python's",
    ),
    "a traceback with a good code": (lambda: _say("Traceback (most recent call last):\n", 2), "a traceback"),
    "two lines": (lambda: _say("twin: a.toml: is wrong\ntwin: b.toml: is wrong\n", 2), "2 lines on stderr"),
    "a line after success": (lambda: _say("twin: a.toml: is wrong\n", 0), "1 lines on stderr with exit code 0"),
    "a warning of Python": (_warn, "2 lines on stderr with exit code 0"),
    "exit code 70": (lambda: _say("twin: internal error: KeyError: 'a'\n", 70), "an internal error"),
    "exit code 3": (lambda: 3, "exit code 3"),
    "a crash": (_crash, "died of signal 11"),
    "silence": (lambda: 2, "exit code 2 without a line"),
    "a line about nothing": (lambda: _say("twin: something is wrong\n", 2), "names no file, key or option"),
    "a long line": (lambda: _say(f"twin: a.toml: {'x' * 3_000}\n", 2), "a line of 3014 characters"),
    "escape codes": (lambda: _print("\x1b[2J"), "control characters"),
    "NaN in JSON": (lambda: _print('{"a": NaN}'), "no JSON: NaN in JSON"),
    "half a JSON": (lambda: _print('{"a": '), "no JSON"),
    "sleep": (lambda: time.sleep(1000), "took longer"),
    "sleep with a process": (_hang_with_a_process, "took longer"),
    "memory": (_allocate, "took 0."),
    "a process": (_leave_a_process, "1 processes outlived it"),
    "a file beside": (_write_beside, "changed "),
}
"""Name -> what it does, and what the verdict has to say."""

GOOD: dict[str, Callable[[], object]] = {
    "success": lambda: _print('{"a": 1}'),
    "no": lambda: _say("twin: a: differs\n", 1),
    "bad input": lambda: _say("twin: warning: a.csv: odd\ntwin: a.toml: key: is wrong (accepted: all)\n", 2),
    "progress": lambda: _say("step 1000: mean return per slot 0.5\nlearning: 3 of 9; 1 s\n", 0) or _print("{}"),
    "a file": _write_here,
}


def main() -> None:
    """Call all of them, and print a JSON object: name -> what is wrong."""
    folder = Path(sys.argv[1]) / "child"
    folder.mkdir()
    adopt_orphans()
    functions = {name: function for name, (function, _) in CULPRITS.items()} | GOOD
    found = {}
    for name, function in functions.items():
        outcome = call(function, folder, time_s=TIME_S, memory_bytes=MEMORY_BYTES, grace_s=0.2)
        found[name] = problems(outcome, is_json="JSON" in name or name in GOOD, memory_bytes=MEMORY_BYTES)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
