"""Seeds: integers of any kind are the same run, everything else is refused, wherever a seed is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from physical.seed import whole_seed, whole_seeds
from sim.batch import BatchEnvironment
from sim.env import fast_parallel_env, parallel_env
from sim.inputs.streams import Streams
from sim.learn import build_cases
from sim.learn.batch.joint import JointBatchEnvironment
from sim.runs.replay import verify
from sim.runs.run import run
from sim.scenario.scenario import Scenario

_WRONG = [1.0, "1", None, True, np.True_, -1, np.float64(1.0), np.int64(-1), float("nan"), np.array([1]), 1j]
_WHOLE: list[Any] = [1, np.int64(1), np.uint8(1), np.int32(1)]
_SHORT = Scenario.load("dtecn", ["time.num_slot=3", "vehicles.num_vehicle=2"])
_LAYERS = Scenario.load("llm6g", ["vehicles.num_vehicle=2"])


def _train(seed: Any, folder: Path) -> None:
    from sim.learn import train  # imports torch

    train.train(train.TrainingJob("ddpg", _SHORT, "dtecn", seed=seed, steps=1), folder / "a.safetensors")


_TAKERS: dict[str, Callable[[Any, Path], Any]] = {
    "run": lambda seed, _: run(_SHORT, policy="random", seed=seed),
    "cases": lambda seed, folder: build_cases.build(_SHORT, "random", seed, 1, 1, folder / "c.parquet"),
    "train": _train,
    "batch": lambda seed, _: BatchEnvironment(_SHORT, 2, seed),
    "batch of layers": lambda seed, _: JointBatchEnvironment(_LAYERS, 2, seed),
    "streams": lambda seed, _: Streams(seed),
    "env": lambda seed, _: parallel_env(_SHORT, seed=seed),
    "fast env": lambda seed, _: fast_parallel_env(_SHORT, seed=seed),
}
_RESETTERS: dict[str, Callable[[], Any]] = {
    "batch": lambda: BatchEnvironment(_SHORT, 2),
    "batch of layers": lambda: JointBatchEnvironment(_LAYERS, 2),
    "env": lambda: parallel_env(_SHORT),
    "fast env": lambda: fast_parallel_env(_SHORT),
}


@pytest.mark.parametrize("taker", _TAKERS)
@pytest.mark.parametrize("seed", _WRONG, ids=repr)
def test_what_is_no_integer_is_refused(taker: str, seed: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not an integer|is out of range") as caught:
        _TAKERS[taker](seed, tmp_path)
    assert caught.value.key == "seed"
    assert caught.value.accepted.startswith(("an integer >= 0", "an integer from 0 to "))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resetter", _RESETTERS)
@pytest.mark.parametrize("seed", [seed for seed in _WRONG if seed is not None], ids=repr)
def test_a_reset_refuses_what_is_no_integer(resetter: str, seed: Any) -> None:
    with pytest.raises(InputError, match=r"is not an integer|is out of range"):
        _RESETTERS[resetter]().reset(seed=seed)


@pytest.mark.parametrize(
    "taker", [pytest.param(name, marks=pytest.mark.full) if name == "train" else name for name in _TAKERS]
)
@pytest.mark.parametrize("seed", _WHOLE, ids=repr)
def test_every_integer_is_taken(taker: str, seed: Any, tmp_path: Path) -> None:
    _TAKERS[taker](seed, tmp_path)


@pytest.mark.parametrize("seed", _WHOLE, ids=repr)
def test_integers_of_any_kind_are_the_same_run_and_can_be_replayed(seed: Any, tmp_path: Path) -> None:
    result = run(_SHORT, policy="random", seed=seed, out=tmp_path / "run")
    assert result.summary["digest"] == run(_SHORT, policy="random", seed=1).summary["digest"]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))["seed"] == 1
    assert verify(tmp_path / "run").difference is None


def test_integers_of_any_kind_are_the_same_environments() -> None:
    made = [BatchEnvironment(_SHORT, 2, seed) for seed in _WHOLE]
    for environment in made[1:]:
        np.testing.assert_array_equal(environment.observe().size_bytes, made[0].observe().size_bytes)
    seen = [parallel_env(_SHORT).reset(seed=seed)[0]["vehicle-0"] for seed in _WHOLE]
    for one in seen[1:]:
        np.testing.assert_array_equal(one, seen[0])


def test_a_seed_is_as_long_as_it_is() -> None:
    assert whole_seed(2**80, where="run") == 2**80
    digests = {run(_SHORT, policy="random", seed=seed).summary["digest"] for seed in (0, 2**64, 2**80)}
    assert len(digests) == 3
    with pytest.raises(InputError, match=r"train: seed: .* \(accepted: an integer from 0 to 10000000000000\)"):
        _train(10**13 + 1, Path())


@pytest.mark.parametrize(
    ("seeds", "problem"),
    [((1, 1.0), "1.0 is not"), ((1, np.int64(1)), "twice"), ((), "is empty"), ("12", "no list"), (3, "no list")],
)
def test_lists_of_seeds(seeds: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        whole_seeds(seeds, where="compare")
    assert whole_seeds(np.arange(3), where="compare") == (0, 1, 2)
