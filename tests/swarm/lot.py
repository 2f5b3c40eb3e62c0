"""Dice with what scenarios need besides numbers: chances, and quantities as a user may write them."""

from __future__ import annotations

from typing import Any

from tests.property.dice import Dice


class Lot(Dice):
    """Independent draws from one seed."""

    def chance(self, probability: float) -> bool:
        return self.real(0.0, 1.0) < probability

    def quantity(self, value: float, unit: str) -> Any:
        """Return a number, or a text with its unit that means the same."""
        return f"{value!r} {unit}" if self.chance(0.3) else value
