"""Environments that are used in the wrong way say what to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from sim.batch import BatchEnvironment
from sim.learn.batch.joint import JointBatchEnvironment
from sim.scenario.scenario import Scenario

pytest.importorskip("pettingzoo", reason="needs the extra env")

from sim.env import fast_parallel_env, parallel_env

_SCENARIO = Scenario.load("dtecn", ["vehicles.num_vehicle=3", "time.num_slot=5"])
_MAKERS: list[Callable[..., Any]] = [parallel_env, fast_parallel_env]
_HALF = np.full(6, 0.5, dtype=np.float32)


def _actions(environment: Any) -> dict[str, Any]:
    return dict.fromkeys(environment.possible_agents, _HALF)


@pytest.mark.parametrize("make", _MAKERS)
def test_a_step_needs_an_episode(make: Callable[..., Any]) -> None:
    environment = make(_SCENARIO, num_slot=2)
    with pytest.raises(InputError) as before:
        environment.step(_actions(environment))
    assert str(before.value) == "step: no episode has begun (accepted: a step after reset())"
    environment.reset(seed=1)
    environment.step(_actions(environment))
    environment.step(_actions(environment))
    assert environment.agents == []
    with pytest.raises(InputError) as after:
        environment.step({})
    assert str(after.value) == "step: the episode has ended (accepted: a step after reset())"
    environment.reset()
    environment.step(_actions(environment))


_WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "nobody": (lambda _: {}, "step: no action of vehicle-0, vehicle-1, vehicle-2"),
    "not all": (lambda all_: {"vehicle-1": all_["vehicle-1"]}, "step: no action of vehicle-0, vehicle-2"),
    "another": (lambda all_: {**all_, "vehicle-3": _HALF}, "step: an action of vehicle-3 "),
    "numbers": (lambda all_: {**all_, 0: _HALF}, "step: an action of 0 (accepted: vehicle-0 to vehicle-2)"),
    "no mapping": (lambda _: _HALF, "step: ndarray is not a mapping from agents to actions"),
    "none": (lambda all_: {**all_, "vehicle-0": None}, "vehicle-0: an action of shape []"),
    "short": (lambda all_: {**all_, "vehicle-2": _HALF[:5]}, "vehicle-2: an action of shape [5] (accepted: 6 numbers"),
    "matrix": (lambda all_: {**all_, "vehicle-2": [[1, 2], [3]]}, "vehicle-2: list is no action"),
    "text": (lambda all_: {**all_, "vehicle-2": "up"}, "vehicle-2: str is no action"),
    "nan": (lambda all_: {**all_, "vehicle-1": _HALF * np.nan}, "vehicle-1: an action that is not finite"),
}


@pytest.mark.parametrize("make", _MAKERS)
@pytest.mark.parametrize("wrong", _WRONG)
def test_wrong_actions_are_told_and_change_nothing(make: Callable[..., Any], wrong: str) -> None:
    change, said = _WRONG[wrong]
    environment, other = make(_SCENARIO), make(_SCENARIO)
    environment.reset(seed=3)
    other.reset(seed=3)
    with pytest.raises(InputError) as caught:
        environment.step(change(_actions(environment)))
    assert str(caught.value).startswith(said)
    seen, rewards, *_ = environment.step(_actions(environment))
    expected, expected_rewards, *_ = other.step(_actions(other))
    assert rewards == expected_rewards
    for agent in seen:
        np.testing.assert_array_equal(seen[agent], expected[agent])


@pytest.mark.parametrize("make", _MAKERS)
def test_spaces_of_nobody(make: Callable[..., Any]) -> None:
    environment = make(_SCENARIO)
    for space in (environment.action_space, environment.observation_space):
        with pytest.raises(InputError, match=r"env: there is no agent 'car' \(accepted: vehicle-0 to vehicle-2\)"):
            space("car")


@pytest.mark.parametrize("make", _MAKERS)
@pytest.mark.parametrize("num_slot", [0, -1, 2.0, True, "3", 2_000_000])
def test_lengths_of_episodes(make: Callable[..., Any], num_slot: Any) -> None:
    with pytest.raises(InputError, match="env: num_slot: "):
        make(_SCENARIO, num_slot=num_slot)


def test_decisions_of_other_shapes() -> None:
    batch = BatchEnvironment(_SCENARIO, 2)
    whole = np.zeros((2, 3, 3))
    for ratio, allocation in ((whole[0], whole), (whole, whole[..., :2]), (whole.tolist(), whole)):
        with pytest.raises(InputError, match=r"step: (ratio|allocation) .*accepted: .*shape \[2, 3, 3\]"):
            batch.step(ratio, allocation)
    joint = JointBatchEnvironment(Scenario.load("llm6g", ["vehicles.num_vehicle=3"]), 2)
    of_tasks, of_vehicles = np.zeros((2, 3, 1)), np.zeros((2, 3))
    with pytest.raises(InputError, match=r"step: power has shape \[3\] \(accepted: shape \[2, 3\]\)"):
        joint.step(of_tasks, of_tasks, of_vehicles[0], of_vehicles, of_vehicles)
