"""Kinds of estimators: ``twin.estimator = "predict"``, what the twin makes of the last reports of vehicles.

A kind is one class. Its fields are its keys; `EstimatorKind.estimator` makes the estimator of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np

from physical.arrays import Floats, Ints
from physical.checked import check_numbers
from physical.errors import InputError
from physical.kind_field import KindParams, OfKind
from physical.model import channel, mobility, units
from physical.quantize import quantize
from physical.registry import KindSpec, Registry
from physical.states import AWAY, VehicleStates
from physical.system import System

_PLACE_M_MAX = 1e8
_SIZE_BYTES_MAX = 1e15


@dataclass(frozen=True)
class Knowledge:
    """What the twin knows of a run before any report.

    system : static description
    fading_correlation : [N], correlation of the fading from slot to slot
    wraps_at_m : m, lengths at which x and y wrap around, or None where they do not
    rounded : how positions are rounded
    """

    system: System
    fading_correlation: Floats
    wraps_at_m: tuple[float | None, float | None]
    rounded: Callable[[Floats], Floats] = quantize


class Heard(NamedTuple):
    """What the twin has heard by now.

    slot : slot whose estimate is wanted
    states : the last report of every vehicle, or what it registered with; arrays [N] and [N, K], read-only
    num_missed : slots, [N], from the slot of that report to the wanted one, >= 0; 0 is a report of the slot itself
    """

    slot: int
    states: VehicleStates
    num_missed: Ints


class Estimates(NamedTuple):
    """What the twin takes for the present states of vehicles; the biases of the twin are added to them afterwards.

    size_bytes : B, [N, K], of the tasks of the slot; 0 where a vehicle has none
    x_m, y_m : m, [N], positions
    channel_gain : [N], linear power gain to the serving node
    """

    size_bytes: Floats
    x_m: Floats
    y_m: Floats
    channel_gain: Floats


class Estimator(Protocol):
    """Estimates the present from the last reports."""

    def estimate(self, heard: Heard) -> Estimates:
        """Return the estimates at the start of a slot; the same if it is asked again, and new arrays."""


class EstimatorKind(KindParams):
    """The base of all kinds of estimators: a subclass has its keys as fields, and makes the estimator."""

    def estimator(self, known: Knowledge) -> Estimator:
        """Make the estimator of a run."""
        raise NotImplementedError


class Hold(EstimatorKind):
    """The last report holds until the next one."""

    kind: Literal["hold"] = "hold"

    def estimator(self, known: Knowledge) -> Estimator:  # noqa: ARG002 - there is nothing to know
        """Make the estimator."""
        return HoldEstimator()


class Predict(EstimatorKind):
    """Position and channel are extrapolated from the last report; task sizes are the means of their classes."""

    kind: Literal["predict"] = "predict"

    def estimator(self, known: Knowledge) -> Estimator:
        """Make the estimator."""
        return PredictEstimator(known)


class HoldEstimator:
    """Takes every report for the present."""

    def estimate(self, heard: Heard) -> Estimates:
        """Return what was reported."""
        states = heard.states
        return Estimates(states.size_bytes, states.x_m, states.y_m, states.channel_gain)


class PredictEstimator:
    """Moves vehicles on as they move themselves, and lets the fading fall back to its mean."""

    def __init__(self, known: Knowledge) -> None:
        self._known = known

    def estimate(self, heard: Heard) -> Estimates:
        """Extrapolate the reports that are older than the slot."""
        states, num_missed = heard.states, heard.num_missed
        if not num_missed.any():
            return Estimates(states.size_bytes, states.x_m, states.y_m, states.channel_gain)
        missed = num_missed > 0
        has_tasks = missed & (states.serving_node != AWAY)  # who has left, or has yet to enter, has none
        size_bytes = np.where(has_tasks[:, np.newaxis], self._known.system.size_bytes_mean, states.size_bytes)
        x_m, y_m = self._dead_reckoning(states, num_missed)
        correlation = self._known.fading_correlation**num_missed
        predicted = quantize(channel.predicted_gain(states.large_scale_gain, states.channel_gain, correlation))
        return Estimates(size_bytes, x_m, y_m, np.where(missed, predicted, states.channel_gain))

    def _dead_reckoning(self, states: VehicleStates, num_missed: Ints) -> tuple[Floats, Floats]:
        """Move the reported positions on by whole slots, as the vehicles themselves move."""
        known = self._known
        origin_m = np.stack([states.x_m, states.y_m], axis=-1)
        elapsed_s = num_missed * known.system.slot_duration_s
        position_m = mobility.straight_position_m(origin_m, states.speed_mps, states.heading_rad, elapsed_s)
        x_m, y_m = position_m[..., 0], position_m[..., 1]
        length_x_m, length_y_m = known.wraps_at_m
        x_m = x_m if length_x_m is None else mobility.wrap_m(x_m, length_x_m)
        y_m = y_m if length_y_m is None else mobility.wrap_m(y_m, length_y_m)
        moved = num_missed > 0
        return np.where(moved, known.rounded(x_m), states.x_m), np.where(moved, known.rounded(y_m), states.y_m)


ESTIMATORS = Registry(
    "estimator",
    "kind of estimator",
    (
        KindSpec("hold", Hold, "the last report holds until the next one"),
        KindSpec("predict", Predict, "extrapolates position and channel, takes mean sizes"),
    ),
)
"""Every kind of estimator; packages bring more with the entry-point group ``vectwin.estimator``."""

AnyEstimator = Annotated[EstimatorKind, OfKind(ESTIMATORS, EstimatorKind, is_text=True)]


def estimator_of(kind: EstimatorKind, known: Knowledge) -> Estimator:
    """Return the estimator that a scenario names; one that is not ours is checked whenever it is asked.

    Raises
    ------
    InputError : its code raises
    """
    return kind.estimator(known) if ESTIMATORS.is_built_in(kind.kind) else CheckedEstimator(kind, known)


class CheckedEstimator:
    """An estimator of somebody else's making, with its mistakes told in one line that names the kind.

    Raises
    ------
    InputError : the kind's code raises, or gives what are no estimates: wrong shapes, numbers that are not finite
    """

    def __init__(self, kind: EstimatorKind, known: Knowledge) -> None:
        self._kind, self._known = kind, known
        self._estimator: Any = self._called("estimator", lambda: kind.estimator(known))

    def estimate(self, heard: Heard) -> Estimates:
        """Return the estimates, rounded as reports are."""
        found: Any = self._called("estimate", lambda: self._estimator.estimate(heard))
        if not isinstance(found, Estimates):
            raise self._wrong(f"estimate() gives {type(found).__name__}", "twin.estimators.Estimates")
        count = len(heard.num_missed)
        shape = (count, heard.states.size_bytes.shape[1])
        place = (-_PLACE_M_MAX, _PLACE_M_MAX)
        return Estimates(
            self._numbers("size_bytes", found.size_bytes, shape, 0.0, _SIZE_BYTES_MAX),
            self._known.rounded(self._numbers("x_m", found.x_m, (count,), *place)),
            self._known.rounded(self._numbers("y_m", found.y_m, (count,), *place)),
            quantize(units.bounded_gain(self._numbers("channel_gain", found.channel_gain, (count,), 0.0, 1e36))),
        )

    def _numbers(self, name: str, given: Any, shape: tuple[int, ...], low: float, high: float) -> Floats:
        """Return an array of a shape as numbers in a range."""
        array: Floats = self._called(name, lambda: np.array(given, dtype=np.float64))
        check_numbers(name, array, shape, low, high, self._wrong)
        return array

    def _called(self, name: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (InputError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever somebody else's code raises, an exit too
            raise self._wrong(f"{name} failed: {ESTIMATORS.reason(error)}") from error

    def _wrong(self, problem: str, accepted: str = "") -> InputError:
        return InputError(f"{self._kind.kind}: {problem}", where="run", key="twin.estimator", accepted=accepted)
