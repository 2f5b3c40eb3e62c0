"""How much work reaches servers, summed so that it does not matter in which order it comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats


class ArrivedBytes:
    """Keeps what arrives, and adds it up when it is taken: from the smallest to the largest.

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
        order = size_bytes.argsort()
        sums = np.bincount(task_class[order], weights=size_bytes[order], minlength=self._num_class)
        return sums.astype(np.float64)
