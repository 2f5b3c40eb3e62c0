"""How much work reaches servers, summed so that it does not matter in which order it comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.columns.slices import UNITS_PER_BYTE

_EXACT = float(1 << 53)
"""Floats count whole numbers up to here."""


class ArrivedBytes:
    """Counts what arrives in whole units of 2^-20 byte; these are converted to bytes once, when they are taken.

    num_class : K
    """

    def __init__(self, num_class: int) -> None:
        self._num_class = num_class
        self._arrived: list[tuple[NDArray[np.int32], Floats]] = []

    def add(self, task_class: NDArray[np.int32], size_bytes: Floats) -> None:
        """Count the bytes of some tasks; both arrays [tasks] are kept as they are."""
        self._arrived.append((task_class, size_bytes))

    def take(self) -> Floats:
        """Return the bytes of each class, [K], that have been added since the last call."""
        arrived, self._arrived = self._arrived, []
        if not arrived:
            return np.zeros(self._num_class)
        task_class, size_bytes = arrived[0] if len(arrived) == 1 else map(np.concatenate, zip(*arrived, strict=True))
        units = np.rint(size_bytes * UNITS_PER_BYTE)
        sums = np.bincount(task_class, weights=units, minlength=self._num_class)
        if max(sums.tolist()) < _EXACT:
            return sums / UNITS_PER_BYTE
        exact = [0] * self._num_class
        for number, count in zip(task_class.tolist(), units.tolist(), strict=True):
            exact[number] += int(count)
        return np.array([count / int(UNITS_PER_BYTE) for count in exact])
