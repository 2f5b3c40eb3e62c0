"""Docstrings as Markdown: lists of ``name : text``, underlined titles, tables of equal signs, and doctests.

mkdocstrings takes docstrings through the extension `AsMarkdown`; they need no style of their own then.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import griffe

from docs.tools.markdown import code, prose, table

_FIELD = re.compile(r"(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*) : (.*)")
_RULE = re.compile(r"=+( +=+)+")
_UNDERLINE = re.compile(r"-{3,}")


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    r"""Yield the blocks of a docstring: its kind, "title", "fields", "doctest", "table" or "text", and its lines.

    >>> [(kind, len(lines)) for kind, lines in blocks("Do it.\n\nRaises\n------\nError : why\n    and how")]
    [('text', 1), ('title', 1), ('fields', 2)]
    """
    lines = inspect.cleandoc(text).splitlines()
    at = 0
    while at < len(lines):
        kind = _kind(lines, at)
        end = at + 1
        if kind == "title":
            yield kind, [lines[at]]
            at += 2
            continue
        if kind == "table":
            rules = [index for index in range(at, len(lines)) if _RULE.fullmatch(lines[index])]
            end = rules[2] + 1 if len(rules) > 2 else len(lines)
        else:
            while end < len(lines) and _goes_on(kind, lines, end):
                end += 1
        if kind != "blank":
            yield kind, lines[at:end]
        at = end


def _kind(lines: list[str], at: int) -> str:
    line = lines[at]
    if not line.strip():
        return "blank"
    if at + 1 < len(lines) and _UNDERLINE.fullmatch(lines[at + 1]) and line[0].isalpha():
        return "title"
    if line.lstrip().startswith(">>>"):
        return "doctest"
    if _RULE.fullmatch(line):
        return "table"
    return "fields" if _FIELD.fullmatch(line) else "text"


def _goes_on(kind: str, lines: list[str], at: int) -> bool:
    """Whether a line belongs to a block of this kind."""
    found = _kind(lines, at)
    if kind == "doctest":
        return found != "blank"
    if kind == "fields":
        return found == "fields" or (found == "text" and lines[at][0] == " ")
    return found == "text" and kind == "text"


def _entries(lines: list[str]) -> list[tuple[list[str], str]]:
    entries: list[tuple[list[str], str]] = []
    for line in lines:
        if (begun := _FIELD.fullmatch(line)) is not None:
            entries.append((begun[1].split(", "), begun[2].strip()))
        else:
            names, said = entries[-1]
            entries[-1] = (names, f"{said} {line.strip()}")
    return entries


def to_markdown(text: str) -> str:
    r"""Return a docstring as Markdown.

    >>> print(to_markdown("Do it.\n\nsize : [N], B"))
    Do it.
    <BLANKLINE>
    `size`
    :   [N], B
    """
    return "\n\n".join(_written(kind, lines) for kind, lines in blocks(text))


def _written(kind: str, lines: list[str]) -> str:
    if kind == "title":
        return f"**{lines[0]}**"
    if kind == "doctest":
        return "\n".join(["```pycon", *inspect.cleandoc("\n".join(lines)).splitlines(), "```"])
    if kind == "table":
        return _table(lines)
    if kind == "fields":
        return "\n\n".join(f"{', '.join(map(code, names))}\n:   {prose(said)}" for names, said in _entries(lines))
    return prose("\n".join(line.strip() for line in lines))


def _table(lines: list[str]) -> str:
    """Return a table whose columns are those of its rules of equal signs."""
    spans = [found.span() for found in re.finditer("=+", lines[0])]
    ends = [*(begin for begin, _ in spans[1:]), None]
    rows = [
        [line[begin:end].strip() for (begin, _), end in zip(spans, ends, strict=True)]
        for line in lines
        if not _RULE.fullmatch(line)
    ]
    return table(rows[0], [[prose(text) for text in row] for row in rows[1:]])


class AsMarkdown(griffe.Extension):
    """Lets mkdocstrings take every docstring as Markdown."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:  # noqa: ARG002 - griffe's signature
        """Convert the docstring of an object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
