"""Trainers: returns rise, equal seeds give equal bits, a training that stopped goes on as if it had not."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from physical.errors import InputError
from policies.marl import apg, ddpg, maddpg
from policies.marl.acting import decide, network_input
from policies.marl.features import NUM_LOCAL_FEATURE
from policies.marl.replay import ReplayBuffer, Reward, Transitions, compress, explore, rewards, soft_update
from policies.marl.training import Trained, smooth_cost
from policies.marl.weights import read
from sim.batch import BatchEnvironment
from sim.learn.train import VARIANTS, TrainingJob, mixed_plans, scaled, train
from sim.scenario.scenario import Scenario

Tensor = torch.Tensor
NAME = "dtecn-congested"
NUM_VEHICLE, NUM_CLASS = 4, 3
STATE = NUM_CLASS * NUM_LOCAL_FEATURE
ALL = [(algorithm, variant) for algorithm, variants in VARIANTS.items() for variant in variants]


def environment(num_environment: int = 8, seed: int = 0, num_vehicle: int = NUM_VEHICLE) -> BatchEnvironment:
    return BatchEnvironment(Scenario.load(NAME), num_environment, seed, library="torch", num_vehicle=num_vehicle)


def rounds(number: int) -> Sequence[BatchEnvironment]:
    return [environment(seed=1_000 * (number + 1))]


def digest(tensors: dict[str, Tensor]) -> str:
    data = b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(data).hexdigest()


def trainers(steps: int, round_steps: int) -> dict[str, Callable[..., Trained]]:
    """Return short trainings of all kinds, as functions of `checkpoint` and `resume`."""
    common: dict[str, Any] = {"steps": steps, "round_steps": round_steps, "seed": 3}
    few: dict[str, Any] = {**common, "warm_up": 2, "batch": 32, "capacity": 100, "width": 16}
    set_, local = (apg.ApgArguments(**common, width=16, variant=variant) for variant in ("set", "local"))
    return {
        "apg": lambda **k: apg.train(rounds, set_, **k),
        "apg-local": lambda **k: apg.train(rounds, local, **k),
        "maddpg-analytic": lambda **k: maddpg.train_analytic(rounds, set_, NUM_VEHICLE, NUM_CLASS, **k),
        "maddpg": lambda **k: maddpg.train(rounds, maddpg.MaddpgArguments(NUM_VEHICLE, NUM_CLASS, **few), **k),
        "ddpg": lambda **k: ddpg.train(rounds, ddpg.DdpgArguments(NUM_CLASS, **few), **k),
    }


KINDS = list(trainers(1, 1))


# --------------------------------------------------------------------------------------------------------- all trainers
@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_bits_also_after_a_stop(kind: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.checkpoint"
    whole = trainers(12, 4)[kind]()
    assert digest(whole.tensors) == digest(trainers(12, 4)[kind]().tensors)

    def stop(step: int, _: float) -> None:
        raise KeyboardInterrupt

    # The only report comes after the last step, before the checkpoint of the last round: two rounds of three are kept.
    with pytest.raises(KeyboardInterrupt):
        trainers(12, 4)[kind](checkpoint=checkpoint, progress=stop)
    resumed = trainers(12, 4)[kind](checkpoint=checkpoint, resume=True)
    assert digest(resumed.tensors) == digest(whole.tensors)
    assert resumed.returns == whole.returns[-1:]
    with pytest.raises(InputError, match="other arguments: steps"):
        trainers(13, 4)[kind](checkpoint=checkpoint, resume=True)
    if kind == "apg":
        with pytest.raises(InputError, match="is of another actor"):
            trainers(12, 4)["maddpg-analytic"](checkpoint=checkpoint, resume=True)
    checkpoint.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="cannot be read"):
        trainers(12, 4)[kind](checkpoint=checkpoint, resume=True)


@pytest.mark.slow
@pytest.mark.full
def test_two_processes_give_equal_bits(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from sim.learn.train import *; from sim import Scenario; "
    scenario = f"Scenario.load({NAME!r}, ['vehicles.num_vehicle={NUM_VEHICLE}'])"
    code += f"train(TrainingJob('maddpg', {scenario}, {NAME!r}, 'analytic', steps=4), Path(sys.argv[1]))"
    paths = [tmp_path / "one.safetensors", tmp_path / "other.safetensors"]
    for path in paths:
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.full
@pytest.mark.parametrize(("algorithm", "variant"), ALL)
def test_trained_weights_can_be_used(algorithm: str, variant: str, tmp_path: Path) -> None:
    scenario = Scenario.load(NAME, [f"vehicles.num_vehicle={NUM_VEHICLE}"])
    out = tmp_path / "weights.safetensors"
    reports: list[int] = []
    manifest = train(
        TrainingJob(algorithm, scenario, NAME, variant, 1, 3), out, progress=lambda step, _: reports.append(step)
    )
    assert reports == [3]
    assert read(out)[1] == manifest
    assert (manifest.seed, manifest.steps, manifest.num_class) == (1, 3, NUM_CLASS)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "weights.json"}
    policy_type: Any = {"apg": apg.Apg, "maddpg": maddpg.Maddpg, "ddpg": ddpg.Ddpg}[algorithm]
    policy_type(str(out), variant).reset(scenario.system(), 0)


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    scenario = Scenario.load(NAME)
    with pytest.raises(InputError, match="--variant: 'sets' is wrong"):
        train(TrainingJob("apg", scenario, NAME, "sets"), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="another ending"):
        train(TrainingJob("apg", scenario, NAME), tmp_path / "a.pt")
    with pytest.raises(InputError, match="is no directory"):
        train(TrainingJob("apg", scenario, NAME), tmp_path / "no" / "a.safetensors")
    with pytest.raises(InputError, match="one node"):
        train(TrainingJob("apg", Scenario.load("corridor"), "corridor"), tmp_path / "a.safetensors")


def test_mixed_environments_differ_in_size_server_and_bias() -> None:
    plans = mixed_plans(Scenario.load(NAME))
    assert {plan.scenario.num_vehicle for plan in plans} >= {4, 10, 30}
    assert len({plan.scenario.server.frequency_hz for plan in plans}) > 1
    assert any(plan.bias_spread_hz > 0 for plan in plans)
    twice = scaled(Scenario.load(NAME), 20)
    assert (twice.server.frequency_hz, twice.server.num_core, twice.radio.bandwidth_hz) == (120e9, 40, 160e6)
    assert twice.objective.energy_weight == 0.01


# -------------------------------------------------------------------------------------------------------- apg, learning
@pytest.mark.full
def test_apg_learns_in_seconds_without_a_collapse() -> None:
    """Half of everything at first; then near the best, and the ratios neither all 0 nor all 1."""

    def factory(number: int) -> Sequence[BatchEnvironment]:
        return [environment(64, seed=5_000, num_vehicle=10)]

    arguments = apg.ApgArguments(steps=300, num_block=2)
    trained = apg.train(factory, arguments)
    returns = [value for _, value in trained.returns]
    assert returns[0] < returns[-1]
    assert returns[-1] > -1.3  # edge-equal has less than -2
    actor = apg.SetActor(arguments.width, arguments.num_block, pooled=True)
    actor.load_state_dict(trained.tensors)
    fresh = environment(32, seed=99_000, num_vehicle=10)
    with torch.no_grad():
        ratio = actor(network_input(fresh.system, fresh.observe())).ratio
    assert 0.1 < float(ratio.mean()) < 0.9


def test_smooth_misses_have_a_gradient_and_the_limit_of_hard_ones() -> None:
    world = environment()
    observation = world.observe()
    actor = apg.SetActor(16, 1, pooled=True)
    decision = decide(world.system, actor(network_input(world.system, observation)), observation, rounded=False)
    outcome = world.step(*decision)
    sharp = smooth_cost(world.system, outcome, 1e-9)
    torch.testing.assert_close(sharp, outcome.objective + 1.0)
    torch.autograd.backward(smooth_cost(world.system, outcome, 0.1).sum())
    gradients = [parameter.grad for parameter in actor.head.parameters()]
    assert all(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients)


# ------------------------------------------------------------------------------------------------ critics and their kin
def batch(count: int, num_vehicle: int, generator: torch.Generator) -> Transitions:
    state = torch.randn(count, num_vehicle, STATE, generator=generator)
    action = torch.rand(count, num_vehicle, 2 * NUM_CLASS, generator=generator)
    return Transitions(state, action, torch.randn(count, num_vehicle, generator=generator), state.flip(0))


@pytest.mark.parametrize("reward", ["team", "own", "eq27"])
def test_maddpg_moves_every_actor_and_targets_by_tau(reward: Reward) -> None:
    generator = torch.Generator().manual_seed(1)
    learner = maddpg.MaddpgLearner(maddpg.MaddpgArguments(NUM_VEHICLE, NUM_CLASS, reward=reward, target_rate=0.25))
    before, targets = copy.deepcopy(learner.actors), copy.deepcopy(learner.target_actor)
    learner.update(batch(64, NUM_VEHICLE, generator), True)
    for old, new, old_target, target in zip(
        before.parameters(),
        learner.actors.parameters(),
        targets.parameters(),
        learner.target_actor.parameters(),
        strict=True,
    ):
        assert (old != new).flatten(1).any(dim=1).all()  # of each of the stacked actors
        torch.testing.assert_close(target, old_target + 0.25 * (new - old_target))
    state = learner.critics.state_dict()
    assert any((state[name] != value).any() for name, value in learner.target_critic.state_dict().items())


def test_own_rewards_teach_each_actor_by_its_own_critic() -> None:
    """A critic that is blind to everything but vehicle 0 moves no other actor."""
    learner = maddpg.MaddpgLearner(maddpg.MaddpgArguments(NUM_VEHICLE, NUM_CLASS, reward="own"))
    rows = batch(16, NUM_VEHICLE, torch.Generator().manual_seed(2))
    action = learner.actors.act(rows.state).detach().requires_grad_(True)
    values = learner.own_values(rows, action)  # [B, N]
    (gradient,) = torch.autograd.grad(values[:, 0].sum(), action)
    assert gradient[:, 0].abs().sum() > 0
    assert not gradient[:, 1:].any()


def test_ddpg_moves_the_actor_and_targets_by_tau() -> None:
    learner = ddpg.DdpgLearner(ddpg.DdpgArguments(NUM_CLASS, target_rate=0.25))
    before, target = copy.deepcopy(learner.actor), copy.deepcopy(learner.target_actor)
    learner.update(batch(64, 1, torch.Generator().manual_seed(3)), True)
    for old, new, slow, moved in zip(
        before.parameters(),
        learner.actor.parameters(),
        target.parameters(),
        learner.target_actor.parameters(),
        strict=True,
    ):
        assert (old != new).any()
        torch.testing.assert_close(moved, slow + 0.25 * (new - slow))


def test_stacked_networks_are_networks_side_by_side() -> None:
    stacked = maddpg.StackedMlp(3, 5, 7, 2)
    values = torch.randn(3, 11, 5)
    found = stacked(values)
    for index in range(3):
        hidden = values[index]
        for layer, activation in enumerate((torch.relu, torch.relu, torch.tanh)):
            hidden = activation(hidden @ stacked.weights[layer][index] + stacked.biases[layer][index])
        torch.testing.assert_close(found[index], hidden @ stacked.weights[3][index] + stacked.biases[3][index])


def test_the_buffer_keeps_the_last_transitions_and_its_own_copies() -> None:
    buffer = ReplayBuffer(5, 1, NUM_CLASS)
    rows = batch(3, 1, torch.Generator().manual_seed(4))
    for number in range(3):
        rows.reward.fill_(number)
        buffer.add(rows)
    rows.reward.fill_(99.0)
    assert len(buffer) == 5
    assert sorted(buffer.tensors["reward"].flatten().tolist()) == [1.0, 1.0, 2.0, 2.0, 2.0]
    drawn = buffer.draw(100, torch.Generator().manual_seed(5))
    assert set(drawn.reward.flatten().tolist()) == {1.0, 2.0}


def test_rewards_are_parts_of_the_objective() -> None:
    world = environment()
    observation = world.observe()
    ratio = torch.full_like(observation.size_bytes, 0.4)
    share_hz = torch.full_like(ratio, 0.8 * world.system.server.frequency_hz / ratio[0].numel())
    outcome = world.step(ratio, share_hz)
    decision = (ratio, share_hz)
    team = rewards(world.system, observation, decision, outcome, "team")
    own = rewards(world.system, observation, decision, outcome, "own")
    torch.testing.assert_close(team, -(outcome.objective + 1.0)[:, None].expand(-1, NUM_VEHICLE))
    torch.testing.assert_close(own.mean(1), team.mean(1))
    literal = rewards(world.system, observation, decision, outcome, "eq27")
    torch.testing.assert_close(literal.mean(1), outcome.qos - 0.2)
    torch.testing.assert_close(compress(torch.tensor([-1.0, 0.0])), torch.tensor([-0.69314718, 0.0]))


def test_exploration_stays_in_range_and_targets_move_towards_their_sources() -> None:
    action = explore(torch.full((1_000,), 0.9), 0.3, torch.Generator().manual_seed(6))
    assert float(action.min()) >= 0.0
    assert float(action.max()) == 1.0
    slow, fast = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    soft_update(slow, fast, 1.0)
    torch.testing.assert_close(slow.weight, fast.weight)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["maddpg", "ddpg"])
def test_learning_from_experience_raises_the_return(kind: str) -> None:
    few: dict[str, Any] = {"steps": 200, "seed": 1, "warm_up": 50}
    trained = (
        maddpg.train(rounds, maddpg.MaddpgArguments(NUM_VEHICLE, NUM_CLASS, **few))
        if kind == "maddpg"
        else ddpg.train(rounds, ddpg.DdpgArguments(NUM_CLASS, **few))
    )
    assert trained.returns[0][1] < trained.returns[-1][1]


def test_arguments_are_plain_data() -> None:
    for arguments in (apg.ApgArguments(), maddpg.MaddpgArguments(4, 3), ddpg.DdpgArguments(3)):
        assert all(isinstance(value, (int, float, str)) for value in dataclasses.asdict(arguments).values())
