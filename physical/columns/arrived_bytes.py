"""How much work reaches servers, summed so that it does not matter in which order it comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats

_BITS, _LOW_BITS = 40, 26
_UNITS_PER_BYTE, _LOW, _EXACT = float(1 << _BITS), float(1 << _LOW_BITS), float(1 << 53)


class ArrivedBytes:
    """Counts what arrives in whole units of 2^-40 byte; these are converted to bytes once, when they are taken.

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
        units = np.rint(size_bytes * _UNITS_PER_BYTE)
        # Floats count whole numbers up to 2^53: high and low digits are summed apart.
        high = np.floor(units / _LOW)
        sums = [
            np.bincount(task_class, weights=part, minlength=self._num_class).tolist()
            for part in (high, units - high * _LOW)
        ]
        exact = [(int(some) << _LOW_BITS) + int(rest) for some, rest in zip(*sums, strict=True)]
        if max(sums[0]) >= _EXACT:  # not even so
            exact = [sum(map(int, units[task_class == number].tolist())) for number in range(self._num_class)]
        return np.array([count / (1 << _BITS) for count in exact])
