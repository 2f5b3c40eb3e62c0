"""`maddpg`: an actor for each vehicle on local information, trained with critics that see all of them.

Networks are as in section IV-A of 'dtecn', with three hidden layers (ReLU, ReLU, tanh), and the update rate is 0.01 as
in its Table I. The discount is 0 by default, because P2 already contains the drift of the queues, and with the 0.95 of
Table I the critic learns the noise of later slots. In two points we cannot follow the paper. Its actor picks one output
of a softmax, which gives no continuous action, so ours ends in a sigmoid. Its eq. 27 has neither energy nor deadlines
and rewards exceeding the capacity, so the default reward is the objective P2, the same for all vehicles.

The variant "analytic" trains the same actors by the gradient of the slot's objective instead of the critic's gradient.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from policies.marl import apg
from policies.marl.acting import LearnedPolicy
from policies.marl.actions import Output
from policies.marl.experience import ActorCritic, ExperienceArguments, learn
from policies.marl.features import NUM_LOCAL_FEATURE
from policies.marl.isolation import own_random
from policies.marl.replay import Transitions, local_state, output_of, saturation
from policies.marl.training import Factory, Progress, Trained
from policies.marl.weights import Tensors, WeightsManifest

Tensor = torch.Tensor


@dataclass(frozen=True)
class MaddpgArguments(ExperienceArguments):
    """Arguments of the training of `maddpg`, besides `ExperienceArguments`. Critics are four times as wide as actors.

    Parameters
    ----------
    num_vehicle, num_class : of the system
    """

    num_vehicle: int
    num_class: int


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
            self._mlp.weights[-1].mul_(
                0.1
            )  # starts near the middle: half of everything is offloaded, and shares follow the square-root rule
            self._mlp.biases[-1].zero_()

    def forward(self, seen: Tensor) -> Output:  # [..., N, K, F]
        """Return the actors' output."""
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
        """Return the values, [B, C], if each critic has a different input."""
        values: Tensor = self._mlp(together)[..., 0].transpose(0, 1)
        return values


class MaddpgLearner(ActorCritic):
    """Actors, critics, and the buffer."""

    def __init__(self, arguments: MaddpgArguments) -> None:
        num_vehicle, num_class, width = arguments.num_vehicle, arguments.num_class, arguments.width
        num_in = num_vehicle * (num_class * NUM_LOCAL_FEATURE + 2 * num_class)
        self.arguments = arguments
        self.actors = AgentActors(num_vehicle, num_class, width)
        self.num_critic = 1 if arguments.reward == "team" else num_vehicle
        self.critics = Critics(self.num_critic, num_in, 4 * width)
        super().__init__(self.actors, self.critics, num_vehicle, num_class, arguments)

    def critic_loss(self, batch: Transitions) -> Tensor:
        """Return the sum of the critics' mean squared distances from reward and discounted next value."""
        with torch.no_grad():
            next_action = self.target_actor.act(batch.next_state)
            next_value = self.target_critic(batch.next_state, next_action)  # [B, C]
            wanted = batch.reward[:, : self.num_critic] + self.arguments.discount * next_value
        loss: Tensor = (self.critics(batch.state, batch.action) - wanted).square().mean(0).sum()
        return loss

    def actor_loss(self, batch: Transitions) -> Tensor:
        """Return minus the value of the actors' own actions, and their price.

        If all vehicles have one reward, the gradient of one critic reaches all actors at once. Otherwise critic n
        serves only actor n, and the actions of the other vehicles are those of the buffer.
        """
        action = self.actors.act(batch.state)  # [B, N, A]
        if self.num_critic == 1:
            value = self.critics(batch.state, action).mean()
        else:
            value = self.own_values(batch, action).mean(0).sum()
        loss: Tensor = self.arguments.logit_cost * saturation(action) - value
        return loss

    def own_values(self, batch: Transitions, action: Tensor) -> Tensor:
        """Return the value by critic n of vehicle n's new action with the old actions of the others, [B, N]."""
        mine = torch.eye(action.shape[1])[:, None, :, None]  # [C, 1, N, 1]
        mixed = mine * action + (1.0 - mine) * batch.action  # [C, B, N, A]
        state = batch.state.flatten(1).expand(len(mixed), -1, -1)
        values: Tensor = self.critics.stacked(torch.cat((state, mixed.flatten(2)), dim=-1))
        return values


def train(
    environments: Factory,
    arguments: MaddpgArguments,
    *,
    progress: Progress = lambda _step, _return: None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train actors by experience; see `policies.marl.experience.learn`."""
    with own_random(arguments.seed):
        learner = MaddpgLearner(arguments)
    return learn(
        "maddpg",
        learner,
        learner.actors,
        environments,
        arguments,
        progress=progress,
        checkpoint=checkpoint,
        resume=resume,
    )


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
    with own_random(arguments.seed):
        actor = AgentActors(num_vehicle, num_class, arguments.width)
    return apg.train_actor(actor, environments, arguments, progress=progress, checkpoint=checkpoint, resume=resume)


@dataclass
class Maddpg(LearnedPolicy):
    """Each vehicle's own actor, on what the vehicle knows; the server scales claims that exceed it.

    Parameters
    ----------
    weights : trained weights: "auto", "dtecn", "dtecn-congested", or a .safetensors file
    variant : how it was trained: "critic" as in the paper; "analytic", the same actors by the objective's gradient
    threads : threads of torch
    """

    algorithm: ClassVar[str] = "maddpg"
    variants: ClassVar[tuple[str, ...]] = ("critic", "analytic")
    per_vehicle: ClassVar[tuple[str, ...]] = ("critic", "analytic")

    weights: str = "auto"
    variant: str = "critic"
    threads: int = 1

    def load(self, tensors: Tensors, manifest: WeightsManifest) -> AgentActors:
        """Return the actors with these weights."""
        actors = AgentActors(manifest.num_vehicle[0], manifest.num_class, manifest.size("width"))
        actors.load_state_dict(tensors)
        return actors
