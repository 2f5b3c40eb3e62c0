"""Pages of the documentation, read into blocks by the conventions that `test_pages.py` holds them to.

* ``python`` with a title is a file that is written and run; without one it is a script of its own.
* Other languages with a title are files that are written.
* ``console``: ``$ command`` lines are run; other lines are what they print.
* Comments on the lines before a fence mark a block: ``<!-- no-run: reason -->``, ``<!-- exit: 1 -->``, or
  ``<!-- output -->``: what a console block shows, or a text block after a Python block, is what is printed;
  ``<!-- append -->``: the block goes to the end of the file that its title names.
* ``<!-- needs: marl, report -->`` anywhere names the extras of the page.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from itertools import pairwise

SHOWN = ("csv", "json", "xml", "text", "yaml", "bibtex", "ini")
LANGUAGES = ("python", "console", "toml", "bash", *SHOWN)
EXTRAS = ("marl", "llm", "report", "env", "dask", "dev")
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<info>[^`]*)$")
_TITLE = re.compile(r"""\btitle=(?:"([^"]*)"|'([^']*)')""")
_COMMENT = re.compile(r"^\s*<!--\s*(no-run|exit|output|append|needs)\b:?\s*(.*?)\s*-->\s*$")


class PageError(AssertionError):
    """A page that breaks a convention; says the line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    line : of its first line of text, counted from 1
    title : name of the file that it is; "" for none
    no_run : why it is not run; "" where it is
    code : exit code of its last command
    is_output : whether what it shows is what is printed
    appends : to the file, which is there
    """

    language: str
    title: str
    text: str
    line: int
    no_run: str = ""
    code: int = 0
    is_output: bool = False
    appends: bool = False


@dataclass(frozen=True)
class Page:
    """A page: its blocks, commands in its prose (line and text), and the extras that it needs."""

    blocks: tuple[Block, ...]
    spoken: tuple[tuple[int, str], ...] = ()
    needs: tuple[str, ...] = ()


@dataclass
class _Marks:
    """What comments say of the next fence."""

    line: int = 0
    said: dict[str, str] = field(default_factory=dict)


def read(text: str) -> Page:
    """Read a page.

    Raises
    ------
    PageError : a fence without an end, an unknown language, a mark that marks nothing or gives no reason
    """
    lines = text.splitlines()
    blocks: list[Block] = []
    spoken: list[tuple[int, str]] = []
    needs: list[str] = []
    marks = _Marks()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if opened := _FENCE.match(line):
            end = _end(lines, number, opened)
            inside = [_outdented(inner, len(opened["indent"]), number) for inner in lines[number:end]]
            blocks.append(_block(opened["info"], inside, number + 1, marks.said))
            number, marks = end + 1, _Marks()
            continue
        comment = _COMMENT.match(line)
        if marks.said and (comment is None or comment[1] == "needs"):
            raise PageError(marks.line, "the mark is not on the line before a fence")
        if comment is not None and comment[1] == "needs":
            needs += _extras(comment[2], number)
        elif comment is not None:
            marks = _Marks(number, {**marks.said, comment[1]: comment[2]})
        spoken += [(number, words) for words in re.findall(r"`(twin [^`]*)`", line)]
    if marks.said:
        raise PageError(marks.line, "the mark is not on the line before a fence")
    _check_outputs(blocks)
    return Page(tuple(blocks), tuple(spoken), tuple(needs))


def _end(lines: list[str], begin: int, opened: re.Match[str]) -> int:
    """Return the number of the line that ends a fence."""
    for number in range(begin, len(lines)):
        stripped = lines[number].strip()
        if stripped.startswith(opened["fence"]) and not stripped.strip(opened["fence"][0]):
            return number
    raise PageError(begin, "the fence has no end")


def _outdented(line: str, indent: int, number: int) -> str:
    if line[:indent].strip():
        raise PageError(number, "a line of the block is less indented than its fence")
    return line[indent:]


def _extras(said: str, number: int) -> list[str]:
    found = [name.strip() for name in said.split(",")]
    if unknown := [name for name in found if name not in EXTRAS]:
        raise PageError(number, f"there is no extra {unknown[0]!r}")
    return found


def _block(info: str, lines: list[str], number: int, marks: dict[str, str]) -> Block:
    """Make a block of what stands behind its fence, its lines, and the mark before it."""
    language = info.partition(" ")[0].strip()
    if language not in LANGUAGES:
        raise PageError(number - 1, f"unknown language {language!r} (accepted: {', '.join(LANGUAGES)})")
    titled = _TITLE.search(info)
    title = (titled[1] or titled[2] or "") if titled else ""
    if titled and (not title or "/" in title or title.startswith(".")):
        raise PageError(number - 1, f"{title!r} is no name of a file in the page's folder")
    if titled and language in ("console", "bash"):
        raise PageError(number - 1, "commands are no file")
    no_run = marks.get("no-run", "")
    if "no-run" in marks and len(re.findall(r"[^\W\d_]{2,}", no_run)) < 2:
        raise PageError(number - 2, "why is the block not run? (accepted: <!-- no-run: a reason -->)")
    if language == "bash" and not no_run:
        raise PageError(number - 1, "bash is not run: it needs a no-run mark, or should be console")
    if "exit" in marks and not (language in ("console", "python") and marks["exit"].isdecimal()):
        raise PageError(number - 2, "an exit code is a number, of a console or Python block")
    block = Block(
        language,
        title,
        "".join(f"{line}\n" for line in lines),
        number,
        no_run,
        int(marks.get("exit", 0)),
        "output" in marks,
        "append" in marks,
    )
    if block.appends and not title:
        raise PageError(number - 1, "which file? (accepted: a title)")
    _check_syntax(block)
    return block


def _check_syntax(block: Block) -> None:
    """Let Python compile and TOML be TOML, whether they are run or not."""
    try:
        if block.language == "python":
            compile(block.text, block.title or "block", "exec")
        elif block.language == "toml":
            tomllib.loads(block.text)
    except (SyntaxError, tomllib.TOMLDecodeError) as error:
        raise PageError(block.line, f"is not {block.language}: {error}") from error
    if block.language == "console" and not block.text.startswith("$ "):
        raise PageError(block.line, "a console block begins with a command: $ ...")


def _check_outputs(blocks: list[Block]) -> None:
    """Let each output be that of something that is run."""
    before = Block("", "", "", 0)
    for earlier, block in pairwise([before, *blocks]):
        if not block.is_output or block.language == "console":
            continue
        if block.language != "text" or earlier.language != "python" or earlier.no_run:
            raise PageError(block.line - 2, "output is a console block, or a text block after Python that is run")


@dataclass(frozen=True)
class Command:
    """A line of a console block.

    line : in the page
    text : all of it, continued lines joined
    shown : what the page says that it prints
    """

    line: int
    text: str
    shown: str


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block; of a bash block each line is one.

    >>> commands(Block("console", "", "$ twin run dtecn \\\\\\n    --slots 3\\ndone\\n", 5))
    [Command(line=5, text='twin run dtecn  --slots 3', shown='done\\n')]
    """
    found: list[Command] = []
    lines = block.text.splitlines()
    number = 0
    while number < len(lines):
        line, begin = lines[number], number
        number += 1
        if block.language == "console" and not line.startswith("$ "):
            last = found.pop()
            found.append(Command(last.line, last.text, f"{last.shown}{line}\n"))
            continue
        text = line.removeprefix("$ ")
        while text.endswith("\\") and number < len(lines):
            text = f"{text[:-1]} {lines[number].strip()}"
            number += 1
        found.append(Command(block.line + begin, text, ""))
    return found
