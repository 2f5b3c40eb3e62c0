"""Reads docstrings: their summary, and the meanings that lines ``name : meaning`` below it give to names."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENTRY = re.compile(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*) : (\S.*)")
_SOURCE = re.compile(r"(.*\S) +\[([^\[\]]+)\]", re.DOTALL)
_OF_ALL = "**Source** "


def summary(text: str) -> str:
    r"""Return the first paragraph of a docstring in one line, without the full stop.

    >>> summary("Where it stands,\nin metres.\n\nThe plane is flat.")
    'Where it stands, in metres'
    """
    return " ".join(text.strip().partition("\n\n")[0].split()).removesuffix(".")


def meanings(text: str) -> dict[str, str]:
    r"""Return what the lines ``name : meaning`` of a docstring say, each in one line; lines that go on are indented.

    text : a docstring without its indentation, as `inspect.getdoc` returns it

    >>> meanings("A road.\n\nlength_m : from one end\n    to the other\nnum_lane : both ways")
    {'length_m': 'from one end to the other', 'num_lane': 'both ways'}
    """
    plain = text.replace("``", "`")  # as Markdown has it, and terminals
    return {name: " ".join(words.split()) for names, words in entries(plain) for name in names.split(", ")}


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names of each line ``name : meaning`` as they stand there, and its words."""
    names, words = "", ""
    for line in text.splitlines():
        found = _ENTRY.fullmatch(line)
        if not found and names and line.startswith(" "):
            words += line
            continue
        if names:
            yield names, words
        names, words = (found[1], found[2]) if found else ("", "")
    if names:
        yield names, words


def sourced_meanings(text: str) -> dict[str, tuple[str, str]]:
    r"""Return meaning and source of each name: ``name : meaning [source]``.

    A line ``**Source** ...`` tells the source of those that name none.

    >>> sourced_meanings("Noise.\n\n**Source** our choice\n\nw : bandwidth [dtecn eq. 2]\nloss : part of it")
    {'w': ('bandwidth', 'dtecn eq. 2'), 'loss': ('part of it', 'our choice')}
    """
    lines = (line.removeprefix(_OF_ALL) for line in text.splitlines() if line.startswith(_OF_ALL))
    of_all = next(lines, "").strip()
    found = {name: (words, _SOURCE.fullmatch(words)) for name, words in meanings(text).items()}
    return {name: (told[1], told[2]) if told else (words, of_all) for name, (words, told) in found.items()}
