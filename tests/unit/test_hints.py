"""Next steps: told once, dimmed, to people only; each is a command that works when it is pasted."""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer

from sim.cli import app, hints, main
from tests.support.command import TWIN, environment, twin
from tests.support.process import at_work, called_as, press_ctrl_c

pytestmark = pytest.mark.full

COMMANDS = {
    "run": ["run", "dtecn", "--slots", "3", "--set", 'network.backhaul.latency_s="5 ms"'],
    "interrupted": ["run", "dtecn", "--slots", "3", "--policy", "random"],
    "compare": [
        "compare",
        "dtecn",
        "--policies",
        "local-only,random",
        "--seeds",
        "0,3",
        "--slots",
        "3",
        "--workers",
        "2",
    ],
    "sweep": ["sweep", "dtecn", "--policies", "random", "--seeds", "0", "--grid", "time.num_slot=2,3"],
    "replay": ["replay", "first"],
    "what if": ["replay", "first", "--policy", "random"],
    "what if, kept": ["replay", "first", "--policy", "random", "--out", "kept"],
    "branch": ["branch", "first", "--at", "0.2", "--policy", "random"],
    "differs": ["replay", "wrong"],
    "unknown policy": ["run", "dtecn", "--policy", "edge-eqaul"],
    "unknown scenario": ["run", "dtcen"],
    "taken": ["run", "dtecn", "--slots", "3", "--out", "first"],
    "taken, in one word": ["run", "dtecn", "--slots", "3", "--out=first", "--policy", "random"],
    "taken, by a slash": ["run", "dtecn", "--slots", "3", "--out", "./first/"],
    "taken by itself": ["branch", "first", "--at", "0.2", "--policy", "random", "--out", "first"],
    "wrong file": ["run", "my.toml"],
    "no run": ["check", "empty"],
}
NEXT = {  # the words of the first step
    "run": "report runs/dtecn-edge-equal-seed0 --out runs/dtecn-edge-equal-seed0.html",
    "replay": "replay first --policy local-only --out first-what-if",
    "what if": "replay first --policy random --out first-what-if",
    "what if, kept": "report first kept --out kept.html",
    "branch": "branch first --at 0.2 --policy random --out first-what-if",
    "differs": "check wrong",
    "unknown policy": "policies",
    "unknown scenario": "scenarios",
    "taken": "run dtecn --slots 3 --out first-2",
    "taken, in one word": "run dtecn --slots 3 --out first-2 --policy random",
    "taken, by a slash": "run dtecn --slots 3 --out first-2",
    "taken by itself": "branch first --at 0.2 --policy random --out first-2",
    "wrong file": "check my.toml",
    "no run": "check --help",
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "run"
    assert twin("run", "dtecn", "--slots", 3, "--out", path).code == 0
    return path


@pytest.fixture(autouse=True)
def in_directory_with_runs(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("first", "wrong"):
        shutil.copytree(recorded, name)
    manifest = Path("wrong", "manifest.json")
    manifest.write_text(re.sub(r'("tasks": ")\w{4}', r"\g<1>0000", manifest.read_text("utf-8")), "utf-8")
    Path("my.toml").write_text("[time]\nnum_slot = -3\n", "utf-8")
    Path("empty").mkdir()


def on_terminal(*words: str, out: type[io.StringIO] = Terminal, err: type[io.StringIO] = Terminal) -> str:
    """Call the command line in front of a terminal; return what stands on stderr."""
    stdout, stderr = out(), err()
    with redirect_stdout(stdout), redirect_stderr(stderr), pytest.raises(SystemExit):
        main(list(words))
    assert "next:" not in stdout.getvalue()
    return stderr.getvalue()


def steps(text: str) -> list[list[str]]:
    """Return the words of each command, without ``twin``; all lines are dimmed."""
    lines = [line for line in text.splitlines() if "  twin " in line]
    assert all(re.search("\x1b\\[2m(next:|     ) .*\x1b\\[0m$", line) for line in lines), lines
    assert text.count("next:") == (1 if lines else 0)
    plain = [re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", line) for line in lines]
    return [shlex.split(line.partition("  twin ")[2]) for line in plain]


def parse(words: list[str]) -> None:
    """Parse a command as the program would, without calling it."""
    root = typer.main.get_command(app)
    context = root.make_context("twin", words)
    command = root.get_command(context, words[0])  # type: ignore[attr-defined] # a group, typed as any command
    assert command is not None, words
    if words[-1] != "--help":
        command.make_context(words[0], words[1:], parent=context)


@pytest.mark.parametrize("name", COMMANDS)
def test_next_steps(name: str) -> None:
    """Each step is a command with its options, and starts from directories that exist."""
    with at_work("sim.show.terminal:progress", _stopping) if name == "interrupted" else nullcontext():
        found = steps(on_terminal(*COMMANDS[name]))
    assert found
    assert " ".join(found[0]) == NEXT.get(name, " ".join(found[0]))
    for words in found:
        parse(words)
    if name == "run":
        assert found[1] == ["replay", "runs/dtecn-edge-equal-seed0"]
        changes = ["--set", 'network.backhaul.latency_s="5 ms"', "--slots", "3"]
        assert found[2] == ["compare", "dtecn", "--policies", "edge-equal,local-only", "--seeds", "0..4", *changes]
    if name == "compare":
        again = ["compare", "dtecn", "--policies", "local-only,random", "--workers", "2", "--seeds", "0,3..13"]
        assert found[2][:8] == again
    if name == "sweep":
        assert found[1][-2:] == ["--set", "time.num_slot=2"]


@contextmanager
def _stopping() -> Iterator[Callable[[int], None]]:
    """Press Ctrl-C after the first slot."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    try:
        yield lambda done: signal.raise_signal(signal.SIGINT) if done == 1 else None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", COMMANDS)
def test_silence(name: str) -> None:
    """Nothing is told with --json or --quiet, nor into a file or a pipe, be it output or errors."""
    words = [*COMMANDS[name], *(["--workers", "1"] if name == "compare" else [])]  # the last one counts
    if words[0] != "check":
        assert "next:" not in on_terminal(*words, "--quiet")
        assert "next:" not in on_terminal(*words, "--json")
    if "--out" not in words:
        assert "next:" not in on_terminal(*words, out=io.StringIO)
        assert "next:" not in on_terminal(*words, err=io.StringIO)


def test_quiet_shows_no_progress_but_the_result() -> None:
    done = twin("run", "dtecn", "--slots", 3, "--quiet")
    assert "penalty, realised" in done.out
    assert on_terminal("run", "dtecn", "--slots", "3", "--quiet") == ""


def test_a_message_that_says_what_to_do_is_enough() -> None:
    for words in (["run", "dtecn", "--polcy", "x"], ["fly"], []):
        message = on_terminal(*words)
        assert "--help" in message
        assert "next:" not in message


@pytest.mark.parametrize("words", [COMMANDS["compare"], COMMANDS["sweep"], ["train", "apg", "dtecn", "--out", "a b"]])
def test_what_was_interrupted_goes_on(words: list[str]) -> None:
    target = {
        "compare": "sim.studies.compare:compare",
        "sweep": "sim.studies.sweep:sweep",
        "train": "sim.learn.train:train",
    }[words[0]]
    resume = ["--resume"] if words[0] == "train" else []
    with at_work(target, press_ctrl_c):
        assert steps(on_terminal(*words)) == [[*words, *resume]]


def test_a_fault_of_ours_is_shown_where() -> None:
    def fail() -> None:
        raise RuntimeError("a fault")

    with at_work("sim.runs.check:check", fail):
        assert "VECTWIN_TRACEBACK=1 twin check dtecn" in on_terminal("check", "dtecn")


def test_the_program_is_called_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell may know no twin, or another one than that which runs."""
    program = tmp_path / "bin" / "twin"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", "utf-8")
    program.chmod(0o755)
    wrong = ("run", "dtecn", "--policy", "nobody")
    with called_as(str(program)):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert f"{program} policies" in on_terminal(*wrong)
        monkeypatch.setenv("PATH", str(program.parent))
        assert "  twin policies" in on_terminal(*wrong)
    with called_as(str(tmp_path / "sim" / "cli" / "__main__.py")):
        assert f"{sys.executable} -m sim.cli policies" in on_terminal(*wrong)


@pytest.mark.parametrize("directory", [".", ".."])
def test_paths_without_a_name(directory: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A page is beside the run, even if that is where one is."""
    place = tmp_path / "first" if directory == "." else tmp_path / "first" / "part"
    place.mkdir(exist_ok=True)
    monkeypatch.chdir(place)
    assert hints.report(Path(directory)) == ["report", Path(directory), "--out", tmp_path / "first.html"]


@pytest.mark.full
def test_steps_work_when_pasted(tmp_path: Path) -> None:
    """In a terminal of its own: a shell runs the page and the replay that a run proposes."""
    command = [*TWIN, "run", "dtecn", "--slots", "3", "--out", "a run"]
    lines = [line for line in _in_terminal(command, tmp_path).splitlines() if f"  {sys.executable} " in line]
    assert len(lines) == 3
    for line in lines[:2]:  # the comparison, which takes longer, is parsed elsewhere
        pasted = line.partition("  " + sys.executable)[2]
        command = ["sh", "-c", f"{sys.executable}{pasted}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, (pasted, done.stderr)
    assert (tmp_path / "a run.html").exists()


def _in_terminal(command: list[str], directory: Path) -> str:
    """Run a command in a pseudo-terminal; return what it wrote, without colours."""
    ours, theirs = pty.openpty()
    text = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=directory, env=environment()):
        os.close(theirs)
        while chunk := _read(ours):
            text += chunk
    os.close(ours)
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.decode().replace("\r", ""))


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65_536)
    except OSError:  # the other end is closed
        return b""
