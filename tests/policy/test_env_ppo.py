"""A learner of another kind learns on the environment: PPO in the style of CleanRL, one actor for all vehicles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from sim.env import fast_parallel_env

torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
pytest.importorskip("pettingzoo", reason="reason: needs the extra env")

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Arguments:
    num_vehicle: int = 4
    num_step: int = 128
    num_update: int = 60
    num_epoch: int = 4
    num_minibatch: int = 4
    learning_rate: float = 1e-3
    gamma: float = 0.5  # what is decided now matters for a few slots at most
    gae_lambda: float = 0.9
    clip: float = 0.2
    entropy_weight: float = 0.0
    value_weight: float = 0.5
    max_grad_norm: float = 0.5
    reward_min: float = -5.0  # an upload in a deep fade takes for ever; one such task must not drown all others
    seed: int = 1


class Agent:
    """Actor and critic; the actor's normal numbers become actions by a sigmoid."""

    def __init__(self, num_observation: int, num_action: int) -> None:
        def network(num_out: int, gain: float) -> Any:
            layers = [torch.nn.Linear(num_observation, 64), torch.nn.Tanh(), torch.nn.Linear(64, num_out)]
            torch.nn.init.orthogonal_(layers[0].weight, np.sqrt(2))
            torch.nn.init.orthogonal_(layers[2].weight, gain)
            return torch.nn.Sequential(*layers)

        self.mean, self.value = network(num_action, 0.01), network(1, 1.0)
        self.log_std = torch.zeros(num_action, requires_grad=True)
        self.parameters = [*self.mean.parameters(), *self.value.parameters(), self.log_std]

    def distribution(self, observation: Any) -> Any:
        mean = self.mean(observation)
        return torch.distributions.Normal(mean, self.log_std.exp().expand_as(mean), validate_args=False)


class Vehicles:
    """The environment with arrays in place of dictionaries: one row per vehicle."""

    def __init__(self, num_vehicle: int, seed: int) -> None:
        self.env = fast_parallel_env("dtecn-congested", reward="own", num_slot=100, num_vehicle=num_vehicle, seed=seed)

    def reset(self, seed: int | None = None) -> Any:
        return self._tensor(self.env.reset(seed)[0])

    def step(self, normal: Any) -> tuple[Any, Floats, bool]:
        asked = torch.sigmoid(normal).numpy()
        agents = self.env.agents
        seen, rewards, *_ = self.env.step(dict(zip(agents, asked, strict=True)))
        ended = not self.env.agents
        # Own parts add up over vehicles: in units in which a task served at once earns one.
        own = len(agents) * np.array([rewards[agent] for agent in agents])
        return self._tensor(seen), own, ended

    def _tensor(self, seen: dict[str, Numbers]) -> Any:
        return torch.from_numpy(np.stack([seen[agent] for agent in self.env.possible_agents]))


def train(arguments: Arguments) -> Agent:
    torch.manual_seed(arguments.seed)
    vehicles = Vehicles(arguments.num_vehicle, arguments.seed)
    seen = vehicles.reset()
    agent = Agent(seen.shape[1], vehicles.env.action_space("vehicle-0").shape[0])
    optimizer = torch.optim.Adam(agent.parameters, arguments.learning_rate, eps=1e-5)
    for update in range(arguments.num_update):
        optimizer.param_groups[0]["lr"] = arguments.learning_rate * (1.0 - update / arguments.num_update)
        batch, seen = rollout(agent, vehicles, seen, arguments)
        for _ in range(arguments.num_epoch):
            for chosen in torch.randperm(len(batch["advantage"])).chunk(arguments.num_minibatch):
                optimizer.zero_grad()
                loss(agent, {name: values[chosen] for name, values in batch.items()}, arguments).backward()
                torch.nn.utils.clip_grad_norm_(agent.parameters, arguments.max_grad_norm)
                optimizer.step()
    return agent


def rollout(agent: Agent, vehicles: Vehicles, seen: Any, arguments: Arguments) -> tuple[dict[str, Any], Any]:
    """Return observations, actions, their log probabilities, advantages and returns, [steps x vehicles, ...]."""
    observations, actions, log_probs, values, rewards, goes_on = [], [], [], [], [], []
    with torch.no_grad():
        for _ in range(arguments.num_step):
            distribution = agent.distribution(seen)
            action = distribution.sample()
            observations.append(seen)
            actions.append(action)
            log_probs.append(distribution.log_prob(action).sum(-1))
            values.append(agent.value(seen)[:, 0])
            seen, reward, ended = vehicles.step(action)
            if ended:
                seen = vehicles.reset()
            rewards.append(torch.from_numpy(np.maximum(reward, arguments.reward_min)).float())
            goes_on.append(0.0 if ended else 1.0)
        following, advantage, advantages = agent.value(seen)[:, 0], torch.zeros(len(seen)), []
        for reward, value, on in zip(rewards[::-1], values[::-1], goes_on[::-1], strict=True):
            surprise = reward + arguments.gamma * on * following - value
            advantage = surprise + arguments.gamma * arguments.gae_lambda * on * advantage
            advantages.append(advantage)
            following = value
    joined = {
        "observation": torch.cat(observations),
        "action": torch.cat(actions),
        "log_prob": torch.cat(log_probs),
        "advantage": torch.cat(advantages[::-1]),
    }
    joined["return"] = joined["advantage"] + torch.cat(values)
    return joined, seen


def loss(agent: Agent, batch: dict[str, Any], arguments: Arguments) -> Any:
    distribution = agent.distribution(batch["observation"])
    ratio = (distribution.log_prob(batch["action"]).sum(-1) - batch["log_prob"]).exp()
    advantage = (batch["advantage"] - batch["advantage"].mean()) / (batch["advantage"].std() + 1e-8)
    clipped = ratio.clamp(1.0 - arguments.clip, 1.0 + arguments.clip)
    actor_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    critic_loss = 0.5 * (agent.value(batch["observation"])[:, 0] - batch["return"]).square().mean()
    entropy = distribution.entropy().sum(-1).mean()
    return actor_loss + arguments.value_weight * critic_loss - arguments.entropy_weight * entropy


def returns(agent: Agent, arguments: Arguments, seeds: range) -> Floats:
    """Return the mean reward of a vehicle and slot in one episode per seed, without exploration."""
    vehicles = Vehicles(arguments.num_vehicle, 0)
    found = []
    for seed in seeds:
        seen, ended, rewards = vehicles.reset(seed), False, []
        while not ended:
            with torch.no_grad():
                seen, reward, ended = vehicles.step(agent.mean(seen))
            rewards.append(np.maximum(reward, arguments.reward_min).mean())
        found.append(np.mean(rewards))
    return np.array(found)


@pytest.mark.slow
@pytest.mark.full
def test_ppo_learns_on_the_fast_environment() -> None:
    """On episodes that it has not seen, the return rises by many standard errors of the paired differences."""
    torch.set_num_threads(1)
    arguments = Arguments()
    unseen = range(10_000, 10_020)
    torch.manual_seed(arguments.seed)
    before = returns(Agent(10, 6), arguments, unseen)
    after = returns(train(arguments), arguments, unseen)
    gain = after - before
    assert gain.mean() > 5.0 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert (gain > 0).mean() > 0.8
