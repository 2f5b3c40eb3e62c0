"""Draws from one integer, and the values that are worth trying anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

NUMBERS = (
    "0",
    "-0.0",
    "1",
    "-1",
    "3",
    "0.5",
    "1e308",
    "-1e308",
    "1e-300",
    "5e-324",
    "1e400",
    "1e100",
    "1e9",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "9" * 400,
    "0." + "1" * 5_000,
    "9" * 5_000,
    "nan",
    "-nan",
    "inf",
    "-inf",
    "0x7f",
    "1_000",
    "٣",
    "1e",
    "--1",
    "",
)
"""Spellings of numbers, most of which nobody means."""

_ORDERS = (*range(-4, 5), *range(-4, 5), *range(-12, 13), -30, -20, 15, 20, 30, 60)

TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[2J",
    "\u202e",
    "\ufeff",
    "é\u0301",
    "\U0001f697" * 3,
    "a" * 300,
    "b" * 100_000,
    "../../x",
    "../up.parquet",
    "con\nnew line",
    "a,b;c\td",
    "'\"`$(x)",
    "=1+1",
    "<script>alert(1)</script>",
    "%s%n{0}{x}",
    "None",
    "null",
    "true",
    "1.5 GHz",
    "3 parsecs",
    "dtecn",
    "random",
    "./policy.py:Missing",
)


class Dice:
    """Draws that depend on some integers only."""

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def below(self, count: int) -> int:
        """Draw an integer from 0 to count - 1."""
        return int(self._rng.integers(count))

    def chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def pick(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]

    def weighed(self, weights: dict[T, float]) -> T:
        """Draw a key, each as often as its weight says."""
        total = sum(weights.values())
        drawn = self._rng.random() * total
        keys = list(weights)
        for key in keys[:-1]:
            drawn -= weights[key]
            if drawn < 0:
                return key
        return keys[-1]

    def length(self, most: int) -> int:
        """Draw a length from 1 to about `most`: short ones as often as long ones, on a scale of orders."""
        return max(1, int(most ** self._rng.random()))

    def number(self) -> str:
        """Draw the spelling of a number: one that nobody means, or one of any order."""
        if self.chance(0.4):
            return self.pick(NUMBERS)
        sign = "-" if self.chance(0.1) else ""
        return f"{sign}{self.pick(('1', '2.5', '9.99'))}e{self.pick(_ORDERS)}"

    def octets(self, count: int) -> bytes:
        return self._rng.bytes(count)
