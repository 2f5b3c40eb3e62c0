"""Small pieces of Markdown: tables, anchors, and texts of docstrings that must not turn into something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SYMBOL = re.compile(r"(?:[a-z]\w*[._]\w|n?s\b|ms?\b|(?:dtecn|llm6g)\b)")
"""A name or a unit, which begins with a small letter also at the begin of a sentence."""
_WIDE = frozenset({"Meaning", "What it does"})
"""Columns of sentences: a style keeps them wide enough to read where a page is narrow."""
_CODE = re.compile(r"``(.+?)``|`([^`]+)`", re.DOTALL)


def code(text: str) -> str:
    """Return a text as code.

    >>> code("--set KEY=VALUE")
    '`--set KEY=VALUE`'
    """
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def anchored(text: str, anchor: str) -> str:
    """Return a text as code that links can lead to.

    >>> anchored("bandwidth_hz", "radio.bandwidth_hz")
    '`bandwidth_hz`{ #radio.bandwidth_hz }'
    """
    return f"{code(text)}{{ #{anchor} }}"


def prose(text: str) -> str:
    """Return a text of a docstring as Markdown: what is no code keeps its characters.

    >>> prose("``a < b`` if x < y, see `f`")
    '`a < b` if x &lt; y, see `f`'
    """
    pieces, at = [], 0
    for found in _CODE.finditer(text):
        pieces += [_plain(text[at : found.start()]), code(found[1] or found[2])]
        at = found.end()
    return "".join([*pieces, _plain(text[at:])])


def _plain(text: str) -> str:
    """Escape what is not code: tags, and names between underscores."""
    return re.sub(r"(?<!\w)_(?=\w)", r"\\_", text.replace("<", "&lt;"))


def cell(text: str) -> str:
    r"""Return a text of a docstring for a cell of a table.

    >>> cell("one of a | b")
    'one of a \\| b'
    """
    return barred(prose(" ".join(text.split())))


def barred(text: str) -> str:
    r"""Return Markdown for a cell of a table: its bars end no cell. In code they do not, and a backslash would be seen.

    >>> barred("a | b, `c | d`")
    'a \\| b, `c | d`'
    """
    pieces = re.split(r"(``.+?``|`[^`]+`)", text)
    return "".join(piece if place % 2 else piece.replace("|", r"\|") for place, piece in enumerate(pieces))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; columns in which no row has anything are left out.

    >>> print(table(["Key", "Unit", "Meaning"], [["`a`", "", "This."]]))
    | Key | Meaning { .wide } |
    | --- | --- |
    | `a` | This. |
    """
    given = [list(row) for row in rows]
    shown = [index for index in range(len(headers)) if any(row[index] for row in given)]
    lines = [[_header(headers[index]) for index in shown], ["---" for _ in shown]]
    lines += [[row[index] for index in shown] for row in given]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _header(text: str) -> str:
    return f"{text} {{ .wide }}" if text in _WIDE else text


def sentence(text: str) -> str:
    """Return a text with a capital letter at its begin and a full stop at its end.

    >>> sentence("every task runs on its vehicle"), sentence("ms of wall time."), sentence("dtecn: the optimum")
    ('Every task runs on its vehicle.', 'ms of wall time.', 'dtecn: the optimum.')
    """
    text = text.strip()
    if not text:
        return ""
    begun = text if _SYMBOL.match(text) else text[0].upper() + text[1:]
    return begun if begun[-1] in ".!?:" else f"{begun}."
