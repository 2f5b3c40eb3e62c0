"""`ddpg`: one agent on local information, the paper's single-agent learning (SARL).

Every vehicle is decided for by the same actor, and the critic sees no more than the actor: the state and action of one
vehicle. Hidden layers are ReLU, as section V-B of 'dtecn' has it. What a vehicle takes from the others is no part of
what it learns from: a commons problem, which is the point of the comparison.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from policies.marl.acting import LearnedPolicy, decide, network_input
from policies.marl.actions import Output
from policies.marl.features import NUM_LOCAL_FEATURE
from policies.marl.replay import (
    Batch,
    ReplayBuffer,
    Reward,
    compress,
    explore,
    local_state,
    output_of,
    rewards,
    saturation,
    soft_update,
)
from policies.marl.training import Factory, Learner, Progress, Session, Trained
from policies.marl.weights import Manifest, Tensors

Tensor = torch.Tensor


@dataclass(frozen=True)
class DdpgArguments:
    """How `ddpg` is trained; names as in `MaddpgArguments`.

    Parameters
    ----------
    num_class : of the system
    batch : vehicles' transitions in an update
    """

    num_class: int
    steps: int = 3_000
    seed: int = 0
    reward: Reward = "own"
    width: int = 64
    actor_rate: float = 3e-4
    critic_rate: float = 2e-3
    discount: float = 0.0
    target_rate: float = 0.01
    batch: int = 1_024
    capacity: int = 200_000
    warm_up: int = 250
    noise: float = 0.2
    noise_end: float = 0.05
    gradient_norm: float = 1.0
    logit_cost: float = 0.05
    round_steps: int = 1_000


def _layers(num_in: int, width: int, num_out: int) -> nn.Sequential:
    hidden = [nn.Linear(num_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*hidden, nn.ReLU(), nn.Linear(width, num_out))


class LocalActor(nn.Module):
    """The actor that all vehicles share."""

    def __init__(self, num_class: int, width: int) -> None:
        super().__init__()
        self._layers = _layers(num_class * NUM_LOCAL_FEATURE, width, 2 * num_class)
        with torch.no_grad():  # starts near the middle: half of everything, by the square-root rule
            for parameter in self._layers[-1].parameters():
                parameter.mul_(0.1)

    def forward(self, seen: Tensor) -> Output:  # [..., N, K, F]
        """Return what the actor puts out."""
        return output_of(seen, self.act(local_state(seen)))

    def act(self, state: Tensor) -> Tensor:  # [..., S]
        """Return actions in (0, 1), [..., 2 K]."""
        return torch.sigmoid(2.0 * self._layers(state))


class LocalCritic(nn.Module):
    """Value of one vehicle's state and action."""

    def __init__(self, num_class: int, width: int) -> None:
        super().__init__()
        self._layers = _layers(num_class * (NUM_LOCAL_FEATURE + 2), width, 1)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:  # [B, S], [B, A]
        """Return the values, [B]."""
        values: Tensor = self._layers(torch.cat((state, action), dim=-1))[..., 0]
        return values


class DdpgLearner(Learner):
    """Actor, critic, their targets and optimisers, and a buffer whose "vehicles" are single ones."""

    def __init__(self, arguments: DdpgArguments) -> None:
        self.arguments = arguments
        self.actor = LocalActor(arguments.num_class, arguments.width)
        self.critic = LocalCritic(arguments.num_class, 2 * arguments.width)
        self.target_actor, self.target_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=arguments.actor_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=arguments.critic_rate)
        self.buffer = ReplayBuffer(arguments.capacity, 1, arguments.num_class)
        names = ("actor", "critic", "target_actor", "target_critic")
        super().__init__(
            {name: getattr(self, name) for name in names},
            {"actor": self.actor_optimizer, "critic": self.critic_optimizer},
            self.buffer.tensors,
        )

    def update(self, batch: Batch, move_actor: bool) -> None:
        """Move the critic towards the targets' value, the actor uphill on the critic, targets after both."""
        arguments = self.arguments
        state, action, reward, next_state = (values[:, 0] for values in batch)
        with torch.no_grad():
            next_value = self.target_critic(next_state, self.target_actor.act(next_state))
            wanted = reward + arguments.discount * next_value  # [B]
        self._step(self.critic_optimizer, self.critic, (self.critic(state, action) - wanted).square().mean())
        if move_actor:
            new = self.actor.act(state)  # [B, A]
            loss = arguments.logit_cost * saturation(new) - self.critic(state, new).mean()
            self._step(self.actor_optimizer, self.actor, loss)
        soft_update(self.target_actor, self.actor, arguments.target_rate)
        soft_update(self.target_critic, self.critic, arguments.target_rate)

    def _step(self, optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(module.parameters(), self.arguments.gradient_norm)
        optimizer.step()


def train(
    environments: Factory,
    arguments: DdpgArguments,
    *,
    progress: Progress = lambda _step, _return: None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train the actor by experience; see `Session` for the other arguments."""
    torch.manual_seed(arguments.seed)
    learner = DdpgLearner(arguments)
    plain = {"algorithm": "ddpg", **dataclasses.asdict(arguments)}
    session = Session(
        learner, plain, arguments.steps, arguments.round_steps, environments, progress, checkpoint, resume
    )
    for step, environment, generator in session.run():
        system, observation = environment.system, environment.observe()
        seen = network_input(system, observation)
        state = local_state(seen)  # [B, N, S]
        noise = arguments.noise + (arguments.noise_end - arguments.noise) * step / arguments.steps
        with torch.no_grad():
            action = explore(learner.actor.act(state), noise if step >= arguments.warm_up else None, generator)
            decision = decide(system, output_of(seen, action), observation, rounded=False)
            outcome = environment.step(*decision)
        session.add(system, outcome)
        reward = compress(rewards(system, observation, decision, outcome, arguments.reward))
        next_state = local_state(network_input(system, environment.observe()))
        rows = (values.flatten(0, 1).unsqueeze(1) for values in (state, action, reward, next_state))
        learner.buffer.add(Batch(*rows))
        learner.update(learner.buffer.draw(arguments.batch, generator), step >= arguments.warm_up)
    return Trained(learner.actor.state_dict(), tuple(session.returns))


@dataclass
class Ddpg(LearnedPolicy):
    """One actor for every vehicle, on local information, that learned from the vehicles' own rewards.

    Parameters
    ----------
    weights : "auto", "dtecn", "dtecn-congested", or a .safetensors file
    variant : "critic", there is no other
    """

    algorithm: ClassVar[str] = "ddpg"
    variants: ClassVar[tuple[str, ...]] = ("critic",)

    weights: str = "auto"
    variant: str = "critic"

    def load(self, tensors: Tensors, manifest: Manifest) -> LocalActor:
        """Return the actor with these weights."""
        actor = LocalActor(manifest.num_class, manifest.arguments["width"])
        actor.load_state_dict(tensors)
        return actor
