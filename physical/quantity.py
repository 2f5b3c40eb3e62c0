"""Physical quantities in configuration: ``"20 MHz"`` or a plain number in the unit that the key's suffix names."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_PREFIX = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_PREFIXED_UNITS = ("s", "Hz", "W", "m", "B", "J", "cycles")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*(\S.*?)\s*$")


def _scale(text: str, unit: str) -> float | None:
    """Return how many `unit` one `text` is, or None if `text` is not a spelling of `unit`."""
    if unit in _PREFIXED_UNITS and text.endswith(unit):
        return _PREFIX.get(text.removesuffix(unit))
    spellings = {"m/s": {"m/s": 1.0, "km/h": 1 / 3.6}, "dB": {"dB": 1.0}}
    return spellings.get(unit, {}).get(text)


def accepted(unit: str) -> str:
    """Describe what `parse` accepts for `unit`."""
    example = {"s": "100 ms", "Hz": "20 MHz", "W": "200 mW or 23 dBm", "m": "1 km", "B": "10 kB", "dB": "8 dB"}
    shown = example.get(unit, f"3 {unit}")
    return f"a number in {unit}, or text such as {shown}"


def parse(value: Any, unit: str) -> float:
    """Convert a number or a text with a unit to a float in `unit`.

    Raises
    ------
    ValueError : the value, and what is accepted

    >>> parse("20 MHz", "Hz"), parse("100 ms", "s"), parse("-110 dBm", "W"), parse(3, "m")
    (20000000.0, 0.1, 1e-14, 3.0)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a quantity; {accepted(unit)}")
    if isinstance(value, str):
        match = _QUANTITY.match(value)
        if match is None:
            raise ValueError(f"{value!r} is not a quantity; {accepted(unit)}")
        number, text = float(match[1]), match[2]
        if unit == "W" and text == "dBm":
            return _finite(round(10.0 ** (number / 10.0) * 1e-3, 30), value, unit)
        scale = _scale(text, unit)
        if scale is None:
            raise ValueError(f"{value!r} is not in {unit}; {accepted(unit)}")
        # Dividing by the reciprocal of a small prefix rounds as a decimal does: 100 ms is 0.1, not 0.1 + 1 ulp.
        return _finite(number / (1 / scale) if scale < 1 else number * scale, value, unit)
    return _finite(float(value), value, unit)


def _finite(number: float, value: object, unit: str) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite; {accepted(unit)}")
    return number


def _parser(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value, unit))


Seconds = Annotated[float, _parser("s")]
Hertz = Annotated[float, _parser("Hz")]
Watts = Annotated[float, _parser("W")]
Metres = Annotated[float, _parser("m")]
MetresPerSecond = Annotated[float, _parser("m/s")]
Bytes = Annotated[float, _parser("B")]
Cycles = Annotated[float, _parser("cycles")]
Decibels = Annotated[float, _parser("dB")]
