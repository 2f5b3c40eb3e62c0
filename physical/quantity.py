"""Physical quantities in configuration: ``"20 MHz"`` or a plain number in the unit that the key's suffix names."""

from __future__ import annotations

import math
import re
from decimal import Decimal, DecimalException
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from physical.plane.ticks import HORIZON_S

_EXPONENT = {"": 0, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12}
_PREFIXED_UNITS = ("s", "Hz", "W", "m", "B", "J", "cycles")
_RATES = {
    f"{prefix}{rate}": Decimal(10) ** _EXPONENT[prefix] * bits
    for rate, bits in (("bit/s", 1), ("bps", 1), ("B/s", 8))
    for prefix in ("", "k", "M", "G", "T")  # "mbps" is a slip, not a thousandth
}
_SPELLINGS: dict[str, dict[str, Decimal]] = {
    "m/s": {"m/s": Decimal(1), "km/h": 1 / Decimal("3.6"), "mph": Decimal("0.44704"), "kn": 1852 / Decimal(3600)},
    "dB": {"dB": Decimal(1)},
    "bit/s": _RATES,
    "rad": {"rad": Decimal(1), "deg": Decimal(math.pi) / 180},
    "deg": {"deg": Decimal(1), "rad": 180 / Decimal(math.pi)},
}
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
TRACE_S_MAX = 9.2e9
"""s: a time of a file may be counted from 1970; as whole ns it must fit int64, and so must a run that begins then."""
SIZE_BYTES_MAX = 1e15
"""Bytes: sizes are whole numbers, which doubles hold exactly up to 9 times as many."""
_NUMBER_MAX = 1e30
"""Of any quantity in its unit: products of a few of them are still numbers."""
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*(\S.*?)\s*$")


def _scale(text: str, unit: str) -> Decimal | None:
    """Return how many `unit` one `text` is, or None if `text` is not a spelling of `unit`."""
    if unit in _PREFIXED_UNITS and text.endswith(unit):
        exponent = _EXPONENT.get(text.removesuffix(unit))
        return None if exponent is None else Decimal(10) ** exponent
    return _SPELLINGS.get(unit, {}).get(text)


def scale(text: str, unit: str) -> Decimal:
    """Return how many `unit` one `text` is.

    Raises
    ------
    ValueError : what is no spelling of `unit`; and some that are

    >>> scale("ms", "s"), scale("Mbit/s", "bit/s"), scale("kB/s", "bit/s")
    (Decimal('0.001'), Decimal('1000000'), Decimal('8000'))
    """
    found = _scale(text, unit)
    if found is None:
        examples = {
            "s": ("s", "ms", "us", "ns"),
            "m": ("m", "km", "mm"),
            "bit/s": ("bit/s", "kbit/s", "Mbit/s", "kB/s"),
        }
        raise ValueError(
            f"{text!r} is not in {unit}; {', '.join(examples.get(unit) or _SPELLINGS.get(unit) or (unit,))}"
        )
    return found


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
        number, text = match[1], match[2]
        if unit == "W" and text == "dBm":
            return _finite(_watts(float(number)), value, unit)
        scale = _scale(text, unit)
        if scale is None:
            raise ValueError(f"{value!r} is not in {unit}; {accepted(unit)}")
        return _finite(_product(number, scale), value, unit)
    try:
        return _finite(float(value), value, unit)
    except OverflowError:  # an integer beyond any float
        return _finite(math.inf, value, unit)


def _product(number: str, scale: Decimal) -> float:
    """Multiply in decimal, so that the result is the float nearest to what was written: 100 ms is 0.1."""
    try:
        return float(Decimal(number) * scale)
    except (DecimalException, OverflowError):  # an exponent beyond any decimal
        return math.inf


def _watts(power_dbm: float) -> float:
    try:
        return float(10.0 ** ((power_dbm - 30.0) / 10.0))
    except OverflowError:
        return math.inf


def _finite(number: float, value: object, unit: str) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{str(value)[:40]!r} is not finite; {accepted(unit)}")
    return number


def clock_time(value: Any) -> float:
    """Read a time or duration of the run in s: within the range of its clock, which counts in int64.

    Raises
    ------
    ValueError : the value, and what is accepted

    >>> clock_time("2 s")
    2.0
    """
    return _limited(value, "s", HORIZON_S, f"at most {int(HORIZON_S)} s, the range of the clock")


def _limited(value: Any, unit: str, limit: float, accepted_: str) -> float:
    number = parse(value, unit)
    if abs(number) > limit:
        raise ValueError(f"{value!r} is out of range; {accepted_}")
    return number


def _parser(unit: str, limit: float = _NUMBER_MAX) -> BeforeValidator:
    accepted_ = f"at most {limit:.10g} {unit}"
    return BeforeValidator(lambda value: _limited(value, unit, limit, accepted_))


Seconds = Annotated[float, BeforeValidator(clock_time)]
"""A time or duration on the run's clock, or of wall time."""
TraceSeconds = Annotated[float, _parser("s", TRACE_S_MAX)]
"""A time in a file that the run reads."""
Hertz = Annotated[float, _parser("Hz")]
Watts = Annotated[float, _parser("W")]
Metres = Annotated[float, _parser("m")]
MetresPerSecond = Annotated[float, _parser("m/s")]
Bytes = Annotated[float, _parser("B", SIZE_BYTES_MAX)]
Cycles = Annotated[float, _parser("cycles")]
Decibels = Annotated[float, _parser("dB")]


def _as_range(value: object) -> object:
    """Read a single value as the range that holds only it."""
    return (value, value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


SizeRange = Annotated[tuple[Bytes, Bytes], BeforeValidator(_as_range)]
TokenRange = Annotated[tuple[int, int], BeforeValidator(_as_range)]
SpeedRange = Annotated[tuple[MetresPerSecond, MetresPerSecond], BeforeValidator(_as_range)]
# A value per vehicle type, used in turn: vehicle n has entry n mod len.
HertzCycle = Annotated[tuple[Annotated[Hertz, Field(gt=0)], ...], Field(min_length=1), BeforeValidator(_as_tuple)]
KappaCycle = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(_as_tuple)]
