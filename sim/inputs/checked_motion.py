"""Motion of somebody else's making: all that it gives is looked at before anybody reckons with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from physical.arrays import Floats
from physical.checked import check_numbers
from physical.errors import InputError
from physical.quantize import freeze, quantize
from policies.foreign.mistakes import told
from policies.foreign.surroundings import comes_from_a_signal
from sim.scenario.mobility import MOBILITY, Course, Mobility, Motion

_PLACE_M_MAX = 1e8
_SPEED_MPS_MAX = 299_792_458.0


def checked(kind: Mobility, num_vehicle: int, make: Callable[[], Motion]) -> Motion:
    """Return the motion that a kind makes; that of a kind that is not ours is checked whenever it is asked.

    Parameters
    ----------
    kind : the kind
    num_vehicle : vehicles of the motion
    make : lets the kind make its motion
    """
    return make() if MOBILITY.is_built_in(kind.kind) else CheckedMotion(kind, num_vehicle, make)


class CheckedMotion(Motion):
    """The motion that a kind makes, with its mistakes told in one line that names the kind.

    Parameters
    ----------
    kind : the kind
    num_vehicle : vehicles of the motion
    make : lets the kind make its motion

    Raises
    ------
    InputError : the kind's code raises, or gives what is no motion: wrong shapes, numbers that are not finite
    """

    def __init__(self, kind: Mobility, num_vehicle: int, make: Callable[[], Motion]) -> None:
        self._kind = kind
        self._num_vehicle = num_vehicle
        self._motion: Any = self._called("motion", make)
        for name in ("course", "typical_speed_mps"):
            if not self._called(name, lambda name=name: hasattr(self._motion, name)):  # type: ignore[misc]  # bound now
                raise self._wrong(f"motion() gives an object without {name}", "what sim.scenario.mobility.Motion has")
        speed_mps = self._called("typical_speed_mps", lambda: self._motion.typical_speed_mps)
        self.typical_speed_mps = self._numbers("typical_speed_mps", speed_mps, (self._num_vehicle,), 0, _SPEED_MPS_MAX)
        self.wraps_at_m = self._wraps(self._called("wraps_at_m", lambda: getattr(self._motion, "wraps_at_m", None)))
        self._start_m: Floats | None = None

    def course(self, first_slot: int, num_slot: int) -> Course:
        """Return the motion during some slots, rounded to single precision."""
        found: Any = self._called("course", lambda: self._motion.course(first_slot, num_slot))
        if not isinstance(found, Course):
            raise self._wrong(f"course() gives {type(found).__name__}", "a sim.scenario.mobility.Course")
        shape = (num_slot, self._num_vehicle)
        position_m = self._numbers("position_m", found.position_m, (*shape, 2), -_PLACE_M_MAX, _PLACE_M_MAX)
        speed_mps = self._numbers("speed_mps", found.speed_mps, shape, 0, _SPEED_MPS_MAX)
        heading_rad = self._numbers("heading_rad", found.heading_rad, shape, -1e6, 1e6)
        position_m = quantize(position_m)
        if first_slot == 0:
            self._check_again(position_m[0])
        return Course(position_m, speed_mps, heading_rad, self._present(found.present, shape))

    def _check_again(self, start_m: Floats) -> None:
        """Refuse a motion that starts elsewhere each time that it is asked."""
        if self._start_m is not None and not np.array_equal(self._start_m, start_m):
            accepted = "equal slots, equal positions: draw random numbers in motion(), from its streams"
            raise self._wrong("course() gives other positions when it is asked again", accepted)
        self._start_m = start_m

    def _present(self, given: Any, shape: tuple[int, int]) -> Any:
        if given is None:
            return None
        try:
            present = np.array(given)
        except Exception as error:  # whatever somebody else's object raises
            raise self._wrong(
                f"present is no array: {told(error, self._kind)}", f"truth values {list(shape)}"
            ) from error
        if present.dtype != np.bool_ or present.shape != shape:
            found = f"{present.dtype} {list(present.shape)}"
            raise self._wrong(f"present is {found}", f"truth values {list(shape)}, or None")
        if self._kind.everybody_stays and not present.all():
            raise self._wrong("somebody is away", "everybody is there, unless everybody_stays is False")
        return present

    def _numbers(self, name: str, given: Any, shape: tuple[int, ...], low: float, high: float) -> Floats:
        """Return an array of a shape as numbers in a range."""
        try:
            array = np.array(given, dtype=np.float64)
        except Exception as error:  # whatever somebody else's object raises
            raise self._wrong(f"{name} is no array: {told(error, self._kind)}", f"numbers {list(shape)}") from error
        check_numbers(name, array, shape, low, high, self._wrong)
        freeze(array)
        return array

    def _wraps(self, given: Any) -> tuple[float | None, float | None]:
        if given is None:
            return None, None
        is_pair = isinstance(given, tuple) and len(given) == 2
        if not is_pair or not all(each is None or (isinstance(each, (int, float)) and each > 0) for each in given):
            raise self._wrong("wraps_at_m is wrong", "two lengths in m, or None where x or y do not wrap around")
        x_m, y_m = given
        return x_m, y_m

    def _called(self, name: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except InputError:
            raise
        except BaseException as error:  # whatever somebody else's code raises
            if comes_from_a_signal(error):
                raise
            raise self._wrong(f"{name} failed: {told(error, self._kind)}") from error

    def _wrong(self, problem: str, accepted: str = "") -> InputError:
        return InputError(f"{self._kind.kind}: {problem}", where="run", key="mobility.kind", accepted=accepted)
