"""Makes texts of others safe for a terminal, so that none moves the cursor, sets a title or reverses a line."""

from __future__ import annotations

import re

# Control characters, characters that change the direction of writing, line separators, and halves of characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text in which such characters are written as Python writes them.

    >>> print(printable("\x1b[2Jrun\n"))
    \x1b[2Jrun\n
    """
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    r"""Return a text, which may have several lines, as one printable line.

    >>> one_line("a\n b\x1b[0m")
    'a b\\x1b[0m'
    """
    return printable(" ".join(text.split()))
