"""Digits follow the interval; every text was found by hand with the rule of the Particle Data Group."""

from __future__ import annotations

import math

import pytest

from physical import digits

NAN = math.nan


@pytest.mark.parametrize(
    ("mean", "half_width", "text"),
    [
        (0.0501, 0.00395, "0.050 ± 0.004"),  # 395: one digit
        (-0.7642, 0.0123, "-0.764 ± 0.012"),  # 123: two
        (1.3741, 0.0354, "1.374 ± 0.035"),  # 354 is the last with two
        (1.3741, 0.0355, "1.37 ± 0.04"),  # 355 the first with one
        (0.139, 0.0949, "0.14 ± 0.09"),  # 949 the last
        (0.139, 0.0951, "0.14 ± 0.10"),  # 951 becomes 1000, with two
        (3.14159, 9.6, "3 ± 10"),
        (9.996, 0.05, "10.00 ± 0.05"),
        (52.4, 5.2, "52 ± 5"),
        (10.5, 0.29, "10.50 ± 0.29"),
        (1364.2, 34.1, "1364 ± 34"),
        (1364.2, 341.0, "1360 ± 340"),
        (1364.2, 512.0, "1400 ± 500"),
        (5.0, 1234.0, "0 ± 1200"),
        (-0.0004, 0.03, "0.000 ± 0.030"),  # no -0.000
        (123_456.7, 1_234.0, "123 500 ± 1200"),
        (2.5e9, 4e8, "(2.5 ± 0.4)e9"),
        (2.346e-5, 1.2e-6, "(2.35 ± 0.12)e-5"),
        (1e-18, 3e-18, "0"),  # joules: round-off
        (0.0, 0.0, "0"),
        (0.5, 0.0, "0.5 ± 0"),
        (0.5, 1e-17, "0.5 ± 0"),
        (0.123456, NAN, "0.1235"),  # one seed: no interval
        (-9.6e-5, 9.6e-5, "-0.00010 ± 0.00010"),
    ],
)
def test_digits_follow_the_interval(mean: float, half_width: float, text: str) -> None:
    assert digits.with_interval(mean, half_width) == text


@pytest.mark.parametrize(
    ("mean", "bounds", "text"),
    [
        (0.2, (0.1512, 0.3), "0.20 [0.15, 0.30]"),  # the shorter arm, 0.0488, bears one digit
        (0.2, (0.1876, 0.5), "0.200 [0.188, 0.500]"),  # 0.0124 is less than a tenth of the half, 0.0156: two digits
        (-1234.5, (-1300.0, -1190.0), "-1230 [-1300, -1190]"),  # 44.5
        (0.0, (-0.2, 0.3), "0.00 [-0.20, 0.30]"),
    ],
)
def test_bounds_have_the_digits_of_the_shorter_arm(mean: float, bounds: tuple[float, float], text: str) -> None:
    assert digits.with_interval(mean, (bounds[1] - bounds[0]) / 2, bounds) == text


def test_a_mean_without_its_interval_has_the_same_digits() -> None:
    assert digits.alone(0.40231, 0.0951) == "0.40"
    assert digits.alone(-1364.2, 512.0) == "-1400"
    assert digits.alone(-1364.26) == "-1364"
    assert digits.alone(0.0218, 0.0005, unit=1e-3) == "21.8"


def test_round_off_is_measured_by_what_is_compared() -> None:
    """A difference of 1e-7 B is nothing between backlogs of a gigabyte, and something between bytes."""
    assert digits.with_interval(1e-7, 2e-8, scale=1e9) == "0"
    assert digits.with_interval(1e-7, 2e-8, scale=1.0) == "(1.00 ± 0.20)e-7"
    assert digits.alone(1e-18) == "0"


def test_the_unit_changes_nothing_but_the_unit() -> None:
    assert digits.with_interval(0.0398, 0.0028, unit=1e-3) == "39.8 ± 2.8"
    assert digits.with_interval(0.0398, 0.0014, (0.0371, 0.0399), unit=1e-3) == "39.80 [37.10, 39.90]"
