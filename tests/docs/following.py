"""A reader who does what a page says, block after block, in a folder of her own.

Blocks run in this process, Python as `__main__` by `runpy`: a new interpreter spends a second or two on NumPy, pandas
and torch before it does anything, for each of some hundred blocks. What blocks leave behind in the process is taken
back between pages: modules from the page's folder, registered policies, the module search path.
"""

from __future__ import annotations

import doctest
import io
import runpy
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from tests.docs.commands import NOT_RUN, CommandError, check, check_spoken, split
from tests.docs.pages import Block, Command, Page, PageError, commands
from tests.support.command import Done, twin
from tests.support.process import as_before, called_as

_COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@contextmanager
def clean() -> Iterator[None]:
    """Take back what scripts leave behind."""
    folder = Path.cwd()
    with as_before(lambda name, file: file.is_relative_to(folder)):
        yield


def follow(page: Page) -> None:
    """Do all that a page says, in the folder at hand.

    Raises
    ------
    PageError : something ends otherwise than the page says
    """
    printed = ""
    with clean():
        for line, text in page.spoken:
            _told(line, lambda text=text: check_spoken(text))
        for block in page.blocks:
            if block.title:
                _write(block)
            if block.language in ("console", "bash"):
                _do_commands(block)
            elif block.language == "python" and not block.no_run:
                done = run_python(block.title or _script(block))
                _expect(done, block.code, block.line)
                printed = done.out
            elif block.is_output:
                _compare(block.text, printed, block.line)


def _write(block: Block) -> None:
    """Write a file, or add to it."""
    path = Path(block.title)
    if block.appends and not path.is_file():
        raise PageError(block.line, f"there is no {block.title} yet to add to")
    path.write_text((path.read_text("utf-8") if block.appends else "") + block.text, "utf-8")


def _told(line: int, action: object) -> None:
    try:
        assert callable(action)
        action()
    except CommandError as error:
        raise PageError(line, str(error)) from error


def _script(block: Block) -> str:
    """Write a block without a name where `ls` does not see it."""
    path = Path(f".line{block.line}.py")
    path.write_text(block.text, "utf-8")
    return str(path)


def run_python(file: str, *arguments: str) -> Done:
    """Run a script as ``python FILE`` does; what it raises ends it with a line, and with the code 1."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = list(sys.path)
    with redirect_stdout(out), redirect_stderr(err), called_as(file, *arguments):
        try:
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_path(file, run_name="__main__")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except Exception as error:
            code = 1
            err.write(f"{type(error).__name__}: {error}\n")
        finally:
            sys.path[:] = before
    return Done(code, out.getvalue(), err.getvalue())


def _do_commands(block: Block) -> None:
    """Run the commands of a block, or check them if it is not run."""
    lines = [line for line in commands(block) if block.language == "console" or line.text.startswith("twin ")]
    for line in lines:
        expected = block.code if line is lines[-1] else 0
        try:
            parts = split(line.text)
        except (CommandError, ValueError) as error:
            raise PageError(line.line, str(error)) from error
        if block.no_run:
            for words in parts:
                _told(line.line, lambda words=words: check(words, Path.cwd()))
        else:
            _run(parts, line, expected, is_output=block.is_output)


def _run(parts: Sequence[Sequence[str]], line: Command, expected: int, *, is_output: bool) -> None:
    out = ""
    for words in parts:
        done = _do(words, line.line)
        _expect(done, expected if words is parts[-1] else 0, line.line)
        out += done.out + done.err * (done.code != 0)
    if is_output:
        _compare(line.shown, out, line.line)


def _do(words: Sequence[str], line: int) -> Done:
    """Do what a command does; the folder at hand is the page's."""
    program, *arguments = words
    if program in NOT_RUN:
        raise PageError(line, f"{program} changes the machine: mark the block no-run, with a reason")
    if program == "twin":
        return twin(*arguments)
    if program == "python":
        return run_python(*arguments)
    if any(argument.startswith("-") for argument in arguments):
        raise PageError(line, f"{program} is shown without options")
    try:
        return Done(0, _with_files(program, arguments), "")
    except OSError as error:
        return Done(1, "", f"{program}: {error}\n")


def _with_files(program: str, arguments: Sequence[str]) -> str:
    """Do what cat, ls, mkdir and cp do; return what they print."""
    if program == "cat":
        return "".join(Path(name).read_text("utf-8") for name in arguments)
    if program == "ls":
        listed = [sorted(path.name for path in Path(name).iterdir()) for name in arguments or ["."]]
        return "".join(f"{name}\n" for found in listed for name in found if not name.startswith("."))
    if program == "mkdir":
        for name in arguments:
            Path(name).mkdir()
        return ""
    source, target = map(Path, arguments)
    shutil.copy(source, target)
    return ""


def _expect(done: Done, code: int, line: int) -> None:
    if done.code != code:
        raise PageError(line, f"ends with {done.code}, not {code}:\n{done.out}{done.err}")


def _compare(shown: str, printed: str, line: int) -> None:
    if not doctest.OutputChecker().check_output(shown, printed, _COMPARED):
        raise PageError(line, f"prints this:\n{printed}\nand the page shows this:\n{shown}")
