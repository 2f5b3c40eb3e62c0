"""Mutations of any file's bytes, and of the numbers and words in a text."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.dice import TEXTS, Dice

Change = Callable[[Dice, bytes], tuple[bytes, str]]

_NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")
_WORD = re.compile(rb'"[^"\n]{0,200}"|[A-Za-z_][\w.-]*')
_UNITS = (b" ms", b" GHz", b" W", b" kB", b" dBm", b" parsec", b" %", b" \xc2\xb5s", b" h", b" Mbit/s", b" K", b"s s")
_PATTERNS = (
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff" * 8,
    b"\x00" * 8,
    b"\x00\x00\xc0\x7f",
    b"\x01" * 4,
    b"\x80" * 8,
)
_NESTS = (b"[", b"{", b"a=[", b'{"a":', b"<a>", b"[a.", b"((", b"x={a=")


def _place(dice: Dice, data: bytes) -> int:
    """Draw a place: anywhere, or among the first bytes, where formats keep what they are."""
    most = len(data) if dice.chance(0.6) else min(len(data), 400)
    return dice.below(most + 1)


def _span(dice: Dice, data: bytes) -> tuple[int, int]:
    begin = _place(dice, data)
    return begin, min(len(data), begin + dice.length(max(2, len(data))))


def flip(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Flip up to eight bits."""
    found, places = bytearray(data), []
    for _ in range(dice.length(8) if data else 0):
        place = min(_place(dice, data), len(data) - 1)
        found[place] ^= 1 << dice.below(8)
        places.append(place)
    return bytes(found), f"bits flipped at {places}"


def truncate(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Keep the first or the last bytes."""
    place = _place(dice, data)
    return (data[:place], f"cut at {place}") if dice.chance(0.7) else (data[place:], f"begins at {place}")


def duplicate(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Repeat a chunk."""
    begin, end = _span(dice, data)
    times = dice.length(6)
    return data[:end] + data[begin:end] * times + data[end:], f"[{begin}:{end}] {times} times more"


def remove(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Remove a chunk."""
    begin, end = _span(dice, data)
    return data[:begin] + data[end:], f"[{begin}:{end}] removed"


def swap(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Let two chunks change places."""
    one, other = sorted([_span(dice, data), _span(dice, data)])
    (a, b), (c, d) = one, (max(other[0], one[1]), max(other[1], one[1]))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:], f"[{a}:{b}] and [{c}:{d}] swapped"


def insert(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Insert NULs, broken UTF-8, noise, a number, a long word or deep brackets."""
    place = _place(dice, data)
    what = (
        b"\x00" * dice.length(64),
        dice.pick((b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80")),
        dice.octets(dice.length(64)),
        dice.number().encode(),
        dice.pick(TEXTS).encode(),
        dice.pick(_NESTS) * dice.pick((3, 200, 5_000, 100_000)),
        b"\n" * dice.length(100),
        b"\xef\xbb\xbf",
        dice.pick(_PATTERNS),
    )
    chosen = dice.pick(what)
    return data[:place] + chosen + data[place:], f"{len(chosen)} bytes {chosen[:16]!r} inserted at {place}"


def overwrite(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Write a binary number over others."""
    place, what = _place(dice, data), dice.pick(_PATTERNS)
    return data[:place] + what + data[place + len(what) :], f"{what!r} over [{place}:{place + len(what)}]"


def empty(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Leave nothing, or next to nothing."""
    what = dice.pick((b"", b"\n", b"\x00", b"{}", b"[]", b"null", b"PAR1", b"\x1f\x8b"))
    return what, f"nothing but {what!r}"


def number(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Replace a number of a text by another one."""
    return _replaced(dice, data, _NUMBER, dice.number().encode())


def unit(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Replace a number of a text by one with a unit."""
    return _replaced(dice, data, _NUMBER, b'"' + dice.number().encode() + dice.pick(_UNITS) + b'"')


def word(dice: Dice, data: bytes) -> tuple[bytes, str]:
    """Replace a word of a text by another text, or by another of its words."""
    other = dice.pick(TEXTS).encode()
    if dice.chance(0.3) and (words := _WORD.findall(data)):
        other = dice.pick(words)
    return _replaced(dice, data, _WORD, other)


def _replaced(dice: Dice, data: bytes, pattern: re.Pattern[bytes], by: bytes) -> tuple[bytes, str]:
    found = list(pattern.finditer(data))
    if not found:
        return by, f"nothing but {by[:40]!r}"
    one = dice.pick(found)
    return data[: one.start()] + by + data[one.end() :], f"{one[0][:40]!r} at {one.start()} is {by[:40]!r}"


OF_BYTES: dict[Change, float] = {
    flip: 3,
    truncate: 2,
    duplicate: 1,
    remove: 1,
    swap: 1,
    insert: 3,
    overwrite: 2,
    empty: 0.5,
}
OF_TEXT: dict[Change, float] = {**OF_BYTES, number: 6, unit: 2, word: 4}


def change_file(dice: Dice, path: Path, weights: dict[Change, float]) -> str:
    """Change a file's bytes; of a compressed one also what is compressed."""
    data = path.read_bytes()
    inside = path.suffix == ".gz" and dice.chance(0.7)
    if inside:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, ValueError, zlib.error):  # an earlier mutation broke it
            inside = False
    changed, told = dice.weighed(weights if inside or path.suffix != ".gz" else OF_BYTES)(dice, data)
    path.write_bytes(gzip.compress(changed, 1) if inside else changed)
    return told
