"""Numbers in configuration: ``"20 MHz"`` or a plain number in the unit that the key's suffix names, and their ranges.

Only the types at the end of this file say how small and how large each kind of number may be; ``twin keys`` shows it.
Ranges are generous: they hold everything that physics and the clock allow and that doubles can multiply. Products of
allowed numbers that are too large are refused in `sim.scenario.ranges`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from physical.ticks import HORIZON_S

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
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*(\S.*?)\s*$")


def _scale(text: str, unit: str) -> Decimal | None:
    """Return the size of the unit `text` in `unit`, or None if `text` is no spelling of `unit`."""
    if unit in _PREFIXED_UNITS and text.endswith(unit):
        exponent = _EXPONENT.get(text.removesuffix(unit))
        return None if exponent is None else Decimal(10) ** exponent
    return _SPELLINGS.get(unit, {}).get(text)


def scale(text: str, unit: str) -> Decimal:
    """Return the size of the unit `text` in `unit`.

    Raises
    ------
    ValueError : `text` is no spelling of `unit`; the message names some spellings

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


@dataclass(frozen=True)
class Range:
    """The range of a key's numbers, both ends included; part of an annotated type, and shown in its JSON schema.

    Parameters
    ----------
    unit : of the numbers; "" for numbers without one
    low, high : the ends, in that unit
    reason : for the ends, where they need one
    reads : whether a value may be a text with a unit, such as ``"20 MHz"``
    """

    unit: str
    low: float
    high: float
    reason: str = ""
    reads: bool = True

    def __str__(self) -> str:
        ends = f"{spelled(self.low)} to {spelled(self.high)} {self.unit}".rstrip()
        return f"{ends}, {self.reason}" if self.reason else ends

    def check(self, number: float) -> float:
        """Return the number.

        Raises
        ------
        ValueError : it is out of range; and the range

        >>> Range("Hz", 1.0, 1e15).check(0.5)
        Traceback (most recent call last):
        ValueError: 0.5 is out of range; 1 to 1e+15 Hz
        """
        if not self.low <= number <= self.high:
            shown = number if isinstance(number, int) else spelled(number)
            raise ValueError(f"{shown} is out of range; {self}")
        return number

    def read(self, value: Any) -> float:
        """Return the number of a value in any of the unit's spellings.

        Raises
        ------
        ValueError : it is none, or out of range; and what is accepted
        """
        number = parse(value, self.unit)
        if not self.low <= number <= self.high:
            shown = repr(value)[:40] if isinstance(value, (int, str)) else spelled(value)
            raise ValueError(f"{shown} is out of range; {self}")
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check numbers of the annotated type, and read texts if there is a unit."""
        if not self.reads:
            return core_schema.no_info_after_validator_function(self.check, handler(source))
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Show unit and range."""
        told = {"minimum": self.low, "maximum": self.high, "unit": self.unit, "reason": self.reason}
        return {**handler(schema), **{key: value for key, value in told.items() if value != ""}}


def plain(low: float, high: float, reason: str = "", *, unit: str = "") -> Range:
    """Return the range of numbers that no text stands for."""
    return Range(unit, low, high, reason, reads=False)


def spelled(number: float) -> str:
    """Spell a number as briefly as it can be written in TOML.

    >>> spelled(4.0), spelled(1e15), spelled(0.01)
    ('4', '1e+15', '0.01')
    """
    return str(int(number)) if number == int(number) and abs(number) < 1e7 else f"{number:.10g}"


_CLOCK = "the range of the clock"
_MEMORY = "what a machine holds"

Seconds = Annotated[float, Range("s", 0.0, float(int(HORIZON_S)), _CLOCK)]
"""A time or duration on the run's clock, or of wall time."""
Period = Annotated[float, Range("s", 1e-9, float(int(HORIZON_S)), f"the step and {_CLOCK}")]
"""A duration that is not zero."""
TraceSeconds = Annotated[float, Range("s", -TRACE_S_MAX, TRACE_S_MAX)]
"""A time in a file that the run reads."""
CpuHertz = Annotated[float, Range("Hz", 1.0, 1e15)]
"""Clock of a CPU, a GPU or all cores of a server."""
BandwidthHertz = Annotated[float, Range("Hz", 1.0, 1e18)]
CarrierHertz = Annotated[float, Range("Hz", 1e3, 1e15, "from radio to light")]
Watts = Annotated[float, Range("W", 1e-12, 1e6)]
"""A transmit power."""
NoiseWatts = Annotated[float, Range("W", 1e-30, 1e3)]
PlaceMetres = Annotated[float, Range("m", -1e8, 1e8, "twice around the Earth")]
"""A coordinate."""
RoadMetres = Annotated[float, Range("m", 1.0, 1e8)]
Metres = Annotated[float, Range("m", 1e-3, 1e8)]
"""A length or distance that is not zero."""
MarginMetres = Annotated[float, Range("m", 0.0, 1e8)]
MetresPerSecond = Annotated[float, Range("m/s", 0.0, 299_792_458.0, "the speed of light")]
Bytes = Annotated[float, Range("B", 1.0, SIZE_BYTES_MAX)]
CyclesPerByte = Annotated[float, Range("cycles", 1e-6, 1e15)]
Kappa = Annotated[float, plain(0.0, 1.0, unit="W/Hz^3")]
"""Switching capacitance."""
PathLossDecibels = Annotated[float, Range("dB", -300.0, 500.0)]
SlopeDecibels = Annotated[float, Range("dB", 0.0, 200.0)]
"""Path loss per decade of distance."""
MarginDecibels = Annotated[float, Range("dB", 0.0, 300.0)]
NoiseFigureDecibels = Annotated[float, Range("dB", -100.0, 200.0)]
NoiseDensity = Annotated[float, plain(-300.0, 100.0, unit="dBm/Hz")]
Probability = Annotated[float, plain(0.0, 1.0)]
PositiveProbability = Annotated[float, plain(1e-9, 1.0)]
Weight = Annotated[float, plain(0.0, 1e12)]
"""Of a term of an objective."""
TimeWeight = Annotated[float, plain(1e-9, 1.0 - 1e-9)]
"""Of one of two terms: neither counts alone."""
QosFloor = Annotated[float, plain(-1e12, 0.0)]
Factor = Annotated[float, plain(1e-9, 1e9)]
"""A ratio that is not zero."""
Sigma = Annotated[float, plain(0.0, 100.0)]
"""Deviation of a logarithm."""
FlopPerCycle = Annotated[float, plain(1e-3, 1e9, unit="FLOP/cycle")]
NumVehicle = Annotated[int, plain(1, 1_000_000, _MEMORY)]
NUM_SLOT_MAX = 10_000_000
NumSlot = Annotated[int, plain(1, NUM_SLOT_MAX, _MEMORY)]
NumLane = Annotated[int, plain(1, 1_000_000)]
NumCore = Annotated[int, plain(1, 1_000_000_000)]
NumLayer = Annotated[int, plain(2, 100_000)]
HiddenSize = Annotated[int, plain(1, 10_000_000)]
BatchSize = Annotated[int, plain(1, 1_000_000)]
NumBit = Annotated[int, plain(8, 1024), Field(multiple_of=8)]
NumToken = Annotated[int, plain(1, 1_000_000)]
NumRow = Annotated[int, plain(1, 100_000_000, _MEMORY)]
VehicleIndex = Annotated[int, plain(0, 999_999)]

BIAS = {
    "Hz": Range("Hz", -1e15, 1e15),
    "B": Range("B", -SIZE_BYTES_MAX, SIZE_BYTES_MAX),
    "m": Range("m", -1e8, 1e8),
    "dB": Range("dB", -300.0, 300.0),
    "cycles": Range("cycles", -1e27, 1e27),
}
"""What the numbers of a bias may be, by the unit of what is biased; deviations are not below 0."""
BiasHertz = Annotated[float, BIAS["Hz"]]


def _as_range(value: object) -> object:
    """Read a single value as the range that holds only it."""
    return (value, value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


SizeRange = Annotated[tuple[Bytes, Bytes], BeforeValidator(_as_range)]
TokenRange = Annotated[tuple[NumToken, NumToken], BeforeValidator(_as_range)]
SpeedRange = Annotated[tuple[MetresPerSecond, MetresPerSecond], BeforeValidator(_as_range)]
# A value per vehicle type, used in turn: vehicle n has entry n mod len.
HertzCycle = Annotated[tuple[CpuHertz, ...], Field(min_length=1), BeforeValidator(_as_tuple)]
KappaCycle = Annotated[tuple[Kappa, ...], Field(min_length=1), BeforeValidator(_as_tuple)]
