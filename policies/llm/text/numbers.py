"""The tokens with which a model writes numbers from 0.000 to 1.000, so that digits can be chosen without a grammar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policies.llm.llama import Ints
from policies.llm.text.matrix import STEPS


@dataclass(frozen=True)
class Numbers:
    """The tokens of numbers in a row.

    Parameters
    ----------
    zero, one : "0." and "1."; only their first tokens differ
    between : ", "
    tokens : [10] or [1000], the choices: digits, or all three decimals in one token
    """

    zero: Ints
    one: Ints
    between: Ints
    tokens: Ints

    @staticmethod
    def of(tokenize: Callable[[str], Ints]) -> Numbers | None:
        """Return the tokens of a model, or None if it writes numbers in another way.

        tokenize : returns the tokens of a text that follows other text
        """
        between, zero, one = (tokenize(text) for text in (", ", "0.", "1."))
        if zero.size != one.size or not zero.size or zero[0] == one[0] or not np.array_equal(zero[1:], one[1:]):
            return None
        digits = [tokenize(f"{digit}") for digit in range(10)]
        decimals = [tokenize(f"{number:03d}") for number in range(STEPS)]
        by_digit = all(digit.size == 1 for digit in digits) and decimals[0].size == 3
        choices = digits if by_digit else decimals
        if any(choice.size != 1 for choice in choices):
            return None
        found = Numbers(zero, one, between, np.concatenate(choices))
        spelt = all(np.array_equal(tokenize(f", 0.{n:03d}"), found.spell(n)) for n in range(STEPS))
        return found if spelt and np.unique(found.tokens).size == found.tokens.size else None

    @property
    def num_step(self) -> int:
        """Number of choices per number, after the point."""
        return 3 if self.tokens.size == 10 else 1

    @property
    def length(self) -> int:
        """Number of tokens of a number and of the separator."""
        return self.between.size + self.zero.size + self.num_step

    def spell(self, number: int) -> Ints:
        """Return the tokens of ", 0.ddd" with these three decimals."""
        choices = [int(digit) for digit in f"{number:03d}"] if self.num_step == 3 else [number]
        return np.concatenate([self.between, self.zero, self.tokens[choices]])

    def value(self, choices: Ints) -> Ints:
        """Return the decimals as whole numbers, [...], given the choices [..., num_step]."""
        weights = self.tokens.size ** np.arange(self.num_step - 1, -1, -1)
        values: Ints = (choices @ weights).astype(np.int32)
        return values
