"""What every policy promises: equal seeds, equal decisions; these are feasible; and the belief stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from physical.errors import InputError
from policies import make, registry
from policies.feasible import project
from sim import Scenario, run
from tests.support.observers import Watched, assert_equal

# Which system a policy is for; those that are in neither are for both.
LEARNED = {"apg", "maddpg", "ddpg", "llm"}  # for three classes; maddpg for 4 to 10 vehicles
BY_CASES = {"nearest-case", "mean-case"}  # for what their teacher is for, by default p2-exact
DTECN_ONLY = {"greedy-latency", "greedy-cost", "p2-exact", "p2-slsqp", *LEARNED, *BY_CASES}
LLM6G_ONLY = {"layers-exact", "ao-sqp-fp", "rlor", "rrlo"}
INSTALLED = [spec.name for spec in registry._BUILT_IN if spec.installed]
POLICIES = [name for name in INSTALLED if name not in LLM6G_ONLY]
POLICIES += [f"{name}:start=3" for name in [*sorted(BY_CASES), "llm"]]  # in short runs the teacher would decide all
LAYER_POLICIES = [name for name in INSTALLED if name not in DTECN_ONLY]
LAYER_POLICIES += [f"{name}:start=3,teacher=layers-exact" for name in sorted(BY_CASES)]
NUMERICAL = {"p2-slsqp", "ao-sqp-fp"}  # seconds per run: not in the quick loop
FLEETS = [(1, 1), (1, 3), (4, 1), (4, 3)]
NUM_SLOT = 8
# Against an equal share of 400 GHz / 12: a twin that is right, too pessimistic, too optimistic, or each in turn.
BIASES = {
    "none": "0 Hz",
    "positive": "5 GHz",
    "negative": "-5 GHz",
    "mixed": "{kind = 'per-vehicle', values = ['5 GHz', '-20 GHz', 0]}",
    "large": "-60 GHz",
}


def cell(name: str, *others: object) -> pytest.ParameterSet:
    """Return the parameters of a test of a policy."""
    return pytest.param(name, *others, marks=[pytest.mark.full] if name in NUMERICAL else [])


def scenario(num_vehicle: int, num_class: int, *settings: str) -> Scenario:
    data = Scenario.load("dtecn").model_dump(mode="json")
    data["tasks"] = data["tasks"][:num_class]
    small = (f"vehicles.num_vehicle={num_vehicle}", f"time.num_slot={NUM_SLOT}")
    return Scenario.from_dict(data, settings=[*small, *settings])


def layers_scenario(*settings: str) -> Scenario:
    """Return the scenario of the llm6g paper with 4 vehicles."""
    return Scenario.load("llm6g", ["vehicles.num_vehicle=4", f"time.num_slot={NUM_SLOT}", *settings])


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mode", ["paper", "corrected"])
@pytest.mark.parametrize(
    ("name", "fleet"),
    [
        cell(name, fleet)
        for name in POLICIES
        for fleet in FLEETS
        if name.partition(":")[0] not in LEARNED or fleet == FLEETS[-1]
    ],
)
def test_decisions_are_feasible(name: str, fleet: tuple[int, int], mode: str, bias: str) -> None:
    check_run(name, scenario(*fleet, f"model.mode={mode}", f"twin.bias.cpu_frequency_hz={BIASES[bias]}"))


@pytest.mark.parametrize("mode", ["paper", "corrected"])
@pytest.mark.parametrize("name", [*map(cell, LAYER_POLICIES)])
def test_decisions_on_layers_are_feasible(name: str, mode: str) -> None:
    check_run(name, layers_scenario(f"model.mode={mode}"))


def check_run(name: str, small: Scenario) -> None:
    """Run a policy, and check that the guard never had to step in."""
    watched = Watched(make(name))
    result = run(small, policy=watched, seed=1)
    assert result.table("events").num_rows == 0, result.table("events").to_pylist()[:1]
    assert result.summary["fallbacks"] == 0
    assert result.summary["decisions"] == len(watched.answers) == NUM_SLOT
    for snapshot, answer in zip(watched.seen, watched.answers, strict=True):
        assert not project(snapshot.system, answer, snapshot.estimation_bias_hz, snapshot.serving_node)[1]
    assert result.summary["decisions_repaired"] == 0


@pytest.mark.parametrize("mode", ["paper", "corrected"])
@pytest.mark.parametrize("name", [*map(cell, POLICIES)])
def test_equal_seeds_give_equal_decisions(name: str, mode: str) -> None:
    check_seeds(name, scenario(4, 3, f"model.mode={mode}"))


@pytest.mark.parametrize("mode", ["paper", "corrected"])
@pytest.mark.parametrize("name", [*map(cell, LAYER_POLICIES)])
def test_equal_seeds_give_equal_decisions_on_layers(name: str, mode: str) -> None:
    check_seeds(name, layers_scenario(f"model.mode={mode}"))


def check_seeds(name: str, small: Scenario) -> None:
    """Run a policy twice, and another of its kind."""
    policy = make(name)
    first, again, other = Watched(policy), Watched(policy), Watched(make(name))
    for watched in (first, again, other):
        run(small, policy=watched, seed=5)
    for one, two, three in zip(first.answers, again.answers, other.answers, strict=True):
        assert_equal(one, two)
        assert_equal(one, three)


@pytest.mark.parametrize(
    ("name", "small"),
    [
        *(cell(name, scenario(4, 3)) for name in POLICIES),
        *(cell(name, layers_scenario()) for name in LAYER_POLICIES),
    ],
    ids=[*POLICIES, *(f"{name}-layers" for name in LAYER_POLICIES)],
)
def test_policy_decides_from_the_snapshot_alone(name: str, small: Scenario) -> None:
    """Reset and asked about the same snapshots again, it gives the same answers without any world around it."""
    watched = Watched(make(name))
    run(small, policy=watched, seed=5)
    decided = [make(name) for _ in range(2)]
    for policy in decided:
        policy.reset(watched.seen[0].system, 11)
    for snapshot in watched.seen:
        one, two = (policy.decide(snapshot) for policy in decided)
        assert_equal(one, two)


def test_every_policy_is_for_some_system() -> None:
    """Names above are those of policies, and each policy refuses the system that it is not for, in one line."""
    assert {spec.name for spec in registry._BUILT_IN} >= DTECN_ONLY | LLM6G_ONLY
    for names, other in ((DTECN_ONLY, layers_scenario()), (LLM6G_ONLY, scenario(4, 3))):
        for name in names & set(INSTALLED):
            with pytest.raises(InputError) as caught:
                make(name).reset(other.system(), 0)
            assert str(caught.value).startswith(f"--policy: {name}: ")
            assert "\n" not in str(caught.value)
            assert caught.value.accepted


def test_random_policy_follows_the_seed() -> None:
    runs = []
    for seed in (1, 2):
        watched = Watched(make("random"))
        run(scenario(4, 3), policy=watched, seed=seed)
        runs.append(watched.answers[0].offloading_ratio)
    assert not np.array_equal(runs[0], runs[1])
