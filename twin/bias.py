"""Bias processes: how far the twin is off, per vehicle (or task class) and slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from physical.arrays import Floats
from physical.ticks import to_ns
from twin.params import BiasParams, ConstantBias, PerVehicleBias, RandomWalkBias, TimedBias

Generators = Callable[[], Sequence[Generator]]
_STEPS_AT_ONCE = 256


class BiasProcess:
    """One bias for all vehicles, or for all task classes of the servers.

    Parameters
    ----------
    params : the kind of process
    count : N, or K
    slot_duration_s : s
    generators : makes one random generator each; called only by the kinds that need them

    Attributes
    ----------
    is_zero : whether this bias is zero for ever
    """

    def __init__(self, params: BiasParams, count: int, slot_duration_s: float, generators: Generators) -> None:
        self.is_zero = isinstance(params, ConstantBias) and params.value == 0
        self._params = params
        self._slot_duration_s = slot_duration_s
        self._value: Floats = np.zeros(count)
        self._walk: list[Generator] = []
        self._steps: Floats = np.empty((0, count))
        self._slot = 0
        if isinstance(params, ConstantBias):
            self._value = np.full(count, params.value)
        elif isinstance(params, PerVehicleBias) and params.values:
            self._value = np.resize(np.array(params.values), count)
        elif isinstance(params, PerVehicleBias):
            normal = np.array([generator.standard_normal() for generator in generators()])
            self._value = params.mean + params.std * normal
        elif isinstance(params, RandomWalkBias):
            self._value = np.full(count, params.start)
            self._walk = list(generators())

    def at(self, slot: int) -> Floats:
        """Return the bias in `slot`, [N] or [K]; the same object until it changes. Slots only go forward."""
        if isinstance(self._params, TimedBias):
            time_ns = slot * to_ns(self._slot_duration_s)  # in whole ns: 3 x 0.7 s is not 2.1 s
            passed = [value for point_s, value in sorted(self._params.points) if to_ns(point_s) <= time_ns]
            value = passed[-1] if passed else 0.0
            if self._value[0] != value:
                self._value = np.full_like(self._value, value)
        elif isinstance(self._params, RandomWalkBias):
            while self._slot < slot:
                self._take_step(self._params.step_std)
        return self._value

    def _take_step(self, std: float) -> None:
        row = self._slot % _STEPS_AT_ONCE
        if row == 0:
            drawn = [generator.standard_normal(_STEPS_AT_ONCE) for generator in self._walk]
            self._steps = np.stack(drawn, axis=1)
        self._value = self._value + std * self._steps[row]
        self._slot += 1
