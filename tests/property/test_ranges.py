"""Every key of a scenario has a range, and what its range lets pass runs without a warning and without a NaN."""

from __future__ import annotations

import numpy as np
import pytest

from sim.scenario.keys import Key
from tests.property.edges import KEYS, NAMES, attempt, base, ends, extremes, numeric_keys, with_value

_SLOW = {"vehicles.num_vehicle": "a million vehicles take a minute"}


def test_every_number_has_a_range() -> None:
    assert len(numeric_keys()) > 150
    for key in KEYS.values():
        if key.form in {"number", "integer"}:
            assert key.low is not None, key.name
            assert key.high is not None, key.name
            assert key.low < key.high, key.name


def tries(key: Key) -> list[object]:
    """Return the values to try."""
    return [*([] if key.name in _SLOW else ends(key)), *extremes(key)]


def check_keys(name: str, part: int, num_part: int) -> tuple[int, int]:
    """Try one in `num_part` of the keys in a scenario; return how many tries were accepted, of how many."""
    data, accepted, num = base(name), 0, 0
    for index, key in enumerate(numeric_keys()):
        if index % num_part != part:
            continue
        for value in tries(key):
            changed = with_value(data, key, value)
            if changed is not None:
                accepted += attempt(changed, f"{name}: {key.name} ({key.kind}) = {value}")
                num += 1
    return accepted, num


@pytest.mark.parametrize("name", NAMES)
def test_ends_of_ranges_run(name: str) -> None:
    accepted, num = check_keys(name, NAMES.index(name), len(NAMES))
    assert 0.3 * num < accepted < 0.7 * num  # both ends run, most of what is far away is refused


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ends_of_all_ranges_run_everywhere(name: str) -> None:
    for part in range(len(NAMES)):
        check_keys(name, part, len(NAMES))


def check_together(seeds: range) -> int:
    """Put two to four keys of a scenario at ends of their ranges, for each seed; return how many were accepted."""
    bases, numeric = {name: base(name) for name in NAMES}, numeric_keys()
    accepted = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        name = NAMES[rng.integers(len(NAMES))]
        data, told = bases[name], []
        for index in rng.choice(len(numeric), rng.integers(2, 5), replace=False):
            key = numeric[index]
            value = ends(key)[rng.integers(len(ends(key)))]
            changed = None if key.name in _SLOW else with_value(data, key, value)
            if changed is not None:
                data = changed
                told.append(f"{key.name} ({key.kind}) = {value}")
        accepted += attempt(data, f"seed {seed}, {name}: {', '.join(told)}")
    return accepted


def test_ends_of_ranges_go_together() -> None:
    assert check_together(range(60)) > 30


@pytest.mark.slow
def test_more_ends_of_ranges_go_together() -> None:
    assert check_together(range(1000, 5000)) > 2000


def test_gains_have_bounds() -> None:
    """Extreme shadowing and places give gains at their bounds, errors of which are finite."""
    from sim.runs.run import run
    from sim.scenario.scenario import Scenario

    settings = ["time.num_slot=3", "radio.shadowing_std_db=300", "twin.bias.channel_gain_db=300", "radio.range_m=1"]
    result = run(Scenario.load("dtecn", settings), seed=1)
    gain = result.table("vehicles")["channel_gain"].to_numpy()
    assert gain.min() >= 0.99e-36
    assert gain.max() <= 1.01e36
    assert np.log10(gain).min() < -29
    assert np.log10(gain).max() > 29
    assert np.isfinite(result.table("twin")["channel_gain_error_db"].to_numpy()).all()
    assert result.table("vehicles")["serving_node"].null_count == 30
