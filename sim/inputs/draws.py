"""Random numbers for many entities at once. Each entity has its own stream, which is read in slot order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from physical.arrays import Floats


def draw_uniform(generators: Sequence[Generator], num_slot: int, num_draw: int) -> Floats:
    """Return [num_slot, len(generators), num_draw] uniform numbers, each generator's in slot order."""
    drawn = np.empty((len(generators), num_slot, num_draw))
    for index, generator in enumerate(generators):
        generator.random(out=drawn[index])
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))


def draw_normal(generators: Sequence[Generator], num_slot: int, num_draw: int) -> Floats:
    """Return [num_slot, len(generators), num_draw] standard normal numbers, each generator's in slot order."""
    drawn = np.empty((len(generators), num_slot, num_draw))
    for index, generator in enumerate(generators):
        generator.standard_normal(out=drawn[index])
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))
