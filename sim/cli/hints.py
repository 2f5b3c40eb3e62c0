"""Next steps: real commands with real paths, shown once after a command, and only to people.

Nothing is shown with --json or --quiet, or if output or errors go to a file or a pipe.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario

Quiet = Annotated[bool, typer.Option("--quiet", help="Print results only: no progress, no next steps.")]

_SILENT = {"--json", "--quiet"}
_GROUPS = {"cases", "import", "models"}
_GOES_ON = {"compare", "sweep", "figures"}
_RESUMES = {"train", "models"}


class Step(NamedTuple):
    """A next step: its purpose, and the words of the command after ``twin``."""

    what_for: str
    words: Sequence[object]


class _Running:
    """The words of the running command, and whether it has shown next steps already."""

    words: Sequence[str] = ()
    already = False


def begin(words: Sequence[str]) -> None:
    """Note the words of the command that begins."""
    _Running.words, _Running.already = words, False


def is_shown(*, silent: bool) -> bool:
    """Tell whether progress is shown: only to a person, and not with --quiet or --json."""
    return not silent and sys.stderr.isatty()


def tell(steps: Sequence[Step], *, before: str = "") -> None:
    """Print commands to paste, dimmed, each in one line of any length.

    before : text before each command, such as a variable of the environment
    """
    is_person = sys.stdout.isatty() and sys.stderr.isatty()
    if _Running.already or not steps or not is_person or _SILENT & set(_Running.words):
        return
    import shlex

    from rich.text import Text

    from physical.printable import printable
    from sim.show import terminal

    _Running.already = True
    output, width = terminal.console(stderr=True), max(len(step.what_for) for step in steps)
    for index, (what_for, words) in enumerate(steps):
        lead = "next:" if index == 0 else "     "
        command = before + shlex.join([*_program(), *map(str, words)])
        output.print(Text(f"{lead} {what_for:{width}}  {printable(command)}", style="dim"), soft_wrap=True)


def after_failure(text: str, code: int, *, internal: int) -> None:
    """Show next steps after a failure, if its message does not name them.

    text : the message
    code : the exit code; codes above 128 are signals
    internal : the code of a fault of vectwin
    """
    words = list(_Running.words)
    if code == internal:
        tell([Step("where it went wrong", words)], before="VECTWIN_TRACEBACK=1 ")
    elif code > 128:
        tell(_going_on(words))
    elif "--help" not in text and "pip install" not in text:
        tell(_after_bad_input(words, text))


def _going_on(words: list[str]) -> list[Step]:
    """Return the command that continues the interrupted one."""
    name = words[0] if words else ""
    if name in _GOES_ON:
        return [Step("go on", words)]
    if name in _RESUMES:
        return [Step("go on", [*words, *(["--resume"] if "--resume" not in words else [])])]
    return []


def _after_bad_input(words: list[str], text: str) -> list[Step]:
    name = words[:2] if words[:1] and words[0] in _GROUPS else words[:1]
    file = next(
        (word for word in words if word.endswith(".toml") and text.startswith(word) and Path(word).exists()), ""
    )
    if "there is no scenario" in text:
        return [Step("what there is", ["scenarios"])]
    if "there is no kind of" in text or "there is no group" in text:
        return [Step("what there is", ["kinds"])]
    if re.search(r"there is no (policy|option)", text):
        return [Step("who can decide", ["policies"])]
    out = next((index for index, word in enumerate(words) if word.partition("=")[0] == "--out"), None)
    is_run = "holds a run already" in text
    if (is_run or "is not empty: it holds" in text) and out is not None:
        is_one_word = words[out] != "--out"
        taken = Path(words[out].partition("=")[2] if is_one_word else words[out + 1])
        other = [*words[:out], "--out", str(unused(taken)), *words[out + (1 if is_one_word else 2) :]]
        return [Step("beside it", other), *([Step("what is there", ["check", taken])] if is_run else [])]
    if file:
        return [Step("once it is corrected", ["check", file])]
    return [Step("how to call it", [*name, "--help"])]


def after_run(directory: Path, scenario: Scenario, name: str, policy: str, settings: Sequence[str]) -> list[Step]:
    """Return next steps after a run: view it, check it, compare its policy with another.

    name : of the scenario, as the user wrote it
    settings : words that change the scenario
    """
    compared = ["compare", name, "--policies", f"{policy},{other_policy(scenario, policy)}", "--seeds", "0..4"]
    return [
        Step("look at it", report(directory)),
        Step("run it again", ["replay", directory]),
        Step("compare", [*compared, *settings]),
    ]


def report(*directories: Path) -> list[object]:
    """Return the command that writes a page beside the last directory."""
    return ["report", *directories, "--out", beside(directories[-1], ".html")]


def beside(directory: Path, ending: str) -> Path:
    """Return the path with an ending after its name, also if the path is a directory.

    >>> beside(Path("runs/first/"), ".html").as_posix()
    'runs/first.html'
    """
    named = directory if directory.name not in {"", ".."} else directory.resolve()
    return named.with_name(named.name + ending)


def other_policy(scenario: Scenario, policy: str) -> str:
    """Return a policy that suits the scenario and is not the given one."""
    return next(one for one in (scenario.policy.name, scenario.policy.fallback, "random") if one != policy)


def unused(directory: Path) -> Path:
    """Return the directory, with a number if it exists already."""
    number, found = 1, directory
    while found.exists():
        number += 1
        found = beside(directory, f"-{number}")
    return found


def set_words(settings: Sequence[str] | None, num_slot: int | None = None) -> list[str]:
    """Return the options that change the scenario in the same way."""
    words = [word for setting in settings or () for word in ("--set", setting)]
    return words if num_slot is None else [*words, "--slots", str(num_slot)]


def engine_words(engine: str | None) -> list[str]:
    """Return the option that names an engine, if one was named."""
    return [] if engine is None else ["--engine", engine]


def _program() -> list[str]:
    """Return the word to type for ``twin``, which is a path if the shell does not find the name."""
    import shutil

    called = Path(sys.argv[0])
    if called.parts[-3:] == ("sim", "cli", "__main__.py"):
        return [sys.executable, "-m", "sim.cli"]
    found = shutil.which("twin")
    if called.name != "twin" or (found is not None and called.exists() and called.samefile(found)):
        return ["twin"]
    return [str(called)]
