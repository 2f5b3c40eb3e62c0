"""Random delays of links and of the twin's decisions, drawn by inversion: one uniform number, one delay."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from physical.params import Params
from physical.quantity import Seconds, Sigma


class ConstantDelay(Params):
    """Always the same delay.

    value_s : the delay
    """

    kind: Literal["constant"] = "constant"
    value_s: Seconds = 0.0

    def quantile(self, probability: Any) -> Any:
        """Return the delay, s, that is not exceeded with `probability`."""
        return np.full(np.shape(probability), self.value_s)


class UniformDelay(Params):
    """Uniform between two delays.

    low_s : least delay
    high_s : greatest delay
    """

    kind: Literal["uniform"] = "uniform"
    low_s: Seconds
    high_s: Seconds

    @model_validator(mode="after")
    def _check(self) -> UniformDelay:
        if self.low_s > self.high_s:
            raise ValueError(f"low_s {self.low_s} is above high_s {self.high_s}")
        return self

    def quantile(self, probability: Any) -> Any:
        """Return the delay, s, that is not exceeded with `probability`."""
        return self.low_s + (self.high_s - self.low_s) * probability


class ExponentialDelay(Params):
    """Exponential, from 0 on.

    mean_s : mean delay
    """

    kind: Literal["exponential"] = "exponential"
    mean_s: Seconds

    def quantile(self, probability: Any) -> Any:
        """Return the delay, s, that is not exceeded with `probability`."""
        return -self.mean_s * np.log1p(-probability)


class LognormalDelay(Params):
    """Log-normal, which has a long tail.

    median_s : delay that half of all exceed
    sigma : standard deviation of the delay's natural logarithm
    """

    kind: Literal["lognormal"] = "lognormal"
    median_s: Seconds
    sigma: Sigma

    def quantile(self, probability: Any) -> Any:
        """Return the delay, s, that is not exceeded with `probability`."""
        if not self.sigma or not self.median_s:  # also of 0 s times a factor beyond any float
            return self.median_s + 0 * probability
        from scipy.special import ndtri  # takes a quarter of a second to import, and few scenarios need it

        # A uniform number can be exactly 0; its quantile would be -inf, whose exponential is a fine 0. What is beyond
        # any float is beyond the clock, too.
        with np.errstate(over="ignore"):
            return self.median_s * np.exp(self.sigma * ndtri(probability))


def _constant(value: object) -> object:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return {"kind": "constant", "value_s": value}
    return value


Delay = Annotated[
    Annotated[ConstantDelay | UniformDelay | ExponentialDelay | LognormalDelay, Field(discriminator="kind")],
    BeforeValidator(_constant),
]
"""A duration, or a table with ``kind`` constant, uniform, exponential or lognormal."""
