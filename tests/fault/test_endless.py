"""Lists without an end, or of more runs than anybody could wait for: refused before anything is run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from physical.seed import NUM_SEED_MAX, STORED_MAX
from sim import Scenario, compare, sweep
from sim.studies.compare import parse_seeds
from sim.studies.plan import NUM_RUN_MAX
from tests.support.command import twin

NINES = "9" * 5_000
RANGES = (
    ("0..99999999999", "100000000000 seeds are too many (accepted: at most 100000)"),
    (f"0..{NUM_SEED_MAX}", f"{NUM_SEED_MAX + 1} seeds are too many (accepted: at most {NUM_SEED_MAX})"),
    ("0..99999,200000", "100001 seeds are too many (accepted: at most 100000)"),
    (NINES, f"'{'9' * 57}...' is out of range (accepted: 0 to {STORED_MAX})"),
    (f"0..{NINES}", f"'0..{'9' * 54}...' is out of range (accepted: 0 to {STORED_MAX})"),
    (str(STORED_MAX + 1), f"'{STORED_MAX + 1}' is out of range (accepted: 0 to {STORED_MAX})"),
    ("5..1", "'5..1' does not name different seeds (accepted: for example 0..19 or 1,4,7)"),
    ("0,,1", "'' is not a seed or a range of seeds (accepted: for example 0..19 or 1,4,7)"),
)
COMMANDS = (
    ("compare", "dtecn", "--policies", "random"),
    ("sweep", "dtecn", "--policies", "random", "--grid", "vehicles.num_vehicle=1,2"),
    ("figures", "llm6g"),
)


def small() -> Scenario:
    return Scenario.load("dtecn", ["time.num_slot=2", "vehicles.num_vehicle=2"])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("text", "words"), RANGES)
def test_ranges_of_seeds(tmp_path: Path, command: tuple[str, ...], text: str, words: str) -> None:
    assert twin(*command, "--seeds", text, "--out", tmp_path / "out").complaint() == f"twin: --seeds: {words}"
    assert not (tmp_path / "out").exists()


def test_as_many_seeds_as_there_may_be() -> None:
    assert parse_seeds(f"0..{NUM_SEED_MAX - 1}") == tuple(range(NUM_SEED_MAX))
    assert parse_seeds(str(STORED_MAX)) == (STORED_MAX,)


def test_the_greatest_seeds_can_be_kept(tmp_path: Path) -> None:
    """And so can those that a precision adds after them."""
    found = compare(small(), ["local-only"], [STORED_MAX - 1, np.int64(STORED_MAX)], tmp_path)  # type: ignore[list-item]  # NumPy's are taken, too
    assert found.seeds == (STORED_MAX - 1, STORED_MAX)
    more = compare(small(), ["local-only", "random"], [STORED_MAX], tmp_path, precision=1e-6, seeds_max=3)
    assert more.seeds == tuple(range(STORED_MAX, STORED_MAX + 3))


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (itertools.count(), f"are too many \\(accepted: at most {NUM_SEED_MAX}\\)"),
        (itertools.repeat(1), f"are too many \\(accepted: at most {NUM_SEED_MAX}\\)"),
        ((lambda: None,), "is not an integer"),
        ((object(),), "is not an integer"),
        ([10**30], "an integer of 100 bits is out of range"),
        ([10**5_000], "an integer of 16610 bits is out of range"),
    ],
)
def test_seeds_given_to_the_functions(seeds: Iterable[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        compare(small(), ["random"], seeds)
    with pytest.raises(InputError, match="is empty|" + words):  # the first call has used up what can be used once
        sweep(small(), ["random"], {"vehicles.num_vehicle": [2]}, seeds if not isinstance(seeds, tuple) else [*seeds])


class Index(int):
    """An integer that does not travel."""

    def __reduce__(self) -> Any:
        raise TypeError("stays here")


def test_seeds_that_do_not_travel_are_taken_by_value(tmp_path: Path) -> None:
    assert compare(small(), ["random"], [Index(3)], tmp_path).seeds == (3,)
    assert compare(small(), ["random"], [3], tmp_path).num_reused == 1


def test_grids() -> None:
    values = ",".join(map(str, range(1, 501)))
    keys = ("vehicles.num_vehicle", "time.num_slot", "vehicles.cpu_hz")
    grids = [word for key in keys for word in ("--grid", f"{key}={values}")]
    line = twin("sweep", "dtecn", "--policies", "random", "--seeds", "0..9", *grids).complaint()
    assert line == f"twin: --policies, --seeds, --grid: 1250000000 runs are too many (accepted: at most {NUM_RUN_MAX})"
    with pytest.raises(InputError, match="has too many values"):
        sweep(small(), ["random"], {"vehicles.num_vehicle": itertools.count(1)}, [0])
    for value in (object(), {1}, 1j):
        with pytest.raises(InputError, match=r"--grid: vehicles.num_vehicle: cannot be set"):
            sweep(small(), ["random"], {"vehicles.num_vehicle": [value]}, [0])


def test_policies_and_workers() -> None:
    with pytest.raises(InputError, match="are too many"):
        compare(small(), itertools.repeat("random"), [0])
    for number in (0, -1, 10**9, 1.5, "2"):
        with pytest.raises(InputError, match=r"--workers: .* cannot work"):
            compare(small(), ["random"], [0], num_worker=number)  # type: ignore[arg-type]  # what nobody checks
    assert "cannot work" in twin("compare", "dtecn", "--policies", "random", "--seeds", "0", "--workers", "99999").err


def test_a_precision_that_never_ends() -> None:
    words = ("compare", "dtecn", "--policies", "random", "--seeds", "0", "--precision", "1%", "--seeds-max", "9" * 18)
    assert twin(*words).complaint() == f"twin: --seeds-max: {'9' * 18} are too many (accepted: at most 100000)"
