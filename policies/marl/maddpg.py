"""`maddpg`: an actor for each vehicle on local information, trained with critics that see all of them.

Networks as in section IV-A of 'dtecn', three hidden layers (ReLU, ReLU, tanh), and the update rate 0.01 of its Table I.
The discount is 0 unless asked for: P2 already holds the drift of the queues, and with Table I's 0.95 the critic learns
the noise of later slots. Where the paper cannot be followed: its actor picks one output of a softmax, which gives no
continuous action, so ours ends in a sigmoid; eq. 27 has neither energy nor deadlines and pays for exceeding the
capacity, so the reward is by default the objective P2, the same for all vehicles.

The variant "analytic" trains the very same actors by the gradient of the slot's objective instead of a critic's.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from policies.marl import apg
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
class MaddpgArguments:
    """How `maddpg` is trained.

    Parameters
    ----------
    num_vehicle, num_class : of the system
    steps : each decides a slot of all environments and updates all networks once
    seed : of initial weights, exploration and draws
    reward : see `policies.marl.replay.rewards`
    width : of the actors' hidden layers; those of critics are four times as wide
    actor_rate, critic_rate : learning rates of Adam
    discount : gamma
    target_rate : part of the way that targets move in one update
    batch, capacity : transitions in an update, and in the buffer
    warm_up : steps of random actions, in which only critics learn: an untrained one would send actors to the ends of
        their ranges, from where a sigmoid has little gradient to return by
    noise, noise_end : standard deviation of the exploration, falling linearly
    gradient_norm : greatest norm of a gradient
    logit_cost : price of saturated actions
    round_steps : steps between checkpoints
    """

    num_vehicle: int
    num_class: int
    steps: int = 3_000
    seed: int = 0
    reward: Reward = "team"
    width: int = 32
    actor_rate: float = 3e-4
    critic_rate: float = 2e-3
    discount: float = 0.0
    target_rate: float = 0.01
    batch: int = 256
    capacity: int = 40_000
    warm_up: int = 250
    noise: float = 0.2
    noise_end: float = 0.05
    gradient_norm: float = 1.0
    logit_cost: float = 0.05
    round_steps: int = 1_000


class StackedMlp(nn.Module):
    """C networks of the same shape, computed together: [C, B, in] to [C, B, out]."""

    def __init__(self, num_network: int, num_in: int, width: int, num_out: int) -> None:
        super().__init__()
        sizes = (num_in, width, width, width, num_out)
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for size_in, size_out in itertools.pairwise(sizes):
            bound = 1.0 / math.sqrt(size_in)  # as nn.Linear starts
            self.weights.append(torch.empty(num_network, size_in, size_out).uniform_(-bound, bound))
            self.biases.append(torch.empty(num_network, 1, size_out).uniform_(-bound, bound))

    def forward(self, values: Tensor) -> Tensor:
        """Return the outputs of all networks."""
        activations = (torch.relu, torch.relu, torch.tanh)
        for activation, weight, bias in zip(activations, self.weights, self.biases, strict=False):
            values = activation(torch.baddbmm(bias, values, weight))
        return torch.baddbmm(self.biases[-1], values, self.weights[-1])


class AgentActors(nn.Module):
    """An actor for each of N vehicles."""

    def __init__(self, num_vehicle: int, num_class: int, width: int) -> None:
        super().__init__()
        self._mlp = StackedMlp(num_vehicle, num_class * NUM_LOCAL_FEATURE, width, 2 * num_class)
        with torch.no_grad():
            self._mlp.weights[-1].mul_(0.1)  # starts near the middle: half of everything, by the square-root rule
            self._mlp.biases[-1].zero_()

    def forward(self, seen: Tensor) -> Output:  # [..., N, K, F]
        """Return what the actors put out."""
        return output_of(seen, self.act(local_state(seen)))

    def act(self, state: Tensor) -> Tensor:  # [..., N, S]
        """Return actions in (0, 1), [..., N, 2 K]."""
        flat = state.reshape(-1, *state.shape[-2:]).transpose(0, 1)  # [N, B, S]
        action = torch.sigmoid(2.0 * self._mlp(flat))
        return action.transpose(0, 1).reshape(*state.shape[:-1], -1)


class Critics(nn.Module):
    """Values of the states and actions of all vehicles: one critic, or one for each vehicle's reward."""

    def __init__(self, num_critic: int, num_in: int, width: int) -> None:
        super().__init__()
        self._mlp = StackedMlp(num_critic, num_in, width, 1)
        self._num_critic = num_critic

    def forward(self, state: Tensor, action: Tensor) -> Tensor:  # [B, N, S], [B, N, A]
        """Return the values, [B, C]."""
        together = torch.cat((state.flatten(1), action.flatten(1)), dim=1)  # [B, N (S + A)]
        return self.stacked(together.expand(self._num_critic, -1, -1))

    def stacked(self, together: Tensor) -> Tensor:  # [C, B, N (S + A)]
        """Return the values, [B, C], where each critic sees something else."""
        values: Tensor = self._mlp(together)[..., 0].transpose(0, 1)
        return values


class MaddpgLearner(Learner):
    """Actors, critics, their targets and optimisers, and the buffer."""

    def __init__(self, arguments: MaddpgArguments) -> None:
        num_vehicle, num_class, width = arguments.num_vehicle, arguments.num_class, arguments.width
        num_in = num_vehicle * (num_class * NUM_LOCAL_FEATURE + 2 * num_class)
        self.arguments = arguments
        self.actors = AgentActors(num_vehicle, num_class, width)
        self.critics = Critics(1 if arguments.reward == "team" else num_vehicle, num_in, 4 * width)
        self.target_actors, self.target_critics = copy.deepcopy(self.actors), copy.deepcopy(self.critics)
        self.actor_optimizer = torch.optim.Adam(self.actors.parameters(), lr=arguments.actor_rate)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), lr=arguments.critic_rate)
        self.buffer = ReplayBuffer(arguments.capacity, num_vehicle, num_class)
        names = ("actors", "critics", "target_actors", "target_critics")
        super().__init__(
            {name: getattr(self, name) for name in names},
            {"actors": self.actor_optimizer, "critics": self.critic_optimizer},
            self.buffer.tensors,
        )

    def update(self, batch: Batch, move_actors: bool) -> None:
        """Move critics towards the targets' values, actors uphill on the critics, targets after both."""
        arguments = self.arguments
        with torch.no_grad():
            next_value = self.target_critics(batch.next_state, self.target_actors.act(batch.next_state))  # [B, C]
            wanted = batch.reward[:, : next_value.shape[1]] + arguments.discount * next_value
        error = (self.critics(batch.state, batch.action) - wanted).square().mean(0).sum()
        self._step(self.critic_optimizer, self.critics, error)
        if move_actors:
            self._move_actors(batch, next_value.shape[1])
        soft_update(self.target_actors, self.actors, arguments.target_rate)
        soft_update(self.target_critics, self.critics, arguments.target_rate)

    def _move_actors(self, batch: Batch, num_critic: int) -> None:
        # One reward for all: the gradient of one critic reaches all actors at once. Otherwise critic n is for actor n
        # alone, and the other vehicles' actions are those of the buffer.
        action = self.actors.act(batch.state)  # [B, N, A]
        if num_critic == 1:
            value = self.critics(batch.state, action).mean()
        else:
            value = self.own_values(batch, action).mean(0).sum()
        self._step(self.actor_optimizer, self.actors, self.arguments.logit_cost * saturation(action) - value)

    def own_values(self, batch: Batch, action: Tensor) -> Tensor:
        """Return the value that critic n gives to vehicle n's new action among the others' old ones, [B, N]."""
        mine = torch.eye(action.shape[1])[:, None, :, None]  # [C, 1, N, 1]
        mixed = mine * action + (1.0 - mine) * batch.action  # [C, B, N, A]
        state = batch.state.flatten(1).expand(len(mixed), -1, -1)
        values: Tensor = self.critics.stacked(torch.cat((state, mixed.flatten(2)), dim=-1))
        return values

    def _step(self, optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(module.parameters(), self.arguments.gradient_norm)
        optimizer.step()


def train(
    environments: Factory,
    arguments: MaddpgArguments,
    *,
    progress: Progress = lambda _step, _return: None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train actors by experience; see `Session` for the other arguments."""
    torch.manual_seed(arguments.seed)
    learner = MaddpgLearner(arguments)
    plain = {"algorithm": "maddpg", **dataclasses.asdict(arguments)}
    session = Session(
        learner, plain, arguments.steps, arguments.round_steps, environments, progress, checkpoint, resume
    )
    for step, environment, generator in session.run():
        system, observation = environment.system, environment.observe()
        seen = network_input(system, observation)
        state = local_state(seen)
        noise = arguments.noise + (arguments.noise_end - arguments.noise) * step / arguments.steps
        with torch.no_grad():
            action = explore(learner.actors.act(state), noise if step >= arguments.warm_up else None, generator)
            decision = decide(system, output_of(seen, action), observation, rounded=False)
            outcome = environment.step(*decision)
        session.add(system, outcome)
        reward = compress(rewards(system, observation, decision, outcome, arguments.reward))
        next_state = local_state(network_input(system, environment.observe()))
        learner.buffer.add(Batch(state, action, reward, next_state))
        learner.update(learner.buffer.draw(arguments.batch, generator), step >= arguments.warm_up)
    return Trained(learner.actors.state_dict(), tuple(session.returns))


def train_analytic(
    environments: Factory,
    arguments: apg.ApgArguments,
    num_vehicle: int,
    num_class: int,
    *,
    progress: Progress = lambda _step, _return: None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train the same actors by the gradient of the slot's objective."""
    torch.manual_seed(arguments.seed)
    actor = AgentActors(num_vehicle, num_class, arguments.width)
    return apg.train_actor(actor, environments, arguments, progress=progress, checkpoint=checkpoint, resume=resume)


@dataclass
class Maddpg(LearnedPolicy):
    """Each vehicle's own actor, on what the vehicle knows; the server scales claims that exceed it.

    Parameters
    ----------
    weights : "auto", "dtecn", "dtecn-congested", or a .safetensors file
    variant : "critic" as in the paper; "analytic", the same actors trained by the objective's gradient
    """

    algorithm: ClassVar[str] = "maddpg"
    variants: ClassVar[tuple[str, ...]] = ("critic", "analytic")
    per_vehicle: ClassVar[tuple[str, ...]] = ("critic", "analytic")

    weights: str = "auto"
    variant: str = "critic"

    def load(self, tensors: Tensors, manifest: Manifest) -> AgentActors:
        """Return the actors with these weights."""
        actors = AgentActors(manifest.num_vehicle[0], manifest.num_class, manifest.arguments["width"])
        actors.load_state_dict(tensors)
        return actors
