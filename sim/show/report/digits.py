"""Numbers as texts of a page: three digits, or as many as an interval allows, with a real minus sign."""

from __future__ import annotations

import math
import re

from physical.digits import with_interval
from sim.show.report.series import scale_of
from sim.studies.statistics import Interval

NONE = "none"
_MINUS = "\N{MINUS SIGN}"
_THIN = "\N{NARROW NO-BREAK SPACE}"
_DECIMALS_MAX = 9
_GROUPED_FROM = 1e5


def plain(value: float | None, num: int = 3) -> str:
    """Spell a number with some digits, never with an exponent unless it is tiny.

    >>> plain(0.0501234), plain(123456.0), plain(-0.5), plain(None), plain(0.0)
    ('0.0501', '123...456', '\N{MINUS SIGN}0.500', 'none', '0')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    decimals = num - 1 - math.floor(math.log10(abs(value)))
    if decimals > _DECIMALS_MAX:
        return f"{value:.{num - 1}e}".replace("-", _MINUS)
    return fixed(value, max(0, decimals))


def fixed(value: float, decimals: int) -> str:
    """Spell a number with some decimals; a number that rounds to 0 has no sign.

    >>> fixed(-0.0001, 2), fixed(-1234567.0, -2)
    ('0.00', '\N{MINUS SIGN}1...234...600')
    """
    grouped = "," if abs(value) >= _GROUPED_FROM else ""
    text = f"{round(value, decimals):{grouped}.{max(decimals, 0)}f}".replace(",", _THIN)
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def count(number: int) -> str:
    """Spell a whole number.

    >>> count(12345)
    '12...345'
    """
    return f"{number:,}".replace(",", _THIN)


def duration(seconds: float, scale: float = 0.0, unit: str = "") -> str:
    """Spell a time in a given unit, or in a better one if the number would be hard to read.

    scale, unit : length of the unit in seconds, and its name

    >>> duration(10.0), duration(0.07), duration(0.4, 1e-3, "ms"), duration(10.0, 1e-6, "us")
    ('10 s', '70 ms', '400 ms', '10 s')
    """
    if not scale or not 1e-3 <= seconds / scale < 1e4:
        scale, unit = scale_of(seconds, "s")
    return f"{float(f'{seconds / scale:.3g}'):g} {unit}"


def percent(part: float | None) -> str:
    """Spell a part of a whole.

    >>> percent(0.0253), percent(0.0), percent(1.0), percent(0.00012)
    ('2.5 %', '0 %', '100 %', '0.012 %')
    """
    if part is None or not math.isfinite(part):
        return NONE
    return f"{plain(100 * part, 2 if abs(part) < 0.995 else 3)} %"


def measured(found: Interval, unit: float = 1.0, *, signed: bool = False) -> str:
    """Spell a mean with its interval, both with the digits that the interval allows; an interval of 0 is not shown.

    unit : size of the shown unit, in units of the mean
    signed : whether a positive mean has a sign, as a difference has

    >>> measured(Interval(-0.123456, 0.0123)), measured(Interval(4.0, 0.0)), measured(Interval(0.5, math.nan))
    ('\N{MINUS SIGN}0.123 ± 0.012', '4.00', '0.500')
    """
    if not math.isfinite(found.mean):
        return NONE
    sign = "+" if signed and found.mean > 0 else ""
    if not math.isfinite(found.half_width) or found.half_width == 0:
        return sign + plain(found.mean / unit)
    text = with_interval(found.mean, found.half_width, found.bounds, unit=unit)
    return sign + re.sub(r"(?<=\d) (?=\d)", _THIN, text).replace("-", _MINUS)
