"""Numbers as texts for people: as many digits as the interval allows, and 0 for round-off.

The rule is that of the Particle Data Group. The packages `uncertainties` and `sciform` know the rule too. But tables
also need intervals of length 0, asymmetric bounds, large numbers without an exponent, and round-off. The code for these
would be as long with such a package as the whole rule is here.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

ROUND_OFF = 1e-12
"""No measured quantity is as small as this, in its own unit or relative to the quantity with which it is compared.

A cycle of a vehicle's CPU takes about 1e-10 J, and the clock counts ns.
"""
_PLAIN_DIGITS = 4
_FIXED_MIN, _FIXED_BELOW = -4, 9  # powers of ten that are written without an exponent
_GROUPED_FROM = 1e5
_DATED_NS = 10**18  # September 2001: seconds of such a size count from 1970


def with_interval(
    mean: float,
    half_width: float,
    bounds: tuple[float, float] | None = None,
    *,
    unit: float = 1.0,
    scale: float = 0.0,
) -> str:
    """Spell a mean with its interval, both with the digits that the interval allows, see `place`.

    Parameters
    ----------
    half_width : of the interval; NaN if there is none
    bounds : low and high end of an asymmetric interval; the shorter arm determines the digits
    unit : size of the text's unit, in the mean's unit
    scale : magnitude of the numbers whose difference the mean is; a mean within `ROUND_OFF` of it becomes 0

    >>> with_interval(0.05012, 0.00395), with_interval(0.0501, 0.0, unit=1e-3), with_interval(2e-18, 1e-18, scale=6.0)
    ('0.050 ± 0.004', '50.1 ± 0', '0')
    >>> with_interval(0.123, 0.0945, (0.0612, 0.2502))
    '0.12 [0.06, 0.25]'
    """
    floor = ROUND_OFF * max(1.0, abs(mean), scale)
    if not math.isfinite(half_width):
        return alone(mean, unit=unit, scale=scale)
    if half_width <= floor:
        return "0" if abs(mean) <= floor else f"{alone(mean, unit=unit, scale=scale)} ± 0"
    shown = (mean, half_width) if bounds is None else (mean, *bounds)
    least = half_width if bounds is None else max(min(mean - bounds[0], bounds[1] - mean), half_width / 10)
    numbers, exponent = _to_place([one / unit for one in shown], place(least / unit))
    text = f"{numbers[0]} ± {numbers[1]}" if bounds is None else f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"
    return f"({text})e{exponent}" if exponent else text


def alone(mean: float, half_width: float = math.nan, *, unit: float = 1.0, scale: float = 0.0) -> str:
    """Spell a mean without its interval, but with the digits that the interval allows; with four if there is none.

    >>> alone(0.40231, 0.021), alone(0.40231), alone(123456.7), alone(-0.00123, 4.0)
    ('0.402', '0.4023', '123 457', '-0.001')
    """
    floor = ROUND_OFF * max(1.0, abs(mean), scale)
    if abs(mean) <= floor:
        return "0"
    if not half_width > floor or math.isinf(half_width):
        text = f"{mean / unit:.{_PLAIN_DIGITS}g}"
        return grouped(Decimal(f"{mean / unit:.0f}")) if "e+" in text else text
    first = Decimal(mean / unit).adjusted()
    (number,), exponent = _to_place([mean / unit], min(place(half_width / unit), first))
    return f"{number}e{exponent}" if exponent else number


def place(half_width: float) -> int:
    """Return the power of ten of the last digit that an interval allows.

    Of its three leading digits, 100 to 354 keep two digits, 355 to 949 one, and 950 to 999 are 1000 with two.

    **Source** Particle Data Group (2024), Review of Particle Physics, *Phys. Rev. D* 110, section 5.3 of the
    introduction.

    >>> [place(half_width) for half_width in (0.0354, 0.0355, 0.0949, 0.095, 354.0, 355.0)]
    [-3, -2, -2, -2, 1, 2]
    """
    digits, _, power = f"{half_width:.2e}".partition("e")
    return int(power) - (int(digits.replace(".", "")) < 355)


def grouped(value: Decimal) -> str:
    """Spell a number without an exponent; a large number has groups of three digits.

    >>> grouped(Decimal("-1234567.5")), grouped(Decimal("1.2E+3")), grouped(Decimal("-0.00"))
    ('-1 234 567.5', '1200', '0.00')
    """
    plain = value if value else abs(value)
    return f"{plain:,f}".replace(",", " ") if abs(value) >= _GROUPED_FROM else f"{plain:f}"


def number(value: object) -> str:
    """Spell a number for reading: integers in full, other numbers with five digits, "none" if there is no number.

    >>> number(1234567), number(0.0236784807), number(None), number(float("nan")), number("25492930"), number(True)
    ('1 234 567', '0.023678', 'none', 'none', '25492930', 'yes')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= _GROUPED_FROM else f"{value:.5g}"
    return str(value)


def _to_place(values: list[float], power: int) -> tuple[list[str], int]:
    """Round numbers to a power of ten; return their texts and their common exponent, 0 for none."""
    step = Decimal(1).scaleb(power)
    rounded = [Decimal(value).quantize(step, ROUND_HALF_EVEN) for value in values]
    exponent = max(one.adjusted() for one in rounded if one)
    if _FIXED_MIN <= exponent < _FIXED_BELOW:
        exponent = 0
    return [grouped(one.scaleb(-exponent)) for one in rounded], exponent


def counted(number: int, singular: str, plural: str = "") -> str:
    """Spell a number of things.

    >>> counted(1, "link"), counted(2, "link"), counted(0, "entity", "entities")
    ('1 link', '2 links', '0 entities')
    """
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def seconds(time_ns: int) -> str:
    """Spell a time in seconds with all its digits.

    >>> seconds(6_900_000_000), seconds(1_574_996_400_000_000_000), seconds(-1_000)
    ('6.9', '1574996400', '-0.000001')
    """
    whole, rest = divmod(abs(time_ns), 10**9)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if time_ns < 0 else text


def span(begin_ns: int, end_ns: int) -> str:
    """Spell the begin and end of something; if its times count from 1970, spell its duration and begin.

    >>> span(5_000_000_000, 6_900_000_000), span(1_575_000_000_000, 1_575_127_000_000)
    ('5 to 6.9 s', '1575 to 1575.127 s')
    >>> span(1_575_000_000_000_000_000, 1_575_000_127_000_000_000)
    '127 s from 2019-11-29 04:00:00 UTC'
    """
    if begin_ns < _DATED_NS:
        return f"{seconds(begin_ns)} to {seconds(end_ns)} s"
    date = datetime.fromtimestamp(begin_ns // 10**9, UTC)
    rest = seconds(begin_ns % 10**9).removeprefix("0")
    return f"{seconds(end_ns - begin_ns)} s from {date:%Y-%m-%d %H:%M:%S}{rest} UTC"
